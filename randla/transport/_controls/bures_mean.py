"""The mean over the sphere of sqrt(q_1 q_2) for two quadratic forms, by quadrature.

With q_k = theta' S_k theta, sqrt(ab) = (1/pi) int e^{x/2} ab / (a + b e^x) dx over the line; with
theta = z / |z| for normal z, and Q = z'(S_1 + u S_2) z, u = e^x,

    E sqrt(q_1 q_2) = (1 / (pi d)) int dx e^{x/2} int_0^inf dt E[Q_1 Q_2 e^{-tQ}],

    E[Q_1 Q_2 e^{-tQ}] = prod_i c_i^{1/2} [sum A_ii c_i sum B_ii c_i + 2 sum_ij A_ij B_ij c_i c_j],

where c_i = 1 / (1 + 2 t lambda_i), lambda and V are the eigenvalues and vectors of S_1 + u S_2,
and A = V'S_1 V, B = V'S_2 V. Both integrals are trapezoid sums, in x and in log t, of functions
that are analytic in a strip, so that the error falls exponentially in the number of nodes.

The forms are first scaled to trace one. If q_1 = q_2 the integrand in x is E q_1 / (2 cosh(x/2)).
That function is subtracted, as both tails of the true integrand approach it: the difference decays
like e^{-3|x|/2}, or e^{-|x|} if a form is singular. Nodes are added outward until little is left,
and the rest is a geometric sum. Beyond |x| = 24 the small eigenvalues of the pencil are lost in
rounding.
"""

import math

import numpy as np

from randla._parallel import part_bounds, run_parts
from randla._typing import Array

_STEP, _LOG_STEP = 0.8, 0.4
_FIRST_LOG_T = -25.0
_FEW, _MANY = 25, 50  # nodes in log t at a time, for large forms and for small ones
_FIRST_NODES, _MORE_NODES, _LAST_NODE = 12, 4, 30  # on each side of zero
_LARGE = 24  # dimension from which a node is worth a thread
_NEGLIGIBLE = 1e-8  # at the last node; with the geometric sum of the rest the error is below 5e-10

#: Relative error of the mean, by comparison with quadrature over the angle for d = 2.
RELATIVE_ERROR = 1e-9


def bures_mean(S1: Array, S2: Array, dim: int | None = None) -> float:
    """E sqrt(theta' S1 theta theta' S2 theta) for theta uniform on the sphere of R^d.

    Parameters
    ----------
    S1, S2 : (d, d) ndarray
        Symmetric, positive semidefinite; may be singular.
    dim : int, optional
        Dimension of the sphere's space if the forms are zero on all but d of its coordinates.

    Returns
    -------
    float
        With a relative error below 1e-9. One eigenproblem for each of 23 to 63 nodes.
    """
    d = len(S1) if dim is None else dim
    trace_1, trace_2 = float(np.trace(S1)), float(np.trace(S2))
    if trace_1 <= 0.0 or trace_2 <= 0.0:
        return 0.0
    A, B = S1 / trace_1, S2 / trace_2  # trace one
    x = _STEP * np.arange(1.0 - _FIRST_NODES, _FIRST_NODES)  # nodes of the outer sum
    values = _differences(A, B, x)
    total = values.sum() + _rest(values) + _rest(values[::-1])
    for side, last in ((1.0, values[-2:]), (-1.0, values[1::-1])):
        first = _FIRST_NODES
        while abs(last[-1]) > _NEGLIGIBLE and first <= _LAST_NODE:
            total -= _rest(last)  # the estimate of the part beyond
            x = side * _STEP * np.arange(float(first), first + _MORE_NODES)
            last = _differences(A, B, x)
            total += last.sum() + _rest(last)  # more nodes, and a new estimate
            first += _MORE_NODES  # further out
    # the subtracted function integrates to pi: the mean of sqrt(q_1 q_2) is 1/d if q_1 = q_2
    return (1.0 + total * _STEP / math.pi) / d * math.sqrt(trace_1) * math.sqrt(trace_2)


def _rest(values: Array) -> float:
    """Sum of the nodes further out, by a geometric series through the last two."""
    if values[-2] == 0.0 or abs(values[-1]) < 1e-14:
        return 0.0
    ratio = min(max(values[-1] / values[-2], 0.0), math.exp(-0.5 * _STEP))
    return float(values[-1] * ratio / (1.0 - ratio))  # of a geometric series


def _differences(A: Array, B: Array, x: Array) -> Array:
    """The integrand at each node, times d, minus 1 / (2 cosh(x / 2))."""
    d = len(A)
    n_parts = len(x) if d >= _LARGE else 1
    bounds = part_bounds(len(x), n_parts)
    seconds = len(x) * (5e-5 + 5e-7 * d**2 + 1e-8 * d**3)
    values = run_parts(
        lambda k: _inner(A, B, x[slice(*bounds[k])]), n_parts, seconds=seconds, blas=True
    )
    return np.concatenate(values) - 0.5 / np.cosh(0.5 * x)


def _inner(A: Array, B: Array, x: Array) -> Array:
    """e^{x/2} int_0^inf E[Q_1 Q_2 e^{-tQ}] dt, with t scaled so that the eigenvalues sum to one."""
    second = 1.0 / (1.0 + np.exp(-x))
    first = 1.0 / (1.0 + np.exp(x))
    eigenvalues, V = np.linalg.eigh(first[:, None, None] * A + second[:, None, None] * B)
    eigenvalues = np.maximum(eigenvalues, 0.0)
    T = V.transpose(0, 2, 1)  # V'
    turned_A, turned_B = T @ A @ V, T @ B @ V
    diagonals = np.stack([np.diagonal(F, axis1=1, axis2=2) for F in (turned_A, turned_B)], axis=2)
    product, ones = turned_A * turned_B, np.ones(len(A))
    total, log_t = np.zeros(len(x)), _FIRST_LOG_T
    n_steps = _MANY if len(A) < _LARGE else _FEW
    while True:
        steps = log_t + _LOG_STEP * np.arange(n_steps)
        scaled = 2.0 * np.exp(steps)[:, None] * eigenvalues[:, None, :]  # 2 t lambda_i, (x, t, d)
        c = 1.0 / (1.0 + scaled)  # c_i
        traces = c @ diagonals  # below: no sums over short last axes, which NumPy is slow at
        value = traces[..., 0] * traces[..., 1] + 2.0 * np.einsum("xti,xti->xt", c @ product, c)
        value *= np.exp(steps - 0.5 * (np.log1p(scaled) @ ones))
        total += value.sum(axis=1)
        log_t += _LOG_STEP * n_steps
        if log_t > 0.0 and value[:, -1].max() < 1e-14:  # from here on it falls at least like 1 / t
            break
    return total * _LOG_STEP * np.sqrt(first * second)  # e^{x/2} / (1 + e^x)
