"""Regression in the l_p norm for 1 < p < inf by Newton's method along a path of easier problems.

The objective is sum_i phi(r_i) with phi(r) = (r^2 + eps^2)^(p/2). For p < 2, eps falls to almost
zero: at a small p many residuals are nearly zero, where the second derivative of |r|^p is infinite.
For p > 2 the exponent rises to p. Each step follows the Newton direction to the minimum along it,
which is cheap compared with the Gram matrix, and makes the long steps possible.

The Newton direction y also yields a dual point, at no extra cost: z = phi'(r) - phi''(r) A y has
A'z = 0, and |Ax - b|_p >= b'z / |z|_q with 1/p + 1/q = 1.
"""

from dataclasses import dataclass

import numpy as np

from randla._panels import Panels
from randla._typing import Array
from randla.regression._panels.cholesky import Cholesky

#: The exponent grows by this factor from step to step.
_GROWTH = 1.5
#: Below this p the smoothing starts at the median residual and falls by this factor a step.
_SMOOTHED, _SHRINK = 1.5, 0.1
#: Smallest smoothing, relative to the median residual.
_SHARPEST = 1e-11
#: For p > 2 no row has less than this fraction of the largest curvature: at a large p a step would
#: be determined by almost no rows but the largest. A dual point is feasible for any curvatures.
FLOOR = 1e-12
#: A line search ends if the slope is this small relative to its start, and the step to the minimum
#: relative to the step so far, or after this many trials.
_SLOPE, _TRIALS = 0.3, 30
#: A step this small relative to the largest residual is at the minimum, for any length.
_STILL = 1e-16
_MAX_ITERATIONS = 200


@dataclass
class NormSolution:
    """Minimizer, residuals and a dual z of unit q-norm (both (K, PANEL)), norm and gap, cost."""

    x: Array
    residuals: Array
    z: Array
    value: float
    gap: float
    n_rows: int
    n_iterations: int


def solve_power(rows: Panels, factor: Cholesky, p: float, rtol: float) -> NormSolution:
    """Minimize |b - Ax|_p over well conditioned rows, to a relative gap.

    `factor` is that of A'A.
    """
    q = p / (p - 1.0)
    x = factor.solve(rows.transposed_product(rows.rhs))
    x += factor.solve(rows.transposed_product(rows.residuals(x)))
    r = rows.residuals(x)
    live = rows.lines(np.ones(rows.n))
    value = norm(r, p)
    if value == 0.0:
        return NormSolution(x, r, np.zeros_like(r), 0.0, 0.0, rows.n, 1)
    if p == 2.0:
        z = _projected(rows, factor, r)
        z /= norm(z, q)
        gap = max(value - float((r * z).sum()), 0.0)
        return NormSolution(x, r, z, value, gap, rows.n, 1)
    errors = np.abs(r.ravel()[: rows.n])
    middle = float(np.partition(errors, rows.n // 2)[rows.n // 2])
    middle = middle if middle > 0.0 else float(errors.mean())
    sharpest = _SHARPEST * middle if p < 2.0 else 0.0
    eps = middle if p < _SMOOTHED else sharpest
    exponent = min(p, 2.0 * _GROWTH) if p > 2.0 else p
    best, z_best = -np.inf, np.zeros_like(r)
    n_iterations = 0
    while n_iterations < _MAX_ITERATIONS:
        n_iterations += 1
        unit = float(np.abs(r).max())
        slope, curvature = derivatives(r / unit, exponent, eps / unit)
        if p > 2.0:
            curvature = np.maximum(curvature, FLOOR * float(curvature.max()))
        slope, curvature = slope * live, curvature * live
        # (A' diag(phi'') A) y = A'phi'; z = phi' - phi'' A y has A'z = 0.
        y = Cholesky(rows.gram(curvature)).solve(rows.transposed_product(slope))
        step = -rows.residuals(y, np.zeros_like(r))  # A y
        z = _projected(rows, factor, slope - curvature * step)
        norm_z = norm(z, q)  # Hoelder: z'r <= |z|_q |r|_p
        bound = float((r * z).sum()) / norm_z if norm_z > 0.0 else 0.0
        if bound > best:
            best, z_best = bound, z / norm_z
        length = _line_search(r / unit, step, live, exponent, eps / unit)
        moved = r - length * unit * step
        if not norm(moved, exponent) <= 2.0 * norm(r, exponent):  # digits exhausted
            break
        x, r = x + length * unit * y, moved
        value = norm(r, p)
        if exponent == p and value - best <= rtol * value:
            break
        good = _SLOPE < length < 1.0 / _SLOPE or float(np.abs(step).max()) <= _STILL
        exponent = min(p, exponent * (_GROWTH if good else 1.0))
        eps = max(sharpest, eps * (_SHRINK if good else 0.5))
    return NormSolution(x, r, z_best, value, max(value - best, 0.0), rows.n, n_iterations)


def norm(r: Array, p: float) -> float:
    """The l_p norm without overflow; p may be inf."""
    magnitudes = np.abs(r)
    largest = float(magnitudes.max(initial=0.0))
    if largest == 0.0 or p == np.inf:
        return largest
    with np.errstate(divide="ignore"):
        powers = np.exp(p * np.log(magnitudes / largest))
    return largest * float(np.exp(np.log(powers.sum()) / p))


def derivatives(r: Array, p: float, eps: float) -> tuple[Array, Array]:
    """First and second derivative of (r^2 + eps^2)^(p/2) / p."""
    if p == 2.0:  # also where r = 0
        return r, np.ones_like(r)
    square = r * r
    total = square + eps * eps
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        weight = np.exp((0.5 * p - 1.0) * np.log(total))
        curvature = weight * ((p - 1.0) * square + eps * eps) / total
    return weight * r, np.where(total > 0.0, curvature, 0.0)


def _projected(rows: Panels, factor: Cholesky, z: Array) -> Array:
    """Take from z its component in the range of A, which rounding left there."""
    for _ in range(2):
        z = z + rows.residuals(factor.solve(rows.transposed_product(z)), np.zeros_like(z))
    return z


def _line_search(r: Array, step: Array, live: Array, p: float, eps: float) -> float:
    """A length t that nearly minimizes the smoothed sum at r - t step, by safeguarded Newton."""
    first, _ = derivatives(r, p, eps)
    start = -float((step * first * live).sum())
    reach = 1.0 + float(live.sum()) ** (1.0 / p)  # beyond it one residual exceeds the norm
    longest = min(max(4.0, p), reach / max(float(np.abs(step).max()), 1e-300))
    t, low, high = min(1.0, longest), 0.0, np.inf
    for trial in range(_TRIALS):
        slope, curvature = derivatives(r - t * step, p, eps)
        derivative = -float((step * slope * live).sum())
        second = float((step * step * curvature * live).sum())
        if abs(derivative) <= _SLOPE * min(abs(start), second * t):
            break
        low, high = (t, high) if derivative < 0.0 else (low, t)
        guess = t - derivative / second if second > 0.0 else np.inf
        if high == np.inf:  # at a large p the parabola of one row ignores the others
            guess = max(guess, 2.0 * t) if trial > 1 else guess
        elif not low < guess < high:
            guess = 0.5 * (low + high)
        if t == longest and high == np.inf:
            break
        t = min(guess, 4.0 * t, longest)
    return t
