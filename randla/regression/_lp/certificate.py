r"""Lower bounds of a regression that hold in exact arithmetic.

Let f be the loss, a norm or a sum of pinball losses, and z a dual point: :math:`z^T r \le f(r)` for
every r. With :math:`r_0 = b - A x_0` and :math:`e = A^T z`, every x has

.. math:: f(b - Ax) \ge z^T r_0 - e^T (x - x_0), \qquad
          |e^T (x - x_0)| \le h\, (\|b - Ax\|_2 + \|r_0\|_2), \quad h = \|T^T e\|_2,

where T makes the columns of A T, or of some of its rows, orthonormal. As
:math:`\|r\|_2 \le c f(r)`, the least loss F is at least
:math:`(z^T r_0 - h c f(r_0)) / (1 + h c) \ge z^T r_0 - 2 h c f(r_0)`. So e need not be zero. It is
summed in twice the precision, so that h is the rounding error of z itself, for any condition number
of A. The rounding errors of the residuals are added (Higham, "Accuracy and stability of numerical
algorithms", 2nd edition, SIAM (2002), section 3.1).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from randla._tall.whitening import Whitening, is_proven
from randla._typing import Array
from randla.regression._panels.weighted_data import PART_ENTRIES, Conditioned

_UNIT = 0.5 * float(np.finfo(np.float64).eps)
#: Sums over all rows and powers have at most this many rounding errors.
_ROUNDINGS = 1024.0
#: Rounding errors of residuals above this fraction of the loss are recomputed.
_SHARE = 1e-11


@dataclass(frozen=True)
class Span:
    """What is known about the columns of A.

    Attributes
    ----------
    transform : (d, r) ndarray
        ``|A transform v| >= 0.9 |v|`` for every v.
    scale : (d,) ndarray
        Powers of two that scale the columns of A to size one.
    rank : int
    certified : bool
        Whether this is proven, and all other columns depend exactly.
    doubtful : bool
        Whether columns were left out that exceed rounding errors.
    """

    transform: Array
    scale: Array
    rank: int
    certified: bool
    doubtful: bool = False


def span_of(problem: Conditioned) -> Span:
    """The span of conditioned rows."""
    T = problem.transform @ problem.factor.whitener().T
    rank = T.shape[1] if T.any() else 0
    return Span(T, problem.scale, rank, problem.proven, problem.doubtful)


def span_of_whitening(white: Whitening, scale: Array) -> Span:
    """The span of a matrix whose columns have been multiplied by `scale`."""
    d, rank = white.transform.shape
    certified = rank == d and is_proven(white)
    return Span(scale[:, None] * white.transform, scale, rank, certified, white.left_out)


@dataclass
class Fit:
    """One regression: x (d,), dual of the weighted rows (n,), loss and proven gap, and the cost.

    `rank` and `certified` are those of its `Span`; `rounding` bounds the part of the gap due to
    rounding errors of the residuals.
    """

    x: Array
    z: Any
    value: float
    gap: float
    method: str
    n_rows: int
    n_iterations: int
    rank: int = 0
    certified: bool = True
    rounding: float = 0.0


def prove(
    span: Span,
    fit: Fit,
    parts: list[tuple[Any, Any]],
    c: float,
    measure: Callable[[list[Array], list[Array]], tuple[float, float]] | None = None,
) -> Fit:
    """The fit with a proven gap, from rows in `parts`, each with its dual; ``|r|_2 <= c f(r)``.

    A part is `WeightedData` or a similar object. ``measure(residuals, duals)`` gives loss and gap,
    from fully accurate residuals if those of the fit are not accurate enough. A dual point that
    proves nothing becomes zero.
    """
    value, gap, x = fit.value, fit.gap, fit.x
    fit = replace(fit, rank=span.rank, certified=span.certified)
    if span.doubtful:  # the bound 0 holds for any rank
        return replace(fit, z=np.zeros_like(fit.z), gap=value)
    parts = [(data, z) for data, z in parts if data.n]
    total, rounded, terms = np.zeros((3, len(x)))
    reach = 0.0
    for data, z in parts:
        sums, part_terms, products = data.dual_sums(z, span.scale)
        total, rounded = total + sums, rounded + np.abs(sums)
        terms, reach = terms + part_terms, reach + products
    # Rounding errors of r = b - A x in z'r: (d + 2) u (|b|'|z| + |z|'|A| |x|).
    rounding = (len(x) + 2.0) * _UNIT * (reach + float(terms @ np.abs(x / span.scale)))
    if rounding > _SHARE * value and measure is not None:
        residuals = [data.accurate_residuals(x, span.scale) for data, _ in parts]
        value, gap = measure(residuals, [z for _, z in parts])
        rounding = 0.0
    longest = max(min(data.n, PART_ENTRIES // len(x) + 1) for data, _ in parts)
    error = 2.0 * _UNIT * rounded + (4.0 * longest * _UNIT) ** 2 * terms  # of Dot2
    T = (span.transform / span.scale[:, None]).T
    h = float(np.linalg.norm(T @ total) + np.linalg.norm(np.abs(T) @ error))  # |T'A'z|
    rounding += _ROUNDINGS * _UNIT * (value + gap)
    proven = gap + rounding + 2.25 * c * h * value  # 2 h c f(r_0), with |A T v| >= 0.9 |v|
    if not proven < value:  # also if numbers leave the range
        return replace(fit, z=np.zeros_like(fit.z), value=value, gap=value)
    return replace(fit, value=value, gap=proven, rounding=rounding)
