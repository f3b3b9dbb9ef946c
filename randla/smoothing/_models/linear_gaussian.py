"""The linear Gaussian model."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._validation import as_array, read_only
from randla.smoothing._kernels.exact.kalman import covariance_root
from randla.smoothing._kernels.models import (
    linear_gaussian as vector,
    linear_gaussian_scalar as scalar,
    linear_gaussian_score as vector_score,
)
from randla.smoothing._models.packing import pack_linear_gaussian
from randla.smoothing._models.ready import (
    INITIAL_PROPOSAL,
    LAWS,
    PROPOSAL,
    SCORES,
    ReadyModel,
    functions,
)

FloatArray = NDArray[np.float64]


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

    transition_matrix: FloatArray
    transition_cov: FloatArray
    observation_matrix: FloatArray
    observation_cov: FloatArray
    initial_mean: FloatArray
    initial_cov: FloatArray

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
        d = len(A)
        if A.shape != (d, d) or d == 0:
            raise ValueError(f"transition_matrix must be square (d, d), got shape {A.shape}")
        B = _as_block(observation_matrix, "observation_matrix")
        k = len(B)
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
        regular = {n: not n.endswith("cov") or _is_regular(_root(p, n)) for n, p in parts.items()}
        regular["initial_mean"] = regular["initial_cov"]
        self.are_parameters = tuple(regular.values())
        self._constants = {n: read_only(p) for n, p in parts.items() if not regular[n]}
        self._entries = {n: _entries(n, p) for n, p in parts.items() if regular[n]}
        ends = np.cumsum([len(entries) for entries in self._entries.values()])
        self._ends = ends  # in theta, of each argument that is a parameter
        wanted = ("transition_matrix", "transition_cov", "observation_cov")
        self.default_free = tuple(n for n in wanted if regular[n])
        self.joint_parameters = tuple(  # covariances with more than one entry
            ("covariance", np.arange(end - len(entries), end))
            for (n, entries), end in zip(self._entries.items(), ends, strict=True)
            if n.endswith("cov") and len(entries) > 1
        )
        simple = d == 1 and k == 1  # then state and observation are numbers
        kernels, scores = (scalar, scalar) if simple else (vector, vector_score)
        laws = functions(kernels, LAWS)
        if regular["transition_cov"] and regular["observation_cov"]:
            laws |= functions(scores, SCORES) | functions(kernels, PROPOSAL)
            if regular["initial_cov"]:
                laws |= functions(kernels, INITIAL_PROPOSAL)
        if not regular["transition_cov"]:
            laws["log_transition"] = laws["log_transition_bound"] = None
        if not regular["initial_cov"]:
            laws["log_initial"] = None
        named = [(n, i) for n, entries in self._entries.items() for i in entries]
        super().__init__(
            **laws,
            dim=None if simple else d,
            observation_dim=None if k == 1 else k,
            theta=[parts[n][i] for n, i in named],
            names=[f"{n}{list(i)}".replace(" ", "") if parts[n].size > 1 else n for n, i in named],
            support=["log" if n.endswith("cov") and i[0] == i[1] else "real" for n, i in named],
        )
        self._derive()

    def _derive(self) -> None:
        self.__dict__.update(self._constants)
        for (name, entries), values in zip(
            self._entries.items(), np.split(self.theta, self._ends[:-1]), strict=True
        ):
            index = tuple(np.transpose(entries))
            part = np.empty(np.max(entries, axis=0) + 1)
            part[index] = values
            if name.endswith("cov"):
                part[index[::-1]] = values  # the upper triangle
                if not _is_regular(_root(part, name)):
                    raise ValueError(f"{name} must stay positive definite, got a singular one")
            self.__dict__[name] = read_only(part)
        A, B, m0 = self.transition_matrix, self.observation_matrix, self.initial_mean
        Q_root, R_root, P0_root = (
            _root(getattr(self, n), n) for n in ("transition_cov", "observation_cov", "initial_cov")
        )
        self._system = tuple(
            read_only(np.ascontiguousarray(p)) for p in (A, Q_root, B, R_root, m0, P0_root)
        )

    def _pack(self) -> FloatArray:
        A, Q_root, B, R_root, m0, P0_root = self._system
        # Of numbers near the edge of the range densities are not finite, and the filters tell.
        with np.errstate(over="ignore", invalid="ignore"):
            return pack_linear_gaussian(
                self.theta, A, Q_root, B, self.observation_cov, R_root, m0, P0_root
            )


def _as_block(value: ArrayLike, name: str) -> FloatArray:
    array = as_array(value, name)
    array = array.reshape(1, 1) if array.ndim == 0 else array
    if array.ndim != 2:
        raise ValueError(f"{name} must be 2-D, or a number, got shape {array.shape}")
    return np.array(array, np.float64)


def _as_covariance(value: ArrayLike, n: int, name: str) -> FloatArray:
    P = _as_block(value, name)
    if P.shape != (n, n):
        raise ValueError(f"{name} must have shape ({n}, {n}), got {P.shape}")
    scale = np.sqrt(np.abs(np.diag(P)))
    if (np.abs(P - P.T) > 1e-6 * np.outer(scale, scale)).any():
        raise ValueError(f"{name} must be symmetric, got {np.abs(P - P.T).max():g} off")
    return 0.5 * (P + P.T)


def _root(P: FloatArray, name: str) -> FloatArray:
    root = np.empty(P.shape)
    bad = covariance_root(read_only(np.ascontiguousarray(P)), root)
    if bad:
        raise ValueError(
            f"{name} must be positive semidefinite, got one that fails at row {bad - 1}"
        )
    return root


def _is_regular(root: FloatArray) -> bool:
    return bool((np.diag(root) > 0).all())


def _entries(name: str, part: FloatArray) -> list[tuple[int, ...]]:
    """Indices of the parameters in one argument: of covariances the lower triangle, row by row."""
    return [i for i in np.ndindex(part.shape) if not name.endswith("cov") or i[1] <= i[0]]
