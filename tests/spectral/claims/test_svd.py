"""The error of the SVD of an operator: its interval, and what it is an estimate of."""

import numpy as np
from scipy.sparse.linalg import aslinearoperator

from randla import svd
from tests.spectral.hostile import rotated
from tests.statistical import claim

SPECTRA = {
    "slow": 1.0 / np.arange(1, 61),
    "one direction left": np.r_[5.0, 4.0, 1.0, np.full(57, 0.01)],  # where 95% is all there is
}


@claim(
    null="the interval of the error covers at least 95%, the square is without bias",
    test="binomial and z-test, for each of two spectra",
    replicates=120,
    false_alarm=1e-7,
)
def test_the_error_for_an_operator(trial, monkeypatch):
    from randla.spectral._krylov import subspace

    monkeypatch.setattr(subspace, "choose_route", lambda *_: "krylov")
    monkeypatch.setattr(subspace, "_KRYLOV_COLUMNS", 30)  # or it would span the whole space
    for s in SPECTRA.values():
        A = rotated(np.random.default_rng(0), 70, 60, s)
        covered, ratios = [], []
        for rng in trial.rngs():
            fit = svd(aslinearoperator(A), 2, tol=0.05, rng=rng)
            assert fit.error_kind == "estimate"
            exact = np.linalg.norm(A - (fit.U * fit.s) @ fit.Vt)
            low, high = fit.error_interval
            covered.append(float(low <= exact <= high))
            ratios.append((fit.error / exact) ** 2)
        trial.assert_mean(ratios, 1.0, share=0.25)
        trial.assert_between(covered, 0.95, 1.0, share=0.25)
