"""Bounds of spectral norms against LAPACK, on both routes."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator
from scipy.stats import beta

from randla import eigh, spectral_norm, svd
from randla.spectral import _spectral_norm
from randla.spectral._krylov.lanczos_bound import lanczos_bound
from tests.spectral import hostile

_FORMS = [np.asarray, sparse.csr_array, aslinearoperator]


def largest(A):
    size = max(float(np.abs(A).max()), 1e-300)
    return float(np.linalg.norm(A.astype(np.float64) / size, 2)) * size


@pytest.mark.parametrize("gram", [True, False])
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31), kind=st.sampled_from(hostile.KINDS), form=st.sampled_from(_FORMS)
)
def test_bounds_of_hostile_matrices(gram, seed, kind, form):
    _, A, _ = hostile.draw(np.random.default_rng(seed), 50, kind)
    A = A.astype(np.float64) if form is aslinearoperator else A
    with pytest.MonkeyPatch.context() as patch:
        if not gram:
            patch.setattr(_spectral_norm, "_GRAM_SIDE", 0)
            patch.setattr(_spectral_norm, "_SPARSE_GRAM_SIDE", 0)
        norm = spectral_norm(form(A), rng=seed)
    assert norm.lower <= largest(A) * (1.0 + 1e-15)
    assert largest(A) <= norm.upper * (1.0 + 1e-15)
    assert norm.upper <= largest(A) * 1.0002
    is_known = (gram and form is not aslinearoperator) or min(A.shape) <= 4  # random starts
    assert norm.failure_probability in ((0.0,) if is_known else (0.0, 1e-6))


def test_what_may_fail():
    A = np.linspace(1.0, 2.0, 250) * np.eye(250)
    assert spectral_norm(A).failure_probability == 0.0
    assert spectral_norm(aslinearoperator(A[:, :8])).failure_probability == 0.0  # all of the space
    assert spectral_norm(aslinearoperator(A)).failure_probability == 1e-6


def test_without_a_gap():
    s = np.linspace(1.0, 0.001, 1200)
    norm = spectral_norm(sparse.diags_array(s), rng=0)
    assert norm.lower <= 1.0 <= norm.upper <= 1.0002
    assert norm.n_passes <= 60


@pytest.mark.parametrize("A", [np.eye(400), np.full((400, 700), 0.1), np.zeros((350, 350))])
def test_invariant_spaces_end_the_search(A):
    norm = spectral_norm(sparse.csr_array(A), rng=0)
    np.testing.assert_allclose([norm.lower, norm.upper], largest(A), rtol=1e-10)
    assert norm.n_passes <= 4


@pytest.mark.parametrize("t", [4.5e-12, 7e-12])
def test_one_value_above_equal_ones(t):
    """What a start sees of its vector is below the floor of roundings: it is deflated, not lost."""
    s = np.ones(40_000)
    s[7] += t
    A = sparse.dia_array((s[None], [0]), shape=(s.size, s.size)).tocsr()
    for rng in (0, 1):
        ends = [spectral_norm(A, rng=rng).upper, svd(A, 1, rng=rng).s_upper[0]]
        ends.append(eigh(A, 1, rng=rng).upper[0])
        assert min(ends) >= s[7]
        assert max(ends) <= 1.0 + 1e-8


@pytest.mark.parametrize("seed", [1000209, 1000373])
def test_equal_singular_values(seed):
    _, A, _ = hostile.draw(np.random.default_rng(seed), 60)  # an orthogonal matrix
    norm = spectral_norm(A)
    assert norm.lower <= largest(A) <= norm.upper <= 1.0001 * norm.lower


def test_dask_and_wide():
    da = pytest.importorskip("dask.array")
    A = np.random.default_rng(0).standard_normal((90, 40))
    for B in (A, A.T):
        norm = spectral_norm(da.from_array(B, chunks=(17, B.shape[1])))
        np.testing.assert_allclose([norm.lower, norm.upper], largest(A), rtol=1e-12)
        assert norm.n_passes == 1


def test_lanczos_bound_is_the_root():
    # One vector: f(t) = beta / t with b = n - 1 of n directions ruled out.
    theta, C = np.array([2.0]), np.array([[0.3]])
    quantile = np.sin(0.5 * np.pi * 0.01) ** 2  # of Beta(1/2, 1/2), the arcsine law
    bound = lanczos_bound(
        theta, np.eye(1), C, block=1, n=2, failure_probability=0.01, size=0.0, deflated=0.0
    )
    np.testing.assert_allclose(bound, 2.0 + 0.3 / np.sqrt(quantile), rtol=2e-3)
    assert bound >= 2.0 + 0.3 / np.sqrt(quantile)
    # With what was deflated f(t) = (0.3 + 0.1) / t.
    more = lanczos_bound(
        theta, np.eye(1), C, block=1, n=2, failure_probability=0.01, size=0.0, deflated=0.1
    )
    np.testing.assert_allclose(more, 2.0 + 0.4 / np.sqrt(quantile), rtol=2e-3)


def test_lanczos_bound_leaves_room_for_roundings():
    """A product that is off by some units, in a direction that has nothing to do with v."""
    n, p, zero = 400, 1e-6, np.zeros((1, 1))
    delta = np.sqrt(beta(0.5, 0.5 * (n - 1)).ppf(p))
    bound = lanczos_bound(
        np.ones(1), np.eye(1), zero, block=1, n=n, failure_probability=p, size=1.0, deflated=0.0
    )
    assert bound >= 1.0 + 10 * 2.0**-53 / np.sqrt(n) / delta
