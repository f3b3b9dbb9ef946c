"""The linear Gaussian model."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular

from randla._typing import Array
from randla._validation import as_array, read_only
from randla.smoothing._kernels.exact.kalman import covariance_root
from randla.smoothing._kernels.models import (
    linear_gaussian as vector,
    linear_gaussian_scalar as scalar,
)
from randla.smoothing._models.ready import (
    HALF_LOG_2PI,
    INITIAL_PROPOSAL,
    PROPOSAL,
    ReadyModel,
    entry_name,
    functions,
)


class LinearGaussian(ReadyModel):
    r"""Linear Gaussian model: a vector autoregression observed through a matrix, with noise.

    .. math::
        x_0 \sim N(m_0, P_0), \qquad x_{t+1} = A x_t + Q^{1/2} \varepsilon_t, \qquad
        y_t = B x_t + R^{1/2} \eta_t.

    Everything about it is known exactly (`kalman_smoother`), so it is the model on which the
    particle methods are tested. Where Q and R are regular it has the optimal proposal, the law of
    :math:`x_{t+1}` given :math:`x_t` and :math:`y_{t+1}`. Rows of y that are missing in part are
    handled; there particles are drawn from the transition.

    Parameters
    ----------
    transition_matrix : (d, d) array_like or float
        A. Here and below numbers are allowed where d = 1 or k = 1.
    transition_cov : (d, d) array_like or float
        Q, symmetric and positive semidefinite. If it is singular the transition has no density:
        `kalman_smoother` works, backward sampling by particles does not.
    observation_matrix : (k, d) array_like or float
        B.
    observation_cov : (k, k) array_like or float
        R, symmetric and positive semidefinite. Particle methods need a regular one.
    initial_mean : (d,) array_like or float
        :math:`m_0`.
    initial_cov : (d, d) array_like or float
        :math:`P_0`, symmetric and positive semidefinite.

    Attributes
    ----------
    theta, names
        The entries of the six arguments in their order, of covariances the lower triangle row by
        row: ``"transition_matrix[0,1]"``, ``"transition_cov[1,0]"``, ``"initial_mean[0]"``;
        without brackets where the argument has one entry. A covariance that is singular is a
        constant and has no names; with a singular `initial_cov` the initial mean is one, too.
    transition_matrix, transition_cov, observation_matrix : ndarray
        The arguments as arrays that cannot be written to.
    observation_cov, initial_mean, initial_cov : ndarray
        Likewise.

    Raises
    ------
    TypeError, ValueError
        If a shape does not fit, an entry is not finite, or a covariance is not symmetric and
        positive semidefinite.

    See Also
    --------
    kalman_smoother : exact smoothing.

    Notes
    -----
    With d = 1 and k = 1 the state is a number for the compiled functions (``dim=None``). An
    off-diagonal parameter of a covariance stands for both of its entries.

    Examples
    --------
    >>> from randla import LinearGaussian
    >>> model = LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0)
    >>> model.names[:3]
    ('transition_matrix', 'transition_cov', 'observation_matrix')
    >>> x, y = model.simulate(100, rng=0)
    >>> y.shape
    (100,)
    """

    transition_matrix: Array
    transition_cov: Array
    observation_matrix: Array
    observation_cov: Array
    initial_mean: Array
    initial_cov: Array

    def __init__(
        self,
        transition_matrix: ArrayLike,
        transition_cov: ArrayLike,
        observation_matrix: ArrayLike,
        observation_cov: ArrayLike,
        initial_mean: ArrayLike,
        initial_cov: ArrayLike,
    ) -> None:
        A = _as_block(transition_matrix, "transition_matrix")
        d = len(A)  # components of the state
        if A.shape != (d, d) or d == 0:
            raise ValueError(f"transition_matrix must be square (d, d), got shape {A.shape}")
        B = _as_block(observation_matrix, "observation_matrix")
        k = len(B)  # observed components
        if B.shape != (k, d) or k == 0:
            raise ValueError(f"observation_matrix must have shape (k, {d}), got {B.shape}")
        mean = as_array(initial_mean, "initial_mean")
        mean = mean[None] if mean.ndim == 0 else mean
        if mean.shape != (d,):
            raise ValueError(f"initial_mean must have shape ({d},), got {mean.shape}")
        parts = {
            "transition_matrix": A,
            "transition_cov": _as_covariance(transition_cov, d, "transition_cov"),
            "observation_matrix": B,
            "observation_cov": _as_covariance(observation_cov, k, "observation_cov"),
            "initial_mean": np.array(mean, np.float64),
            "initial_cov": _as_covariance(initial_cov, d, "initial_cov"),
        }
        regular = {n: not n.endswith("cov") or np.diag(_root(p, n)).all() for n, p in parts.items()}
        regular["initial_mean"] = regular["initial_cov"]  # a known start is one constant
        self._are_parameters = tuple(map(bool, regular.values()))
        self._constants = {n: read_only(p) for n, p in parts.items() if not regular[n]}
        self._index = {n: _index(n, p) for n, p in parts.items() if regular[n]}
        sizes = [len(index[0]) for index in self._index.values()]
        self._ends = np.cumsum(sizes)  # in theta, of each argument that is a parameter
        wanted = ("transition_matrix", "transition_cov", "observation_cov")
        self._default_free = tuple(n for n in wanted if regular[n])
        self._joint_parameters = tuple(  # covariances with more than one entry
            ("covariance", np.arange(end - size, end))
            for n, size, end in zip(self._index, sizes, self._ends, strict=True)
            if n.endswith("cov") and size > 1
        )
        simple = d == 1 and k == 1  # then state and observation are numbers
        without: list[str] = []  # functions that have the inverse of a singular covariance in them
        if not regular["transition_cov"]:
            without += ["log_transition", "log_transition_bound"]
        if not regular["initial_cov"]:
            without += ["log_initial", *INITIAL_PROPOSAL]
        if not (regular["transition_cov"] and regular["observation_cov"]):
            without += ["score_initial", "score_step", *PROPOSAL, *INITIAL_PROPOSAL]
        entries = [(n, i) for n, index in self._index.items() for i in zip(*index, strict=True)]
        super().__init__(
            **functions(scalar if simple else vector, without),
            dim=None if simple else d,
            observation_dim=None if k == 1 else k,
            theta=[parts[n][i] for n, i in entries],
            names=[entry_name(n, i) if parts[n].size > 1 else n for n, i in entries],
            support=["log" if n.endswith("cov") and i[0] == i[1] else "real" for n, i in entries],
        )
        self._derive()

    def _derive(self) -> None:
        self.__dict__.update(self._constants)
        values = np.split(self.theta, self._ends[:-1])
        for (name, index), entries in zip(self._index.items(), values, strict=True):
            part = np.empty([k[-1] + 1 for k in index])  # the last entry is in the last corner
            part[index] = entries
            if name.endswith("cov"):
                part[index[::-1]] = entries  # the upper triangle
                if not np.diag(_root(part, name)).all():
                    raise ValueError(f"{name} must stay positive definite, got a singular one")
            self.__dict__[name] = read_only(part)
        A, B, m0 = self.transition_matrix, self.observation_matrix, self.initial_mean
        Q_root, R_root, P0_root = (
            _root(getattr(self, n), n) for n in ("transition_cov", "observation_cov", "initial_cov")
        )
        self._system = tuple(
            read_only(np.ascontiguousarray(p)) for p in (A, Q_root, B, R_root, m0, P0_root)
        )

    def _pack(self) -> Array:
        # Of numbers near the edge of the range densities are not finite, and the filters tell.
        with np.errstate(over="ignore", invalid="ignore"):
            flat = [np.ravel(part) for part in (self.theta, *self._blocks())]
        begins = np.cumsum([part.size for part in flat])[:-1]  # where each block begins
        return np.concatenate([*flat, [len(self.observation_matrix)], begins])

    def _blocks(self) -> list[Array | float]:
        """What the kernels are handed, in their order.

        Blocks that have no meaning because a covariance is singular are zero, its log normaliser
        -inf.
        """
        A, Q_root, B, R_root, m0, P0_root = self._system
        W_Q, Q_inv, log_Q = _whitener(Q_root)  # W, W' W = Q^-1, log normaliser
        W_R, R_inv, log_R = _whitener(R_root)
        W_0, P0_inv, log_0 = _whitener(P0_root)
        blocks: list[Array | float] = [
            *(log_Q, log_R, log_0),
            *(A, Q_root, W_Q, W_Q @ A, Q_inv, Q_inv @ A, P0_root, W_0, P0_inv),  # (d, d)
            *(m0, W_0 @ m0, P0_inv @ m0),  # (d,)
            *(B, W_R @ B, R_inv @ B, R_root, W_R, R_inv, self.observation_cov),  # (k, d), (k, k)
        ]
        if np.isinf(log_R):  # no density of y to condition on, so no proposals
            return blocks + [0.0] * (vector.N_BLOCKS - len(blocks))
        K, root = _condition(Q_root, B, R_root)
        K0, root0 = _condition(P0_root, B, R_root)  # the same with the initial law as prior
        (W, _, log_P), (W0, _, log_P0) = _whitener(root), _whitener(root0)
        M, c = A - K @ (B @ A), m0 - K0 @ (B @ m0)  # N(M x + K y, ..), at time 0 N(c + K0 y, ..)
        blocks += [log_P, log_P0, root, W, M, W @ M, K, W @ K, root0, W0, c, W0 @ c, K0, W0 @ K0]
        return blocks


def _as_block(value: ArrayLike, name: str) -> Array:
    array = as_array(value, name)
    array = array.reshape(1, 1) if array.ndim == 0 else array
    if array.ndim != 2:
        raise ValueError(f"{name} must be 2-D, or a number, got shape {array.shape}")
    return np.array(array, np.float64)


def _as_covariance(value: ArrayLike, n: int, name: str) -> Array:
    P = _as_block(value, name)
    if P.shape != (n, n):
        raise ValueError(f"{name} must have shape ({n}, {n}), got {P.shape}")
    scale = np.sqrt(np.abs(np.diag(P)))  # an entry is judged by those of its row and column
    if (np.abs(P - P.T) > 1e-6 * np.outer(scale, scale)).any():
        raise ValueError(f"{name} must be symmetric, got {np.abs(P - P.T).max():g} off")
    return 0.5 * (P + P.T)


def _root(P: Array, name: str) -> Array:
    root = np.empty(P.shape)  # lower triangular L, L L' = P
    bad = covariance_root(read_only(np.ascontiguousarray(P)), root)
    if bad:
        raise ValueError(
            f"{name} must be positive semidefinite, got one that fails at row {bad - 1}"
        )
    return root


def _index(name: str, part: Array) -> tuple[NDArray[np.intp], ...]:
    """Indices of the parameters in one argument: of covariances the lower triangle, row by row."""
    every = np.ones(part.shape)
    return np.nonzero(np.tril(every) if name.endswith("cov") else every)


def _whitener(root: Array) -> tuple[Array, Array, float]:
    """Inverse W of a lower triangular root, W'W and the log normaliser of its normal law."""
    diagonal = np.diag(root)
    if not (diagonal > 0).all():
        return np.zeros_like(root), np.zeros_like(root), -math.inf
    W = solve_triangular(root, np.eye(len(root)), lower=True, check_finite=False)
    return W, W.T @ W, float(-np.log(diagonal).sum() - len(root) * HALF_LOG_2PI)


def _condition(root: Array, B: Array, R_root: Array) -> tuple[Array, Array]:
    """Gain K and posterior root for a prior root and an observation through B with noise R.

    The array algorithm: [[R_root, B root], [0, root]] times an orthogonal matrix is
    [[F_root, 0], [K F_root, posterior root]].
    """
    k, d = B.shape
    # Transposed for NumPy, whose Householder QR works on columns.
    pre = np.block([[R_root, B @ root], [np.zeros((d, k)), root]])
    post = np.asarray(np.linalg.qr(pre.T, mode="r")).T
    post *= np.where(np.diag(post) < 0, -1.0, 1.0)  # QR leaves the signs of the columns open
    F_root = post[:k, :k]  # F = B P B' + R
    K = solve_triangular(F_root.T, post[k:, :k].T, lower=False, check_finite=False).T
    return K, np.tril(post[k:, k:])
