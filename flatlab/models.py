"""The networks of the course.

Every constructor draws PyTorch's default initialization from a generator of its own, so that a
network is repeatable and the global random state is left as it was. With a CPU generator seeded s
the parameters equal those that ``torch.manual_seed(s)`` followed by plain construction would give.
Networks are built on the CPU, also inside ``torch.device``, in PyTorch's default dtype; move them with ``.to(...)``.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from flatlab.arguments import is_whole, seeded


@contextlib.contextmanager
def _drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Let torch's global CPU generator continue ``generator`` inside, and restore it after."""
    generator = seeded(generator)
    if generator.device.type != "cpu":
        raise ValueError(
            f"networks are initialized on the CPU, but the generator lives on {generator.device}: "
            "pass torch.Generator().manual_seed(...)"
        )
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
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
    if len(sizes) < 2 or not all(is_whole(s, 1) for s in sizes):
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


def small_vgg(generator: torch.Generator | None = None, classes: int = 2) -> nn.Sequential:
    """The small VGG for two classes of CIFAR-10, or more: 71,410 parameters for two.

    Convolutions 16-M-16-M-32-M-64-M-64-M (3x3, padding 1, each followed by ReLU; M halves height
    and width by max-pooling), then Linear 64-128, ReLU, Linear 128-classes. Takes (n, 3, 32, 32) to
    (n, classes). Source: Wu, Ma and E, 2018, section 4.
    """
    with _drawing_from(generator):
        layers: list[nn.Module] = []
        channels = 3
        for width in (16, 16, 32, 64, 64):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            channels = width
        layers += [nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, classes)]
    return nn.Sequential(*layers)


class _Residual(nn.Module):
    """relu(x + BN(conv(relu(BN(conv(x)))))); where the width doubles x is halved and padded with 0."""

    def __init__(self, fan_in: int, width: int) -> None:
        super().__init__()
        self.stride, self.extra = (1, 0) if width == fan_in else (2, width - fan_in)
        self.body = nn.Sequential(
            nn.Conv2d(fan_in, width, 3, self.stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.extra:
            shortcut = nn.functional.pad(shortcut, (0, 0, 0, 0, 0, self.extra))
        return nn.functional.relu(self.body(x) + shortcut)


def resnet(
    depth: int = 56, classes: int = 10, generator: torch.Generator | None = None
) -> nn.Sequential:
    """The residual network of CIFAR-10 with ``depth`` = 6k + 2 layers: 853,018 parameters for 56.

    A 3x3 convolution of 16 channels, then k residual blocks of two convolutions with 16, 32 and 64 channels
    each, batch norm after every convolution, shortcuts without parameters, the mean over places, a
    Linear layer. Takes (n, 3, h, w) to (n, classes). Raises ValueError for another depth.
    Source: He, Zhang, Ren and Sun, 2016, "Deep residual learning for image recognition", section 4.2.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"depth is {depth}: give 6k + 2, such as 20, 32, 44 or 56")
    with _drawing_from(generator):
        layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(16), nn.ReLU()]
        fan_in = 16
        for width in (16, 32, 64):
            for _ in range((depth - 2) // 6):
                layers.append(_Residual(fan_in, width))
                fan_in = width
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes)]
    return nn.Sequential(*layers)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters (``requires_grad``), shared ones counted once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
