"""The function behind the adapters of JAX and PyTorch: power, error and derivatives in one pass."""

from typing import Any, NamedTuple

import numpy as np

from randla._validation import as_count, as_number
from randla.transport._directions.designs import as_design
from randla.transport._gradient import sliced_wasserstein_gradient
from randla.transport._projections.projector import MAX_POWER

_NAMES = ("p", "n_projections", "directions")


def check_options(options: dict[str, Any], x_shape: tuple[int, ...], y_shape: Any) -> None:
    """Raise the errors of a call before a framework wraps them into its own."""
    unknown = set(options) - set(_NAMES)
    if unknown:
        listed = ", ".join(map(repr, _NAMES))
        raise TypeError(f"options must be among {listed}, got {min(unknown)!r}")
    for name, shape in (("X", x_shape), ("Y", y_shape)):
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"{name} must be a non-empty cloud (n, d), got shape {tuple(shape)}")
    if x_shape[1] != y_shape[1]:
        raise ValueError(
            f"Y must have points of dimension {x_shape[1]}, like X, got shape {tuple(y_shape)}"
        )
    as_number(options.get("p", 2), "p", low=1.0, high=MAX_POWER)
    n = options.get("n_projections")
    n = None if n is None else as_count(n, "n_projections")
    as_design(options.get("directions", "auto"), x_shape[1], n, np.uint64(0))


class Derivatives(NamedTuple):
    """SW_p^p, its standard error (NaN for given directions), and derivatives (or None)."""

    power: Any
    error: Any
    of_x: Any
    of_y: Any
    of_a: Any
    of_b: Any


def derivatives(
    arrays: list[Any], seed: Any, options: dict[str, Any], wanted: tuple[bool, ...]
) -> Derivatives:
    """Evaluate at arrays X, Y, a, b, of which the last two may be None; `wanted` lists those to
    differentiate by. Weights are scaled to sum 1 afterwards, and the derivatives include that.
    """
    X, Y, a, b = arrays
    of_x, of_y, of_a, of_b = wanted
    wrt: Any = "both" if of_x and of_y else "Y" if of_y else "X"
    weights = of_a or of_b
    result = sliced_wasserstein_gradient(
        X, Y, a, b, wrt=wrt, weights=weights, rng=int(seed), **options
    )
    error = result.power_standard_error
    return Derivatives(
        result.power,
        np.nan if error is None else error,
        result.gradient if of_x else None,
        (result.gradient if wrt == "Y" else result.gradient_Y) if of_y else None,
        result.weight_gradient / np.sum(a) if of_a else None,
        result.weight_gradient_Y / np.sum(b) if of_b else None,
    )
