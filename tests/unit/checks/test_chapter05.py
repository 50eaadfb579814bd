"""Chapter 05's checks: their ground truths and the mistakes they tell apart."""

import math
import warnings

import numpy as np
import pytest
import torch
from answered import Answered, apart, drawn

from flatlab import sam
from flatlab.checks import CheckFailed, chapter05
from flatlab.checks.answers import close
from flatlab.checks.chapter05 import (
    adaptive,
    ascent,
    ascent_mistakes,
    average,
    exact,
    gradient,
    modules,
    penalty,
    step,
    truths,
)
from flatlab.checks.core import plain, run
from flatlab.course.verdict import plan as planning

HERE = Answered("05-sharpness-aware")
SOLUTIONS, graded = HERE.solutions, HERE.graded
SEEDS = range(6)
ONE = torch.ones(())
with warnings.catch_warnings(
    action="ignore"
):  # this imports what would crawl under the guard's hook
    torch.func.jvp(torch.func.grad(torch.sin), (ONE,), (ONE,))


def test_the_sandbox_gets_no_truth_and_knows_what_can_be_forged():
    assert "exact_gradient" not in HERE.sent()
    known = planning.make(HERE.path, 0).drawn.values()
    left_alone = [one for all_drawn in known for one in all_drawn if "left" in one.planned.aim]
    assert len(left_alone) == 4 and all(one.measured for one in left_alone)


@pytest.mark.parametrize("exercise", ["sam_gradient", "sam_step"])
def test_a_mistake_in_exercise_1_costs_its_points_once(exercise):
    stub = "def dual_norm_ascent(grads, rho, p):\n    raise NotImplementedError()\n\n\n"
    assert graded(exercise, stub + SOLUTIONS[exercise]) == "passed"


def test_adaptive_ascent_is_lent_exercise_1_too():
    stub = "def dual_norm_ascent(grads, rho, p):\n    raise NotImplementedError()\n\n\n"
    plain = "def adaptive_ascent(params, grads, rho):\n    return dual_norm_ascent(grads, rho, 2)\n"
    assert "w does not enter" in graded("adaptive_ascent", stub + plain)


@pytest.mark.parametrize("cell", HERE.of("misconception"), ids=lambda c: c.options["name"])
def test_later_checks_have_a_verdict_too(cell):
    student = HERE.notebook(cell.text)[cell.name]
    for check in getattr(chapter05, cell.name).visible.values():
        run(check, student, 1)  # the grader runs them all


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("dual_norm_ascent(grads, rho, p)", "return sam.dual_norm_ascent(grads, rho, p)"),
        ("swa_average(states)", "return sam.hessian_penalty(torch.zeros(()), [], None)"),
    ],
)
def test_the_packages_own_functions_are_refused(name, body):
    answer = f"from flatlab import sam\ndef {name}:\n    {body}\n"
    assert "It calls flatlab.sam" in graded(name.split("(")[0], answer)


@pytest.mark.parametrize("seed", SEEDS)
def test_wrong_steps_differ_from_the_truth_and_from_each_other(seed):
    grads = drawn(ascent.Between(), seed)["grads"]
    g, rho, powers = truths.flat(grads), 0.3, ascent.Between.powers
    lists = [ascent_mistakes.ascent_mistakes(grads, rho, p) for p in powers]
    joined = [(np.concatenate([v for v, _ in same]), same[0][1]) for same in zip(*lists)]
    apart(np.concatenate([truths.ascent(g, rho, p) for p in powers]), joined)
    inputs = drawn(adaptive.Formula(), seed)
    w, g = truths.flat(inputs["params"]), truths.flat(inputs["grads"])
    wrong = adaptive.adaptive_mistakes(inputs["params"], inputs["grads"], 0.3)
    apart(adaptive.adaptive(w, g, 0.3), wrong)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("module", [gradient, exact])
def test_wrong_gradients_differ_from_the_truth_and_from_each_other(module, seed):
    inputs = drawn(module.Network(), seed)
    loss, params, rho = truths.loss_of(inputs), inputs["params"], inputs["rho"]
    if module is gradient:
        right = truths.gradient(loss, params, truths.ascent(truths.gradient(loss, params), rho))
        apart(right, gradient.gradient_mistakes(loss, params, rho))
    else:
        apart(gradient.exact_gradient(loss, params, rho), exact.exact_mistakes(loss, params, rho))


@pytest.mark.parametrize("seed", SEEDS)
def test_wrong_updates_and_averages_differ_from_the_truth_and_from_each_other(seed):
    inputs = drawn(step.OneStep(), seed)
    apart(step.trajectory(inputs), step.step_mistakes(inputs), 1e-5)
    inputs = drawn(step.ThreeSteps(), seed)
    ends = [step.trajectory(inputs, kind) for kind in ("right", "stale", "momentum")]
    assert not any(close(a, b, 1e-3) for a, b in zip(ends, ends[1:] + ends[:1]))
    states = drawn(average.FourStates(), seed)["states"]
    rows = np.stack([truths.flat([a for n, a in s.items() if n != average.COUNT]) for s in states])
    apart(rows.mean(0), average.average_mistakes(rows, average.WEIGHTS), 1e-5)
    inputs = drawn(penalty.Diagonal(), seed)
    a = inputs["a"]
    wrong = penalty.trace_mistakes(a, a * truths.flat(inputs["params"]), inputs["probes"])
    apart(a.sum(), wrong)


@pytest.mark.parametrize("p", [1.0, 1.1, 1.5, 2.0, 4.0, math.inf])
def test_the_step_is_the_packages_and_no_other_of_its_norm_is_better(p):
    rng = np.random.default_rng(0)
    g = rng.normal(size=7)
    e = truths.ascent(g, 0.3, p)
    tensors = [torch.tensor(g[:3]), torch.tensor(g[3:].reshape(2, 2))]
    for function in (sam.dual_norm_ascent, truths.dual_norm_ascent):
        assert np.allclose(truths.flat([t.numpy() for t in function(tensors, 0.3, p)]), e)
    others = rng.normal(size=(20_000, 7))
    others *= 0.3 / np.linalg.norm(others, p, axis=1, keepdims=True)
    assert ascent.norm(e, p) == pytest.approx(0.3)
    assert (others @ g).max() < e @ g
    assert not truths.ascent(0 * g, 0.3, p).any()


@pytest.mark.parametrize("seed", range(2))
def test_the_exact_gradient_is_the_difference_quotient(seed):
    inputs = drawn(exact.Network(), seed)
    loss, params, rho = truths.loss_of(inputs), inputs["params"], inputs["rho"]

    def sam_loss(shift):
        return truths.value(
            loss, params, shift + truths.ascent(truths.gradient(loss, params, shift), rho)
        )

    right = gradient.exact_gradient(loss, params, rho)
    for k in (0, 7, 22, 30):
        h = 1e-5 * np.eye(len(right))[k]
        assert (sam_loss(h) - sam_loss(-h)) / 2e-5 == pytest.approx(right[k], rel=1e-5, abs=1e-8)


def test_three_steps_are_those_of_the_packages_optimizer():
    inputs = drawn(step.ThreeSteps(), 0)
    model, loss_of_model = modules.built(inputs), modules.module_loss(inputs)
    optimizer = sam.SAM(model.parameters(), torch.optim.SGD, rho=0.3, lr=0.2, momentum=0.8)

    def closure():
        optimizer.zero_grad()
        loss = loss_of_model(model)
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    got = truths.flat([p.detach().numpy() for p in model.parameters()])
    assert np.allclose(got, step.trajectory(inputs), rtol=1e-10)


def test_the_checks_optimizer_steps_as_torchs():
    ends = []
    for kind in (modules.Descent, torch.optim.SGD):
        w = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5]).double())
        optimizer = kind([w], lr=0.2, momentum=0.8)
        for _ in range(4):
            optimizer.zero_grad()
            (w**4).sum().backward()
            optimizer.step()
        ends.append(w.detach())
    assert torch.allclose(*ends, rtol=1e-12)


@pytest.mark.parametrize("alpha", [10.0, 1e-3])
def test_the_adaptive_step_is_the_packages_and_sams_own_step_is_not_invariant(alpha):
    check = adaptive.Invariance()
    check.alpha = alpha
    inputs = drawn(check, 0)

    def student(params, grads, rho):
        return sam.dual_norm_ascent(grads, rho, params=[w.detach() for w in params])

    def plain_sam(params, grads, rho):
        return sam.dual_norm_ascent(grads, rho)

    assert check.verdict(inputs, plain(check.call(student, inputs))) is None
    assert "the same function" in check.verdict(inputs, plain(check.call(plain_sam, inputs)))


@pytest.mark.parametrize("seed", range(12))
def test_the_mean_of_probes_is_accepted_for_every_seed(seed):
    """The package's own estimate, on other draws than the notebook's."""
    check = penalty.Mixed()
    inputs = drawn(check, seed)
    inputs["seed"] = 100 + seed

    def student(loss_fn, params, probes, generator):
        return sam.hessian_penalty(loss_fn(params), params, generator, probes)

    assert check.verdict(inputs, plain(check.call(student, inputs))) is None
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(20_000, 6))
    values = np.einsum("ni,ij,nj->n", signs, inputs["H"], signs)
    mean, error = penalty.drawn_sum(inputs["H"], 1)
    assert abs(values.mean() - mean) < 5 * error / math.sqrt(20_000)
    assert values.std() == pytest.approx(error, rel=0.05)


@pytest.mark.parametrize(
    ("exercise", "answer", "said"),
    [
        ("dual_norm_ascent", lambda grads, rho, p: torch.zeros(10), "a list of 2 tensors"),
        ("dual_norm_ascent", lambda grads, rho, p: (g for g in grads), "a generator"),
        ("dual_norm_ascent", lambda grads, rho, p: [torch.zeros(4)] * 2, "one tensor several"),
        ("dual_norm_ascent", lambda grads, rho, p: None, "is the return statement missing"),
        ("sam_step", lambda model, loss_fn, optimizer, rho: None, "returned None"),
        ("swa_average", lambda states: list(states[0].items()), "goes back into dict()"),
        ("swa_average", lambda states: {**states[0], "more": 1}, "returned a dictionary of 8"),
        (
            "hessian_penalty",
            lambda loss_fn, params, probes, generator: torch.randint(0, 9, (), generator=generator),
            "With one weight",
        ),
    ],
)
def test_answers_of_another_kind_are_told(exercise, answer, said):
    with pytest.raises(CheckFailed, match="✗") as told:
        getattr(chapter05, exercise)(answer)
    assert said in " ".join(str(told.value).split())
