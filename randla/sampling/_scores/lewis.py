"""Lewis weights: the change of density that makes the l_p norm comparable to a Euclidean norm.

The fixed point w_i = leverage_i(W^(1/2 - 1/p) A) is solved in log w. With the residual
r = log(leverage / w), a step w <- w exp(eta r) has, to first order, the Jacobian
I - eta (I - beta (I - P)) with beta = 1 - 2/p and P similar to a positive semidefinite matrix of
norm 1. Its eigenvalues lie between 1 - eta and 1 - 2 eta / p, so that

* eta = p/2 (Cohen and Peng) removes every direction in the kernel of P, almost all of them, in one
  step, and contracts the maximum norm of the residual by |1 - p/2| for p < 4;
* eta = 2p/(p + 2) has the best guaranteed factor, |p - 2|/(p + 2), for every p.

Anderson mixing of the last few steps reduces the rest.

Source: Cohen and Peng, "l_p row sampling by Lewis weights", STOC (2015), 183-192.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from randla._parallel import showing_progress
from randla._random import as_generator
from randla._results import warn_caller
from randla._tall.base import TallMatrix, by_blocks
from randla._tall.open import open_tall
from randla._tall.whitening import whiten
from randla._typing import Array
from randla._validation import as_count, as_flag, as_number
from randla.sampling._scores.anderson import AndersonAcceleration
from randla.sampling._scores.lewis_form import ROUNDED, LewisState, first_whitening, solve_form
from randla.sampling._scores.result import UNKNOWN, NotConvergedWarning, Scores

#: Rounding error of scores that sampling may still detect: hundreds of millions of rows.
SAMPLING_ROUNDING = 1e-9
#: Maximum number of leverage computations, for sampling.
ITERATIONS = 200
_LEAST_NORM = 2.0**-1000  # scale of a row among much longer ones: its weight stays a number


def lewis_weights(
    A: ArrayLike,
    p: float,
    *,
    rtol: float = 1e-6,
    max_iterations: int = 200,
    progress: bool = False,
    rng: Any = None,
) -> Scores:
    r"""Compute the Lewis weights of the rows of a matrix, for any power p > 0.

    The unique :math:`w > 0` (on rows that are not zero) with

    .. math:: w_i = \tau_i(W^{1/2 - 1/p} A), \qquad
              w_i^{2/p} = a_i^T (A^T W^{1 - 2/p} A)^{+} a_i,

    where :math:`\tau_i` are leverage scores. They add up to the rank of `A` and bound the
    sensitivities of :func:`lp_sensitivities`: :math:`d^{p/2 - 1} w_i \le s_i \le w_i` for
    :math:`p \le 2`, and the reverse for :math:`p \ge 2`.

    Parameters
    ----------
    A : (n, d) array_like, sparse matrix, or Dask array
        Real and finite, in any memory order.
    p : float
        0 < p < inf. At p = 2 the weights are the leverage scores.
    rtol : float
        The iteration ends when :math:`\max_i |\log(\tau_i / w_i)|` is at most `rtol` (0.1 is enough
        for sampling).
    max_iterations : int
        Maximum number of leverage computations.
    progress : bool
        Show a progress bar for each long pass over the rows (needs tqdm).
    rng : {None, int, SeedSequence, Generator}, optional
        Not used; accepted for consistency with the other score functions.

    Returns
    -------
    Scores
        `residual` is :math:`\max_i |\log(\tau_i / w_i)|`, including its rounding error; `lower` and
        `upper` enclose the exact weights.

    Warns
    -----
    NotConvergedWarning
        If `rtol` was not reached; `certified` is then False.

    Raises
    ------
    ValueError, TypeError
        If `A` is not real, 2-D, finite and non-empty, or an option is out of range.

    See Also
    --------
    leverage_scores, lp_sensitivities, sample_rows

    Notes
    -----
    Each iteration is one weighted Gram matrix and one product, as in `leverage_scores`. For p < 4
    the fixed-point map is a contraction of log w in the maximum norm with factor
    :math:`|1 - p/2|` [1]_, which makes the weights unique (also for p < 1) and turns the residual
    :math:`\delta` into a bound of the error of log w: :math:`\delta` for :math:`p \le 2`,
    :math:`p \delta / (4 - p)` for :math:`2 < p < 4`. For larger p the weights are the minimizer
    of a convex function, whose monotone gradient gives such a bound, too.

    References
    ----------
    .. [1] Cohen and Peng, "l_p row sampling by Lewis weights", STOC (2015), 183-192.

    Examples
    --------
    The weight of three equal rows is shared evenly:

    >>> import numpy as np
    >>> from randla.sampling import lewis_weights
    >>> w = lewis_weights([[1.0, 0.0], [0.0, 2.0], [0.0, 2.0], [0.0, 2.0]], p=1)
    >>> np.round(np.asarray(w), 6)
    array([1.      , 0.333333, 0.333333, 0.333333])
    """
    p = as_number(p, "p", low=0.0, closed="neither")
    rtol = as_number(rtol, "rtol", low=0.0, closed="neither")
    max_iterations = as_count(max_iterations, "max_iterations")
    as_generator(rng)
    bars = showing_progress("lewis_weights", as_flag(progress, "progress"))
    tall = open_tall(A)
    with bars:
        state = solve_lewis(tall, p, rtol, max_iterations, rounding=min(1e-2 * rtol, 1e-4))
        warn_unless_converged(state, rtol)
        residual = state.residual if state.rank_is_certain else math.inf  # no bound
        spread = log_error(p, residual, state.white.rank)  # of log w
        values = tall.map_vectors(_weights, state.log_weights)
    return Scores.of(
        values,
        math.exp(spread) if spread < 700.0 else UNKNOWN,
        kind="lewis",
        p=p,
        certified=residual <= rtol,
        residual=residual,
        n_iterations=state.n_iterations,
    )


def sampling_weights(tall: TallMatrix, p: float, rtol: float) -> Any:
    """Lewis weights to within `rtol`, the same for a Dask array (then lazy) as in memory."""
    state = solve_form(tall, p, rtol, ITERATIONS, SAMPLING_ROUNDING, weights_only=True)
    warn_unless_converged(state, rtol)
    return tall.map_vectors(_weights, state.log_weights)


def _weights(first: int, log_weights: Array) -> Array:
    return np.minimum(np.exp(log_weights), 1.0)


def warn_unless_converged(state: LewisState, rtol: float) -> None:
    """Warn that the iteration ended too early."""
    if not state.residual <= rtol:
        warn_caller(
            f"Lewis weights reached a residual of {state.residual:.1e}, not rtol={rtol:g}, in "
            f"{state.n_iterations} iterations; their bounds are still valid",
            NotConvergedWarning,
        )


def solve_lewis(
    tall: TallMatrix, p: float, rtol: float, max_iterations: int, rounding: float = 1e-4
) -> LewisState:
    """Iterate until the residual, with its rounding error, is at most `rtol`.

    `rounding` is the relative error of the factors of the iteration.
    """
    if tall.lazy:  # the vectors that Anderson acceleration keeps are too long
        return solve_form(tall, p, rtol, max_iterations, rounding)
    n = tall.n
    white, is_certain = first_whitening(tall)
    first = norms = tall.row_norms(white.transform)  # roots of the leverage scores of A
    alive: Any = norms > 0.0  # zero rows do not take part in the iteration
    log_weights = np.full(n, -np.inf)  # of rows of zeros

    def at_once(residual: float, count: int) -> LewisState:
        scale = alive.astype(np.float64)
        return LewisState(log_weights, scale, norms, first, white, residual, count, is_certain)

    if white.rank == 0:
        return at_once(0.0, 0)
    if p == 2.0:  # leverage: no iteration needed
        log_weights[alive] = 2.0 * np.log(norms[alive])
        return at_once(white.error, 1)
    if int(alive.sum()) == white.rank:  # every row is indispensable: all weights are 1
        log_weights[alive] = 0.0
        return at_once(0.0, 1)
    rows = slice(None) if alive.all() else np.flatnonzero(alive)
    row_scale, top = alive.astype(np.float64), (0.5 - 1.0 / p) * math.log(white.rank / n)
    x = np.full(len(norms[rows]), math.log(white.rank / n))  # log w, equal at first
    acceleration, best = AndersonAcceleration(p, white.rank / n), None
    for iteration in range(1, max_iterations + 1):
        if iteration > 1:
            row_scale, top = _scale_of(x, p, rows, n)  # w^(1/2 - 1/p) = row_scale e^top
            white = whiten(tall, row_scale, rtol=rounding)
            norms = tall.row_norms(white.transform)  # leverage = (row_scale norms)^2
        residual, distance = _log_ratio(norms[rows], x, top, p)
        delta = distance + white.error  # the residual that can be guaranteed
        if best is None or delta < best[0]:
            best = delta, x, row_scale, norms, white  # it need not fall
        if delta <= rtol or distance <= ROUNDED * white.error:
            break
        phi = 0.0
        if p >= 4.0:  # (1 - 2/p) sum w - log det(A' W^(1 - 2/p) A), which the weights minimize
            with np.errstate(over="ignore"):  # then the step is undone
                total = np.exp(x).sum()
            phi = (1.0 - 2.0 / p) * total - white.log_det - 2.0 * white.rank * top
        x = acceleration.step(x, residual, delta, phi)  # log w + eta log(leverage / w), mixed
    assert best is not None
    delta, x, row_scale, norms, white = best
    log_weights[rows] = x
    is_certain &= white.rank_is_certain
    return LewisState(log_weights, row_scale, norms, first, white, delta, iteration, is_certain)


def _scale_of(x: Array, p: float, rows: Any, n: int) -> tuple[Array, float]:
    """``w^(1/2 - 1/p)`` of `rows`, over its largest value, and the logarithm of that."""
    power, scale = 0.5 - 1.0 / p, np.empty(len(x))  # v^(1/2) = w^power
    top = power * float(x.max() if power > 0.0 else x.min())

    def fill(block: slice) -> None:
        np.exp(power * x[block] - top, out=scale[block])  # at most 1

    by_blocks(fill, len(x))
    if len(x) == n:
        return scale, top
    row_scale = np.zeros(n)
    row_scale[rows] = scale
    return row_scale, top


def _log_ratio(norms: Array, x: Array, top: float, p: float) -> tuple[Array, float]:
    """``log(leverage / w)`` and its largest magnitude: leverage = v g, v = w^(1 - 2/p)."""
    residual = np.empty(len(x))

    def fill(block: slice) -> float:
        r = np.maximum(norms[block], _LEAST_NORM, out=residual[block])
        np.log(r, out=r)
        r -= x[block] / p + top  # log(row_scale norms) - x / 2
        r *= 2.0
        return float(np.abs(r).max())

    return residual, max(by_blocks(fill, len(x)))


def log_error(p: float, delta: float, rank: int) -> float:
    """Bound of ``|log(w / w*)|`` for weights of residual `delta` (inf if there is none).

    For p < 4: the fixed-point map moves log w by p/2 delta and contracts. For p > 2, with
    v = w^(1 - 2/p), alpha = 2/(p - 2) and y = v*/v: monotonicity of the gradient -g + v^alpha gives
    sum w (1 - y^alpha)(1 - y) <= kappa sum w |1 - y| with kappa = e^delta - 1. The left-hand side
    is at least a sum w t^2/(1 + t), t = |1 - y|, a = min(alpha, 1), so that Jensen's inequality
    bounds sum w t, which bounds the change of the quadratic form M and with it every w_i.
    """
    bounds = [math.inf]
    if p < 4.0:
        bounds.append(0.5 * p * delta / (1.0 - abs(1.0 - 0.5 * p)))  # the contraction
    if p > 2.0 and delta < 1.0:
        kappa, a = math.expm1(delta), min(2.0 / (p - 2.0), 1.0)  # monotonicity
        if kappa < a:
            change = math.exp(2.0 * delta) * rank * kappa / (a - kappa)  # of M, relative
            if change < 1.0:
                bounds.append(0.5 * p * (delta - math.log1p(-change)))
    return min(bounds)
