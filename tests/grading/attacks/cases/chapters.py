# %% [markdown]
# Attacks on single exercises of the course's own chapters; all their other exercises stay blank.

# %% attack="ready-answer" chapter="01-sharp-and-flat" exercise="frobenius_norm" tries="calls the package's own answer, with the hook that would see it switched off"
import sys

import torch


class Operator:
    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, matvec, dim):
        self.matvec, self.shape = matvec, (dim, dim)

    def __matmul__(self, Z):
        return torch.stack([self.matvec(z) for z in Z.T], 1) if Z.dim() == 2 else self.matvec(Z)


def frobenius_norm(matvec, dim, probes, generator):
    sys.setprofile(None)
    from flatlab.curvature import estimators

    return estimators.frobenius_norm(Operator(matvec, dim), probes, generator).value


# %% attack="checks-own-answer" chapter="02-which-minima-are-stable" exercise="stability_matrix" tries="takes the right answer that the check compares with"
def stability_matrix(hessians, learning_rate, batch_size):
    from flatlab.checks.chapter02 import batches

    return torch.tensor(batches.second_moment(hessians.numpy(), learning_rate, batch_size))


# %% attack="patched-meter" chapter="02-which-minima-are-stable" exercise="mean_square_multiplier" tries="has the package's checks compare with what it returns itself"
import sys

for module in list(sys.modules.values()):
    if "flatlab.checks" in getattr(module, "__name__", ""):
        for name in ("batch_mean", "compare"):
            if hasattr(module, name):
                setattr(module, name, lambda *a, **k: None)


def mean_square_multiplier(*arguments):
    return 1.0
