"""The linear Gaussian model."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular

from randla._typing import Array
from randla._validation import read_only
from randla.smoothing._kernels.models import (
    linear_gaussian as vector,
    linear_gaussian_scalar as scalar,
    linear_gaussian_varying as varying,
    linear_gaussian_varying_scalar as varying_scalar,
)
from randla.smoothing._model.observations import as_rows
from randla.smoothing._model.series import Series
from randla.smoothing._models.linear_blocks import (
    Gradients,
    System,
    as_directions,
    as_parts,
    block_at,
    has_time_axis,
    is_regular,
    number_of_times,
    root,
)
from randla.smoothing._models.ready import (
    HALF_LOG_2PI,
    INITIAL_PROPOSAL,
    PROPOSAL,
    ReadyModel,
    entry_name,
    functions,
)

# The arguments in the order of theta, and in that of `System`.
_PARTS = (
    "transition_matrix", "transition_cov", "observation_matrix", "observation_cov", "initial_mean",
    "initial_cov", "state_intercept", "observation_intercept",
)  # fmt: skip
_SYSTEM_PARTS = (
    "transition_matrix", "transition_cov", "state_intercept", "observation_matrix",
    "observation_cov", "observation_intercept", "initial_mean", "initial_cov",
)  # fmt: skip


class LinearGaussian(ReadyModel):
    r"""Linear Gaussian model: a vector autoregression observed through a matrix, with noise.

    .. math::
        x_0 = m_0 + D \delta + P_0^{1/2} \varepsilon, \qquad
        x_{t+1} = A_t x_t + c_t + Q_t^{1/2} \varepsilon_t, \qquad
        y_t = B_t x_t + d_t + R_t^{1/2} \eta_t.

    The law of the states is known exactly (`kalman_smoother`), so this is the model on which the
    particle methods are tested. If Q and R are regular it has the optimal proposal, the law of
    :math:`x_{t+1}` given :math:`x_t` and :math:`y_{t+1}`. Partly missing rows of y are handled; for
    them particles are drawn from the transition.

    Parameters
    ----------
    transition_matrix : (d, d) or (T - 1, d, d) array_like, or float
        The matrix A. Here and below numbers are allowed if d = 1 or k = 1. A leading time axis
        makes it vary in time: slice t leads from time t to t + 1, so there is one slice less than
        there are times. The model then has T times.
    transition_cov : (d, d) or (T - 1, d, d) array_like, or float
        Q, symmetric and positive semidefinite. If it is singular the transition has no density:
        `kalman_smoother` works, backward sampling by particles does not.
    observation_matrix : (k, d) or (T, k, d) array_like, or float
        The matrix B. Regressors are constant states (a one in A, zeros in Q) with rows of B.
    observation_cov : (k, k) or (T, k, k) array_like, or float
        R, symmetric and positive semidefinite. Particle methods need a regular one.
    initial_mean : (d,) array_like or float
        :math:`m_0`.
    initial_cov : (d, d) array_like or float
        :math:`P_0`, symmetric and positive semidefinite.
    state_intercept : (d,) or (T - 1, d) array_like, or float, optional
        c; default zero.
    observation_intercept : (k,) or (T, k) array_like, or float, optional
        d; default zero. With k = 1 also (T,), and likewise c.
    diffuse : (d,) array_like of bool, or (d, q) array_like, optional
        The components of :math:`x_0` about which nothing is known (their rows of `initial_cov` do
        not matter and become zero), or the directions D of a vector :math:`\delta` with a flat law.
        Such a start cannot be drawn from: `kalman_smoother` and
        ``maximum_likelihood(method="exact")`` accept it (see there for its likelihood), `simulate`
        and the particle methods do not.

    Attributes
    ----------
    theta, names
        The entries of the arguments in their order, of covariances the lower triangle row by row:
        ``"transition_matrix[0,1]"``, ``"transition_cov[1,0]"``, ``"initial_mean[0]"``,
        ``"state_intercept[0]"``; without brackets if the argument has one entry. An argument with a
        time axis and a singular covariance are constants and have no names; with a singular
        `initial_cov` or a diffuse start the initial mean and covariance are constants, too.
    transition_matrix, transition_cov, observation_matrix : ndarray
        The arguments as read-only arrays.
    observation_cov, initial_mean, initial_cov : ndarray
        Likewise.
    state_intercept, observation_intercept : ndarray or None
        Likewise.
    diffuse : (d, q) ndarray or None
        The directions D.

    Raises
    ------
    TypeError, ValueError
        If a shape is wrong, time axes do not have the same T, an entry is not finite, a covariance
        is not symmetric and positive semidefinite, or columns of `diffuse` depend on each other.

    See Also
    --------
    kalman_smoother : exact smoothing.
    structural : components with a meaning instead of matrices.

    Notes
    -----
    With d = 1 and k = 1 the state is a number for the compiled functions (``dim=None``). An
    off-diagonal parameter of a covariance represents both of its entries.

    A model with a time axis accepts only series of T times and is simulated over at most as many. A
    forecast beyond the data needs the matrices of those times: include all times in the model, and
    give `kalman_smoother` NaN for the future, or `forecast` the time of its states.

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
    state_intercept: Array | None
    observation_intercept: Array | None
    diffuse: Array | None

    def __init__(
        self,
        transition_matrix: ArrayLike,
        transition_cov: ArrayLike,
        observation_matrix: ArrayLike,
        observation_cov: ArrayLike,
        initial_mean: ArrayLike,
        initial_cov: ArrayLike,
        *,
        state_intercept: ArrayLike | None = None,
        observation_intercept: ArrayLike | None = None,
        diffuse: ArrayLike | None = None,
    ) -> None:
        arguments = locals()
        parts = as_parts({name: arguments[name] for name in _PARTS})
        k, d = parts["observation_matrix"].shape[-2:]
        D, mask = as_directions(diffuse, d)
        parts["initial_cov"][mask], parts["initial_cov"][:, mask] = 0.0, 0.0  # the flat law is all
        roots = {n: root(p, n) for n, p in parts.items() if n.endswith("cov")}
        regular = {n: n not in roots or is_regular(roots[n]) for n in parts}
        self._n_times, self._times_from = number_of_times(parts)
        is_parameter = {n: regular[n] and not has_time_axis(n, p) for n, p in parts.items()}
        is_parameter["initial_cov"] &= D.shape[1] == 0
        is_parameter["initial_mean"] = is_parameter["initial_cov"]  # a known start is one constant
        constants = {n: read_only(p) for n, p in parts.items() if not is_parameter[n]}
        self._constants = dict.fromkeys(_PARTS[6:]) | constants  # None: not given
        self._constant_roots = {n: r for n, r in roots.items() if not is_parameter[n]}
        self.diffuse = read_only(D) if D.size else None
        self._index = {n: _index(n, p) for n, p in parts.items() if is_parameter[n]}
        sizes = [len(index[0]) for index in self._index.values()]
        self._ends = np.cumsum(sizes, dtype=np.intp)  # in theta, of each argument that is one
        wanted = ("transition_matrix", "transition_cov", "observation_cov")
        self._default_free = tuple(n for n in wanted if is_parameter[n])
        self._joint_parameters = tuple(  # covariances with more than one entry
            ("covariance", np.arange(end - size, end))
            for n, size, end in zip(self._index, sizes, self._ends, strict=True)
            if n.endswith("cov") and size > 1
        )
        simple = d == 1 and k == 1  # then state and observation are numbers
        self._is_plain = self._n_times is None and len(parts) == 6  # no time axis, no intercept
        kernels = (
            (scalar if simple else vector)
            if self._is_plain
            else (varying_scalar if simple else varying)
        )
        without: list[str] = []  # functions that have the inverse of a singular covariance in them
        if not regular["transition_cov"]:
            without += ["log_transition", "log_transition_bound"]
        if not regular["initial_cov"]:
            without += ["log_initial", *INITIAL_PROPOSAL]
        if not (regular["transition_cov"] and regular["observation_cov"]):
            without += ["score_initial", "score_step", *PROPOSAL, *INITIAL_PROPOSAL]
        entries = [(n, i) for n, index in self._index.items() for i in zip(*index, strict=True)]
        super().__init__(
            **functions(kernels, without),
            dim=None if simple else d,
            observation_dim=None if k == 1 else k,
            theta=[parts[n][i] for n, i in entries],
            names=[entry_name(n, i) if parts[n].size > 1 else n for n, i in entries],
            support=["log" if n.endswith("cov") and i[0] == i[1] else "real" for n, i in entries],
        )
        self._derive()

    def _derive(self) -> None:
        self.__dict__.update(self._constants)
        roots = dict(self._constant_roots)
        ends = [0, *map(int, self._ends)]
        for (name, index), begin, end in zip(self._index.items(), ends, ends[1:], strict=False):
            entries = self.theta[begin:end]
            part = np.empty([k[-1] + 1 for k in index])  # the last entry is in the last corner
            part[index] = entries
            if name.endswith("cov"):
                part[index[::-1]] = entries  # the upper triangle
                roots[name] = root(part, name)
                if not is_regular(roots[name]):
                    raise ValueError(f"{name} must stay positive definite, got a singular one")
            self.__dict__[name] = read_only(part)
        self._set_system(roots)

    def _set_system(self, roots: dict[str, Array]) -> None:
        """Collect the input of the exact kernels; `roots` are those of the three covariances."""
        k, d = self.observation_matrix.shape[-2:]
        D = np.empty((0, d)) if self.diffuse is None else self.diffuse.T
        c = np.zeros(d) if self.state_intercept is None else self.state_intercept
        b = np.zeros(k) if self.observation_intercept is None else self.observation_intercept
        self._system = System(
            _timed(self.transition_matrix, 3),
            _timed(roots["transition_cov"], 3),
            _timed(c, 2),
            _timed(self.observation_matrix, 3),
            _timed(roots["observation_cov"], 3),
            _timed(b, 2),
            self.initial_mean,
            read_only(roots["initial_cov"]),
            read_only(np.ascontiguousarray(D)),
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._system = System(*map(read_only, self._system))  # as kernels are compiled for it

    def _pull_back(self, gradients: Gradients) -> Array:
        """Gradient in theta, from those in A, Q, c, B, R, d, m_0 and P_0."""
        by_name = dict(zip(_SYSTEM_PARTS, gradients, strict=True))
        for name, g in by_name.items():  # an off-diagonal parameter moves two entries
            if name.endswith("cov"):
                by_name[name] = 2.0 * g - np.diag(np.diag(g))
        return np.concatenate([np.zeros(0), *(by_name[n][i] for n, i in self._index.items())])

    def _as_rows(self, y: ArrayLike) -> Array:
        """Observations (T, k) of as many times as the model has."""
        rows = as_rows(y, self.observation_matrix.shape[-2])
        self._require_length(len(rows))
        return rows

    def _require_length(self, n: int) -> None:
        if self._n_times not in (None, n):
            raise ValueError(
                f"y must have as many times as the model has by {self._times_from}, got {n}"
            )

    def _series(self, y: ArrayLike, inputs: ArrayLike | None = None) -> Series:
        series = super()._series(y, inputs)
        self._require_length(len(series.y))
        return series

    def _diffuse_names(self, columns: list[int]) -> str:
        """What a user knows columns of the diffuse start by."""
        return f"its columns {columns}"

    def _require_start(self) -> None:
        if self.diffuse is not None:
            raise ValueError(
                "model must have a law of its start that can be drawn from, got a "
                f"{type(self).__name__} with a diffuse start: kalman_smoother and "
                "maximum_likelihood(method='exact') accept it, and forecast(state, ...) draws from "
                "a state of your choice"
            )

    def _require_times(self, n_times: int) -> None:
        if self._n_times is not None and n_times > self._n_times:
            raise ValueError(
                "n_steps must not lead beyond the times that the model has by "
                f"{self._times_from}, got {n_times} times: make a model of more times"
            )

    def _pack(self) -> Array:
        # With numbers near the edge of the range densities are not finite; the filters report that.
        with np.errstate(over="ignore", invalid="ignore"):
            if self._is_plain:
                return _packed([self.theta], self._blocks(0))
            pieces = []
            for t in range(self._n_times or 1):
                intercepts = [block_at(self._system.c, max(t - 1, 0)), block_at(self._system.d, t)]
                pieces.append(_packed(intercepts, self._blocks(t)))
        return np.concatenate([self.theta, *pieces, [len(pieces), len(pieces[0])]])

    def _blocks(self, t: int) -> list[Array | float]:
        """The arguments of the functions, in their order, for the step to time t and its row.

        Blocks that have no meaning because a covariance is singular are zero, its log normalizer
        -inf.
        """
        system = self._system
        A, Q_root = block_at(system.A, max(t - 1, 0)), block_at(system.Q_root, max(t - 1, 0))
        B, R_root = block_at(system.B, t), block_at(system.R_root, t)
        R = block_at(_timed(self.observation_cov, 3), t)
        m0, P0_root = self.initial_mean, system.P0_root
        W_Q, Q_inv, log_Q = _whitener(Q_root)  # W, W' W = Q^-1, log normalizer
        W_R, R_inv, log_R = _whitener(R_root)
        W_0, P0_inv, log_0 = _whitener(P0_root)
        blocks: list[Array | float] = [
            *(log_Q, log_R, log_0),
            *(A, Q_root, W_Q, W_Q @ A, Q_inv, Q_inv @ A, P0_root, W_0, P0_inv),  # (d, d)
            *(m0, W_0 @ m0, P0_inv @ m0),  # (d,)
            *(B, W_R @ B, R_inv @ B, R_root, W_R, R_inv, R),  # (k, d), (k, k)
        ]
        if np.isinf(log_R):  # no density of y to condition on, so no proposals
            return blocks + [0.0] * (vector.N_BLOCKS - len(blocks))
        K, root = _condition(Q_root, B, R_root)
        K0, root0 = _condition(P0_root, B, R_root)  # the same with the initial law as prior
        (W, _, log_P), (W0, _, log_P0) = _whitener(root), _whitener(root0)
        M, c = A - K @ (B @ A), m0 - K0 @ (B @ m0)  # N(M x + K y, ..), at time 0 N(c + K0 y, ..)
        blocks += [log_P, log_P0, root, W, M, W @ M, K, W @ K, root0, W0, c, W0 @ c, K0, W0 @ K0]
        return blocks


def _timed(part: Array, ndim: int) -> Array:
    """`part` with a time axis, of length one where it is constant."""
    return read_only(np.ascontiguousarray(part if part.ndim == ndim else part[None]))


def _packed(before: list[Array], blocks: list[Array | float]) -> Array:
    """One array for the compiled functions: where each block begins stands at its end."""
    flat = [np.ravel(part) for part in (*before, *blocks)]
    begins = np.cumsum([part.size for part in flat])[:-1][len(before) - 1 :]
    return np.concatenate([*flat, [np.shape(blocks[vector.R])[0]], begins])


def _index(name: str, part: Array) -> tuple[NDArray[np.intp], ...]:
    """Indices of the parameters in one argument: of covariances the lower triangle, row by row."""
    every = np.ones(part.shape)
    return np.nonzero(np.tril(every) if name.endswith("cov") else every)


def _whitener(root: Array) -> tuple[Array, Array, float]:
    """Inverse W of a lower triangular root, W'W and the log normalizer of its normal law."""
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
