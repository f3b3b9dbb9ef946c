"""The mean of a function of a random direction, by regression on controls of known mean.

With f_l = f(theta_l) and controls c_l whose mean over the sphere is zero, the estimate of E f is
the intercept of the least-squares fit of f on (1, c). Its error comes from the residuals when the
block of a direction is left out: for independent directions (blocks of one) this is the
heteroscedasticity-consistent formula HC3, for dependent directions (nearly) the jackknife over
blocks. Leaving blocks out also gives an unbiased estimate (`cross_fit`), at no extra cost.

With few directions least squares follows the largest residuals of its own sample, which are typical
of images; this biases the estimate and makes its error too small. Below `MANY` directions the
family "quadratic" is therefore cross-fitted, with the larger of two errors: the one above, and that
of the mean of the cross-fitted values. Its interval, and that of "bures" on independent directions,
has the degrees of freedom of a sum of unequal squares (Satterthwaite). The families with more
controls need neither: leaving a direction out makes their errors too large.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dgeqp3, dorgqr, dtrtrs

from randla._typing import Array
from randla.transport._controls.control_variates import PAPER

_RANK_TOLERANCE = 1e-10
_CONSTANT = 1e-11  # a control that varies by less, relative to its size, is a constant
_EXPLAINED = 1e-6  # residual over spread of the costs, below which a single control explains all
_SMALL = 1e-100  # costs
_COMPARABLE = 0.5  # error of the known means over the statistical error, from which it matters

#: Directions from which least squares and its error need no correction.
MANY = 128


@dataclass(frozen=True, eq=False)
class Fit:
    """An estimate of a mean, with its error.

    Coefficients are zero for controls that were dropped because they are collinear or constant, or
    because their means are not known accurately enough.
    """

    estimate: float  # the intercept, or the cross-fitted estimate
    standard_error: float  # with the errors of the known means
    degrees_of_freedom: float
    coefficients: Array  # (k,), of the controls

    def divided_by(self, scale: float) -> "Fit":
        """The fit of the costs divided by `scale`."""
        estimate, error = self.estimate / scale, self.standard_error / scale
        return Fit(estimate, error, self.degrees_of_freedom, self.coefficients / scale)


def fit(
    f: Array,
    controls: Array,
    sizes: Array,
    mean_errors: Array | None = None,
    *,
    block: int = 1,
    family: str | None = None,
    cross_fit: bool | None = None,
) -> Fit | None:
    """Regress costs on controls, without controls whose means add more error than they remove.

    Parameters
    ----------
    f : (L,) ndarray
    controls : (L, k) ndarray
        Minus their means.
    sizes : (k,) ndarray
        Typical size of each control before its mean was subtracted.
    mean_errors : (k,) ndarray, optional
        Errors of these means; none by default. The product with the coefficient of a control is an
        error of the estimate that more directions do not reduce.
    block : int
        Consecutive directions that depend on each other; divides L, at least two blocks.
    family : str, optional
        Name of the family of controls. "lower" and "upper" are one control, with the coefficient of
        Nguyen and Ho (2024), section 3, which has the known mean of the control in its denominator.
        If the costs are a linear function of it, the coefficient of least squares is used, and the
        error is zero.
    cross_fit : bool, optional
        Leave the block of a direction out of the coefficients that it is used with. By default
        for "quadratic" below `MANY` directions.

    Returns
    -------
    Fit or None
        None if leaving out some block makes the controls collinear.
    """
    scale = _scale_of(f)
    how = block, family, cross_fit
    fitted = _regress(f * scale, controls, sizes, *how)
    if fitted is None or mean_errors is None or not mean_errors.any():
        return fitted and fitted.divided_by(scale)
    statistical = fitted.standard_error
    known = math.hypot(*(fitted.coefficients * mean_errors))  # errors of the means are independent
    fitted = replace(fitted, standard_error=math.hypot(statistical, known))
    if known > _COMPARABLE * statistical:  # is it better without these controls?
        exact = mean_errors == 0.0
        how = block, "quadratic" if family == "bures" else family, cross_fit
        other = _regress(f * scale, controls[:, exact], sizes[exact], *how)
        if other is not None and other.standard_error < fitted.standard_error:
            coefficients = np.zeros(len(sizes))
            coefficients[exact] = other.coefficients
            fitted = replace(other, coefficients=coefficients)
    return fitted.divided_by(scale)


def plain_mean(f: Array, block: int = 1) -> Fit:
    """Mean of the costs, with its error from the spread over blocks (0 if there is one block)."""
    n_blocks, scale = len(f) // block, _scale_of(f)
    means = f * scale if block == 1 else (f * scale).reshape(n_blocks, block).mean(axis=1)
    estimate = float(means.sum()) / n_blocks  # means of blocks: independent, of one law
    if n_blocks == 1:
        return Fit(estimate / scale, 0.0, math.inf, np.empty(0))
    deviations = means - estimate
    variance = float(deviations @ deviations) / (n_blocks - 1)
    error = math.sqrt(variance / n_blocks)  # of the mean
    return Fit(estimate, error, n_blocks - 1.0, np.empty(0)).divided_by(scale)


def _scale_of(f: Array) -> float:
    """A power of two that makes squares of the costs stay in range; one for ordinary costs."""
    largest = float(np.abs(f).max())
    small = 0.0 < largest < _SMALL
    return math.ldexp(1.0, min(-math.frexp(largest)[1], 1000)) if small else 1.0


def fit_or_mean(
    f: Array,
    controls: Array,
    sizes: Array,
    mean_errors: Array,
    *,
    limit: float = math.inf,
    block: int = 1,
    **options: Any,
) -> tuple[Fit, bool]:
    """`fit`, and True; or the plain mean, and False, if that is better or the only choice.

    The plain mean is chosen if leaving out some block makes the controls collinear, or if the error
    with controls is more than `limit` times the plain error. (Two estimates of the same error
    rarely differ by a factor of two, so that such a choice does not affect intervals.)
    """
    plain = plain_mean(f, block)  # without controls
    fitted = fit(f, controls, sizes, mean_errors, block=block, **options)
    if fitted is None or fitted.standard_error / limit > plain.standard_error:  # limit may be inf
        return plain, False
    return fitted, True


def _regress(
    f: Array, controls: Array, sizes: Array, block: int, family: str | None, cross_fit: bool | None
) -> Fit | None:
    """`fit` with exact means of the controls, for costs whose squares are in range."""
    if controls.shape[1] == 0:
        return plain_mean(f, block)
    L, n_blocks = len(f), len(f) // block
    is_small = L < MANY
    corrected = is_small and family == "quadratic"
    line = _least_squares(f, controls, sizes)
    basis, rank = line.basis, line.basis.shape[1]
    if family in PAPER and rank > 0 and line.unexplained > _EXPLAINED:
        line = _papers_line(f, controls[:, 0], basis)
    else:
        family = None if family in PAPER else family
    deleted = _deleted(line.residual, basis, block)  # r_l / (1 - h_l) for blocks of one
    if deleted is None:
        return None
    # the effect of leaving out each block on the estimate: w_l r_l / (1 - h_l)
    changes = (line.weights * deleted).reshape(n_blocks, block).sum(axis=1)
    variance, freedom = (n_blocks - 1) / n_blocks * float(changes @ changes), L - 1.0 - rank
    if block > 1:
        # Residuals of one variance make the jackknife's larger by 1 + k / L, and its intervals also
        # have few degrees of freedom: with half of it they were neither too wide nor too narrow.
        variance, freedom = variance * (1.0 - 0.5 * rank / L), n_blocks - 1.0
    if corrected or (is_small and family == "bures" and block == 1):
        freedom = min(freedom, _freedom(changes))
    estimate = line.estimate
    if cross_fit if cross_fit is not None else corrected:
        # z_l: the costs less the controls, with the coefficients of all other blocks
        crossed = estimate - changes + deleted.reshape(n_blocks, block).mean(axis=1)
        estimate = crossed.mean()  # unbiased: no f_l is multiplied by its own coefficients
        if corrected:
            deviations = crossed - estimate
            variance = max(variance, float(deviations @ deviations) / (n_blocks - 1) / n_blocks)
            freedom = min(freedom, _freedom(deviations))
        if family in PAPER:
            estimate = _paper_cross_fit(f, controls[:, 0], block)
    return Fit(float(estimate), math.sqrt(variance), freedom, line.coefficients)


@dataclass(frozen=True, eq=False)
class _Line:
    """A fit f = estimate + c' coefficients + residual, where estimate = sum_l weights_l f_l."""

    estimate: Any
    coefficients: Array  # (k,)
    residual: Array  # (L,)
    weights: Array  # (L,)
    basis: Array  # (L, rank), orthonormal, of the centered controls
    unexplained: float = 1.0  # norm of the residual over that of f - mean f


def _least_squares(f: Array, controls: Array, sizes: Array) -> _Line:
    """The least-squares fit on (1, c), by an orthonormal basis c - mean c = Q R."""
    basis, triangle, kept = _basis(controls, sizes)
    mean, average = f.mean(), controls.mean(axis=0)
    centered = f - mean
    projection = basis.T @ centered  # Q'(f - mean f)
    residual = centered - basis @ projection  # r
    coefficients, weights = np.zeros(controls.shape[1]), np.full(len(f), 1.0 / len(f))
    if len(kept):
        coefficients[kept] = dtrtrs(triangle, projection)[0]  # R beta = Q'(f - mean f)
        # e_1'(Z'Z)^{-1} Z' = 1'/L - (mean c)' R^{-1} Q', as E c = 0
        weights -= basis @ dtrtrs(triangle, controls[:, kept].mean(axis=0), trans=1)[0]
    norm = math.sqrt(centered @ centered)
    unexplained = math.sqrt(residual @ residual) / norm if norm > 0.0 else 0.0
    estimate = mean - average @ coefficients  # intercept at c = E c = 0
    return _Line(estimate, coefficients, residual, weights, basis, unexplained)


def _papers_line(f: Array, c: Array, basis: Array) -> _Line:
    """The fit on one control with the coefficient of Nguyen and Ho (2024), section 3:
    sum (f - mean f) c / sum c^2.
    """
    squares, average = c @ c, c.mean()  # about the known mean, zero, not about `average`
    weights = 1.0 / len(f) - average * (c - average) / squares
    coefficient = (f - f.mean()) @ c / squares
    estimate = f.mean() - coefficient * average
    return _Line(estimate, np.array([coefficient]), f - estimate - coefficient * c, weights, basis)


def _freedom(terms: Array) -> float:
    """Degrees of freedom of the sum of squares of independent terms of unequal size.

    Satterthwaite's 2 E^2 / Var of the sum, with L times the sample variance of the squares as Var:
    about the number of terms if these are normal, and at least 2.
    """
    L, largest = len(terms), np.abs(terms).max()
    if largest == 0.0:
        return math.inf
    squares = (terms / largest) ** 2  # in a unit in which squares stay in range
    total = float(squares.sum())
    deviations = squares - total / L
    squares_about = float(deviations @ deviations)
    return 2.0 * total**2 * (L - 1) / (L * squares_about) if squares_about > 0.0 else math.inf


def _basis(controls: Array, sizes: Array) -> tuple[Array, Array, NDArray[np.intp]]:
    """Orthonormal basis Q of the centered columns, R and the columns kept: c[:, kept] = Q R."""
    L = len(controls)
    centered = controls - controls.mean(axis=0)  # orthogonal to the constant
    norms = np.sqrt(np.einsum("lk,lk->k", centered, centered))
    varying = np.flatnonzero(norms > _CONSTANT * sizes * math.sqrt(L))  # more than rounding
    none = np.empty((L, 0)), np.empty((0, 0)), np.empty(0, np.intp)
    if not len(varying):
        return none
    norms = norms[varying]
    # pivoted QR; SciPy's wrappers around these routines take longer than the routines
    factors, pivot, tau, _, _ = dgeqp3(centered[:, varying] / norms)
    Q, R, pivot = dorgqr(factors, tau)[0], np.triu(factors[: len(norms)]), pivot - 1
    diagonal = np.abs(R.diagonal())  # decreasing, by the pivoting
    rank = int((diagonal > _RANK_TOLERANCE * diagonal[0]).sum())
    pivot = pivot[:rank]  # columns kept, the longest first
    return Q[:, :rank], R[:rank, :rank] * norms[pivot], varying[pivot]


def _deleted(residual: Array, basis: Array, block: int) -> Array | None:
    """Residuals of each block under the fit to all other blocks: (I - H_bb)^{-1} r_b.

    H_bb = Q_b Q_b' has the rank of Q, so that the inverse is I + Q_b (I - Q_b' Q_b)^{-1} Q_b'.
    """
    L = len(residual)
    Q = np.column_stack([np.full(L, 1.0 / math.sqrt(L)), basis])  # basis of (1, c): H = Q Q'
    if block == 1:
        remainder = 1.0 - np.einsum("lk,lk->l", Q, Q)
        return None if remainder.min() < 1e-9 else residual / remainder
    Q = Q.reshape(L // block, block, -1)
    r = residual.reshape(L // block, block, 1)
    T = Q.transpose(0, 2, 1)  # Q_b'
    remainder = np.eye(Q.shape[2]) - T @ Q
    if np.linalg.eigvalsh(remainder).min() < 1e-9:
        return None
    return (r + Q @ np.linalg.solve(remainder, T @ r)).reshape(L)


def _paper_cross_fit(f: Array, c: Array, block: int) -> float:
    """Cross-fitted estimate: each block gets the paper's coefficient from all other blocks."""
    L = len(f)

    def others(x: Array) -> Array:
        return x.sum() - x.reshape(-1, block).sum(axis=1)

    n_others = L - block
    products = others(f * c) - others(f) * others(c) / n_others
    coefficients = products / others(c * c)
    return float(f.mean() - np.mean(np.repeat(coefficients, block) * c))
