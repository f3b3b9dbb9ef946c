"""Lewis weights: the change of density after which the l_p norm looks like a Euclidean one.

The fixed point w_i = leverage_i(W^(1/2 - 1/p) A) is solved in log w. With the residual
r = log(leverage / w), a step w <- w exp(eta r) has, to first order, the Jacobian
I - eta (I - beta (I - P)) with beta = 1 - 2/p and P similar to a positive semidefinite matrix of
norm 1. Its eigenvalues lie between 1 - eta and 1 - 2 eta / p, so that

* eta = p/2 (Cohen and Peng) removes all directions in which P vanishes, which are nearly all, at
  once, and contracts the maximum norm of the residual by |1 - p/2| for p < 4;
* eta = 2p/(p + 2) has the best guaranteed factor, |p - 2|/(p + 2), for every p.

Anderson mixing of the last few steps takes the rest. Where the residual does not fall, the
iteration goes back to its best point and takes a plain step.

Sources: Cohen and Peng, STOC 2015; Anderson, J. ACM 12 (1965), in the form of Walker and Ni, SIAM
J. Numer. Anal. 49 (2011).
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from randla._parallel import showing_progress
from randla._random import as_generator
from randla._validation import as_count, as_flag, as_number, is_dask
from randla.sampling._scores import NotConvergedWarning, Scores, make_scores
from randla.sampling._tiles import Array, Tiles, as_tall
from randla.sampling._whitening import Whitening, whiten

_MEMORY = 4  # steps that are mixed


def lewis_weights(
    A: ArrayLike,
    p: float,
    *,
    rtol: float = 1e-6,
    max_iterations: int = 200,
    progress: bool = False,
    rng: Any = None,
) -> Scores:
    r"""Lewis weights of the rows of a matrix, for any power p > 0.

    The unique :math:`w > 0` (on rows that are not zero) with

    .. math:: w_i = \tau_i(W^{1/2 - 1/p} A), \qquad
              w_i^{2/p} = a_i^T (A^T W^{1 - 2/p} A)^{+} a_i,

    where :math:`\tau_i` are leverage scores. They add up to the rank of `A` and bound the
    sensitivities of :func:`lp_sensitivities`: :math:`d^{p/2 - 1} w_i \le s_i \le w_i` for
    :math:`p \le 2`, and the reverse for :math:`p \ge 2`.

    Parameters
    ----------
    A : (n, d) array_like, sparse matrix, or Dask array
        Real and finite, read as it lies.
    p : float
        0 < p < inf. At p = 2 the weights are the leverage scores.
    rtol : float
        The iteration ends when :math:`\max_i |\log(\tau_i / w_i)|` is at most this (0.1 is enough
        for sampling).
    max_iterations : int
        Leverage computations at most.
    progress : bool
        Show a progress bar for each pass over the rows that takes long (needs tqdm).
    rng : {None, int, SeedSequence, Generator}, optional
        Not used; accepted as by all functions that score rows.

    Returns
    -------
    Scores
        `residual` is :math:`\max_i |\log(\tau_i / w_i)|` with its rounding error; `lower` and
        `upper` enclose the exact weights.

    Warns
    -----
    NotConvergedWarning
        If `rtol` was not reached; `certified` is False then.

    Raises
    ------
    ValueError, TypeError
        If `A` is not real, 2-D, finite and non-empty, or an option is out of range.

    See Also
    --------
    leverage_scores, lp_sensitivities, sample_rows

    Notes
    -----
    Each iteration is one weighted Gram matrix and one product, as `leverage_scores` is. For p < 4
    the fixed-point map is a contraction of log w in the maximum norm with factor
    :math:`|1 - p/2|` [1]_, which makes the weights unique (also for p < 1) and turns the residual
    :math:`\delta` into a bound of the error of log w: :math:`\delta` for :math:`p \le 2`,
    :math:`p \delta / (4 - p)` for :math:`2 < p < 4`. For larger p the weights are the minimiser
    of a convex function, whose monotone gradient gives such a bound as well.

    References
    ----------
    .. [1] Cohen and Peng, "l_p row sampling by Lewis weights", STOC 2015.

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
    if is_dask(A):
        from randla._dask import scores

        with bars:
            return scores.lewis_weights(A, p, rtol, max_iterations)
    matrix = as_tall(A, finite=False)
    with bars:
        state = solve_lewis(Tiles(matrix), p, rtol, max_iterations)
    warn_unless(state.residual <= rtol, state.residual, rtol, state.n_iterations)
    x, spread = state.log_weights, log_error(p, state.residual, state.factor.rank)
    values = np.exp(x)
    low, high = values * math.exp(-spread), values * math.exp(min(spread, 700.0))
    return make_scores(
        *(np.minimum(bound, 1.0, out=bound) for bound in (values, low, high)),
        kind="lewis",
        p=p,
        certified=state.residual <= rtol,
        residual=state.residual,
        n_iterations=state.n_iterations,
    )


def warn_unless(converged: bool, residual: float, rtol: float, n_iterations: int) -> None:
    """Say that the iteration of the caller's caller ended too early."""
    if not converged:
        warnings.warn(
            f"Lewis weights reached a residual of {residual:.1e}, not rtol={rtol:g}, in "
            f"{n_iterations} iterations; the bounds are valid all the same",
            NotConvergedWarning,
            stacklevel=3,
        )


@dataclass(frozen=True)
class LewisState:
    """Weights w, and the leverage computation of W^(1/2 - 1/p) A that belongs to them.

    Attributes
    ----------
    log_weights : (n,) ndarray
        log w, -inf for zero rows.
    row_scale : (n,) ndarray
        A multiple of w^(1/2 - 1/p), 0 for zero rows.
    norms : (n,) ndarray
        Norms of ``a_i T`` where T whitens ``diag(row_scale) A``.
    first_norms : (n,) ndarray
        The same for equal weights: square roots of the leverage scores of A.
    factor : Whitening
    residual : float
    n_iterations : int
    """

    log_weights: Array
    row_scale: Array
    norms: Array
    first_norms: Array
    factor: Whitening
    residual: float
    n_iterations: int


def solve_lewis(tiles: Tiles, p: float, rtol: float, max_iterations: int) -> LewisState:
    """Iterate until the residual, with its rounding error, is at most `rtol`."""
    n, factor = tiles.n, whiten(tiles)
    if 0 < factor.rank < tiles.d:  # a basis of the columns has the same weights
        tiles.keep_columns(factor.columns)
        factor = whiten(tiles)
    first = norms = tiles.norms(factor.transform)
    alive: Any = norms > 0.0  # zero rows have no part in the iteration
    log_weights = np.full(n, -np.inf)
    if factor.rank == 0:
        return LewisState(log_weights, norms, norms, first, factor, 0.0, 0)
    if p == 2.0:  # leverage: no iteration
        log_weights[alive] = 2.0 * np.log(norms[alive])
        scale = alive.astype(np.float64)
        return LewisState(log_weights, scale, norms, first, factor, factor.error, 1)
    rows = slice(None) if alive.all() else np.flatnonzero(alive)
    row_scale, top = alive.astype(np.float64), (0.5 - 1.0 / p) * math.log(factor.rank / n)
    x = np.full(len(norms[rows]), math.log(factor.rank / n))
    mixing, best = _Mixing(p), None
    for iteration in range(1, max_iterations + 1):
        if iteration > 1:
            log_scale = (0.5 - 1.0 / p) * x
            top = log_scale.max()
            log_scale -= top
            np.exp(log_scale, out=log_scale)
            if len(log_scale) == n:
                row_scale = log_scale
            else:
                row_scale = np.zeros(n)
                row_scale[rows] = log_scale
            factor = whiten(tiles, row_scale, rtol=min(1e-2 * rtol, 1e-4))
            norms = tiles.norms(factor.transform)
        residual = np.log(norms[rows])  # log(leverage / w) = log(v g / w) with v = w^(1 - 2/p)
        residual -= top
        residual -= x / p
        residual *= 2.0
        delta = max(float(residual.max()), -float(residual.min())) + factor.error
        if best is None or delta < best[0]:
            best = delta, x, row_scale, norms, factor, iteration
        if delta <= rtol:
            break
        phi = 0.0
        if p >= 4.0:
            phi = (1.0 - 2.0 / p) * np.exp(x).sum() - factor.log_det - 2.0 * factor.rank * top
        x = mixing.step(x, residual, delta, phi)
    assert best is not None
    delta, x, row_scale, norms, factor, iteration = best
    log_weights[rows] = x
    return LewisState(log_weights, row_scale, norms, first, factor, delta, iteration)


class _Mixing:
    """Anderson mixing in x = log w, with a way back."""

    def __init__(self, p: float) -> None:
        self.p = p
        self.eta = p / 2.0 if p <= 4.0 else 2.0 * p / (p + 2.0)
        self.points: list[Array] = []
        self.residuals: list[Array] = []
        self.best = math.inf  # smallest residual so far, and how long ago that was
        self.waited = 0
        self.anchor: tuple[Array, Array, float] | None = None  # the way back: x, residual, phi
        self.damping = 1.0

    def step(self, x: Array, residual: Array, delta: float, phi: float) -> Array:
        """The next x. For p >= 4, phi is the convex function that the weights minimise."""
        self.waited = 0 if delta < self.best else self.waited + 1
        if self.anchor is not None and self._failed(delta, phi):
            self.points, self.residuals, self.waited = [], [], 0
            x, residual, _ = self.anchor
            step = self.eta * self.damping
            if self.p >= 4.0:
                self.damping *= 0.5  # phi falls for short steps, the residual need not
            return x + step * residual
        self.damping = 1.0
        if delta < self.best:
            self.best, self.anchor = delta, (x, residual, phi)
        self.points = [*self.points[-_MEMORY:], x]
        self.residuals = [*self.residuals[-_MEMORY:], residual]
        change = x + self.eta * residual
        return change if len(self.points) == 1 else change - self._mix(x, residual)

    def _failed(self, delta: float, phi: float) -> bool:
        assert self.anchor is not None
        if not delta <= 2.0 * self.best:
            return self.p < 4.0 or not phi <= self.anchor[2]
        return self.waited > 5

    def _mix(self, x: Array, residual: Array) -> Array:
        """What least squares over the differences of the last steps takes off the plain step."""
        weight = np.exp(x)
        weight += weight.sum() / len(x)  # heavy rows count, but light ones are not forgotten
        changes = [b - a for a, b in zip(self.residuals[:-1], self.residuals[1:], strict=True)]
        k = len(changes)
        gram, right = np.empty((k, k)), np.empty(k)
        for i, change in enumerate(changes):
            weighted = weight * change
            right[i] = weighted @ residual
            for j in range(i + 1):
                gram[i, j] = gram[j, i] = weighted @ changes[j]
        scale = 1.0 / np.sqrt(np.maximum(np.diag(gram), 1e-300))
        gram, right = gram * np.outer(scale, scale), scale * right
        gamma = scale * np.linalg.lstsq(gram, right, rcond=1e-13)[0]
        out = np.zeros(len(x))
        for g, change, a, b in zip(gamma, changes, self.points[:-1], self.points[1:], strict=True):
            out += g * (b - a + self.eta * change)
        return out


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
        bounds.append(0.5 * p * delta / (1.0 - abs(1.0 - 0.5 * p)))
    if p > 2.0 and delta < 1.0:
        kappa, a = math.expm1(delta), min(2.0 / (p - 2.0), 1.0)
        if kappa < a:
            change = math.exp(2.0 * delta) * rank * kappa / (a - kappa)
            if change < 1.0:
                bounds.append(0.5 * p * (delta - math.log1p(-change)))
    return min(bounds)
