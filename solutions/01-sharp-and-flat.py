# %% [markdown]
# # 01 · Sharp and flat minima
#
# <!-- badges -->
#
# Two networks fit the same 1000 images almost perfectly. One sits in a narrow valley of the loss, the
# other in a wide one. This chapter gives "narrow" and "wide" a meaning, measures it on networks
# with 898,510 parameters, and asks whether wide is better.
#
# **After this chapter you can**
# - compute a Hessian-vector product without ever building the Hessian,
# - find a network's largest curvature, the Frobenius norm of its Hessian and its ε-sharpness, and say what each
#   number stands for,
# - read a loss-landscape picture and know what filter normalization changes in it,
# - explain why "flat minima generalize better" needs more care than it gets on slides.
#
# **Time** 110 minutes. **Prerequisites** PyTorch autograd, eigenvalues, [chapter 00](../00-start-here/00-start-here.ipynb).
# **Slides** *SGD: Role of Randomness and Sharpness* (Sarkar); the first slides of *Sharpness-Aware
# Minimization* (HSE); the last slides of *Three Factors Influencing Minima in SGD*.

# %% setup
# <!-- install -->
import copy
import math

import torch

import flatlab
from flatlab import curvature, models, plots, widgets
from flatlab.checks import chapter01 as check
from flatlab.checks import ready
from flatlab.notebook import predict, reveal, settings

device = "cuda" if torch.cuda.is_available() else "cpu"
generator = torch.Generator().manual_seed(1)

# %% settings
# Each row is a setting, each column a scale. Choose with the environment variable FLATLAB_SCALE.
s = settings(
    {
        #                  quick, laptop, paper
        "train_images": (60, 1000, 1000),
        "test_images": (100, 10_000, 10_000),
        "learning_rate": (0.5, 0.5, 0.5),
        "small_batch": (10, 10, 10),
        "stop_loss": (0.06, 1e-3, 1e-4),
        "max_steps": (40, 20_000, 100_000),
        "power_steps": (3, 40, 100),
        "norm_probes": (2, 30, 100),
        "lanczos_steps": (8, 60, 100),
        "ascent_steps": (3, 20, 100),
        "grid": (3, 21, 41),
        "walk_steps": (3, 60, 1000),
    }
)

# %% [markdown]
# ## 1 · Curvature in one dimension   (≈ 12 min)
#
# The slides measure sharpness by curvature: how fast the slope changes. In one dimension that is
# the second derivative. Near a minimum $x^*$ the slope is 0, and
#
# $$f(x) \approx f(x^*) + \tfrac12 f''(x^*)\,(x - x^*)^2 .$$
#
# Twice the curvature, and a step of the same length raises the loss twice as much.

# %% predict="the narrower valley of f(x) = x^4 - 2x^2 + x/2"
# f has two minima, near x = -1.06 and x = 0.93. Which has the larger curvature?
predict(
    "the narrower valley of f(x) = x^4 - 2x^2 + x/2",
    options=["the left one", "the right one", "they are equal"],
    answer=...,
)

# %% [markdown]
# ### Exercise 1 · Curvature in 1-D   ●○○○ · 2 points · 6 min
#
# Write `second_derivative(f, x)`: f″ at every entry of `x`, by automatic differentiation.
# - `x`: a float tensor of any shape, a single number included. `f` acts on each entry alone.
# - Returns a tensor of the shape of `x`. The caller's `x` stays as it is.
#
# <details><summary>Hint</summary>
#
# `torch.autograd.grad(y.sum(), x, create_graph=True)` gives f′ as something that can be
# differentiated once more. What does it give for a straight line, whose slope does not depend on x?
#
# </details>


# %% exercise="second_derivative"
def second_derivative(f, x):
    """f'' at every entry of x: same shape as x. f acts elementwise; x is not changed."""
    ### BEGIN SOLUTION
    x = x.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
    if not slope.requires_grad:  # a straight line: the slope does not depend on x
        return torch.zeros_like(x)
    (curvature_at_x,) = torch.autograd.grad(slope.sum(), x, materialize_grads=True)
    return curvature_at_x
    ### END SOLUTION


# %% check="second_derivative" points=2
check.second_derivative(second_derivative)
### BEGIN HIDDEN TESTS
from flatlab.checks.answers import array, compare


@check.second_derivative.hidden("a straight line, whose curvature is 0")
class StraightLine:
    hints = (
        ("does not require grad", "The slope of a line does not depend on x: no graph is left."),
    )

    def draw(self, generator):
        return {"x": torch.randn(4, generator=generator, dtype=torch.float64)}

    def call(self, student, inputs):
        x = torch.tensor(inputs["x"])
        return {"result": array(student(lambda t: 3 * t + 1, x), (4,))}

    def verdict(self, inputs, outputs):
        return compare(
            outputs["result"],
            [0.0] * 4,
            1e-8,
            otherwise="A straight line has curvature 0, not {got}.",
        )


@check.second_derivative.hidden("an x that already requires a gradient")
class XRequiresGradient:
    def draw(self, generator):
        return {"x": torch.randn(4, generator=generator, dtype=torch.float64)}

    def call(self, student, inputs):
        x = torch.tensor(inputs["x"], requires_grad=True)
        result = array(student(torch.sin, x), (4,))
        return {"result": result, "has_grad": x.grad is not None, "flag": x.requires_grad}

    def verdict(self, inputs, outputs):
        import numpy as np

        if outputs["has_grad"] or not outputs["flag"]:
            return "The caller's x came back changed: it has a .grad, or no longer requires one."
        return compare(outputs["result"], -np.sin(inputs["x"]), 1e-4)


check.second_derivative.grade(second_derivative)
### END HIDDEN TESTS


# %% experiment="two-valleys"
def two_valleys(x):
    return x**4 - 2 * x**2 + x / 2


if ready(second_derivative):
    x = torch.linspace(-1.6, 1.6, 200)
    minima = torch.tensor([-1.0575, 0.9304])
    bend = torch.as_tensor(second_derivative(two_valleys, minima)).detach()
    fig, ax = plots.figure(height=3.0)
    ax.plot(x, two_valleys(x), label="f")
    for x0, a, dashes in zip(minima, bend, ("--", ":")):
        near = x0 + torch.linspace(-0.45, 0.45, 50)
        ax.plot(
            near,
            two_valleys(x0) + a / 2 * (near - x0) ** 2,
            linestyle=dashes,
            label=f"parabola, f″ = {a:.1f}",
        )
    ax.set_xlabel("x")
    ax.set_ylabel("f(x)")
    ax.set_ylim(-1.8, 1.5)
    ax.legend()
    plots.show(
        fig,
        alt="The curve f with two valleys, the left one deeper, and the parabola that your second "
        f"derivative predicts in each: at x = -1.06 the curvature is {bend[0]:.1f}, at x = 0.93 "
        f"it is {bend[1]:.1f}.",
    )

# %% experiment="two-curvatures" compare=true
if ready(second_derivative):
    left, right = second_derivative(two_valleys, torch.tensor([-1.0575, 0.9304]))[:2]
    print(f"curvature: left {left:.1f}, right {right:.1f}")

# %% [markdown]
# The left valley is deeper and narrower here. Depth and width are different things, and this chapter is
# about width.

# %% [markdown]
# ## 2 · Curvature in two dimensions   (≈ 15 min)
#
# For a loss L of two weights $w_1$ and $w_2$ the slope is a vector, the gradient, and how it changes is a matrix, the Hessian:
#
# $$H = \begin{pmatrix} \partial^2 L/\partial w_1^2 & \partial^2 L/\partial w_1 \partial w_2 \\
# \partial^2 L/\partial w_2 \partial w_1 & \partial^2 L/\partial w_2^2 \end{pmatrix}.$$
#
# Along a unit direction u the curvature is $u^\top H u$. Its largest value over all directions is the
# largest eigenvalue $\lambda_{\max}(H)$, and u is then the eigenvector. That number is what this
# course calls **sharpness**.
#
# ### Exercise 2 · The Hessian of two weights   ●●○○ · 3 points · 8 min
#
# Write `hessian_2d(f, w)`.
# - `w`: float tensor of shape (2,). `f(w)` returns a scalar tensor.
# - Returns a tensor of shape (2, 2). The caller's `w` stays as it is.
#
# <details><summary>Hint</summary>
#
# The gradient has two entries. Each is a function of w, and has a gradient of its own: a row of H.
#
# </details>


# %% exercise="hessian_2d"
def hessian_2d(f, w):
    """The Hessian of f at w: (2, 2). w has shape (2,), f(w) is a scalar; w is not changed."""
    ### BEGIN SOLUTION
    w = w.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(f(w), w, create_graph=True)
    rows = []
    for entry in gradient:
        if entry.requires_grad:
            rows.append(torch.autograd.grad(entry, w, retain_graph=True, materialize_grads=True)[0])
        else:
            rows.append(torch.zeros_like(w))
    return torch.stack(rows)
    ### END SOLUTION


# %% check="hessian_2d" points=3
check.hessian_2d(hessian_2d)


### BEGIN HIDDEN TESTS
from flatlab.checks.answers import array, compare


@check.hessian_2d.hidden("a loss that ignores one of the weights")
class OneWeightIgnored:
    def draw(self, generator):
        return {"w": torch.randn(2, generator=generator, dtype=torch.float64)}

    def call(self, student, inputs):
        w = torch.tensor(inputs["w"])
        return {"result": array(student(lambda v: v[0] ** 4, w), (2, 2))}

    def verdict(self, inputs, outputs):
        expected = [12 * inputs["w"][0] ** 2, 0.0, 0.0, 0.0]
        return compare(
            outputs["result"],
            expected,
            1e-4,
            otherwise="For L = w1^4 it gives {got}, row after row; {expected} is right.",
        )


@check.hessian_2d.hidden("a w that is left as it was")
class LeavesW:
    def draw(self, generator):
        return {"w": torch.randn(2, generator=generator, dtype=torch.float64)}

    def call(self, student, inputs):
        w = torch.tensor(inputs["w"])
        student(lambda v: (v**3).sum(), w)
        return {"w": w, "changed": w.requires_grad or w.grad is not None}

    def verdict(self, inputs, outputs):
        if outputs["changed"] or (outputs["w"] != inputs["w"]).any():
            return "The caller's w came back changed. Work on w.detach().clone()."
        return None


check.hessian_2d.grade(hessian_2d)
### END HIDDEN TESTS

# %% [markdown]
# ### Experiment · What a Hessian does to gradient descent
#
# The Hessian of a quadratic is set by its two curvatures and by the angle of its valley. Move the
# sliders: where does the path start to zigzag, and where does it leave? (η is the learning rate.)

# %% predict="curvatures 4 and 0.5: where gradient descent starts to zigzag"
predict(
    "curvatures 4 and 0.5: where gradient descent starts to zigzag",
    options=["above η = 0.25", "above η = 0.5", "above η = 2"],
    answer=...,
)


# %% folded
def quadratic_hessian(largest, smallest, angle):
    """The (2, 2) Hessian with these curvatures, its sharp direction turned by angle degrees."""
    turn = math.radians(angle)
    basis = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return basis @ torch.diag(torch.tensor([float(largest), float(smallest)])) @ basis.T


def descent_path(hessian, learning_rate, steps=30):
    """Gradient descent on w.H.w / 2 from (0.6, 2.0): (steps + 1, 2)."""
    w = torch.tensor([0.6, 2.0])
    path = [w]
    for _ in range(steps):
        w = w - learning_rate * hessian @ w
        path.append(w)
    return torch.stack(path)


def draw_quadratic(largest_curvature, smallest_curvature, angle, learning_rate):
    h = quadratic_hessian(largest_curvature, smallest_curvature, angle)
    path = descent_path(h, learning_rate)
    axis = torch.linspace(-2.2, 2.2, 60)
    w = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
    fig, ax = plots.figure(width=5.5, height=4.4)
    heights = torch.einsum("abi,ij,abj->ab", w, h, w) / 2
    plots.contours(ax, axis, axis, heights, levels=[0.1, 0.5, 1, 2.5, 5, 10])
    ax.plot(*path.T, marker="o", markersize=3, color=plots.COLORS["blue"], linewidth=1)
    ax.set_xlim(-2.2, 2.2)
    ax.set_ylim(-2.2, 2.2)
    ax.set_xlabel("$w_1$")
    ax.set_ylabel("$w_2$")
    return fig


def say_quadratic(largest_curvature, smallest_curvature, angle, learning_rate):
    top = max(largest_curvature, smallest_curvature)
    factor = abs(1 - learning_rate * top)
    step = f"each step multiplies the distance along the sharp direction by {factor:.2f}"
    if abs(factor - 1) < 1e-6:
        fate = (
            "the path neither shrinks nor grows along the sharp direction: it jumps back and forth"
        )
    elif factor < 1:
        fate = f"{step}, and the path arrives"
    else:
        fate = f"{step}, and the path leaves"
    return (
        f"Ellipses of a quadratic in the plane of w₁ and w₂, with curvatures {top:g} and "
        f"{min(largest_curvature, smallest_curvature):g}, turned by {angle:g}°; gradient descent "
        f"with learning rate {learning_rate:g}: {fate}. 2/curvature is {2 / top:.3f}."
    )


# %% widget="quadratic"
widgets.explore(
    draw_quadratic,
    say_quadratic,
    {
        "largest_curvature": (4.0, 10.0, 4.0, 0.5),
        "smallest_curvature": (0.0, 4.0, 0.5, 0.1),
        "angle": (0.0, 90.0, 30.0, 5.0),
        "learning_rate": (0.02, 0.6, 0.4, 0.02),
    },
)

# %% experiment="eigenvalues-2d" compare=true
if ready(hessian_2d):
    h = quadratic_hessian(4.0, 0.5, 30.0)
    rows = hessian_2d(lambda w: w @ h @ w / 2, torch.tensor([1.0, -2.0]))
    low, high = torch.linalg.eigvalsh(torch.stack([torch.as_tensor(row) for row in rows]).detach())
    print(f"your Hessian's eigenvalues: {high:.2f} and {low:.2f}; the sliders say 4 and 0.5")
    print(f"gradient descent leaves above learning rate 2/{high:.0f} = {2 / high:.2f}")

# %% [markdown]
# It zigzags above η = 1/λ = 0.25, where a step jumps over the bottom, and leaves above 2/λ = 0.5.
# **Gradient descent cannot stay in a valley of curvature λ when η > 2/λ.** Keep this sentence: sections 4
# and 7 need it, and chapter 02 is built on it.

# %% [markdown]
# ## 3 · Curvature of a network   (≈ 18 min)
#
# Our network has p = 898,510 parameters: its Hessian has $8\cdot 10^{11}$ entries, 3 terabytes.
# It is the p × p matrix of all $\partial^2 L/\partial w_i \partial w_j$. Nobody builds it. What can be had cheaply is its product with a vector, since
#
# $$H v = \nabla_w \left( \nabla_w L(w)^\top v \right)$$
#
# is the gradient of a number, with v held fixed. (Pearlmutter, 1994, gets the same product by differentiating the
# gradient along v.) Sections 4 and 5 use nothing else.
#
# ### Exercise 3 · Hessian-vector product   ●●●○ · 4 points · 12 min
#
# Write `hvp(loss_fn, params, v)`.
# - `params`: list of float tensors that require a gradient. `loss_fn(params)` returns a scalar tensor.
# - `v`: list of tensors with the shapes of `params`.
# - Returns H v as a list of tensors with the shapes of `params`. H spans **all** parameters: a
#   change in one tensor changes the gradient of the others.
# - Where the gradient of a parameter depends on no parameter (it does not enter the loss, or only in a
#   linear term of its own), its part of H v is a tensor of zeros.
# - H is never built; `params` and their `.grad` stay as they are. The product is exact up to rounding, so no difference
#   quotients.
#
# <details><summary>Hint 1</summary>
#
# First the gradients with `create_graph=True`, then one number, the sum over all tensors of
# gradient times v, then its gradient.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.autograd.grad(..., materialize_grads=True)` gives zeros for an unused parameter. If no
# gradient depends on any parameter, the sum has no graph left to differentiate.
#
# </details>


# %% exercise="hvp"
def hvp(loss_fn, params, v):
    """H v as a list with the shapes of params. loss_fn(params) is a scalar; H is never built."""
    ### BEGIN SOLUTION
    gradients = torch.autograd.grad(
        loss_fn(params), params, create_graph=True, materialize_grads=True
    )
    along_v = sum((g * part).sum() for g, part in zip(gradients, v))
    if not along_v.requires_grad:
        return [torch.zeros_like(p) for p in params]
    return list(torch.autograd.grad(along_v, params, materialize_grads=True))
    ### END SOLUTION


# %% check="hvp" points=4
check.hvp(hvp)
### BEGIN HIDDEN TESTS
from flatlab.checks.answers import compare, tensors
from flatlab.checks.toys import layers, leaves, network_loss, normal


class TwoParameters:
    """Losses of w (3,) and u (2, 2), whose exact Hessian product is written down."""

    def draw(self, generator):
        return {
            "w": normal(generator, 3),
            "u": normal(generator, 2, 2),
            "v": [normal(generator, 3), normal(generator, 2, 2)],
        }

    def call(self, student, inputs):
        params = leaves([inputs["w"], inputs["u"]])
        v = [torch.tensor(part) for part in inputs["v"]]
        return {"result": tensors(student(self.loss, params, v), [(3,), (2, 2)])}

    def verdict(self, inputs, outputs):
        return compare(outputs["result"], self.product(inputs), 1e-4)


@check.hvp.hidden("a parameter that does not enter the loss")
class Unused(TwoParameters):
    hints = (("not have been used", "Autograd says that a parameter does not enter the loss."),)

    def loss(self, params):
        return (params[0] ** 4).sum()

    def product(self, inputs):
        return [12 * inputs["w"] ** 2 * inputs["v"][0], 0 * inputs["u"]]


@check.hvp.hidden("a parameter that enters linearly")
class Linear(TwoParameters):
    hints = (("does not require grad", "In a linear term: no graph is left there, and H v is 0."),)

    def call(self, student, inputs):
        params = leaves([inputs["w"], inputs["u"]])
        v = [torch.tensor(part) for part in inputs["v"]]
        line = student(lambda ps: 3 * ps[0].sum() + 5 * ps[1].sum(), params, v)
        return {**super().call(student, inputs), "line": tensors(line, [(3,), (2, 2)])}

    def verdict(self, inputs, outputs):
        if any((part != 0).any() for part in outputs["line"]):
            return "Where all parameters enter linearly H v is 0."
        return super().verdict(inputs, outputs)

    def loss(self, params):
        return (params[0] ** 3).sum() + 5 * params[1].sum()

    def product(self, inputs):
        return [6 * inputs["w"] * inputs["v"][0], 0 * inputs["u"]]


@check.hvp.hidden("parameters and their .grad left alone")
class LeftAlone:
    def draw(self, generator):
        params = layers(generator, [3, 4, 2])
        return {
            "params": params,
            "v": [normal(generator, *p.shape) for p in params],
            "x": normal(generator, 5, 3),
            "y": normal(generator, 5, 2),
        }

    def call(self, student, inputs):
        params = leaves(inputs["params"])
        for p in params:
            p.grad = torch.full_like(p, 7.0)
        v = [torch.tensor(part) for part in inputs["v"]]
        student(network_loss(inputs["x"], inputs["y"]), params, v)
        grads = [0 * p if p.grad is None else p.grad for p in params]
        return {"params": params, "grads": grads, "v": v}

    def verdict(self, inputs, outputs):
        if any((a != b).any() for a, b in zip(outputs["params"], inputs["params"])):
            return "The parameters have new values afterwards."
        if any((g != 7.0).any() for g in outputs["grads"]):
            return "The parameters' .grad changed: .backward() writes to it, torch.autograd.grad does not."
        if any((a != b).any() for a, b in zip(outputs["v"], inputs["v"])):
            return "The vector v was changed in place."
        return None


check.hvp.grade(hvp)
### END HIDDEN TESTS

# %% [markdown]
# ### Experiment · Two minima of the same network
#
# The 784-500-500-500-10 ReLU network, 1000 Fashion-MNIST images, mean squared error on one-hot
# targets, learning rate 0.5. One copy trains on all images at once (gradient descent), one on
# batches of 10 (SGD). Both start from the same weights and stop when the training loss falls to
# the value in the settings. (Training takes one to four minutes on two cores; the bar
# shows the time left.)

# %% predict="test accuracy"
predict(
    "test accuracy",
    options=[
        "the flatter one wins by 2 points or more",
        "they differ by less than 2 points",
        "the sharper one wins by 2 points or more",
    ],
    answer=...,
)

# %% folded
dataset = flatlab.load_dataset(
    "fashion_mnist",
    n_train=s.train_images,
    n_test=s.test_images,
    one_hot=True,
    device=device,
    fallback="digits",
)
X, Y = dataset.train
X_test, Y_test = dataset.test


def mean_squared_error(prediction, target):
    """Mean over samples and outputs, as nn.MSELoss; written out because autograd's forward mode
    cannot differentiate nn.MSELoss in every torch release."""
    return ((prediction - target) ** 2).mean()


def accuracy(model):
    with torch.no_grad():
        return (model(X_test).argmax(1) == Y_test.argmax(1)).float().mean().item()


def train(batch_size):
    """The network trained from the same start with this batch size, and its history."""
    model = models.fnn(generator=torch.Generator().manual_seed(0)).to(device)
    history = flatlab.fit(
        model,
        mean_squared_error,
        (X, Y),
        learning_rate=s.learning_rate,
        batch_size=batch_size,
        steps=s.max_steps,
        stop_loss=s.stop_loss,
        generator=torch.Generator().manual_seed(0),
        description="full batch" if batch_size is None else f"batches of {batch_size}",
    )
    return model, history


# %% experiment="train"
networks = {}
for name, batch_size in (("full batch", None), (f"batches of {s.small_batch}", s.small_batch)):
    networks[name], history = train(batch_size)
    last = history.last()
    print(
        f"{name}: {last['step']} steps, training loss {last['train_loss']:.1e}, training accuracy "
        f"{100 * last['train_accuracy']:.1f} %, test accuracy "
        f"{100 * accuracy(networks[name]):.1f} %"
    )


# %% folded
def loss_of(model):
    """The training loss as a function of a list of parameter tensors, and that list."""
    names = [name for name, _ in model.named_parameters()]

    def loss_fn(params):
        outputs = torch.func.functional_call(model, dict(zip(names, params)), (X,))
        return mean_squared_error(outputs, Y)

    return loss_fn, list(model.parameters())


def product_with(hvp, model):
    """Your hvp as v -> Hv on one vector of p numbers on the CPU, and p."""
    loss_fn, params = loss_of(model)
    sizes = [p.numel() for p in params]

    def matvec(v):
        on_device = v.to(device=device, dtype=params[0].dtype)
        parts = [part.view_as(p) for part, p in zip(on_device.split(sizes), params)]
        product = [torch.as_tensor(h).detach().reshape(-1) for h in hvp(loss_fn, params, parts)]
        return torch.cat(product).to(v)

    return matvec, sum(sizes)


# %% [markdown]
# H is symmetric, so u·Hv = v·Hu for any u and v: a test of your product on a network whose H nobody
# can write down.

# %% experiment="product" compare=true
if ready(hvp):
    matvec, dim = product_with(hvp, networks["full batch"])
    u, v = torch.randn(2, dim, generator=generator)
    u_hv, v_hu = (u @ matvec(v)).item(), (v @ matvec(u)).item()
    if abs(u_hv - v_hu) < 1e-3 * max(abs(u_hv), 1e-3):
        print(f"{dim} parameters: u·Hv and v·Hu agree to 3 digits")
    else:
        print(f"{dim} parameters: u·Hv is {u_hv:.6g}, v·Hu is {v_hu:.6g}")

# %% [markdown]
# A product costs about as much as three gradients, whatever the number of parameters.

# %% [markdown]
# ## 4 · The largest curvature   (≈ 13 min)
#
# Multiply a random vector by H again and again, and bring it back to norm 1 each time: what survives is the direction in which H stretches
# most, the eigenvector v of the eigenvalue of largest magnitude. That is power iteration. With v of norm 1, the eigenvalue is the Rayleigh quotient
# $v^\top H v$. For our networks it is also the largest eigenvalue: section 5 shows that the negative ones are tiny.
#
# ### Exercise 4 · Power iteration   ●●○○ · 3 points · 9 min
#
# Write `power_iteration(matvec, dim, steps, generator)`.
# - `matvec(v)`: takes a tensor of shape (dim,), returns H v.
# - Starts from a random vector drawn with `generator`; takes `steps` steps, of at most two products each.
# - Returns `(eigenvalue, eigenvector)` of the eigenvalue of largest **magnitude**: a number, which
#   may be negative, and a tensor of shape (dim,) with norm 1.
# - If H v is 0 the eigenvalue is 0, the vector any of norm 1, and nothing is NaN.
#
# <details><summary>Hint</summary>
#
# The norm of H v tells the size of the eigenvalue and not its sign. `torch.randn(dim,
# generator=generator)` draws the start.
#
# </details>


# %% exercise="power_iteration"
def power_iteration(matvec, dim, steps, generator):
    """(eigenvalue, eigenvector (dim,)) of largest magnitude after `steps` steps; matvec(v) is H v."""
    ### BEGIN SOLUTION
    v = torch.randn(dim, generator=generator)
    v = v / v.norm()
    eigenvalue = 0.0
    for _ in range(steps):
        product = matvec(v)
        eigenvalue = float(v @ product)
        norm = product.norm()
        if norm == 0:
            break
        v = product / norm
    return eigenvalue, v
    ### END SOLUTION


# %% check="power_iteration" points=3
check.power_iteration(power_iteration)
### BEGIN HIDDEN TESTS
from flatlab.checks.chapter01.products import Product
from flatlab.checks.chapter01.spectrum import eigenpair_verdict, pair
from flatlab.checks.toys import symmetric


@check.power_iteration.hidden("a matrix of zeros")
class Zeros:
    def draw(self, generator):
        return {"A": torch.zeros(6, 6, dtype=torch.float64)}

    def call(self, student, inputs):
        return pair(student, Product(inputs["A"]), steps=10)

    def verdict(self, inputs, outputs):
        if not abs(outputs["value"]) < 1e-12:
            return f"For the zero matrix the eigenvalue is {outputs['value']}; it should be 0."
        if not abs((outputs["vector"] ** 2).sum() - 1) < 1e-3:
            return "The vector does not have norm 1: when H v is 0, keep the vector you had."
        return None


@check.power_iteration.hidden("a matrix with very small entries")
class Tiny:
    def draw(self, generator):
        return {"A": symmetric(generator, [1e-5, 4e-6, -2e-6, 1e-6, 1e-7])}

    def call(self, student, inputs):
        return pair(student, Product(inputs["A"]), steps=40)

    def verdict(self, inputs, outputs):
        return eigenpair_verdict(inputs["A"], outputs, steps=40)


check.power_iteration.grade(power_iteration)
### END HIDDEN TESTS

# %% [markdown]
# ### Experiment · How sharp are the two minima?
#
# Power iteration stops after a fixed number of products and does not know how far it is from the
# truth. The package uses Lanczos iteration, which keeps all products, and stops
# when the residual $\lVert Hv - \lambda v\rVert$ is below 0.1 % of λ: some eigenvalue lies within
# that distance.

# %% predict="the sharper of the two minima"
predict(
    "the sharper of the two minima",
    options=["full batch", "batches of 10", "no difference"],
    answer=...,
)

# %% experiment="largest-curvature"
if ready(hvp, power_iteration):
    print(f"{'':16} {'your power iteration':>22} {'Lanczos ± residual':>22} {'2/η':>6}")
    sharpness = {}
    for name, model in networks.items():
        matvec, dim = product_with(hvp, model)
        yours = float(power_iteration(matvec, dim, s.power_steps, generator)[0])
        result = flatlab.top_eigenpairs(curvature.Hessian(model, mean_squared_error, (X, Y)), k=1)
        sharpness[name] = float(result.values[0])
        print(
            f"{name:16} {yours:22.2f} {sharpness[name]:14.2f} ± {float(result.residuals[0]):.3f}"
            f" {2 / s.learning_rate:6.1f}"
        )

# %% [markdown]
# Gradient descent ends close to 2/η, the largest curvature in which it can stay (section 2). SGD
# with the same learning rate ends at less than a third of that. Nothing in the loss asks for flatness;
# chapter 02 looks for the mechanism.

# %% [markdown]
# ## 5 · All curvatures at once   (≈ 14 min)
#
# $\lambda_{\max}$ is one of 898,510 eigenvalues. Two ways to look at the others:
#
# - the **Frobenius norm** $\lVert H\rVert_F = \sqrt{\sum_{ij} H_{ij}^2} = \sqrt{\sum_k \lambda_k^2}$,
#   one number for all;
# - the **spectral density**, a histogram of eigenvalues.
#
# For a random vector z whose entries are independent with mean 0 and variance 1,
# $\mathbb E\,\lVert Hz\rVert^2 = \lVert H\rVert_F^2$ (Hutchinson, 1990). So a few products estimate it.
#
# ### Exercise 5 · Frobenius norm from probes   ●●○○ · 3 points · 8 min
#
# Write `frobenius_norm(matvec, dim, probes, generator)`.
# - One product for each of the `probes` random vectors, drawn with `generator`: independent entries of
#   mean 0 and variance 1, normal or ±1.
# - Returns the estimate of $\lVert H\rVert_F$, a number.
#
# <details><summary>Hint</summary>
#
# The expectation is of the squared norm. Average first, take the root last.
#
# </details>


# %% exercise="frobenius_norm"
def frobenius_norm(matvec, dim, probes, generator):
    """An estimate of ||H||_F from `probes` products with random vectors."""
    ### BEGIN SOLUTION
    squares = []
    for _ in range(probes):
        z = torch.randn(dim, generator=generator)
        squares.append(matvec(z).square().sum())
    return float(torch.stack(squares).mean().sqrt())
    ### END SOLUTION


# %% check="frobenius_norm" points=3
check.frobenius_norm(frobenius_norm)


### BEGIN HIDDEN TESTS
from flatlab.checks.answers import array, compare
from flatlab.checks.chapter01.products import Product
from flatlab.checks.toys import symmetric


@check.frobenius_norm.hidden("a single probe")
class SingleProbe:
    def draw(self, generator):
        return {"A": symmetric(generator, [3.0, 2.0, -2.0, 1.0, 1.0, -1.0])}

    def call(self, student, inputs):
        product = Product(inputs["A"])
        estimates = [
            float(array(student(product, 6, 1, torch.Generator().manual_seed(i)), ()))
            for i in range(2000)
        ]
        return {"estimates": estimates}

    def verdict(self, inputs, outputs):
        mean_square = sum(e**2 for e in outputs["estimates"]) / len(outputs["estimates"])
        return compare(
            mean_square,
            20.0,
            0.1,
            otherwise="With one probe a run, the mean of the squared estimates over many runs is "
            "{got}, and the squared norm is {expected}.",
        )


@check.frobenius_norm.hidden("a matrix of zeros")
class ZeroNorm:
    def draw(self, generator):
        return {"A": torch.zeros(5, 5, dtype=torch.float64)}

    def call(self, student, inputs):
        return {"norm": array(student(Product(inputs["A"]), 5, 3, torch.Generator()), ())}

    def verdict(self, inputs, outputs):
        return compare(
            outputs["norm"], 0.0, 1e-9, otherwise="The zero matrix has norm 0, not {got}."
        )


check.frobenius_norm.grade(frobenius_norm)
### END HIDDEN TESTS

# %% predict="eigenvalues above 1 % of the largest"
predict(
    "eigenvalues above 1 % of the largest",
    options=["fewer than 1000", "about 10,000", "about half of all 898,510"],
    answer=...,
)

# %% experiment="spectra"
if ready(hvp, power_iteration, frobenius_norm):
    norms, densities, counts = {}, {}, {}
    cut, probes = 0.01 * max(sharpness.values()), 3
    for name, model in networks.items():
        matvec, dim = product_with(hvp, model)
        seeded = torch.Generator().manual_seed(2)
        norms[name] = float(frobenius_norm(matvec, dim, s.norm_probes, seeded))
        hessian = curvature.Hessian(model, mean_squared_error, (X, Y))
        densities[name] = flatlab.spectral_density(hessian, s.lanczos_steps, probes, width=0.01)
        d = densities[name]
        counts[name] = round(dim * float(d.weights[d.nodes > cut].sum()) / probes)
        print(
            f"{name:16} Frobenius norm {norms[name]:.1f}; "
            f"about {counts[name]} eigenvalues above {cut:.3f}, 1 % of the larger λ_max"
        )
    fig, ax = plots.figure(height=3.2)
    plots.density(ax, densities)
    low = {n: float(d.nodes.min()) for n, d in densities.items()}
    high = {n: float(d.nodes.max()) for n, d in densities.items()}
    plots.show(
        fig,
        alt="Density of Hessian eigenvalues on a log axis, each eigenvalue drawn as a bump "
        "0.01 wide: nearly all are close to 0, a few stand apart; "
        + "; ".join(f"{n} reaches from {low[n]:.2f} to {high[n]:.2f}" for n in networks)
        + ".",
    )

# %% [markdown]
# Almost every direction is flat: the density is a tall peak at 0. (Each eigenvalue is
# drawn as a Gaussian of standard deviation 0.01, which on a log axis looks some 0.07 wide; the lowest is about −0.02. The
# area under the curve is 1: one eigenvalue of 898,510 is a bump about $4\cdot 10^{-5}$ high.) With 1000 images and 10 outputs
# at most 10,000 directions can change the outputs to first order, out of 898,510; where the loss is near 0 only these have much curvature. A few hundred
# eigenvalues are above 1 % of the largest. The sharpness lies in about ten that stand apart, and at the
# full-batch minimum these reach further. The height of a single bump depends on the random probes,
# and so do the count and the norm: the few large eigenvalues weigh in ‖Hz‖² by how much of z falls on them. The
# same network gets another Frobenius norm in section 7, from fewer probes.

# %% [markdown]
# ## 6 · Sharpness without second derivatives   (≈ 16 min)
#
# The slides' second measure asks directly how much the loss can rise near w:
#
# $$\text{ε-sharpness} = \frac{\max_{\lVert w'-w\rVert \le \varepsilon} \left( L(w') - L(w) \right)}{1 + L(w)} .$$
#
# It needs no Hessian, but it needs a radius ε, which somebody has to choose. At a minimum and for small ε it is about
# $\tfrac12 \varepsilon^2 \lambda_{\max} / (1 + L)$.
#
# ### Exercise 6 · ε-sharpness by projected ascent   ●●●● · 4 points · 12 min
#
# Write `epsilon_sharpness(loss_fn, params, epsilon, steps)`.
# - `loss_fn(params)` as in exercise 3. The ball is around **all** parameters together: one norm
#   over all tensors.
# - `steps` steps of gradient ascent; after each, a point outside the ball is pulled back onto it.
#   A step whose length does not depend on the gradient's size, such as ε/5, is a good choice.
# - Returns a number: the formula with the largest loss met on the way. `params` come back bit for bit, and their `.grad` as it was.
#
# <details><summary>Hint 1</summary>
#
# At a minimum the gradient is 0, and ascent that starts there stays there.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Keep the displacement d as tensors of your own and evaluate `loss_fn` at p + d: then there is
# nothing to restore. The projection is d · ε/‖d‖ if ‖d‖ > ε, and d otherwise.
#
# </details>


# %% exercise="epsilon_sharpness"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    """max over ||w' - w|| <= epsilon of (L(w') - L(w)) / (1 + L(w)): a float; params unchanged."""
    ### BEGIN SOLUTION
    center = [p.detach() for p in params]

    def rescaled(tensors, length):
        norm = torch.sqrt(sum(t.square().sum() for t in tensors))
        return [t * (length / norm) for t in tensors] if norm > 0 else tensors

    def loss_and_gradient(d):
        point = [(c + part).requires_grad_() for c, part in zip(center, d)]
        loss = loss_fn(point)
        if not loss.requires_grad:
            return loss.item(), [torch.zeros_like(p) for p in point]
        return loss.item(), torch.autograd.grad(loss, point, materialize_grads=True)

    start = loss_fn(center).item()
    draw = torch.Generator(device=center[0].device).manual_seed(0)
    d = [torch.randn(c.shape, generator=draw, dtype=c.dtype, device=c.device) for c in center]
    d = rescaled(d, epsilon / 10)
    best, gradient = loss_and_gradient(d)
    for _ in range(steps):
        d = [part + move for part, move in zip(d, rescaled(gradient, epsilon / 4))]
        if torch.sqrt(sum(part.square().sum() for part in d)) > epsilon:
            d = rescaled(d, epsilon)
        loss, gradient = loss_and_gradient(d)
        best = max(best, loss)
    return max(best - start, 0.0) / (1 + start)
    ### END SOLUTION


# %% check="epsilon_sharpness" points=4
check.epsilon_sharpness(epsilon_sharpness)
### BEGIN HIDDEN TESTS
from flatlab.checks.answers import compare
from flatlab.checks.chapter01.ball import sharpness_outputs
from flatlab.checks.toys import joined, leaves, normal


@check.epsilon_sharpness.hidden("a maximum inside the ball, not on its surface")
class InnerMaximum:
    def draw(self, generator):
        top = normal(generator, 4)
        return {"top": 0.45 * top / top.norm(), "height": 2.0}

    def call(self, student, inputs):
        top = torch.tensor(inputs["top"])

        def hill(params):
            w = joined(params)
            return inputs["height"] - ((w - top.to(w.dtype)) ** 2).sum()

        return sharpness_outputs(student, hill, leaves([[0.0, 0.0], [[0.0], [0.0]]]), epsilon=1.0)

    def verdict(self, inputs, outputs):
        start = inputs["height"] - 0.45**2
        return compare(
            outputs["value"],
            0.45**2 / (1 + start),
            0.4,
            otherwise="On a hill whose top lies inside the ball it is {expected}, yours is {got}. "
            "Points inside the ball count too: pull back only what is outside, and keep the best.",
        )


@check.epsilon_sharpness.hidden("a flat loss, where it is 0")
class FlatLoss:
    def draw(self, generator):
        return {"w": normal(generator, 3)}

    def call(self, student, inputs):
        flat = lambda params: 0.5 + 0 * joined(params).sum()
        return sharpness_outputs(student, flat, leaves([inputs["w"]]), epsilon=0.5, steps=5)

    def verdict(self, inputs, outputs):
        if not abs(outputs["value"]) < 1e-9:
            return (
                f"A constant loss has ε-sharpness 0, not {outputs['value']:.3g}: is 0 divided by 0?"
            )
        return None


check.epsilon_sharpness.grade(epsilon_sharpness)
### END HIDDEN TESTS

# %% predict="full batch: ε-sharpness at ε = 0.5 against ε = 0.05"
predict(
    "full batch: ε-sharpness at ε = 0.5 against ε = 0.05",
    options=["10 times", "100 times", "more than 100 times"],
    answer=...,
)

# %% experiment="epsilon"
radii = (0.05, 0.2, 0.5)
if ready(hvp, power_iteration, epsilon_sharpness):
    print(f"{'ε':>5} {'':16} {'your ε-sharpness':>17} {'if L were a parabola, at most':>30}")
    rises = {}
    for epsilon in radii:
        for name, model in networks.items():
            loss_fn, params = loss_of(model)
            rises[epsilon, name] = float(
                epsilon_sharpness(loss_fn, params, epsilon, s.ascent_steps)
            )
            loss = loss_fn(params)
            gradient = torch.autograd.grad(loss, params)
            slope = math.sqrt(sum(float(g.square().sum()) for g in gradient))
            parabola = epsilon * slope + epsilon**2 / 2 * sharpness[name]
            print(
                f"{epsilon:5.2f} {name:16} {rises[epsilon, name]:17.4f} "
                f"{parabola / (1 + loss.item()):30.4f}"
            )

# %% [markdown]
# The order of the two minima is the same at every radius. Training stopped before the very bottom, so a
# little slope is left; the last column is the most that this slope and the largest curvature allow,
# $(\varepsilon\lVert g\rVert + \tfrac12\varepsilon^2\lambda_{\max})/(1 + L)$ with g the gradient, if the curvature were the same
# everywhere. At ε = 0.05 the rise is of that size, at the full-batch minimum already above it; at ε = 0.2 it is two to three
# times as large, at ε = 0.5 five times and more: the ball holds places of larger curvature than its center, and ascent finds them. So ε-sharpness with
# such a radius is not $\lambda_{\max}$ in disguise.

# %% [markdown]
# ### Experiment · Seeing it
#
# A picture of the loss along one random direction is a common way to show flatness. Beware: in a space
# of 898,510 dimensions a random direction hardly meets the few sharp ones, and it matters how far one
# goes. Filter normalization (Li et al., 2018) scales each neuron's part of the direction to the
# norm of its weights, so that a step of 0.1 changes each neuron's weights by 10 % of their norm
# (biases stay).

# %% predict="curvature along a random direction"
predict(
    "curvature along a random direction",
    options=["less than 1/1000 of the largest", "about 1/10 of it", "about the same"],
    answer=...,
)

# %% experiment="landscape"
distances = torch.linspace(-0.6, 0.6, 2 * s.grid + 1)
fig, axes = plots.figure(columns=3, width=9.6, height=3.2)
heights, along = {}, {}
for name, model in networks.items():
    hessian = curvature.Hessian(model, mean_squared_error, (X, Y))
    random = curvature.random_direction(model, generator=torch.Generator().manual_seed(3))
    random = random / random.norm()
    normalized = curvature.filter_normalized_direction(model, torch.Generator().manual_seed(3))
    top = flatlab.top_eigenpairs(hessian, k=1, tol=0.05).vectors[:, 0]
    along[name] = float(random @ (hessian @ random)), float(top @ (hessian @ top))
    for ax, direction in zip(axes, (random, normalized, top)):
        slice_ = curvature.landscape_1d(model, mean_squared_error, (X, Y), direction, distances)
        ax.plot(slice_.alphas, slice_.losses, label=name)
        heights[name, ax] = float(slice_.losses.max())
titles = ("one random direction", "filter-normalized direction", "sharpest direction")
for ax, title in zip(axes, titles):
    ax.set_title(title)
    ax.set_xlabel("distance from the minimum")
axes[1].set_xlabel("fraction of each neuron's weights")
axes[0].set_ylim(axes[2].get_ylim())
axes[0].set_ylabel("training loss")
axes[0].legend()
plots.show(
    fig,
    alt="Training loss within 0.6 of both minima along three directions, by distance or, "
    "filter-normalized, by the fraction of each neuron's weights; first and third panel share the "
    "loss axis. Highest loss: "
    + "; ".join(
        f"{what}, " + " and ".join(f"{n} {heights[n, ax]:.3f}" for n in networks)
        for ax, what in zip(axes, titles)
    )
    + ".",
)
for name, (flat_way, sharp_way) in along.items():
    print(
        f"{name:16} curvature along the random direction {flat_way:.1e}, along the sharpest "
        f"{sharp_way:.2f}"
    )

# %% [markdown]
# Along a random direction, at the distances where the sharpest direction shows a wall, nothing can be
# seen. Filter-normalized, the distance is much larger (the weights move by up to 0.6 of their length), and
# the full-batch minimum rises more (the middle panel has a loss axis of its own). The plane below says the same. Its axes
# count along two such directions, in parts of each neuron's own norm, and the star is the minimum: a ring of the same loss
# lies further out around that of batches of 10.

# %% experiment="landscape-2d"
axis = torch.linspace(-0.5, 0.5, s.grid)
levels = [s.stop_loss * factor for factor in (2, 4, 8, 16, 32)]
fig, axes = plots.figure(columns=2, width=8.6, height=4.0, sharex=True, sharey=True)
corner = {}
for ax, (name, model) in zip(axes, networks.items()):
    seeded = torch.Generator().manual_seed(5)
    first, second = (
        curvature.filter_normalized_direction(model, generator=seeded) for _ in range(2)
    )
    plane = curvature.landscape_2d(model, mean_squared_error, (X, Y), first, second, axis, axis)
    plots.contours(ax, plane.xs, plane.ys, plane.losses, levels=levels)
    corner[name] = float(plane.losses.max())
    ax.set_title(name)
    ax.set_xlabel("first direction")
axes[0].set_ylabel("second direction")
plots.show(
    fig,
    alt="Contours of the training loss around both minima in a plane of two "
    "filter-normalized random directions; the highest loss in the plane is "
    + " and ".join(f"{value:.3f} for {name}" for name, value in corner.items())
    + "; the contour lines are nearly round, and wider where that is lower.",
)

# %% [markdown]
# ## 7 · The same function, another sharpness   (≈ 14 min)
#
# relu(αz) = α relu(z) for α > 0. So the weights and biases of one layer can be multiplied by α and
# the next layer's weights divided by α: the network computes the same function, on every input
# (Dinh et al., 2017). Its training loss, test accuracy and every prediction stay. What happens to the measures?

# %% predict="after rescaling by α = 5"
predict(
    "after rescaling by α = 5",
    options=[
        "λ_max and the filter-normalized slice both change",
        "only λ_max changes",
        "only the filter-normalized slice changes",
        "neither changes",
    ],
    answer=...,
)

# %% [markdown]
# ### Exercise 7 · Rescale two ReLU layers   ●●○○ · 3 points · 7 min
#
# Write `rescale_relu(params, alpha)`.
# - `params`: list [W₁, b₁, W₂, b₂, …] of a fully connected ReLU network, at least two layers.
# - `alpha`: a positive number.
# - Returns a new list with the same function: the **first** layer multiplied by α, the second undoing
#   it. All other tensors keep their values; the tensors that were passed in stay as they are.
#
# <details><summary>Hint</summary>
#
# Which biases come before the rescaled ReLU, and which after?
#
# </details>


# %% exercise="rescale_relu"
def rescale_relu(params, alpha):
    """New [W1, b1, W2, b2, ...] with the same function, its first layer multiplied by alpha."""
    ### BEGIN SOLUTION
    w1, b1, w2, *rest = (p.detach().clone() for p in params)
    return [alpha * w1, alpha * b1, w2 / alpha, *rest]
    ### END SOLUTION


# %% check="rescale_relu" points=3
check.rescale_relu(rescale_relu)
### BEGIN HIDDEN TESTS
from flatlab.checks.chapter01.rescaling import SameFunction
from flatlab.checks.toys import layers, normal


@check.rescale_relu.hidden("a network of four layers")
class FourLayers(SameFunction):
    def draw(self, generator):
        return {
            "params": layers(generator, [3, 5, 4, 4, 2]),
            "x": normal(generator, 20, 3),
            "alpha": 2.0,
        }


@check.rescale_relu.hidden("an alpha below 1")
class SmallAlpha(SameFunction):
    def draw(self, generator):
        return {**super().draw(generator), "alpha": 0.2}


check.rescale_relu.grade(rescale_relu)
### END HIDDEN TESTS


# %% experiment="rescaling"
def rescaled_copy(model, alpha):
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for p, new in zip(twin.parameters(), rescale_relu(list(model.parameters()), alpha)):
            p.copy_(torch.as_tensor(new))
    return twin


if ready(hvp, frobenius_norm, epsilon_sharpness, rescale_relu):
    print(
        f"{'α':>4} {'λ_max':>9} {'Frobenius':>10} {'ε-sharpness':>12} {'slice at 0.5':>13} "
        f"{'test':>7}"
    )
    tops, slices = {}, {}
    flat = networks[f"batches of {s.small_batch}"]
    for alpha in (0.2, 0.5, 1.0, 2.0, 5.0):
        twin = rescaled_copy(flat, alpha)
        matvec, dim = product_with(hvp, twin)
        tops[alpha] = flatlab.sharpness(twin, mean_squared_error, (X, Y))
        seeded = torch.Generator().manual_seed(2)
        norm = float(frobenius_norm(matvec, dim, s.norm_probes // 3 + 1, seeded))
        rise = float(epsilon_sharpness(*loss_of(twin), 0.2, s.ascent_steps))
        direction = curvature.filter_normalized_direction(twin, torch.Generator().manual_seed(3))
        curve = curvature.landscape_1d(twin, mean_squared_error, (X, Y), direction, [0.5])
        slices[alpha] = float(curve.losses[0])
        print(
            f"{alpha:4.1f} {tops[alpha]:9.2f} {norm:10.1f} {rise:12.4f} {slices[alpha]:13.4f} "
            f"{100 * accuracy(twin):6.1f}%"
        )

# %% [markdown]
# Five networks with the same predictions, and sharpness from about 1 to 17. The measures do not even
# agree on the order: at α = 2 the ε-sharpness is smaller than at α = 1, and $\lambda_{\max}$ larger. Only the
# filter-normalized slice, whose direction is rescaled with the weights, stays the same. (Rescale single neurons of a
# layer, each by a factor of its own, and that changes too.) So "this
# minimum is flat" says nothing about the function alone; it is a statement about the function **and**
# the coordinates.
#
# Why did the comparison in section 4 make sense, then? The last slides of the *Three Factors* talk
# say: gradient descent samples only one of these networks with the same function. Call them twins. Start gradient
# descent at a twin of each minimum, one sharper than 2/η and one flatter, and see where it goes.


# %% experiment="walk-from-a-twin"
def top_curvature(model):
    hessian = curvature.Hessian(model, mean_squared_error, (X, Y))
    return float(flatlab.top_eigenpairs(hessian, k=1, tol=0.01).values[0])


def layer_norms(model):
    weights = [p for p in model.parameters() if p.ndim == 2]
    return " ".join(f"{w.norm().item():.2f}" for w in weights[:2])


if ready(rescale_relu):
    for name, alpha in (("full batch", 3.0), (f"batches of {s.small_batch}", 2.0)):
        twin = rescaled_copy(networks[name], alpha)
        before, norms_before = top_curvature(twin), layer_norms(twin)
        walk = flatlab.fit(
            twin,
            mean_squared_error,
            (X, Y),
            learning_rate=s.learning_rate,
            steps=s.walk_steps,
            description=f"from the twin with α = {alpha:g}",
        )
        print(
            f"{name}, α = {alpha:g}: λ_max {before:.1f} -> {top_curvature(twin):.1f},\n"
            f"    norms of W₁ and W₂ {norms_before} -> {layer_norms(twin)}, highest loss "
            f"{max(walk.train_loss):.2g}"
        )

# %% [markdown]
# Above 2/η = 4 gradient descent cannot stay: the loss rises, and the sharpness comes back to about 2/η. Not by undoing
# the rescaling: the norms of W₁ and W₂ hardly change (small steps leave
# $\lVert W_1\rVert^2 + \lVert b_1\rVert^2 - \lVert W_2\rVert^2$ almost as it is), so it ends at another network, not at a flatter twin.
# Below 2/η it can: the other twin keeps its sharpness and the norms of its layers. So gradient descent
# excludes the sharpest twins, and among the others the start decides. That is why section 4 compares two
# runs from the same start.

# %% [markdown]
# ## 8 · Is flat better here?   (≈ 8 min)

# %% experiment="summary"
if ready(second_derivative, hvp, power_iteration, frobenius_norm, epsilon_sharpness, rescale_relu):
    print(f"{'':16} {'λ_max':>7} {'Frobenius':>10} {'ε-sharpness (0.2)':>18} {'test accuracy':>14}")
    for name, model in networks.items():
        print(
            f"{name:16} {sharpness[name]:7.2f} {norms[name]:10.1f} {rises[0.2, name]:18.4f} "
            f"{100 * accuracy(model):13.1f}%"
        )
    names = list(networks)
    gain = 100 * (accuracy(networks[names[1]]) - accuracy(networks[names[0]]))
    print()
    reveal(
        {
            "the narrower valley of f(x) = x^4 - 2x^2 + x/2": (
                f"curvature left {bend[0]:.1f}, right {bend[1]:.1f}"
            ),
            "curvatures 4 and 0.5: where gradient descent starts to zigzag": (
                f"above η = 1/4 = {1 / 4}"
            ),
            "the sharper of the two minima": max(sharpness, key=sharpness.get),
            "test accuracy": f"{names[1]} minus {names[0]}: {gain:+.1f} points",
            "eigenvalues above 1 % of the largest": f"about {counts['full batch']}",
            "full batch: ε-sharpness at ε = 0.5 against ε = 0.05": (
                f"{rises[0.5, 'full batch'] / rises[0.05, 'full batch']:.0f} times"
            ),
            "curvature along a random direction": (
                f"{along['full batch'][0] / along['full batch'][1]:.0e} of the largest"
            ),
            "after rescaling by α = 5": (
                f"λ_max {tops[1.0]:.2f} -> {tops[5.0]:.2f}, slice {slices[1.0]:.4f} -> "
                f"{slices[5.0]:.4f}"
            ),
        }
    )

# %% [markdown]
# From this start the small-batch minimum is flatter by $\lambda_{\max}$, the Frobenius norm and ε-sharpness. The
# difference in test accuracy is about one standard error of an accuracy on 10,000 images, 0.4 points, and even
# the order of floating-point operations moves a run's accuracy by as much as 0.2. Over
# five seeds (mean ± standard deviation):
#
# | | $\lambda_{\max}$ | Frobenius norm | ε-sharpness (0.2) | test accuracy |
# |---|---|---|---|---|
# | full batch | 3.70 ± 0.11 | 9.3 ± 0.6 | 0.225 ± 0.006 | 80.6 ± 0.2 % |
# | batches of 10 | 1.11 ± 0.05 | 3.3 ± 0.1 | 0.061 ± 0.006 | 81.0 ± 0.2 % |
#
# (`docs/reproduction.md`; the norm there from other probes, ε-sharpness from several ascents.)
# From the same start the small batch is better by 0.4 points on average (standard error 0.1 over the five starts; the
# images are the same in all of them), in each of the five seeds, in one of them by 0.1 only.
#
# The slides say that flat minima generalize better. What we measured is weaker: with the same start and
# learning rate, smaller batches led to a minimum with $\lambda_{\max}$ 3.3 times smaller, and to a test accuracy that is
# higher by a fraction of a point. This does not show that flatness is the cause: the runs differ in more
# than their sharpness, and section 7 changes the sharpness without changing any prediction.
#
# ### Open question   ●●●○ · 4 points · 8 min
#
# Rescaling changed some measures and left others alone. Which of $\lambda_{\max}$, the Frobenius norm, ε-sharpness
# and the filter-normalized picture would you use to compare (a) two runs of the same network that
# differ in batch size only, (b) two networks of different width? Give a reason for each, and one
# measurement from this chapter that supports it.

# %% [markdown] open="which-measure" points=4
# ### BEGIN SOLUTION
# (a) Any of them, if both runs start from the same weights with the same learning rate: training
# hardly moves along rescalings (above 2/η as below it, the twin kept the norms of W₁ and W₂), so the coordinates are comparable. $\lambda_{\max}$ has the extra merit of a meaning
# for training itself: gradient descent stays only where it is below 2/η, and after rescaling the full-batch
# minimum by 3 it left. (b) $\lambda_{\max}$, the Frobenius norm and ε-sharpness depend on the coordinates: α = 5
# changed them by large factors with every prediction the same. A measure that does not change when a layer is rescaled,
# such as the filter-normalized slice, is needed; even that one changes when single neurons are rescaled, and it compares
# directions whose number differs.
# Full marks for: naming that the first three are not invariant, with the numbers; a reason why (a)
# is still fair; a measure or caveat for (b).
# ### END SOLUTION

# %% [markdown]
# **Further reading.** Hochreiter and Schmidhuber (1997), *Flat minima*. Keskar et al. (2017), *On
# large-batch training for deep learning*, for ε-sharpness (there in percent, over a box whose sides grow with the weights).
# Dinh et al. (2017), *Sharp minima can
# generalize for deep nets*. Li et al. (2018), *Visualizing the loss landscape of neural nets*.
# Ghorbani, Krishnan and Xiao (2019), *An investigation into neural net optimization via Hessian
# eigenvalue density*. Cohen et al. (2021), *Gradient descent on neural networks typically occurs at
# the edge of stability*. Andriushchenko et al. (2023), *A modern look at the relationship between
# sharpness and generalization*: the correlation is weak, and sometimes of the other sign.
