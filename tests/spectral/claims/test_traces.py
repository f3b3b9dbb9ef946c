"""Laws of traces and diagonals from products: no bias, and intervals that hold what they say."""

import warnings

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from randla import FewProductsWarning, diagonal, trace
from randla.spectral._matrix.square import SquareMatrix
from randla.spectral._traces.methods import XNysTraceMethod, XTraceMethod
from tests.spectral.trace_reference import rotated
from tests.statistical import claim

N = 30
_j = np.arange(N)
SKEW = np.triu(np.random.default_rng(0).standard_normal((N, N)))
MATRICES = {
    "decay": rotated(0.8**_j),
    "flat, not symmetric": rotated(1.0 + _j / N) + SKEW - SKEW.T,
    "spike": rotated(np.where(_j == 0, 10.0, 1.0)),
}
each_matrix = pytest.mark.parametrize("name", MATRICES)


def quiet(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewProductsWarning)
        return function(*arguments, **options)


@each_matrix
@claim(
    null="the mean of estimated traces is the trace",
    test="z-test of the mean, Bonferroni over 3 methods",
    replicates=800,
)
def test_traces_are_unbiased(name, trial):
    A = MATRICES[name]
    symmetric = name != "flat, not symmetric"
    methods = ["xtrace", "hutch++", "xnystrace"][: 2 + symmetric]
    draws = [
        [quiet(trace, aslinearoperator(A), 12, method=m, psd=symmetric, rng=rng).value
         for m in methods] for rng in trial.rngs()
    ]  # fmt: skip
    trial.assert_mean(draws, A.trace())


@each_matrix
@claim(
    null="the mean of estimated diagonals is the diagonal",
    test="z-test of the mean, Bonferroni over the entries by two methods",
    replicates=500,
)
def test_diagonals_are_unbiased(name, trial):
    A = MATRICES[name]
    draws = [
        np.concatenate([diagonal(aslinearoperator(A), 12, method=m, rng=rng).value
                        for m in ("xdiag", "auto")]) for rng in trial.rngs()
    ]  # fmt: skip
    trial.assert_mean(draws, np.tile(A.diagonal(), 2))


def diagonal_operator(eigenvalues):
    """The law of vectors on the sphere is that of any rotation of them: it stands for all."""

    def times(X):
        return (eigenvalues * X.T).T

    return LinearOperator((len(eigenvalues),) * 2, times, times, times, float, times)


WIDE = np.arange(1, 201)
SPECTRA = {
    "0.8^j": 0.8**WIDE,
    "1/j": 1.0 / WIDE,
    "flat": np.linspace(1.0, 3.0, 200),
    "one 3 over ones": np.where(WIDE == 1, 3.0, 1.0),
}


def coverage(trial, eigenvalues, n_products, **options):
    A, exact = diagonal_operator(eigenvalues), eigenvalues.sum()
    held = []
    for rng in trial.rngs():
        low, high = quiet(trace, A, n_products, rng=rng, **options).confidence_interval()
        held.append(low <= exact <= high)
    return held


@pytest.mark.parametrize("data", SPECTRA)
@pytest.mark.parametrize(("n_products", "psd"), [(40, False), (60, True)])
@claim(
    null="intervals of 95% hold in 93% at least, from the promised number of products on",
    test="binomial, normal limit",
    replicates=200,
)
def test_intervals_hold(data, n_products, psd, trial):
    trial.assert_between(coverage(trial, SPECTRA[data], n_products, psd=psd), 0.93, 1.0)


@claim(
    null="with rtol intervals of 95% hold in 93% at least",
    test="binomial, normal limit",
    replicates=200,
)
def test_intervals_hold_after_stopping(trial):
    trial.assert_between(coverage(trial, SPECTRA["1/j"], None, rtol=0.04), 0.93, 1.0)


@claim(
    null="one large eigenvalue over a flat rest and few products: the documented limit of 95%",
    test="binomial, normal limit",
    replicates=600,
)
def test_few_products_do_not_hold(trial):
    held = coverage(trial, SPECTRA["one 3 over ones"], 10)
    trial.assert_between(held, 0.75, 0.93)
    assert np.mean(held) < 0.91


@pytest.mark.parametrize(("kind", "most"), [(XTraceMethod, 0.93), (XNysTraceMethod, 0.60)])
@claim(
    null="the spread of the terms, which share all vectors but one, holds less than it says",
    test="binomial, normal limit; the jackknife of the same draws holds",
    replicates=200,
)
def test_the_spread_of_the_terms_is_no_error(kind, most, trial):
    eigenvalues = SPECTRA["0.8^j"]
    spread_holds, jackknife_holds = [], []
    for key in trial.rng().integers(2**63, size=trial.replicates, dtype=np.uint64):
        method = kind(SquareMatrix(diagonal_operator(eigenvalues)), key, True)
        method.extend(60)
        values = method.leave_out().replicates()
        error = abs(values.left_out.mean() * method.matrix.scale - eigenvalues.sum())
        t = 2.05 * method.matrix.scale
        m = values.left_out.size
        spread_holds.append(error <= t * values.left_out.std(ddof=1) / np.sqrt(m))
        jackknife_holds.append(error <= t * values.standard_error)
    trial.assert_between(spread_holds, 0.0, most)
    trial.assert_between(jackknife_holds, 0.97, 1.0)
