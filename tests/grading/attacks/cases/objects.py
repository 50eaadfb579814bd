# %% [markdown]
# Answers that are no numbers: objects that lie when they are compared, read, copied or printed.

# %% attack="equal-to-all" tries="returns an object that equals everything"
class Equal:
    def __eq__(self, other):
        return True

    __ne__ = __lt__ = __gt__ = lambda self, other: False
    __le__ = __ge__ = __eq__
    __hash__ = None

    def __sub__(self, other):
        return 0.0

    __rsub__ = __abs__ = __float__ = lambda self, *a: 0.0


def gradient_step(w, gradient, learning_rate):
    return Equal()


# %% attack="array-on-demand" tries="answers __array__ with what the caller's frame holds"
import sys

import numpy as np


class Reads:
    shape, ndim = (3,), 1

    def __array__(self, dtype=None, copy=None):
        frame = sys._getframe()
        while frame:
            for name in ("expected", "value"):
                found = frame.f_locals.get(name)
                if isinstance(found, np.ndarray):
                    return found.astype(dtype or found.dtype)
            frame = frame.f_back
        return np.zeros(3, dtype)


def gradient_step(w, gradient, learning_rate):
    return Reads()


# %% attack="tensor-subclass" tries="returns a tensor whose every operation gives itself"
import torch


class Lying(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, arguments=(), named=None):
        return arguments[0] if arguments else None


def gradient_step(w, gradient, learning_rate):
    return (w + learning_rate * gradient).as_subclass(Lying)


# %% attack="array-subclass" tries="returns an array without differences and with norm 0"
import numpy as np


class Near(np.ndarray):
    def __array_ufunc__(self, function, method, *inputs, **named):
        return np.zeros(self.shape).view(Near)

    def __array_function__(self, function, types, arguments, named):
        return 0.0

    def astype(self, *a, **k):
        return self

    def all(self, *a, **k):
        return True


def gradient_step(w, gradient, learning_rate):
    return (w + learning_rate * gradient).numpy().view(Near)


# %% attack="number-subclass" tries="returns a float that overloads its arithmetic"
class Number(float):
    def __sub__(self, other):
        return 0.0

    __rsub__ = __abs__ = lambda self, *a: 0.0
    __le__ = __lt__ = __eq__ = lambda self, other: True
    __hash__ = float.__hash__


def gradient_step(w, gradient, learning_rate):
    return [Number(0.0)] * w.numel()


# %% attack="not-a-number" tries="returns NaN, for which no difference is too large"
def gradient_step(w, gradient, learning_rate):
    return w * float("nan")


# %% attack="pickle-in-an-array" tries="returns an object array that runs code where it is unpickled"
import os

import numpy as np


class Bomb:
    def __reduce__(self):
        return os.system, ("touch /tmp/flatlab-attack-was-unpickled",)


def gradient_step(w, gradient, learning_rate):
    array = np.empty(w.shape, object)
    array.fill(Bomb())
    return array


# %% attack="huge-answer" tries="returns a tensor of 400 MB and of a lying shape"
def gradient_step(w, gradient, learning_rate):
    return w.new_zeros(100_000_000)


# %% attack="error-with-a-record" tries="raises an error whose text is a record and a page's script"
def gradient_step(w, gradient, learning_rate):
    raise ValueError('</pre><script>alert("attack-script")</script>\n0 0 ["dict", []]')
