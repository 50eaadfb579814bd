"""top_eigenpairs against `eigh` on plain matrices; it never sees a network here."""

import pytest
import torch
from dense_references import symmetric
from hypothesis import given, settings
from hypothesis import strategies as st

from flatlab.curvature import top_eigenpairs

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
def test_values_vectors_and_certificates_match_eigh(name, k, which):
    matrix, _ = symmetric(SPECTRA[name])
    scale = float(SPECTRA[name].abs().max())
    pairs = top_eigenpairs(Counted(matrix), k, tol=1e-8, which=which)
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
)
def test_repeated_eigenvalues_come_with_their_multiplicity(values, k, which, seed):
    k = min(k, len(values))
    matrix, _ = symmetric(values, seed)
    pairs = top_eigenpairs(
        matrix, k, tol=1e-10, which=which, generator=torch.Generator().manual_seed(seed)
    )
    assert pairs.converged
    found, truth = pairs.values, expected(matrix, k, which)
    if which == "magnitude":  # +x and -x are tied
        found, truth = found.abs(), truth.abs()
    torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("k", [1, 3])
def test_zero_matrix_and_identity(k):
    zero = top_eigenpairs(torch.zeros(20, 20), k)
    assert zero.converged and torch.equal(zero.values, torch.zeros(k).double())
    one = top_eigenpairs(torch.eye(20), k)
    assert one.converged
    torch.testing.assert_close(one.values, torch.ones(k).double())
    torch.testing.assert_close(one.vectors.T @ one.vectors, torch.eye(k))


def test_all_eigenpairs_of_a_matrix():
    matrix, _ = symmetric(torch.linspace(-1, 2, 25))
    pairs = top_eigenpairs(matrix, 25, tol=1e-10)
    assert pairs.converged
    torch.testing.assert_close(pairs.values, torch.linspace(2, -1, 25).double())
    rebuilt = (pairs.vectors * pairs.values) @ pairs.vectors.T
    torch.testing.assert_close(rebuilt, matrix, rtol=0, atol=1e-12)


def test_one_by_one():
    pairs = top_eigenpairs(torch.tensor([[-3.0]]))
    assert pairs.converged and pairs.values.tolist() == [-3.0] and pairs.iterations <= 1


def test_iterations_count_products_and_stop_early():
    op = Counted(symmetric(torch.cat([torch.rand(300).sort().values, torch.tensor([50.0])]))[0])
    pairs = top_eigenpairs(op, 1, tol=1e-3)
    assert pairs.converged and pairs.iterations == op.products < 20


def test_too_few_iterations_are_not_called_converged():
    matrix, _ = symmetric(torch.linspace(0, 1, 200))
    pairs = top_eigenpairs(matrix, 2, tol=1e-6, max_iter=5)
    assert not pairs.converged and pairs.iterations == 5
    assert (pairs.residuals > 1e-6 * pairs.values.abs()).any()
    truth = torch.linalg.eigvalsh(matrix)
    for value, residual in zip(pairs.values, pairs.residuals, strict=True):
        assert (truth - value).abs().min() <= residual


@pytest.mark.parametrize("tol", [1e-1, 1e-3, 1e-5])
def test_float32_certificate_holds_in_float64(tol):
    matrix, _ = symmetric(torch.cat([torch.rand(100), torch.tensor([3.0, 3.5, -4.0])]))
    pairs = top_eigenpairs(matrix.float(), 3, tol=tol)
    assert pairs.converged and pairs.vectors.dtype == torch.float32
    v = pairs.vectors.double()
    residuals = (matrix @ v - v * pairs.values).norm(dim=0)
    assert (residuals <= tol * pairs.values.abs() + 1e-5).all()
    truth = torch.linalg.eigvalsh(matrix)
    for value, residual in zip(pairs.values, pairs.residuals, strict=True):
        assert (truth - value).abs().min() <= residual + 1e-5


def test_the_basis_stays_orthogonal_over_many_steps():
    from flatlab.curvature.lanczos import LanczosProcess

    matrix, _ = symmetric(torch.logspace(-6, 1, 150))
    start = torch.randn(150, generator=torch.Generator().manual_seed(0)).float()
    process = LanczosProcess(matrix.float(), start, 120)
    while process.size < 120 and not process.broke_down:
        process.step()
    Q = process.basis[: process.size].double()
    assert (Q @ Q.T - torch.eye(len(Q)).double()).abs().max() < 1e-5


def test_repeatable_and_the_global_generator_is_untouched():
    matrix, _ = symmetric(torch.linspace(0, 1, 50))
    rng = torch.get_rng_state()
    first, second = top_eigenpairs(matrix, 2), top_eigenpairs(matrix, 2)
    assert torch.equal(first.vectors, second.vectors)
    assert torch.equal(torch.get_rng_state(), rng)
    other = top_eigenpairs(matrix, 2, generator=torch.Generator().manual_seed(5))
    assert not torch.equal(first.vectors, other.vectors)


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
        top_eigenpairs(torch.full((3, 3), float("nan")))
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="not symmetric"):
        top_eigenpairs(torch.randn(30, 30, generator=generator))
