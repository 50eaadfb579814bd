"""top_eigenpairs against `eigh` on plain matrices; it never sees a network here."""

from functools import partial

import numpy as np
import pytest
import torch
from dense_references import symmetric
from hypothesis import given, settings
from hypothesis import strategies as st

from flatlab.curvature import top_eigenpairs
from flatlab.curvature.interface import inner, norm
from flatlab.curvature.krylov import LanczosProcess

lanczos = partial(top_eigenpairs, method="lanczos")

SPECTRA = {
    "spread": torch.linspace(-3, 5, 60),
    "clustered": torch.cat([torch.linspace(1, 1.001, 30), torch.tensor([2.0, 2.0001, 2.0002])]),
    "negative": -torch.linspace(1, 4, 40),
    "dominated by a negative": torch.cat([torch.tensor([-10.0]), torch.linspace(0, 3, 40)]),
    "zeros and one": torch.cat([torch.zeros(50), torch.tensor([1.5])]),
    "low rank": torch.cat([torch.zeros(50), torch.tensor([-2.0, 0.5, 1.0])]),
    "repeated": torch.tensor([4.0, 4.0, 4.0, 2.0, 2.0, 1.0, -1.0, -1.0]),
    "tiny": 1e-12 * torch.linspace(-1, 1, 30),
    "huge": 1e12 * torch.linspace(-1, 1, 30),
}


def expected(matrix, k, which):
    values = torch.linalg.eigvalsh(matrix)
    order = (values.abs() if which == "magnitude" else values).argsort(descending=True)
    return values[order[:k]]


class Counted:
    """A matrix that counts its products and has nothing but the operator's interface."""

    def __init__(self, matrix):
        self.matrix, self.products = matrix, 0
        self.shape, self.dtype, self.device = matrix.shape, matrix.dtype, matrix.device

    def __matmul__(self, v):
        self.products += 1
        return self.matrix @ v


@pytest.mark.parametrize("which", ["algebraic", "magnitude"])
@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("method", ["lanczos", "dense", "restarted"])
def test_values_vectors_and_certificates_match_eigh(name, k, which, method):
    matrix, _ = symmetric(SPECTRA[name])
    scale = float(SPECTRA[name].abs().max())
    settings = {"method": method}
    if method == "restarted":
        settings = {"method": "lanczos", "memory": 10 * 8 * len(matrix), "max_iter": 2000}
    pairs = top_eigenpairs(Counted(matrix), k, tol=1e-8, which=which, **settings)
    assert pairs.converged
    found, truth = pairs.values, expected(matrix, k, which)
    if which == "magnitude":  # +x and -x may be tied
        found, truth = found.abs(), truth.abs()
    torch.testing.assert_close(found, truth, rtol=1e-8, atol=1e-12 * scale)
    p = len(matrix)
    assert pairs.vectors.shape == (p, k) and pairs.values.shape == pairs.residuals.shape == (k,)
    gram = pairs.vectors.T @ pairs.vectors
    torch.testing.assert_close(gram, torch.eye(k).double(), rtol=0, atol=1e-10)
    true_residuals = (matrix @ pairs.vectors - pairs.vectors * pairs.values).norm(dim=0)
    assert (true_residuals <= 1e-8 * pairs.values.abs() + 1e-13 * scale).all()
    # The residual is the certificate: it must not be smaller than the true one, up to rounding.
    assert (true_residuals <= pairs.residuals + 1e-13 * scale).all()


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=12),
    k=st.integers(1, 12),
    which=st.sampled_from(["algebraic", "magnitude"]),
    seed=st.integers(0, 1000),
    settings=st.sampled_from([{"method": "lanczos"}, {"method": "dense"}, {"memory": 4}]),
)
def test_repeated_eigenvalues_come_with_their_multiplicity(values, k, which, seed, settings):
    k = min(k, len(values))
    matrix, _ = symmetric(values, seed)
    if "memory" in settings:  # a few vectors more than k
        settings = {"method": "lanczos", "memory": (k + 4) * 8 * len(values)}
    generator = torch.Generator().manual_seed(seed)
    pairs = top_eigenpairs(
        matrix, k, tol=1e-10, which=which, generator=generator, max_iter=500, **settings
    )
    assert pairs.converged
    found, truth = pairs.values, expected(matrix, k, which)
    if which == "magnitude":  # +x and -x are tied
        found, truth = found.abs(), truth.abs()
    torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("k", [1, 3])
def test_zero_matrix_and_identity(k):
    zero = lanczos(torch.zeros(20, 20), k)
    assert zero.converged and torch.equal(zero.values, torch.zeros(k).double())
    one = lanczos(torch.eye(20), k)
    assert one.converged
    torch.testing.assert_close(one.values, torch.ones(k).double())
    torch.testing.assert_close(one.vectors.T @ one.vectors, torch.eye(k))


def test_all_eigenpairs_of_a_matrix():
    matrix, _ = symmetric(torch.linspace(-1, 2, 25))
    pairs = lanczos(matrix, 25, tol=1e-10)
    assert pairs.converged
    torch.testing.assert_close(pairs.values, torch.linspace(2, -1, 25).double())
    rebuilt = (pairs.vectors * pairs.values) @ pairs.vectors.T
    torch.testing.assert_close(rebuilt, matrix, rtol=0, atol=1e-12)


def test_one_by_one():
    pairs = lanczos(torch.tensor([[-3.0]]))
    assert pairs.converged and pairs.values.tolist() == [-3.0] and pairs.iterations <= 1


def test_iterations_count_products_and_stop_early():
    op = Counted(symmetric(torch.cat([torch.rand(300).sort().values, torch.tensor([50.0])]))[0])
    pairs = lanczos(op, 1, tol=1e-3)
    assert pairs.converged and pairs.iterations == op.products < 20


def test_too_few_iterations_are_not_called_converged():
    matrix, _ = symmetric(torch.linspace(0, 1, 200))
    pairs = lanczos(matrix, 2, tol=1e-6, max_iter=5)
    assert not pairs.converged and pairs.iterations == 5
    assert (pairs.residuals > 1e-6 * pairs.values.abs()).any()
    truth = torch.linalg.eigvalsh(matrix)
    for value, residual in zip(pairs.values, pairs.residuals, strict=True):
        assert (truth - value).abs().min() <= residual


@pytest.mark.parametrize("tol", [1e-1, 1e-3, 1e-5])
def test_float32_certificate_holds_in_float64(tol):
    matrix, _ = symmetric(torch.cat([torch.rand(100), torch.tensor([3.0, 3.5, -4.0])]))
    pairs = lanczos(matrix.float(), 3, tol=tol)
    assert pairs.converged and pairs.vectors.dtype == torch.float32
    v = pairs.vectors.double()
    residuals = (matrix @ v - v * pairs.values).norm(dim=0)
    assert (residuals <= tol * pairs.values.abs() + 1e-5).all()
    truth = torch.linalg.eigvalsh(matrix)
    for value, residual in zip(pairs.values, pairs.residuals, strict=True):
        assert (truth - value).abs().min() <= residual + 1e-5


def test_the_basis_stays_orthogonal_over_many_steps():
    matrix, _ = symmetric(torch.logspace(-6, 1, 150))
    start = torch.randn(150, generator=torch.Generator().manual_seed(0)).float()
    process = LanczosProcess(matrix.float(), start, 120)
    while process.size < 120 and not process.broke_down:
        process.step()
    Q = process.basis[: process.size].double()
    assert (Q @ Q.T - torch.eye(len(Q)).double()).abs().max() < 1e-5


def test_small_operators_are_solved_densely_and_large_ones_not():
    small, large = Counted(torch.eye(100)), Counted(torch.eye(200))
    assert top_eigenpairs(small, 5).iterations == small.products == 100
    assert top_eigenpairs(large, 1).iterations == large.products < 10
    few = Counted(symmetric(torch.linspace(0, 1, 100))[0])
    assert top_eigenpairs(few, 1, max_iter=7).iterations == few.products == 7


@pytest.mark.parametrize("rows", [5, 8, 20])
def test_restarts_stay_within_memory_and_reach_the_same_pairs(rows):
    values = torch.cat([torch.linspace(0, 1, 400), torch.tensor([1.05, 1.1, 1.2])])
    matrix, _ = symmetric(values)
    pairs = lanczos(matrix, 2, tol=1e-9, max_iter=5000, memory=rows * 403 * 8)
    assert pairs.converged and pairs.iterations > rows
    torch.testing.assert_close(pairs.values, torch.tensor([1.2, 1.1]).double(), rtol=1e-9, atol=0)
    true_residuals = (matrix @ pairs.vectors - pairs.vectors * pairs.values).norm(dim=0)
    assert (true_residuals <= pairs.residuals + 1e-13).all()


def test_a_restarted_basis_is_still_a_projection():
    matrix, _ = symmetric(torch.linspace(-1, 1, 200))
    start = torch.randn(200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    process = LanczosProcess(matrix, start, 12)
    for _ in range(3):
        while not process.full:
            process.step()
        values, S = torch.linalg.eigh(process.T)
        process.compress(values[-5:], S[:, -5:])
        assert process.size == 5
    process.step()
    Q = process.basis[: process.size]
    torch.testing.assert_close(Q @ Q.T, torch.eye(6).double(), rtol=0, atol=1e-13)
    torch.testing.assert_close(Q @ matrix @ Q.T, process.T[:6, :6], rtol=0, atol=1e-13)


def test_a_start_from_a_similar_matrix_saves_products():
    values = torch.cat([torch.linspace(0, 1, 500), torch.tensor([1.1, 1.2])])
    matrix, Q = symmetric(values)
    moved = matrix + 1e-4 * symmetric(torch.linspace(-1, 1, 502), seed=7)[0]
    earlier = lanczos(matrix, 1, tol=1e-6).vectors
    cold, warm = lanczos(moved, 1), lanczos(moved, 1, start=earlier)
    truth = torch.linalg.eigvalsh(moved)[-1]
    for pairs in (cold, warm):
        assert pairs.converged and abs(pairs.values[0] - truth) <= 1e-3 * truth
    assert warm.iterations < cold.iterations
    block = lanczos(moved, 2, start=Q[:, [500, 501]])
    torch.testing.assert_close(block.values[0], truth, rtol=1e-3, atol=0)


def test_a_start_without_the_top_vector_still_finds_it():
    matrix, Q = symmetric(torch.cat([torch.linspace(0, 1, 300), torch.tensor([2.0])]))
    for start in (Q[:, 0], Q[:, :5], torch.zeros(301).double(), Q[:, 299].float()):
        pairs = lanczos(matrix, 1, start=start)
        assert pairs.converged and float(pairs.values[0]) == pytest.approx(2.0, rel=1e-3)


def test_bad_starts_and_memory():
    matrix, _ = symmetric(torch.linspace(0, 1, 50))
    for start in (torch.ones(49), torch.ones(2, 50), torch.full((50,), float("nan"))):
        with pytest.raises(ValueError, match="start must be finite"):
            lanczos(matrix, start=start)
    with pytest.raises(ValueError, match="room for 4 Lanczos vectors.*k = 2 needs at least 5"):
        lanczos(matrix, 2, memory=4 * 50 * 8)
    with pytest.raises(ValueError, match="method must be"):
        top_eigenpairs(matrix, method="power")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "values",
    [
        torch.cat(
            [torch.zeros(400), torch.linspace(0, 1, 80) ** 2, torch.tensor([5.0, 9.0, 9.5, 40.0])]
        ),
        torch.linspace(-1, 1, 500),
        torch.logspace(-6, 1, 500),
    ],
)
def test_semiorthogonal_runs_keep_half_the_digits_with_less_work(values, dtype):
    matrix, _ = symmetric(values)
    start = torch.randn(len(matrix), generator=torch.Generator().manual_seed(0)).to(dtype)
    half = LanczosProcess(matrix.to(dtype), start, 120, semiorthogonal=True)
    whole = LanczosProcess(matrix.to(dtype), start, 120)
    passes = []
    project = half._project_out
    half._project_out = lambda *args: passes.append(1) or project(*args)
    for process in (half, whole):
        while not process.full and not process.broke_down:
            process.step()
    eps = torch.finfo(dtype).eps
    for process, bound in ((half, 10 * eps**0.5), (whole, 200 * eps)):
        Q = process.basis[: process.size].double()
        assert (Q @ Q.T - torch.eye(len(Q)).double()).abs().max() < bound
        scale = float(values.abs().max())
        T = process.T[: process.size, : process.size]
        assert (torch.linalg.eigvalsh(T)[-1] - values.max()).abs() < 1e3 * eps * scale
    assert len(passes) < (0.7 if dtype == torch.float64 else 1.0) * half.size
    # Both are quadratures for the same measure: their moments agree.
    nodes, S = zip(
        *(torch.linalg.eigh(p.T[: p.size, : p.size]) for p in (half, whole)), strict=True
    )
    for power in (1, 2, 3):
        a, b = ((s[0] ** 2 * n**power).sum() for s, n in zip(S, nodes, strict=True))
        assert abs(a - b) <= 1e3 * eps * float(values.abs().max()) ** power


def test_long_float32_vectors_are_summed_accurately():
    # 2^24 ones: a single float32 accumulator stops counting there.
    ones = torch.ones((1 << 24) + 4096)
    assert norm(ones) ** 2 == pytest.approx(len(ones), rel=1e-6)
    assert float(inner(ones[None], ones)) == pytest.approx(len(ones), rel=1e-6)
    Q = torch.randn(3, (1 << 21) + 7, generator=torch.Generator().manual_seed(0))
    v = torch.randn((1 << 21) + 7, generator=torch.Generator().manual_seed(1))
    expected = (Q.double() @ v.double()).float()
    torch.testing.assert_close(inner(Q, v), expected, rtol=1e-4, atol=1e-2)


def test_repeatable_and_the_global_generator_is_untouched():
    matrix, _ = symmetric(torch.linspace(0, 1, 50))
    rng = torch.get_rng_state()
    first, second = lanczos(matrix, 2), lanczos(matrix, 2)
    assert torch.equal(first.vectors, second.vectors)
    assert torch.equal(torch.get_rng_state(), rng)
    other = lanczos(matrix, 2, generator=torch.Generator().manual_seed(5))
    assert not torch.equal(first.vectors, other.vectors)


@pytest.mark.parametrize("method", ["lanczos", "auto"])
def test_a_count_of_numpy_is_taken(method):
    matrix, _ = symmetric(torch.linspace(0, 1, 50))
    first, second = (top_eigenpairs(matrix, k, method=method) for k in (np.int64(2), 2))
    assert torch.equal(first.vectors, second.vectors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k must be an integer of at least 1"),
        ({"k": 11}, "k = 11 eigenpairs of an operator of size 10"),
        ({"k": 1.5}, "k must be an integer"),
        ({"tol": 0.0}, "cannot be certified"),
        ({"tol": 1e-9}, "cannot be certified in torch.float32.*or use float64"),
        ({"tol": float("nan")}, "cannot be certified"),
        ({"max_iter": 0}, "max_iter must be"),
        ({"which": "largest"}, "which must be 'algebraic' or 'magnitude'"),
    ],
)
def test_bad_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        top_eigenpairs(torch.eye(10), **change)


def test_bad_operators():
    with pytest.raises(ValueError, match="square"):
        top_eigenpairs(torch.ones(3, 4))
    with pytest.raises(ValueError, match="non-empty"):
        top_eigenpairs(torch.ones(0, 0))
    with pytest.raises(TypeError, match="bfloat16.*half precision"):
        top_eigenpairs(torch.eye(3, dtype=torch.bfloat16))
    with pytest.raises(FloatingPointError, match="product 1 holds NaN or inf"):
        lanczos(torch.full((3, 3), float("nan")))
    lopsided = torch.randn(30, 30, generator=torch.Generator().manual_seed(0))
    for method in ("lanczos", "dense"):
        with pytest.raises(ValueError, match="not symmetric"):
            top_eigenpairs(lopsided, method=method)
    with pytest.raises(FloatingPointError, match="NaN or inf"):
        top_eigenpairs(torch.full((3, 3), float("nan")), method="dense")


def test_an_operator_may_return_its_argument():
    class Identity:
        shape, dtype, device = (200, 200), torch.float64, torch.device("cpu")

        def __matmul__(self, v):
            return v

    pairs = lanczos(Identity(), 2)
    assert pairs.converged
    torch.testing.assert_close(pairs.vectors.T @ pairs.vectors, torch.eye(2).double())
