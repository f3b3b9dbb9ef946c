"""`trace`: what is exact, what is chosen, warned of and refused."""

import math
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator, cg

from randla import FewProductsWarning, trace
from randla.spectral._matrix.square import SquareMatrix
from randla.spectral._traces import methods, test_vectors
from randla.spectral._traces.test_vectors import sphere_vectors
from tests.spectral.trace_reference import rotated

N = 90
_j = np.arange(N)
FAST, SLOW = rotated(0.7**_j), rotated(1.0 / (1 + _j))
METHODS = [
    {"method": "xtrace", "n_products": 40},
    {"psd": True, "n_products": 60},
    {"method": "hutch++", "n_products": 40},
    {"method": "hutchinson", "n_products": 70},
]
each_method = pytest.mark.parametrize("options", METHODS, ids=lambda o: o.get("method", "psd"))


def is_exact(result, value):
    return (result.value, result.standard_error, result.method) == (value, 0.0, "exact")


@pytest.mark.parametrize(
    "make", [np.asarray, np.asfortranarray, sparse.csr_array, sparse.coo_array]
)
def test_what_can_be_read_is_summed_exactly(make):
    A = np.random.default_rng(0).standard_normal((50, 50))
    A[np.diag_indices(50)] *= 10.0 ** np.linspace(-9, 9, 50)
    result = trace(make(A), psd=False)
    assert is_exact(result, math.fsum(A.diagonal()))
    assert (result.n_products, result.degrees_of_freedom) == (0, math.inf)
    assert result.confidence_interval() == (result.value, result.value)
    assert float(result) == result.value


def test_exact_sums_near_the_ends_of_the_range():
    assert is_exact(trace(np.diag([1e308, 1e308, -1e308, 1.0])), 1e308)
    assert is_exact(trace(np.diag([1e300, 1e-300, -1e300])), 1e-300)
    assert is_exact(trace(np.diag([5e-324, 5e-324])), 1e-323)
    with pytest.raises(ValueError, match=r"A must have a trace of at most 1\.8e308"):
        trace(np.diag([1.5e308, 1.5e308]))
    assert is_exact(trace(np.zeros((3, 3))), 0.0)


def test_n_products_are_enough_for_the_exact_trace():
    A = np.diag([1e-300, 1e300, -1e300, 3.0])
    result = trace(aslinearoperator(A), 4)
    assert is_exact(result, 3.0)
    assert result.n_products == 4
    A = np.random.default_rng(0).standard_normal((70, 70))
    result = trace(aslinearoperator(A))
    assert is_exact(result, math.fsum(A.diagonal()))
    assert result.n_products == 70
    assert is_exact(trace(A, 80, method="xtrace"), math.fsum(A.diagonal()))


@each_method
def test_the_interval_holds_the_trace(options):
    for A in (FAST, SLOW):
        result = trace(aslinearoperator(A), rng=0, **options)
        low, high = result.confidence_interval(0.999)
        assert low < A.trace() < high
        assert 0.0 < result.standard_error < 0.1 * result.value
        assert result.n_products == options["n_products"] // 2 * 2
        assert result.method == options.get("method", "xnystrace")
        same = trace(A, rng=0, method=result.method, psd=True, n_products=result.n_products)
        assert same.value == pytest.approx(result.value, rel=1e-12)


def test_degrees_of_freedom():
    degrees = [trace(SLOW, rng=0, **{"method": "auto", **o, "psd": True}).degrees_of_freedom
               for o in METHODS[2:]]  # fmt: skip
    assert degrees == [13.0, 69.0]
    A = aslinearoperator(SLOW)
    assert trace(A, 40).degrees_of_freedom == 19.0
    assert trace(A, 60, psd=True).degrees_of_freedom == 59.0


@each_method
@pytest.mark.parametrize("exponent", [-900, 900])
def test_scales(options, exponent):
    plain = trace(aslinearoperator(FAST), rng=0, **options)
    scaled = trace(aslinearoperator(np.ldexp(FAST, exponent)), rng=0, **options)
    got = np.ldexp([scaled.value, scaled.standard_error], -exponent)
    atol = 1e-13 * plain.value  # roots of odd powers of two round
    np.testing.assert_allclose(got, [plain.value, plain.standard_error], rtol=1e-9, atol=atol)


@each_method
def test_a_multiple_of_the_identity_is_exact(options):
    result = trace(aslinearoperator(3.0 * np.eye(N)), rng=0, **options)
    assert result.value == pytest.approx(3.0 * N, rel=1e-13)
    assert result.standard_error < 1e-10


@pytest.mark.parametrize("rank", [0, 1, 13, 19])
@pytest.mark.parametrize("options", METHODS[:3], ids=["xtrace", "psd", "hutch++"])
def test_low_rank_is_exact(rank, options):
    if options.get("method") == "hutch++":
        options = {**options, "n_products": 60}
    for A in (rotated((_j + 1.0) * (_j < rank)), np.diag((_j + 1.0) * (_j < rank))):
        result = trace(aslinearoperator(A), rng=0, **options)
        assert abs(result.value - A.trace()) <= 1e-13 * A.trace()
        assert result.standard_error <= 1e-10 * A.trace()


def test_float32_products():
    A = rotated((_j < 10.0) + 1e-3).astype(np.float32)
    for options in METHODS[:3]:
        result = trace(aslinearoperator(A), rng=0, **options)
        low, high = result.confidence_interval(0.999)
        assert low < float(A.trace(dtype=np.float64)) < high
        assert result.standard_error >= 1e-7 * result.value


def test_products_of_an_iterative_solver():
    # Not symmetric to all digits, nor positive: the Nystroem shift grows until it is.
    A = FAST + 0.01 * np.eye(N)
    A[0] += 1e-3 * A[1]

    def solve(x):
        return cg(A, x, rtol=1e-4)[0]

    inverse = LinearOperator((N, N), matvec=solve, dtype=float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = trace(inverse, 60, psd=True, rng=0)
    exact = np.linalg.inv(A).trace()
    assert abs(result.value - exact) < 1e-2 * exact
    assert result.method == "xnystrace"


class TestRtol:
    def test_few_products_where_they_are_enough(self):
        A = aslinearoperator(rotated(0.5**_j))
        for psd in (False, True):
            result = trace(A, rtol=1e-3, psd=psd, rng=0)
            assert result.converged
            assert result.n_products == (60 if psd else 40)
            low, high = result.confidence_interval()
            assert low < 2.0 < high
            assert high - low < 2e-3 * 2.0

    def test_more_vectors_continue_the_first(self):
        A = aslinearoperator(rotated(0.9 ** np.arange(400)))
        result = trace(A, rtol=1e-3, rng=0)
        assert result.n_products == 160
        direct = trace(A, 160, rng=0)
        assert result.value == pytest.approx(direct.value, rel=1e-12)
        assert result.standard_error == pytest.approx(direct.standard_error, rel=1e-6)
        for method in ("hutch++", "hutchinson"):
            result = trace(A, 300, method=method, rtol=0.2, rng=0)
            assert result.converged
            assert abs(result.value - 10.0) < 3.0

    @pytest.mark.parametrize("method", ["xtrace", "xnystrace", "hutch++", "hutchinson"])
    def test_no_more_products_than_allowed(self, method):
        used = 0

        def times(X):
            nonlocal used
            used += X.shape[1]
            return SLOW @ X

        A = LinearOperator((N, N), lambda x: times(x[:, None]), matmat=times, dtype=float)
        first = 60 if method == "xnystrace" else 40
        for most in (first + 1, 85, N, N + 1, first + N - 1, first + N, 2 * first + N, 1000):
            used = 0
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FewProductsWarning)
                result = trace(A, most, rtol=1e-9, psd=True, method=method, rng=0)
            assert result.n_products == used <= most
            assert result.converged == (most >= N)
            if most >= N:
                assert is_exact(result, math.fsum(SLOW.diagonal()))
                assert used == N + (0 if most < first + N else first if first == 60 else
                                    40 if most < 80 + N else 80)  # fmt: skip
            else:
                assert used >= most - 1

    def test_probes_of_hutch_stay(self):
        """In two looks: the same as with the final basis and all probes at once."""
        draws = sphere_vectors(np.uint64(3), 0, 40, N)
        run = methods.METHODS["hutch++"](SquareMatrix(aslinearoperator(SLOW)), np.uint64(3), False)
        run.estimate(30)
        got = run.estimate(60)
        X, G = draws[:, np.r_[:10, 20:30]], draws[:, np.r_[10:20, 30:40]]
        Q = np.linalg.qr(SLOW @ X)[0]
        P = G - Q @ (Q.T @ G)
        forms = (N - 20) * np.einsum("ij,ij->j", P, SLOW @ P) / (P**2).sum(axis=0)
        expected = np.trace(Q.T @ SLOW @ Q) + forms.mean()
        assert got.value * run.matrix.scale == pytest.approx(expected, rel=1e-12)
        error = forms.std(ddof=1) / np.sqrt(20)
        assert got.standard_error * run.matrix.scale == pytest.approx(error, rel=1e-10)

    def test_exact_in_the_end(self):
        result = trace(aslinearoperator(SLOW), rtol=1e-6, rng=0)
        assert is_exact(result, math.fsum(SLOW.diagonal()))
        assert result.n_products == 80 + N
        assert result.converged

    def test_not_met(self):
        with pytest.warns(FewProductsWarning, match=r"at 80 products.* times what rtol"):
            result = trace(aslinearoperator(SLOW), 80, rtol=1e-6, rng=0)
        assert not result.converged
        with pytest.warns(FewProductsWarning):  # rounding: more products would say no more
            result = trace(aslinearoperator(np.diag(1.0 * (_j < 5))), rtol=1e-16, rng=0)
        assert result.n_products == 40
        assert result.value == pytest.approx(5.0, rel=1e-14)


def test_few_products_are_warned_of():
    A = aslinearoperator(SLOW)
    with pytest.warns(FewProductsWarning, match=r"38 products are few .* 'xtrace': below 40"):
        trace(A, 38)
    with pytest.warns(FewProductsWarning, match="59 products are few .* 'xnystrace': below 60"):
        trace(A, 59, psd=True)


def test_what_is_not_psd_is_refused():
    with pytest.raises(
        ValueError, match=r"A must be positive .* diagonal entry -1: pass psd=False"
    ):
        trace(np.diag([1.0, -1.0]), psd=True)
    for bad in (-FAST, FAST - rotated(0.1 * (_j < 80), seed=1), FAST + np.triu(SLOW, 1)):
        for options in ({}, {"method": "hutch++"}):
            if bad[0, 0] < 0 or not options:
                with pytest.raises(ValueError, match=r"A must .* with psd=True.*pass psd=False"):
                    trace(aslinearoperator(bad), 70, psd=True, rng=0, **options)


def test_only_products_are_used():
    calls = []

    def product(x):
        calls.append(x.shape)
        return FAST @ x

    A = LinearOperator((N, N), matvec=product, dtype=float)
    assert trace(A, 40, rng=0).value == pytest.approx(trace(FAST, 40, rng=0).value, rel=1e-2)
    assert len(calls) == 40


def test_same_for_any_number_of_threads(each_thread_count, monkeypatch):
    monkeypatch.setattr(test_vectors, "_PART", 100)
    first, *others = each_thread_count(lambda: trace(aslinearoperator(SLOW), 40, rng=0).value)
    assert all(other == first for other in others)
