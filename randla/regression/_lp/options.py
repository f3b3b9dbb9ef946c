"""The arguments of `lp_regression` other than data, checked one by one and together."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._random import as_generator
from randla._typing import Array
from randla._validation import as_array, as_choice, as_count, as_number, as_power, as_vector
from randla.regression._lp.sampled import default_size

_METHODS = ("auto", "full", "preprocess", "sample")


@dataclass(frozen=True, eq=False)
class LpOptions:
    """The options, checked.

    Attributes
    ----------
    taus : list of float
        The quantiles; the median for the norm at p = 1.
    several : bool
        Whether results have a trailing axis: the quantiles, or b, came with one.
    half : float
        1/2 for the norm at p = 1, which is two pinball losses of the median, else 1.
    penalty : (d,) ndarray
    """

    p: float
    taus: list[float]
    several: bool
    half: float
    penalty: Array
    method: str
    size: int | None
    rtol: float
    generator: np.random.Generator

    @property
    def root(self) -> float:
        """Weights to this power multiply residuals."""
        return 1.0 if self.p in (1.0, np.inf) else 1.0 / self.p

    def sample_rows(self, n: int) -> int:
        """Rows of a sample of n rows."""
        d = len(self.penalty)
        return default_size(n, d, self.p) if self.size is None else min(self.size, n)


def as_options(
    n: int, d: int, p: Any, *, tau: Any, l1: Any, method: Any, size: Any, rtol: Any, rng: Any,
    column: bool, lazy: bool,
) -> LpOptions:  # fmt: skip
    """Check the options for an n x d matrix, maybe lazy, and b that may be a `column`."""
    p = as_power(p, infinite=True)
    taus, penalty = _as_taus(tau, p), _as_penalty(l1, d, p)
    as_choice(method, "method", _METHODS)
    if method == "preprocess" and p != 1.0:
        raise ValueError(f"method='preprocess' is for p = 1 and quantiles, got p = {p:g}")
    if method == "sample" and p == np.inf:
        raise ValueError("method='sample' needs p < inf, got p = inf")
    if size is not None and method != "sample":
        raise ValueError(f"size needs method='sample', got method={method!r}")
    if lazy and method == "full" and p == 1.0:
        raise ValueError(
            "method must be 'auto', 'preprocess' or 'sample' for p = 1 or quantiles of a Dask "
            "array, got 'full': use A.compute()"
        )
    if size is not None:
        size = as_count(size, "size", maximum=n, note=", the number of rows of A")
    return LpOptions(
        p=p,
        taus=taus,
        several=column or (tau is not None and np.ndim(tau) > 0),
        half=0.5 if tau is None else 1.0,  # rho_{1/2}(r) = |r| / 2
        penalty=penalty,
        method=method,
        size=size,
        rtol=as_number(rtol, "rtol", low=0.0, high=1.0, closed="neither"),
        # An exact solution must not depend on chance, not even in its last digits.
        generator=as_generator(0 if rng is None and method != "sample" else rng),
    )


def _as_taus(tau: Any, p: float) -> list[float]:
    if tau is None:
        return [0.5]
    if p != 1.0:
        raise ValueError(f"p must be 1 if tau is given, got p = {p:g}")
    if np.ndim(tau) == 0:
        return [as_number(tau, "tau", low=0.0, high=1.0, closed="neither")]
    values = as_vector(tau, "tau").astype(np.float64)
    if values.size == 0 or not ((values > 0.0) & (values < 1.0)).all():
        raise ValueError(f"tau must hold quantiles in (0, 1), at least one, got {values}")
    return [float(value) for value in values]


def _as_penalty(l1: Any, d: int, p: float) -> Array:
    values = as_array(l1, "l1").astype(np.float64)
    if values.ndim > 1 or (values.ndim == 1 and values.size != d):
        raise ValueError(f"l1 must be a number or of shape ({d},), got shape {values.shape}")
    if (values < 0.0).any():
        raise ValueError(f"l1 must be non-negative, got {values.min():g}")
    if p != 1.0 and (values > 0.0).any():
        advice = ": lstsq has ridge= instead" if p == 2.0 else ""
        raise ValueError(f"l1 must be 0 unless p = 1 or tau is given, got p = {p:g}{advice}")
    return np.broadcast_to(values, (d,)).copy()  # one a column
