"""Chapter 06's checks: their ground truths and the mistakes they tell apart."""

import numpy as np
import pytest
import torch
from answered import Answered, apart
from torch import nn

from flatlab.checks import CheckFailed, chapter06
from flatlab.checks.chapter06 import (
    basis,
    batch_norm,
    chain_rule,
    coordinates,
    cycles,
    formulas,
    networks,
    paths,
    walls,
)

HERE = Answered("06-mode-connectivity")
SOLUTIONS, graded = HERE.solutions, HERE.graded
SEEDS = range(12)


def test_mistakes_in_the_curves_cost_their_points_once():
    stubs = "def polychain(t, w1, theta, w2):\n    raise NotImplementedError()\n\n\nbezier = polychain\n"
    assert graded("curve_gradient", stubs + SOLUTIONS["curve_gradient"]) == "passed"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("right", "wrong"),
    [(formulas.chain, formulas.WRONG_CHAINS), (formulas.parabola, formulas.WRONG_PARABOLAS)],
)
def test_wrong_curves_differ_from_the_right_one_and_from_each_other(right, wrong, seed):
    drawn = paths.drawn(torch.Generator().manual_seed(seed), 5)
    weights = [drawn[name].numpy() for name in paths.NAMES]

    def at(curve):
        return [curve(t, *weights) for t in paths.TS]

    apart(at(right), [(at(curve), message) for curve, message in wrong], 1e-5)


@pytest.mark.parametrize("t", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_curves_and_their_gradients_are_those_of_autograd(t):
    w1, theta, w2 = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).double()
    start, diagonal = torch.zeros(4).double(), torch.ones(4).double()
    for name, curve in chain_rule.CURVES.items():
        leaf = theta.clone().requires_grad_()
        point = curve(t, w1, leaf, w2)
        (point**2 / 2 + point**4 / 4).sum().backward()
        slope = chain_rule.slope(point.detach(), diagonal, start)
        assert torch.allclose(leaf.grad, chain_rule.share(name, t) * slope)


def test_the_curves_are_the_packages():
    from flatlab.curves import Bezier, PolygonalChain

    ends = [nn.Linear(2, 2).double() for _ in range(2)]
    for kind, curve in ((PolygonalChain, formulas.chain), (Bezier, formulas.parabola)):
        path = kind(*ends)
        with torch.no_grad():
            path.bends += 1
        for t in (0.0, 0.3, 0.5, 0.8, 1.0):
            own = curve(t, path.ends[0], path.bends[0], path.ends[1])
            assert torch.allclose(path.point(t), own)


@pytest.mark.parametrize("kind", [chain_rule.OnChain, chain_rule.OnBezier])
@pytest.mark.parametrize("seed", SEEDS)
def test_wrong_gradients_differ(kind, seed):
    """Factors from each other at the values of t, and places from each other at the drawn weights."""
    ts = np.array(chain_rule.TS)
    right = [chain_rule.share(kind.curve, t) for t in ts]
    factors = [([f(t) for t in ts], said) for f, said in chain_rule.wrong_shares(kind.curve)]
    apart(right, factors, 1e-3)
    drawn = kind().draw(torch.Generator().manual_seed(seed))
    weights = [drawn[name].numpy() for name in paths.NAMES]
    own = [chain_rule.CURVES[kind.curve](t, *weights) for t in ts]
    others = [([p(t, *weights) for t in ts], said) for p, said in chain_rule.places(kind.curve)]
    apart(own, others, 1e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_wrong_barriers_differ(seed):
    losses = np.array(walls.Wall().draw(torch.Generator().manual_seed(seed))["losses"])
    assert losses.argmax() != (losses - walls.chord(losses)).argmax()
    assert losses[0] != losses[-1]
    known = [
        pair for pair in walls.height_mistakes(losses) if pair[1] not in (walls.DIP, walls.INSIDE)
    ]
    apart(walls.height(losses), known, 1e-5)
    dipping = walls.Mirrored().draw(torch.Generator().manual_seed(seed))["losses"].numpy()
    assert np.abs(dipping - walls.chord(dipping)).max() > 1.1 * walls.height(dipping) > 0


def test_the_barrier_is_the_packages():
    from flatlab.curves import CurveLosses

    losses = torch.tensor([0.3, 2.0, 1.1, 0.9]).double()
    ts = torch.linspace(0, 1, 4).double()
    package = CurveLosses(ts, losses, losses, ts).barrier
    assert walls.height(losses.numpy()) == pytest.approx(package)
    assert package == pytest.approx(2 - 0.5)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_basis_is_orthonormal_and_its_mistakes_are_told(seed):
    drawn = basis.ThreePoints().draw(torch.Generator().manual_seed(seed))
    w = [drawn[name].numpy() for name in basis.NAMES]
    u, v = basis.gram_schmidt(*w)
    assert np.allclose([u @ u, v @ v, u @ v], [1, 1, 0])
    assert v @ (w[2] - w[0]) > 0
    assert np.linalg.matrix_rank(np.stack([u, v, w[1] - w[0], w[2] - w[0]]), tol=1e-9) == 2
    assert basis.basis_verdict(u, v, w, 1e-5) is None
    for wrong, said in (
        ((w[1] - w[0], v), "divided by its length"),
        ((u, -v), "points away from w3"),
        ((u, 2 * v), "has the length 2"),
        ((2 * u, v), "has the length 2"),
        ((u, (v + u) / 2**0.5), "not orthogonal"),
        ((u, u), "v lies along u"),
        ((u, v * np.nan), "NaN"),
        ((v, u), "u and v are exchanged"),
    ):
        assert said in basis.basis_verdict(*wrong, w, 1e-5)


def test_a_right_basis_is_asked_for_as_two_vectors():
    for answer in (None, torch.zeros(6), (torch.zeros(6),), torch.zeros(6, 2)):
        with pytest.raises(CheckFailed):
            chapter06.plane_basis(lambda w1, w2, w3, answer=answer: answer)


@pytest.mark.parametrize("seed", SEEDS)
def test_wrong_coordinates_differ(seed):
    drawn = coordinates.FivePoints().draw(torch.Generator().manual_seed(seed))
    points, w1, u, v = (np.asarray(drawn[name]) for name in ("points", "w1", "u", "v"))
    moved = points - w1
    right = np.stack([moved @ u, moved @ v], axis=-1)
    rebuilt = w1 + right @ np.stack([u, v])
    assert np.allclose((points - rebuilt) @ np.stack([u, v]).T, 0)
    apart(right, coordinates.coordinate_mistakes(points, w1, u, v), 1e-5)


@pytest.mark.parametrize("kind", networks.BUILD)
@pytest.mark.parametrize("seed", range(4))
def test_batch_norm_statistics_are_torchs_and_mistakes_differ(kind, seed):
    drawn = networks.drawn(torch.Generator().manual_seed(seed), kind, 3)
    inputs = {
        name: [part.numpy() for part in value] if isinstance(value, list) else value
        for name, value in drawn.items()
    }
    model = networks.built(inputs)
    torch.optim.swa_utils.update_bn(list(drawn["batches"]), model)
    mean = [np.mean(parts, axis=0) for parts in zip(*networks.of_batches(inputs), strict=True)]
    assert np.allclose(np.concatenate(networks.statistics(model)), np.concatenate(mean))
    apart(mean, batch_norm.wrong_statistics(inputs), 1e-5)


@pytest.mark.parametrize("cycle", [4, 6, 8])
def test_wrong_schedules_differ(cycle):
    from flatlab.averaging import fge_learning_rate

    steps, low, high = np.arange(3 * cycle), 0.007, 0.09
    right = cycles.right_cycle(steps, cycle, low, high)
    assert right == pytest.approx([fge_learning_rate(int(i), cycle, low, high) for i in steps])
    if cycle == cycles.Eight.cycle:
        apart(right, cycles.cycle_mistakes(steps, cycle, low, high), 1e-5)
