"""Small networks of many shapes, and some that the layer-wise products must refuse."""

import torch
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    """x + f(x), with the in-place activation that residual networks use."""

    def __init__(self, *layers):
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x):
        return F.softplus(x + self.body(x))


class Branches(nn.Module):
    """Two layers read the same input, their outputs are multiplied, one output is unused."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 5), nn.Linear(4, 5), nn.Linear(5, 3)
        self.unused = nn.Linear(4, 2)

    def forward(self, x):
        self.unused(x)
        return self.c(self.a(x) * torch.sigmoid(self.b(x)))


class Tokens(nn.Module):
    """Several positions a sample, mixed by attention."""

    def __init__(self, width, hidden):
        super().__init__()
        self.qkv = nn.Linear(2, 3 * width)
        self.norm = nn.LayerNorm((4, width))
        self.head = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, 3)

    def forward(self, x):
        q, k, v = self.qkv(x.view(len(x), 4, 2)).chunk(3, -1)
        x = self.norm(F.scaled_dot_product_attention(q, k, v))
        return self.out(torch.tanh(self.head(x)).mean(1))


class Mixer(nn.Module):
    """A layer between two others that reads the positions transposed, as an MLP-Mixer does."""

    def __init__(self):
        super().__init__()
        self.channels, self.positions = nn.Linear(2, 3), nn.Linear(4, 5)
        self.out = nn.Linear(3, 3)

    def forward(self, x):
        x = torch.tanh(self.channels(x.view(len(x), 4, 2)))
        x = torch.tanh(self.positions(x.transpose(1, 2))).transpose(1, 2)
        return self.out(x).mean(1)


def hooked():
    """A hook of the caller's squares the first layer's output."""
    model = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 3))
    model[0].register_forward_hook(lambda module, args, z: z**2)
    return model


def conv(*args, **kwargs):
    return nn.Conv2d(*args, **kwargs)


ARCHITECTURES = {
    "in-place relu": lambda: nn.Sequential(nn.Linear(8, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)),
    "no biases": lambda: nn.Sequential(nn.Linear(8, 5, bias=False), nn.Tanh(), nn.Linear(5, 3, False)),
    "residual": lambda: nn.Sequential(Residual(nn.Linear(8, 6), nn.GELU(), nn.Linear(6, 8)), nn.Linear(8, 3)),
    "branches": lambda: nn.Sequential(nn.Linear(8, 4), nn.SiLU(), Branches()),
    "mixer": Mixer,
    "hook on a layer": hooked,
    "tokens, factored": lambda: Tokens(8, 9),
    "tokens, dense": lambda: Tokens(2, 3),
    "strided dilated conv": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 4)), conv(1, 4, (2, 3), stride=(1, 2), padding=(1, 2), dilation=(1, 2)),
        nn.ELU(), nn.Flatten(), nn.LazyLinear(3),
    ),
    "grouped conv": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 2, 2)), conv(2, 4, 1), nn.Tanh(), conv(4, 6, 2, groups=2, padding=1),
        nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    ),
    "same padding": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 2, 2)), conv(2, 3, 3, padding="same", bias=False), nn.BatchNorm2d(3),
        nn.Softplus(), conv(3, 2, 1, padding="valid"), nn.Flatten(), nn.Linear(8, 3),
    ),
    "group and instance norm": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 2, 2)), conv(2, 4, 1), nn.GroupNorm(2, 4), nn.Tanh(),
        conv(4, 3, 1), nn.InstanceNorm2d(3, affine=True), nn.Flatten(), nn.Linear(12, 3),
    ),
    "layer norm first": lambda: nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 4), nn.RMSNorm(4), nn.Linear(4, 3)),
}  # fmt: skip


def build(name):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = ARCHITECTURES[name]()
        X, y = torch.randn(6, 8), torch.randint(0, 3, (6,))
        model(X)  # lazy layers, and running statistics other than 0 and 1
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.1 * torch.randn_like(p))  # norm layers' scale and shift other than 1 and 0
    return model.double().eval(), X.double(), y


# --- what the layer-wise per-sample form refuses, by name -----------------------------------------
class Direct(nn.Module):
    """Uses a layer's weight without calling the layer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x):
        return F.linear(x, self.layer.weight)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.out = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(torch.tanh(self.layer(torch.tanh(self.layer(x)))))


class Shared(nn.Module):
    """Two layers with biases of their own and one weight."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.out = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.out(torch.tanh(self.second(torch.tanh(self.first(x)))))


class Flattened(nn.Module):
    """Calls a layer on rows that are not samples."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x):
        return self.layer(x.reshape(-1, 2)).view(len(x), 4, 3).mean(1)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.scale = nn.Linear(8, 3), nn.Parameter(torch.ones(3))

    def forward(self, x):
        return self.scale * self.layer(x)


class Overwriting(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.layer, self.other = nn.Linear(8, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        x = self.first(x) * 1.0
        z = self.layer(x)
        x.add_(1.0)
        return z + x


class MyLinear(nn.Linear):
    def forward(self, x):
        return torch.tanh(super().forward(x))


def patched() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 3))
    model[0].forward = lambda x: nn.functional.linear(torch.relu(x), model[0].weight)
    return model


REFUSED = {
    "an instance's own forward pass": (patched, "Linear '0' has parameters"),
    "Embedding": (lambda: nn.Sequential(nn.Linear(8, 3), nn.PReLU()), "PReLU '1' has parameters"),
    "weight used directly": (Direct, "'layer.weight' is used outside its module's own call"),
    "called twice": (Twice, "Linear 'layer' is called more than once"),
    "shared weight": (Shared, "Linear 'second' shares a parameter with another layer"),
    "rows that are no samples": (Flattened, "Linear 'layer' gets 24 rows for 6 samples"),
    "own parameter": (Scaled, "Scaled '' has parameters"),
    "overwritten input": (Overwriting, "'layer' has an input that is overwritten in place"),
    "subclass": (lambda: nn.Sequential(MyLinear(8, 3)), "MyLinear '0' has parameters"),
    "reflecting padding": (
        lambda: nn.Sequential(
            nn.Unflatten(1, (2, 2, 2)),
            nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        "Conv2d '1' has parameters",
    ),
}
