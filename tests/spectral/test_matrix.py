"""The products of all kinds of matrices against their definition in extended precision."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from randla.spectral import _matrix
from randla.spectral._matrix import dense, open_matrix, sparse as sparse_matrix

M, N = 300, 23
_rng = np.random.default_rng(0)
FULL = _rng.standard_normal((M, N))
SPARSE = sparse.random_array((M, N), density=0.2, rng=_rng).toarray()
X, Y = _rng.standard_normal((N, 5)), _rng.standard_normal((M, 5))


def dask_array(A):
    da = pytest.importorskip("dask.array")
    return da.from_array(A, chunks=(77, A.shape[1]))


def dask_sparse(A):
    return dask_array(A).map_blocks(sparse.csr_array, dtype=A.dtype)


def wide_csr(A):
    A = sparse.csr_array(A)
    A.indices, A.indptr = A.indices.astype(np.int64), A.indptr.astype(np.int64)
    return A


KINDS = {
    "C": np.asarray,
    "Fortran": np.asfortranarray,
    "strided": lambda A: np.repeat(np.repeat(A, 2, 0), 3, 1)[::2, ::3],
    "backwards": lambda A: A[::-1, ::-1].copy()[::-1, ::-1],
    "csr": sparse.csr_array,
    "csc": sparse.csc_array,
    "coo": sparse.coo_array,
    "bsr": sparse.bsr_array,
    "dask": dask_array,
    "dask of sparse": dask_sparse,
    "operator": aslinearoperator,
}
_plain = list(KINDS)
KINDS["csr of int64"] = wide_csr


def check(A, kind, center, transposed=False, rtol=1e-13):
    """All products, each as the first and as a later pass, against their definition."""
    A, M = A.astype(np.longdouble), KINDS[kind](A)
    B = A - A.mean(axis=0) if center else A
    B, Z, W = (B.T, Y, X) if transposed else (B, X, Y)  # of as many rows as B has columns, or rows
    calls = [
        ("gram_times", (Z[:, :1],), B.T @ (B @ Z[:, :1])), ("gram_times", (Z,), B.T @ (B @ Z)),
        ("times", (Z,), B @ Z), ("transposed_times", (W,), B.T @ W), ("gram", (), B.T @ B),
    ]  # fmt: skip
    for name, operands, expected in calls:
        matrix = open_matrix(M, center=center)
        matrix = matrix.transposed() if transposed else matrix
        for _ in range(2):
            got = getattr(matrix, name)(*operands)
            scale = np.longdouble(matrix.scale) ** (2 if name.startswith("gram") else 1)
            atol = rtol * np.abs(expected).max()
            np.testing.assert_allclose(got * scale, expected, rtol=0, atol=atol, err_msg=name)
        if matrix.is_read:
            unit = np.abs(B).max()
            norm = matrix.squared_norm * (matrix.scale / unit) ** 2
            np.testing.assert_allclose(norm, ((B / unit) ** 2).sum(), rtol=rtol)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("kind", _plain)
def test_products(kind, center):
    for A in (FULL, SPARSE, 1e200 * SPARSE, 1e-200 * SPARSE):
        check(A, kind, center)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("kind", _plain)
def test_transposed_products(kind, center):
    for A in (SPARSE, 1e200 * SPARSE):
        check(A, kind, center, transposed=True)


@pytest.mark.parametrize("kind", [kind for kind in _plain if kind != "operator"])
def test_large_means_cost_no_digits(kind):
    A = SPARSE.copy()
    A[:, 3] = 1e8 + FULL[:, 3]  # a column without zeros
    check(A, kind, True, rtol=1e-10)
    check(FULL + 1e8, kind, True, rtol=1e-10)
    for exponent in (-660, 660):  # squares of a pilot leave the range
        check(np.ldexp(FULL + 1e8, exponent), kind, True, rtol=1e-10)
    if not kind.startswith("dask"):
        check(FULL + 1e8, kind, True, transposed=True, rtol=1e-10)


@pytest.mark.parametrize("kind", ["C", "csr", "dask"])
def test_float32_is_summed_in_float64(kind):
    A = SPARSE.astype(np.float32)
    for center in (False, True):
        check(A, kind, center)


def test_wide_indices():
    check(SPARSE, "csr of int64", True)


@pytest.mark.parametrize("parts", ["rows", "columns"])
@pytest.mark.parametrize("width", [1, 2, 7, 8, 40, 47])
def test_sparse_parts(width, parts, monkeypatch):
    monkeypatch.setattr(sparse_matrix, "_TOTAL_ENTRIES", 1 << 24 if parts == "rows" else 1)
    W = np.random.default_rng(1).standard_normal((N, width))
    A = SPARSE - SPARSE.mean(axis=0)
    np.testing.assert_allclose(
        open_matrix(sparse.csr_array(SPARSE), center=True).gram_times(W), A.T @ (A @ W), atol=1e-11
    )


def test_many_tiles(monkeypatch):
    monkeypatch.setattr(dense, "_TILE_ENTRIES", 64 * N)
    check(FULL, "C", False)
    check(FULL + 1e8, "C", True, rtol=1e-10)


@pytest.mark.parametrize("rows", [1, 4, 131])
@pytest.mark.parametrize("vectors", [4, 5, 30, 65])
def test_few_products_with_long_rows(rows, vectors):
    A, W = _rng.standard_normal((rows, 2005)), _rng.standard_normal((2005, vectors))
    for kind in ("C", "Fortran", "strided", "dask"):
        for B in (A, 1e200 * A, A.astype(np.float32)):
            for center in (False, True):
                matrix = open_matrix(KINDS[kind](B), center=center)
                exact = B.astype(np.longdouble)
                top = np.abs(exact).max()
                exact = exact - exact.mean(axis=0) if center else exact
                got = matrix.gram_times(W) * np.longdouble(matrix.scale) ** 2
                error = np.abs(got - exact.T @ (exact @ W)).max()
                assert error < 1e-12 * rows * top**2


def test_a_sum_of_equal_squares():
    A = np.full((400_000, 2), 0.1)
    matrix = open_matrix(A)
    matrix.times(np.zeros((2, 1)))
    np.testing.assert_allclose(matrix.squared_norm, A.size * 0.1**2, rtol=1e-14)
    assert open_matrix(A, center=True).gram().max() <= 1e-20 * len(A)


@pytest.mark.parametrize("kind", _plain)
def test_zero_matrices(kind):
    matrix = open_matrix(KINDS[kind](np.zeros((M, N))), center=True)
    assert not matrix.gram_times(X).any()
    assert matrix.scale == 1.0


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("kind", _plain)
def test_residuals_are_summed_in_one_read(kind, transposed):
    B, V = (Y, X) if not transposed else (X, Y)
    for A in (SPARSE, FULL + 1e8):
        E = A - A.mean(axis=0)
        matrix = open_matrix(KINDS[kind](A), center=True)
        matrix.gram_times(X)
        matrix = matrix.transposed() if transposed else matrix
        matrix.gram_times(V)  # measured
        before = matrix.n_passes
        expected = (((E.T if transposed else E) - B @ V.T) ** 2).sum()
        got = matrix.residual_squared_norm(B, V)
        rtol = 1e-13 if A is SPARSE else 1e-6 if kind == "operator" else 1e-9
        np.testing.assert_allclose(got, expected, rtol=rtol)
        assert matrix.n_passes == before + 1


@pytest.mark.parametrize("kind", [kind for kind in _plain if not kind.startswith("dask")])
def test_reads_are_counted_and_inputs_kept(kind):
    A = KINDS[kind](SPARSE)
    matrix = open_matrix(A, center=True)
    matrix.gram_times(X)
    assert matrix.n_passes == (2 if kind == "operator" else 1)
    np.testing.assert_array_equal(A.toarray() if sparse.issparse(A) else A @ np.eye(N), SPARSE)


def test_a_pass_reads_each_block_once():
    da = pytest.importorskip("dask.array")
    reads = []

    def block(block_info=None):
        (first, last), _ = block_info[None]["array-location"]
        reads.append(first)
        return SPARSE[first:last]

    A = da.map_blocks(block, chunks=((100, 100, 100), (N,)), dtype=float, meta=np.empty((0, 0)))
    matrix = open_matrix(A, center=True)
    for passes in (1, 2, 3):
        matrix.gram_times(X)
        assert (matrix.n_passes, len(reads)) == (passes, 3 * passes)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", _plain)
def test_what_is_not_finite_is_refused(kind, bad):
    A = FULL.copy()
    A[5, 2] = bad
    with pytest.raises(ValueError, match="A must be finite"):
        open_matrix(KINDS[kind](A), center=True).gram_times(X)


def test_operators_are_checked():
    def operator(**options):
        return LinearOperator((M, N), matvec=lambda x: FULL @ x, dtype=float, **options)

    with pytest.raises(ValueError, match="adjoint"):
        open_matrix(operator(rmatvec=lambda y: (FULL**3).T @ y))
    with pytest.raises(TypeError, match="transpose"):
        open_matrix(operator())
    with pytest.raises(TypeError, match="A must hold real numbers, got complex"):
        open_matrix(aslinearoperator(FULL + 1j))
    known = SimpleNamespace(  # what SciPy makes an operator of
        shape=(M, N), matvec=lambda x: FULL @ x, rmatvec=lambda y: FULL.T @ y
    )
    np.testing.assert_allclose(open_matrix(known).times(X), FULL @ X, atol=1e-12)
    single = open_matrix(operator(rmatvec=lambda y: FULL.T @ y))  # columns, one by one
    np.testing.assert_allclose(single.gram_times(X), FULL.T @ (FULL @ X), atol=1e-11)


def test_empty_matrices_are_refused():
    for A in (np.empty((0, 3)), aslinearoperator(np.empty((3, 0))), sparse.csr_array((0, 2))):
        with pytest.raises(ValueError, match="A must have rows and columns"):
            open_matrix(A)
    assert _matrix.SpectralMatrix is type(open_matrix(FULL)).__mro__[1]
