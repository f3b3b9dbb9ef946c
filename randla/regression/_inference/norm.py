r"""Errors of fits in the norm l_p: the sandwich of an M-estimator, with the factors of HC3.

With :math:`\psi_i = |r_i|^{p-1} \operatorname{sign} r_i`, :math:`c_i = (p-1) |r_i|^{p-2}`,
:math:`D = \sum_i w_i c_i a_i a_i^T` and the leverages :math:`h_i = w_i c_i a_i^T D^{-1} a_i`,

.. math:: V = D^{-1} \Big(\sum_i w_i^2 \frac{\psi_i^2}{(1 - h_i)^2} a_i a_i^T\Big) D^{-1},

where a frequency w means w equal rows: w instead of w^2, and the leverage of one of them. For p <
3/2 the c_i have no mean square, above p = 3 sixth moments would have to be estimated.

Source: Huber, "Robust statistics", Wiley (1981), section 7.6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla.regression._errors.basis import Basis, Bread
from randla.regression._errors.errors import Errors
from randla.regression._errors.factors import root
from randla.regression._errors.lp_fit import LpRows
from randla.regression._errors.options import InferenceOptions
from randla.regression._resampling.bootstrap import bootstrap_norm

#: Rows with 1 - h below this determine some coefficients alone; their errors cannot be estimated.
_ALONE = 1e-10
#: Residuals, relative to a typical one, below which the second derivative is cut off.
_SMALL = 1e-12
_ASSUMED = "independent rows, sandwich with the factors of HC3"
_UNDETERMINED = "the rows, without those that stand alone, do not determine it"
_NOTE = "95% intervals covered in 88 to 95% of simulations with 100 rows"


def norm_errors(rows: LpRows, options: InferenceOptions) -> Errors:
    """The errors of one kind for the coefficients of a fit in the norm l_p, 1 < p < inf."""
    fit, data = rows.fit, rows.data
    if options.kind == "bootstrap":

        def solve(weights: Array) -> Array:
            return fit.solve(data.tall.A, data.B[:, 0], weights=weights)[:, 0] / data.b_scale

        return bootstrap_norm(data, fit.x, fit.p, solve, options)
    if fit.p < 1.5:
        raise ValueError(
            f"kind must be 'bootstrap' for 1 < p < 1.5, got {options.kind!r}: the weights of its "
            "formula have an infinite variance there"
        )
    basis = Basis.of(rows)
    F, lost = _sandwich(rows, basis)
    F[lost] = np.nan
    df, reasons = float(data.n_rows - fit.rank), dict.fromkeys(lost.tolist(), _UNDETERMINED)
    errors = Errors(
        F, np.full(fit.x.shape, df), _ASSUMED, (_NOTE,), reasons=reasons,
        unit=data.coefficient_units,
    )  # fmt: skip
    return errors.completed(basis.null)


def _sandwich(rows: LpRows, basis: Basis) -> tuple[Array, NDArray[np.intp]]:
    """Factor (d, .) for scaled coefficients, and the indices of those that have no error."""
    data, p, r, T = rows.data, rows.fit.p, basis.T.shape[1], basis.T
    if rows.is_perfect.all():
        return np.zeros((data.d, data.d)), np.empty(0, np.intp)
    loss: dict[str, Any] = {"p": p, "unit": rows.unit, "T": basis.factor}
    (D,) = data.sums(_curvatures, rows.u, data.w, shapes=[(r, r)], **loss)
    bread = Bread.of(D, data.n_rows)
    meat, D_alone = data.sums(
        _squares, rows.u, data.w, shapes=[(r, r), (r, r)], root=bread.root, repeats=data.repeats,
        **loss,
    )  # fmt: skip
    determined = bread.holds(T)
    if D_alone.any():
        determined &= Bread.of(D - D_alone, data.n_rows).holds(T)
    return rows.unit * (T @ bread.inverse @ root(meat)), np.flatnonzero(~determined)


def _rows(
    X: Array, U: Array, w: Array | None, *, p: float, unit: Array, T: Array | None
) -> tuple[Array, Array, Array, Array]:
    """Rows of X T; psi and c of residuals in their unit; weights."""
    u = np.abs(U[:, 0] / unit)
    curvature = (p - 1.0) * np.maximum(u, _SMALL) ** (p - 2.0)
    Q, weight = X if T is None else X @ T, np.ones(len(u)) if w is None else w
    return Q, u ** (p - 1.0), curvature, weight


def _curvatures(X: Array, U: Array, w: Array | None, **loss: Any) -> tuple[Array]:
    Q, _, c, weight = _rows(X, U, w, **loss)
    return (Q.T @ ((weight * c)[:, None] * Q),)


def _squares(
    X: Array, U: Array, w: Array | None, *, root: Array, repeats: bool, **loss: Any
) -> tuple[Array, Array]:
    """The sum of squared scores, and the part of D from rows that stand alone."""
    Q, psi, c, weight = _rows(X, U, w, **loss)
    of_copy = c * np.square(Q @ root).sum(axis=1)
    rest = 1.0 - (of_copy if repeats else weight * of_copy)
    alone = rest < _ALONE
    factor = np.where(alone, 0.0, psi / np.where(alone, 1.0, rest))
    m = weight if repeats else weight * weight
    return (
        Q.T @ ((m * factor * factor)[:, None] * Q),
        Q[alone].T @ ((weight * c)[alone, None] * Q[alone]),
    )
