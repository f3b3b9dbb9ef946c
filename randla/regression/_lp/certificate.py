r"""Lower bounds of a regression that hold in exact arithmetic.

Let f be the loss, a norm or a sum of pinball losses, and z a dual point: :math:`z^T r \le f(r)` for
every r. With :math:`r_0 = b - A x_0` and :math:`e = A^T z`, every x has

.. math:: f(b - Ax) \ge z^T r_0 - e^T (x - x_0), \qquad
          |e^T (x - x_0)| \le h\, (\|b - Ax\|_2 + \|r_0\|_2), \quad h = \|T^T e\|_2,

where T makes the columns of A T, or of some of its rows, orthonormal. As
:math:`\|r\|_2 \le c f(r)`, the least loss F is at least
:math:`(z^T r_0 - h c f(r_0)) / (1 + h c) \ge z^T r_0 - 2 h c f(r_0)`. So no e need be zero. It is
summed in twice the precision, so that h is the rounding error of z itself, whatever the condition
of A. To that come the rounding errors of the residuals (Higham, "Accuracy and Stability of
Numerical Algorithms", 2002, section 3.1).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._tall.whitening import Whitening, is_proven
from randla._typing import Array
from randla.regression._quantile.weighted import PART_ENTRIES, Conditioned

_UNIT = 0.5 * float(np.finfo(np.float64).eps)
#: Sums over all rows and powers have at most so many roundings.
_ROUNDINGS = 1024.0
#: Rounding errors of residuals beyond this share of the loss are worth another look.
_SHARE = 1e-11


@dataclass(frozen=True)
class Span:
    """What is known of the columns of A.

    Attributes
    ----------
    transform : (d, r) ndarray
        ``|A transform v| >= 0.9 |v|`` for every v.
    scale : (d,) ndarray
        Powers of two that bring the columns of A to a size of one.
    rank : int
    certified : bool
        Whether that is proven, and all other columns depend exactly.
    doubtful : bool
        Whether columns were left out that are more than rounding errors.
    """

    transform: Array
    scale: Array
    rank: int
    certified: bool
    doubtful: bool = False


def span_of(problem: Conditioned) -> Span:
    """That of conditioned rows."""
    T = problem.transform @ problem.factor.whitener().T
    rank = T.shape[1] if T.any() else 0
    return Span(T, problem.scale, rank, problem.proven, problem.doubtful)


def span_of_whitening(white: Whitening, scale: Array) -> Span:
    """That of a matrix whose columns have been multiplied by `scale`."""
    d, rank = white.transform.shape
    certified = rank == d and is_proven(white)
    return Span(scale[:, None] * white.transform, scale, rank, certified, white.left_out)


@dataclass(frozen=True)
class Proof:
    """The loss at x, its gap with all that rounding may have done to it, and the share of that."""

    value: float
    gap: float
    rounding: float


def prove(
    span: Span,
    parts: list[tuple[Any, Any]],
    x: Array,
    value: float,
    gap: float,
    c: float,
    measure: Callable[[list[Array], list[Array]], tuple[float, float]] | None = None,
) -> Proof:
    """Prove the gap of `parts`, each `Rows` (or the like) and a dual point; ``|r|_2 <= c f(r)``.

    ``measure(residuals, duals)`` gives loss and gap, for residuals that are right to the last digit
    where those behind `value` and `gap` are not good enough.
    """
    if span.doubtful:  # the bound 0 holds whatever the rank
        return Proof(value, value, 0.0)
    parts = [(rows, z) for rows, z in parts if rows.n]
    total, rounded, sizes = np.zeros((3, len(x)))
    reach = 0.0
    for rows, z in parts:
        sums, size, products = rows.dual_sums(z, span.scale)
        total, rounded = total + sums, rounded + np.abs(sums)
        sizes, reach = sizes + size, reach + products
    rounding = (len(x) + 2.0) * _UNIT * (reach + float(sizes @ np.abs(x / span.scale)))
    if rounding > _SHARE * value and measure is not None:
        residuals = [rows.accurate_residuals(x, span.scale) for rows, _ in parts]
        value, gap = measure(residuals, [z for _, z in parts])
        rounding = 0.0
    longest = max(min(rows.n, PART_ENTRIES // len(x) + 1) for rows, _ in parts)
    error = 2.0 * _UNIT * rounded + (4.0 * longest * _UNIT) ** 2 * sizes
    T = (span.transform / span.scale[:, None]).T
    h = float(np.linalg.norm(T @ total) + np.linalg.norm(np.abs(T) @ error))
    rounding += _ROUNDINGS * _UNIT * (value + gap)
    proven = gap + rounding + 2.25 * c * h * value
    if not proven < value:  # also where numbers leave the range
        return Proof(value, value, 0.0)
    return Proof(value, proven, rounding)


def loss_and_gap(tau: float, residuals: list[Array], duals: list[Array]) -> tuple[float, float]:
    """Sums of pinball losses, and of their differences from the dual terms."""
    r, z = np.concatenate(residuals), np.concatenate(duals)
    loss = np.maximum(tau * r, (tau - 1.0) * r)
    return float(loss.sum()), float((loss - z * r).sum())
