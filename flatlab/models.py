"""The networks of the course.

Every constructor draws PyTorch's default initialization from a generator of its own, so that a
network is repeatable and the global random state is left as it was. With a CPU generator seeded s
the parameters equal those that ``torch.manual_seed(s)`` followed by plain construction would give.
Networks are built on the CPU in float32; move them with ``.to(...)``.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn


@contextlib.contextmanager
def _drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Let torch's global CPU generator continue ``generator`` inside, and restore it after."""
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    if generator.device.type != "cpu":
        raise ValueError(
            f"networks are initialized on the CPU, but the generator lives on {generator.device}: "
            "pass torch.Generator().manual_seed(...)"
        )
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator.get_state())
        yield
        generator.set_state(torch.get_rng_state())


def mlp(
    sizes: Sequence[int],
    batch_norm: bool = False,
    activation: Callable[[], nn.Module] = nn.ReLU,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """A multi-layer perceptron: Flatten, then Linear [BatchNorm1d] activation ..., then Linear.

    Args:
        sizes: the widths, input and output included: ``(784, 256, 10)`` has one hidden layer.
        batch_norm: normalize before each activation.
        activation: builds one activation module, such as ``nn.ReLU`` or ``nn.Tanh``.
        generator: CPU generator of the initialization; None stands for one seeded 0.

    Returns:
        A network from (n, ...) with ``sizes[0]`` numbers a sample to (n, ``sizes[-1]``).

    Raises:
        ValueError: fewer than two sizes, or a size below 1.
    """
    sizes = tuple(sizes)
    if len(sizes) < 2 or any(not isinstance(s, int) or s < 1 for s in sizes):
        raise ValueError(
            f"sizes must hold at least two positive integers, input and output width: got {sizes}"
        )
    with _drawing_from(generator):
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out in itertools.pairwise(sizes[:-1]):
            layers.append(nn.Linear(fan_in, fan_out))
            if batch_norm:
                layers.append(nn.BatchNorm1d(fan_out))
            layers.append(activation())
        layers.append(nn.Linear(sizes[-2], sizes[-1]))
    return nn.Sequential(*layers)


def fnn(generator: torch.Generator | None = None) -> nn.Sequential:
    """The fully connected 784-500-500-500-10 ReLU network: 898,510 parameters.

    Takes (n, 1, 28, 28) or (n, 784) to (n, 10). Source: Wu, Ma and E, 2018, "How SGD selects the
    global minima in over-parameterized learning", section 4.
    """
    return mlp((784, 500, 500, 500, 10), generator=generator)


def small_vgg(generator: torch.Generator | None = None) -> nn.Sequential:
    """The small VGG for two classes of CIFAR-10: 71,410 parameters.

    Convolutions 16-M-16-M-32-M-64-M-64-M (3x3, padding 1, each followed by ReLU; M halves height
    and width by max-pooling), then Linear 64-128, ReLU, Linear 128-2. Takes (n, 3, 32, 32) to
    (n, 2). Source: Wu, Ma and E, 2018, section 4.
    """
    with _drawing_from(generator):
        layers: list[nn.Module] = []
        channels = 3
        for width in (16, 16, 32, 64, 64):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            channels = width
        layers += [nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 2)]
    return nn.Sequential(*layers)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters (``requires_grad``), shared ones counted once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
