"""What the ready models compute from their parameters once, for their compiled functions.

A particle algorithm evaluates densities millions of times at one value of the parameters, so
logarithms, inverses and roots of covariances are not left to the functions: they are handed one
array that holds them all, the parameters first (which is what a user's functional
reads). The layouts are described beside the functions, in
`randla.smoothing._kernels`.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from randla.smoothing._kernels.models.linear_gaussian import N_BLOCKS

FloatArray = NDArray[np.float64]

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)  # of a log normaliser, one component


def pack_linear_gaussian(
    theta: FloatArray,
    A: FloatArray,
    Q_root: FloatArray,
    B: FloatArray,
    R: FloatArray,
    R_root: FloatArray,
    m0: FloatArray,
    P0_root: FloatArray,
) -> FloatArray:
    """Layout of `randla.smoothing._kernels.models.linear_gaussian`, its blocks in their order.

    Those that have no meaning because a covariance is singular are zero, its log normaliser -inf.
    """
    W_Q, Q_inv, log_Q = _whitener(Q_root)
    W_R, R_inv, log_R = _whitener(R_root)
    W_0, P0_inv, log_0 = _whitener(P0_root)
    blocks: list[FloatArray | float] = [
        *(log_Q, log_R, log_0),
        *(A, Q_root, W_Q, W_Q @ A, Q_inv, Q_inv @ A, P0_root, W_0, P0_inv),
        *(m0, W_0 @ m0, P0_inv @ m0),
        *(B, W_R @ B, R_inv @ B, R_root, W_R, R_inv, R),
    ]
    if np.isinf(log_R):  # no density of y to condition on, so no proposals
        blocks += [0.0] * (N_BLOCKS - len(blocks))
    else:
        K, root = _condition(Q_root, B, R_root)
        K0, root0 = _condition(P0_root, B, R_root)
        (W, _, log_P), (W0, _, log_P0) = _whitener(root), _whitener(root0)
        M, c = A - K @ (B @ A), m0 - K0 @ (B @ m0)  # N(M x + K y, ..), at time 0 N(c + K0 y, ..)
        blocks += [log_P, log_P0, root, W, M, W @ M, K, W @ K, root0, W0, c, W0 @ c, K0, W0 @ K0]
    flat = [np.ravel(part) for part in (theta, *blocks)]
    begins = np.cumsum([part.size for part in flat])[:-1]  # where each block begins
    return np.concatenate([*flat, [len(B)], begins])


def _whitener(root: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """Inverse W of a lower triangular root, W'W and the log normaliser of its normal law."""
    diagonal = np.diag(root)
    if not (diagonal > 0).all():
        return np.zeros_like(root), np.zeros_like(root), -math.inf
    W = solve_triangular(root, np.eye(len(root)), lower=True, check_finite=False)
    return W, W.T @ W, float(-np.log(diagonal).sum() - len(root) * _HALF_LOG_2PI)


def _condition(
    root: FloatArray, B: FloatArray, R_root: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Gain K and posterior root for a prior root and an observation through B with noise R.

    The array algorithm: [[R_root, B root], [0, root]] times an orthogonal matrix is
    [[F_root, 0], [K F_root, posterior root]].
    """
    k, d = B.shape
    pre = np.block([[R_root, B @ root], [np.zeros((d, k)), root]])
    post = np.asarray(np.linalg.qr(pre.T, mode="r")).T
    post *= np.where(np.diag(post) < 0, -1.0, 1.0)  # QR leaves the signs of the columns open
    F_root = post[:k, :k]  # F = B P B' + R
    K = solve_triangular(F_root.T, post[k:, :k].T, lower=False, check_finite=False).T
    return K, np.tril(post[k:, k:])


def pack_volatility(phi: float, sigma: float, beta: float) -> FloatArray:
    """Layout of `randla.smoothing._kernels.models.volatility`."""
    sd_0 = sigma / math.sqrt((1.0 - phi) * (1.0 + phi))  # of the stationary law
    return np.array(
        [
            *(phi, sigma, beta, sd_0, 1.0 / sigma, 1.0 / sd_0, beta**-2),
            *(-math.log(s) - _HALF_LOG_2PI for s in (sigma, sd_0, beta)),
        ]
    )


def pack_hmm(initial: FloatArray, transition: FloatArray, emission: FloatArray) -> FloatArray:
    """Layout of `randla.smoothing._kernels.models.discrete_hmm`."""
    tables = (initial, transition, emission)
    with np.errstate(divide="ignore"):
        logs = [np.log(p).ravel() for p in tables]
    sums = [np.cumsum(p, axis=-1) for p in tables]
    inverses = [np.divide(1.0, p, out=np.zeros_like(p), where=p > 0).ravel() for p in tables]
    normal = [(s / s[..., -1:]).ravel() for s in sums]  # the last one is one
    tail = np.array([logs[1].max(), len(initial), emission.shape[1]])
    return np.concatenate([*(p.ravel() for p in tables), *normal, *logs, *inverses, tail])


def pack_chaotic(
    theta: FloatArray,
    weights: FloatArray,
    gain: float,
    process_sd: float,
    scale: float,
    df: float,
    rate: float,
    initial_sd: float,
) -> FloatArray:
    """Layout of `randla.smoothing._kernels.models.chaotic`."""
    d = len(weights)
    if math.isinf(df):  # normal noise
        log_g = -_HALF_LOG_2PI
    else:  # log Gamma((df + 1) / 2) - log Gamma(df / 2) - 1/2 log(df pi), Student's t
        log_g = math.lgamma(0.5 * (df + 1.0)) - math.lgamma(0.5 * df)
        log_g -= 0.5 * math.log(df * math.pi)
    numbers = [
        *(rate, gain, process_sd, 1.0 / process_sd, scale, 1.0 / scale, df, initial_sd),
        -d * (math.log(process_sd) + _HALF_LOG_2PI),
        log_g - math.log(scale),
        -d * (math.log(initial_sd) + _HALF_LOG_2PI),
        # Posterior standard deviations (s^-2 + scale^-2)^(-1/2), of the proposals.
        *(s / math.hypot(1.0, s / scale) for s in (process_sd, initial_sd)),
    ]
    return np.concatenate([theta, rate * weights.ravel(), numbers])
