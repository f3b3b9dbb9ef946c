"""R-hat, effective sample sizes and Monte Carlo errors: against ArviZ, and by plain loops."""

import numpy as np
import pytest

from randla.smoothing._posterior import diagnostics


def chains(n_chains, n, phi, rng, shape="normal"):
    noise, x = rng.standard_normal((n, n_chains)), np.zeros((n, n_chains))
    for t in range(1, n):
        x[t] = phi * x[t - 1] + noise[t]
    return {"normal": x, "ties": np.round(x), "skew": np.exp(x)}[shape].T.copy()


CASES = [
    (n_chains, n, phi, shape)
    for n_chains, n in ((4, 100), (2, 37), (1, 64), (5, 8))
    for phi, shape in ((0.0, "normal"), (0.9, "skew"), (-0.7, "normal"), (0.98, "ties"))
]


@pytest.mark.parametrize(("n_chains", "n", "phi", "shape"), CASES)
def test_equals_arviz(n_chains, n, phi, shape):
    arviz = pytest.importorskip("arviz")
    x = chains(n_chains, n, phi, np.random.default_rng(n), shape)
    pairs = [
        (diagnostics.ess_bulk(x), arviz.ess(x, method="bulk")),
        (diagnostics.ess_mean(x), arviz.ess(x, method="mean")),
        (diagnostics.mcse_mean(x), arviz.mcse(x, method="mean")),
    ]
    if n_chains > 1:
        pairs.append((diagnostics.r_hat(x), arviz.rhat(x, method="rank")))
    if shape != "ties":  # a quantile that is rounded up or down to one of many equal draws
        pairs.append((diagnostics.ess_tail(x), arviz.ess(x, method="tail")))
        for p in (0.1, 0.5, 0.975):
            errors = diagnostics.mcse_quantile(x, p), arviz.mcse(x, method="quantile", prob=p)
            pairs += [(diagnostics.ess_quantile(x, p), arviz.ess(x, method="quantile", prob=p))]
            pairs += [errors]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def size_by_definition(halves):
    """Effective size by autocovariances and Geyer's pairs as they are written in the paper."""
    n_chains, n = halves.shape
    centered = halves - halves.mean(axis=1, keepdims=True)
    rho = []
    within = halves.var(axis=1, ddof=1).mean()
    pooled = within * (n - 1) / n + halves.mean(axis=1).var(ddof=1)
    for lag in range(n):
        covariance = np.mean([(c[: n - lag] * c[lag:]).sum() / n for c in centered])
        rho.append(1.0 if lag == 0 else 1.0 - (within - covariance) / pooled)
    total, smallest, k = 0.0, np.inf, 0
    while k < (n - 1) // 2 - 1 and rho[2 * k] + rho[2 * k + 1] > 0.0:
        smallest = min(smallest, rho[2 * k] + rho[2 * k + 1])
        total, k = total + smallest, k + 1
    time = -1.0 + 2.0 * total + max(rho[2 * k], 0.0)
    return n_chains * n / max(time, 1.0 / np.log10(n_chains * n))


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, -0.5])
def test_effective_size_by_its_definition(phi):
    x = chains(3, 200, phi, np.random.default_rng(1))
    halves = np.concatenate([x[:, :100], x[:, 100:]])
    np.testing.assert_allclose(diagnostics.ess_mean(x), size_by_definition(halves), rtol=1e-10)


def test_components_are_apart():
    x = np.stack([chains(3, 50, phi, np.random.default_rng(2)) for phi in (0.0, 0.8)], axis=-1)
    for function in (diagnostics.r_hat, diagnostics.ess_bulk, diagnostics.ess_tail):
        together = function(x[..., None])  # (3, 50, 2, 1)
        assert together.shape == (2, 1)
        alone = [function(x[..., k]) for k in range(2)]
        np.testing.assert_array_equal(together[:, 0], alone)


def test_r_hat_sees_chains_apart_and_chains_of_another_scale():
    x = np.random.default_rng(3).standard_normal((4, 500))
    assert diagnostics.r_hat(x) < 1.01
    assert diagnostics.r_hat(x + np.array([0, 0, 0, 1.0])[:, None]) > 1.05
    assert diagnostics.r_hat(x * np.array([1, 1, 1, 3.0])[:, None]) > 1.05
    drift = x + np.linspace(0, 2, 500)  # within each chain
    assert diagnostics.r_hat(drift) > 1.1


@pytest.mark.parametrize("n", [1, 2, 7])
def test_too_few_draws_have_no_diagnostics(n):
    x = np.random.default_rng(4).standard_normal((2, n))
    assert np.isnan(diagnostics.r_hat(x))
    assert np.isnan(diagnostics.ess_bulk(x))


def test_draws_that_do_not_move():
    x = np.ones((4, 100))
    assert diagnostics.r_hat(x) == 1.0
    assert diagnostics.mcse_mean(x) == 0.0
    assert diagnostics.ess_bulk(x) == x.size
    assert diagnostics.r_hat(x * np.arange(4.0)[:, None]) > 1e6  # chains that stand apart
