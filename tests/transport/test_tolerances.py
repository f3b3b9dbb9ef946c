"""Runs that grow until the interval is as narrow as was asked for."""

import warnings

import pytest

from randla.transport import FewProjectionsWarning, sliced_wasserstein
from randla.transport._projections.costs import ProjectedCosts
from tests.transport.reference import clouds


@pytest.mark.parametrize("design", ["iid", "orthogonal", "rqmc", "auto"])
@pytest.mark.parametrize("control", [None, "quadratic", "auto"])
def test_tolerances_are_met(design, control):
    X, Y = clouds("mix", 3, 60)
    result = sliced_wasserstein(
        X, Y, rtol=0.02, control_variate=control, directions=design, max_projections=20_000, rng=1
    )
    assert result.converged
    low, high = result.confidence_interval()
    assert 0.5 * (high - low) <= 0.02 * result.value
    truth = sliced_wasserstein(X, Y, n_projections=2000, rng=2).value
    assert abs(result.value - truth) < 0.06 * truth


def test_the_projections_run_out():
    X, Y = clouds("mix", 5, 40)
    with pytest.warns(FewProjectionsWarning, match=r"stopped at 300 projections \(max_projections"):
        result = sliced_wasserstein(X, Y, atol=1e-9, max_projections=300, rng=1)
    assert not result.converged
    assert result.n_projections == 300
    assert sliced_wasserstein(X, X, atol=0.0, rng=1).converged


@pytest.mark.parametrize("control", ["quartic", "harmonics", (lambda t: t[:, :3] ** 2, [0.2] * 3)])
def test_a_run_that_grows_warns_only_of_controls_that_it_lacks_at_the_end(control):
    X, Y = clouds("mix", 5, 40)
    options = {"n_projections": 2, "control_variate": control, "directions": "iid", "rng": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = sliced_wasserstein(X, Y, rtol=5e-3, **options)
    assert result.control_variate == (control if isinstance(control, str) else "custom")
    with pytest.warns(FewProjectionsWarning) as caught:
        sliced_wasserstein(X, Y, rtol=1e-9, max_projections=12, **options)
    assert ["stopped" in str(w.message) for w in caught] == [True, False]


def test_a_tolerance_out_of_reach():
    X, Y = clouds("mix", 5, 40)
    with pytest.warns(FewProjectionsWarning, match="what rtol and atol allow"):
        result = sliced_wasserstein(X, Y, rtol=1e-300, max_projections=100, rng=1)
    assert (result.converged, result.n_projections) == (False, 100)


def test_an_adaptive_run_is_a_longer_run():
    X, Y = clouds("mix", 5, 40)
    adaptive = sliced_wasserstein(X, Y, rtol=0.01, directions="iid", rng=1)
    assert adaptive.n_projections > 64
    plain = sliced_wasserstein(X, Y, n_projections=adaptive.n_projections, directions="iid", rng=1)
    assert adaptive.value == pytest.approx(plain.value, rel=1e-12)


@pytest.mark.parametrize("d", [5, 70])
def test_costs_are_kept_where_more_controls_become_affordable(d, monkeypatch):
    X, Y = clouds("mix", d, 40)
    drawn, costs = [], ProjectedCosts.__call__

    def counted(self, theta, variances=None):
        drawn.append(len(theta))
        return costs(self, theta, variances)

    monkeypatch.setattr(ProjectedCosts, "__call__", counted)
    options = {"directions": "iid", "control_variate": "auto", "rng": 1}
    result = sliced_wasserstein(X, Y, rtol=0.003, n_projections=24, **options)
    assert sum(drawn) == result.n_projections > 48
    plain = sliced_wasserstein(X, Y, n_projections=result.n_projections, **options)
    assert len(result.coefficients) == len(plain.coefficients) > 3
    assert result.value == pytest.approx(plain.value, rel=1e-12)
