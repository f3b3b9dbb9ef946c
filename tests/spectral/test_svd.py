"""Brackets against LAPACK on hostile matrices, errors against direct norms, known answers."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from scipy.stats import chi2

from randla import datasets, eigh, spectral_norm, svd
from randla.spectral._krylov import subspace
from randla.spectral._krylov.subspace import N_PROBES
from randla.spectral._matrix import open_matrix
from tests.spectral import hostile

ROUTES = ("lapack", "gram", "krylov")


@pytest.fixture
def take(monkeypatch):
    """Let all calls go by one route."""
    return lambda route: monkeypatch.setattr(subspace, "choose_route", lambda *_: route)


def spectrum(s, m=120, seed=0):
    return hostile.rotated(np.random.default_rng(seed), m, len(s), np.asarray(s, float))


@pytest.mark.parametrize("route", ROUTES)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(hostile.KINDS),
    center=st.booleans(),
    form=st.sampled_from([np.asarray, sparse.csr_array, aslinearoperator]),
    rtol=st.sampled_from([None, None, 0.3, 1e-3, 1e-7]),
)
def test_brackets_and_errors_of_hostile_matrices(route, seed, kind, center, form, rtol):
    _, A, k = hostile.draw(np.random.default_rng(seed), 50, kind)
    if form is aslinearoperator:
        A = hostile.exact(A, False)[1]
        center = center and A.shape[0] >= A.shape[1]
        route = "gram" if route == "lapack" else route
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subspace, "choose_route", lambda *_: route)
        result = svd(form(A), None if rtol else k, rtol=rtol, center=center, rng=seed)
    assert not hostile.faults(result, A, center)


@pytest.mark.parametrize("route", ROUTES)
def test_low_rank_is_exact(route, take):
    take(route)
    A = spectrum([5, 4, 3, 2] + [0] * 36)
    result = svd(A, 4, rng=0)
    np.testing.assert_allclose(result.s, [5, 4, 3, 2], rtol=1e-13)
    assert result.error <= 1e-13 * 5
    assert svd(A, 8, rng=0).error <= 1e-13 * 5
    assert svd(A, rtol=1e-3, rng=0).s.size == 4
    tail = svd(spectrum([1, 1, 1e-6, 1e-6]), 2, rng=0)  # 1 - 1e-12 and 1: no digits are left
    np.testing.assert_allclose(tail.error, np.sqrt(2) * 1e-6, rtol=1e-6)


@pytest.mark.parametrize("route", ROUTES)
def test_quiet_matrices(route, take):
    take(route)
    zero = svd(np.zeros((30, 20)), 3, rng=0)
    assert not zero.s.any()
    assert zero.error == 0.0
    assert not zero.explained_variance_ratio.any()
    np.testing.assert_allclose(zero.U.T @ zero.U, np.eye(3), atol=1e-14)
    for A in (np.eye(40), -3.0 * np.eye(40), np.diag(np.r_[np.ones(20), np.zeros(20)])):
        result = svd(A, 15, rng=0)  # more equal values than a block has columns
        np.testing.assert_allclose(result.s, np.abs(A).max(), rtol=1e-14)
        np.testing.assert_allclose(result.s_upper, result.s, rtol=1e-11)
    assert svd([[3.0], [4.0]], 1).s == pytest.approx(5.0)
    assert svd([[3.0, 4.0]], 1).Vt == pytest.approx(np.array([[0.6, 0.8]]))
    assert svd([[-2.0]], 1).U == pytest.approx(-1.0)  # Vt is positive


def test_equal_values_that_the_start_misses_are_found(take):
    take("krylov")
    result = svd(spectrum(np.r_[np.ones(20), np.full(60, 0.1)]), 12, rng=0)
    np.testing.assert_allclose(result.s, 1.0, rtol=1e-12)
    np.testing.assert_allclose(result.s_upper, 1.0, rtol=1e-6)


def test_brackets_are_narrow_where_there_is_a_gap(take):
    take("krylov")
    A = spectrum(np.r_[np.arange(20, 10, -1.0), np.full(70, 0.1)])
    certain = svd(A, 10, certify="frobenius", rng=0)
    by_weyl = np.sqrt(certain.s**2 + certain.error**2)
    assert (certain.s_upper / certain.s - 1.0).max() < 1e-3 * (by_weyl / certain.s - 1.0).min()
    flat = spectrum(np.r_[np.arange(20, 10, -1.0), np.full(70, 5.0)])
    narrow, wide = (svd(flat, 10, certify=c, rng=0) for c in ("quadratic", "frobenius"))
    assert (narrow.s_upper / narrow.s - 1.0).max() < 1e-10
    assert (wide.s_upper / wide.s - 1.0).max() > 1e-2
    assert wide.n_passes < narrow.n_passes
    for result in (narrow, wide):
        assert not hostile.faults(result, flat, False)


def test_reads(take):
    take("krylov")
    A = spectrum(np.linspace(1, 0.5, 100), 150)
    result = svd(A, 3, max_passes=7, certify="frobenius", rng=0)
    assert result.n_passes == 7
    assert not result.converged
    assert not hostile.faults(result, A, False)
    take("gram")
    assert svd(A, 3, rng=0).n_passes == 2


def test_restarts(take, monkeypatch):
    take("krylov")
    monkeypatch.setattr(subspace, "_KRYLOV_COLUMNS", 30)
    A = spectrum(np.linspace(1, 0.5, 110), 150)
    result = svd(A, 5, tol=1e-6, rng=0)
    assert result.converged
    assert not hostile.faults(result, A, False)
    np.testing.assert_allclose(result.s, np.linalg.svd(A, compute_uv=False)[:5], rtol=1e-10)


def test_least_rank_for_a_relative_error():
    A = spectrum(1.0 / np.arange(1, 91))
    tails = np.sqrt(
        np.cumsum(np.arange(1, 91)[::-1] ** -2.0)[::-1] / np.sum(np.arange(1.0, 91) ** -2)
    )
    for rtol in (0.5, 0.1, 0.02):
        result = svd(A, rtol=rtol)
        k = result.s.size
        assert tails[k] <= rtol < tails[k - 1]
        assert result.error <= rtol * np.linalg.norm(A)
    assert svd(A, 5, rtol=0.02).s.size == 5
    assert not svd(A, 5, rtol=0.02).converged


def test_explained_variance_of_digits_is_bracketed():
    X = datasets.digits().images
    from sklearn.decomposition import PCA

    pca = PCA(svd_solver="full").fit(X)
    result = svd(X, 10, center=True)
    np.testing.assert_allclose(result.s, pca.singular_values_[:10], rtol=1e-12)
    np.testing.assert_allclose(result.mean, pca.mean_, rtol=1e-13)
    low, high = result.explained_variance_ratio_bounds
    exact = pca.explained_variance_ratio_[:10]
    assert (low <= exact * (1 + 1e-14)).all()
    assert (exact <= high * (1 + 1e-14)).all()
    np.testing.assert_allclose(result.explained_variance_ratio, exact, rtol=1e-12)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("form", [np.asarray, np.transpose])
def test_large_offsets(route, form, take):
    take(route)
    X = np.random.default_rng(0).integers(-512, 512, (300, 12)) / 64.0  # exact beside 1e8
    true = np.linalg.svd(X - X.mean(axis=0), compute_uv=False)[:5]
    if form is np.asarray:
        result = svd(X + 1e8, 5, center=True, rng=0)
        np.testing.assert_allclose(result.s, true, rtol=1e-10)
    result = svd(form(X) + 1e8, 5, center=True, rng=0)
    assert not hostile.faults(result, form(X), True)


def test_a_wide_dask_array_with_a_large_mean():
    da = pytest.importorskip("dask.array")
    X = np.random.default_rng(0).integers(-512, 512, (12, 300)) / 64.0  # exact beside 1e12
    true = np.linalg.svd(X - X.mean(axis=0), compute_uv=False)[:5]
    D = da.from_array(X + 1e12, chunks=(5, 300))
    result = svd(D, 5, center=True, rng=0)
    assert ((result.s_lower <= true) & (true <= result.s_upper)).all()
    np.testing.assert_allclose(result.s, true, rtol=1e-10)
    wide = open_matrix(D, center=True)
    tall = wide.transposed()
    assert tall.offset == 0.0  # the mean is not known before the first read
    tall.gram_times(np.ones((12, 1)))
    assert tall.offset == wide.offset > 0.01


def test_all_forms_by_their_own_routes():
    A = spectrum(1.0 / np.arange(1, 281), 320) + 0.01
    forms = [(np.asarray, "gram"), (sparse.csr_array, "krylov"), (aslinearoperator, "krylov")]
    try:
        import dask.array as da
    except ImportError:
        pass
    else:
        forms.append((lambda B: da.from_array(B, chunks=(150, B.shape[1])), "gram"))
    for B in (A, A.T.copy()):
        for center in (False, True):
            exact = B - B.mean(axis=0) if center else B
            true = np.linalg.svd(exact, compute_uv=False)[:3]
            for form, method in forms:
                result = svd(form(B), 3, center=center, rng=0)
                assert result.method == method
                assert (result.s_lower <= true).all()
                assert (true <= result.s_upper).all()
                np.testing.assert_allclose(result.s, true, rtol=1e-6)
                np.testing.assert_allclose(exact.T @ result.U, result.Vt.T * result.s, atol=2e-3)
                tail = np.linalg.norm(exact - (result.U * result.s) @ result.Vt)
                tolerance = 0.5 if form is aslinearoperator else 1e-10
                np.testing.assert_allclose(result.error, tail, rtol=tolerance)


def test_sparse_matrices_stay_sparse():
    """Values that A'A has lost get wide brackets, where QR would need a dense copy."""
    D = 10.0 ** -np.linspace(0.0, 10.0, 40)
    A = sparse.csr_array(sparse.vstack([sparse.diags_array(D), sparse.csr_array((1700, 40))]))
    result = svd(A, 40)
    assert result.method == "gram"
    assert (result.s_lower <= D).all()
    assert (D <= result.s_upper).all()


def test_result():
    result = svd(spectrum(1.0 / np.arange(1, 60)), 9, rng=0)
    assert len(repr(result).splitlines()) <= 10
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(again.Vt, result.Vt)
    import matplotlib

    matplotlib.use("Agg")
    assert result.plot().get_ylabel().startswith("singular value")


def test_operators():
    A = spectrum(1.0 / np.arange(1, 300), 320)
    result = svd(aslinearoperator(A), 4, rng=0)
    assert result.error_kind == "estimate"
    assert result.method == "krylov"
    ends = np.sqrt(N_PROBES / chi2.ppf([0.975, 0.025], N_PROBES))  # of 95%
    np.testing.assert_allclose(result.error_interval, result.error * ends)
    low, high = result.explained_variance_ratio_bounds
    shares = np.arange(1.0, 5.0) ** -2 / np.linalg.norm(A) ** 2
    assert ((low <= shares) & (shares <= high)).all()
    assert result.error_interval[0] < np.linalg.norm(A - (result.U * result.s) @ result.Vt)
    assert not hostile.faults(result, A, False)
    with pytest.raises(ValueError, match="certify must be 'auto'"):
        svd(aslinearoperator(A), 4, certify="frobenius")


@pytest.mark.parametrize("route", ["gram", "krylov"])
def test_operators_in_single_precision(route, take):
    take(route)
    A = spectrum(0.8 ** np.arange(12.0)).astype(np.float32)

    def by(B):
        return lambda x: B @ x.astype(np.float32)

    operator = LinearOperator(
        A.shape, matvec=by(A), rmatvec=by(A.T), matmat=by(A), rmatmat=by(A.T), dtype=A.dtype
    )
    exact = np.linalg.svd(A.astype(float), compute_uv=False)
    fit, norm = svd(operator, 5, rng=0), spectral_norm(operator, rng=0)
    assert ((fit.s_lower <= exact[:5]) & (exact[:5] <= fit.s_upper)).all()
    assert norm.lower <= exact[0] <= norm.upper
    np.testing.assert_allclose(fit.s, exact[:5], rtol=1e-6)
    actual = np.linalg.norm(A.T.astype(float) @ fit.U - fit.Vt.T * fit.s, axis=0)
    assert (actual <= fit.residuals).all()
    assert (np.abs(fit.s - exact[:5]) <= fit.residuals).all()
    assert (fit.residuals < 2e-4 * fit.s).all()


def test_dask_blocks_are_read_once_for_each_block_of_vectors(take):
    array = pytest.importorskip("dask.array")
    A = spectrum(3.0 / np.arange(1, 61), 200) + 3.0
    assert svd(array.from_array(A, chunks=(70, 60)), 4, center=True).n_passes == 2
    take("krylov")
    chunked = [svd(array.from_array(A, chunks=(c, 60)), 4, center=True, rng=0) for c in (70, 200)]
    for result in chunked:
        assert result.n_passes <= 5
        assert not hostile.faults(result, A, True)
    np.testing.assert_allclose(chunked[0].s, chunked[1].s, rtol=1e-12)


# At 4e151 the sums of squares of two parts are in range, and their sum is not.
@pytest.mark.parametrize("scale", [0.0, 1e-200, 4e151, 1e200])
def test_scales_of_a_matrix_of_several_tiles(scale):
    A = np.random.default_rng(0).standard_normal((5000, 30)) * scale
    exact = np.linalg.svd(A, compute_uv=False)[:2]
    fit = svd(A, 2)
    np.testing.assert_allclose(fit.s, exact, rtol=1e-12)
    assert np.all((fit.s_lower <= exact) & (exact <= fit.s_upper))


@pytest.mark.parametrize("call", [lambda A: svd(A, 1), lambda A: eigh(A, 1), spectral_norm])
def test_a_norm_beyond_the_range_is_refused(call):
    with pytest.raises(ValueError, match=r"A must have a norm of at most 1\.8e308"):
        call(np.full((4, 4), 1.7e308))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_dask_blocks_that_differ_by_their_means_alone(scale):
    da = pytest.importorskip("dask.array")
    A = np.repeat(np.random.default_rng(0).standard_normal((3, 6)), 4, axis=0) * scale
    exact = np.linalg.svd(A - A.mean(axis=0), compute_uv=False)[:2]
    fit = svd(da.from_array(A, chunks=(4, 6)), 2, center=True)
    np.testing.assert_allclose(fit.s, exact, rtol=1e-12)
    assert np.all((fit.s_lower <= exact) & (exact <= fit.s_upper))


def test_a_rank_for_rtol_is_the_smallest_and_its_values_have_converged(take):
    take("krylov")
    A = np.random.default_rng(0).standard_normal((400, 300)) / np.arange(1, 301) ** 0.5
    exact = np.linalg.svd(A, compute_uv=False)
    tails = np.sqrt(np.cumsum(exact[::-1] ** 2)[::-1])  # errors of ranks 0, 1, ...
    rank = int(np.argmax(tails <= 0.5 * tails[0]))
    fit = svd(sparse.csr_array(A), rtol=0.5, rng=0)
    assert fit.converged
    assert fit.s.size == rank
    np.testing.assert_allclose(fit.s, exact[:rank], rtol=1e-5)


def test_a_rank_that_cannot_reach_rtol_costs_no_more_than_itself(take):
    take("krylov")
    A = sparse.csr_array(np.random.default_rng(0).standard_normal((400, 300)))
    fit, alone = svd(A, 3, rtol=0.1, rng=0), svd(A, 3, rng=0)
    assert not fit.converged
    assert fit.n_passes <= alone.n_passes
