"""The arguments of a linear Gaussian model, checked, and what the exact kernels read."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._typing import Array
from randla._validation import as_array, read_only
from randla.smoothing._kernels.exact.kalman import covariance_root, triangularize

# Of arguments with a leading time axis those of steps have T - 1 slices, the others T.
_OF_STEPS = ("transition_matrix", "transition_cov", "state_intercept")
_VECTORS = ("state_intercept", "observation_intercept", "initial_mean")


class System(NamedTuple):
    """A linear Gaussian model for the exact kernels; n is 1 where a block is constant."""

    A: Array  # (n, d, d)
    Q_root: Array  # (n, d, d)
    c: Array  # (n, d), the intercept of the state
    B: Array  # (n, k, d)
    R_root: Array  # (n, k, k)
    d: Array  # (n, k), the intercept of the observation
    m0: Array  # (d,)
    P0_root: Array  # (d, d)
    directions: Array  # (q, d), the columns of the diffuse start as rows


class Gradients(NamedTuple):
    """Gradients of the log-likelihood in the arguments, summed over the times."""

    A: Array  # (d, d)
    Q: Array  # (d, d)
    c: Array  # (d,)
    B: Array  # (k, d)
    R: Array  # (k, k)
    d: Array  # (k,)
    m0: Array  # (d,)
    P0: Array  # (d, d)

    @classmethod
    def zeros(cls, d: int, k: int) -> "Gradients":
        sizes = ((d, d), (d, d), d, (k, d), (k, k), k, d, (d, d))
        return cls(*(np.zeros(size) for size in sizes))


def as_parts(arguments: dict[str, Any]) -> dict[str, Array]:
    """The arguments as float64 copies of their full shape, without those that are None."""
    parts = {
        n: np.array(_full(as_array(value, n), n), np.float64)
        for n, value in arguments.items()
        if value is not None or not n.endswith("intercept")
    }
    d, k = parts["transition_matrix"].shape[-1], parts["observation_matrix"].shape[-2]
    if parts["transition_matrix"].shape[-2:] != (d, d) or d == 0:
        shape = parts["transition_matrix"].shape
        raise ValueError(f"transition_matrix must be square (d, d), got shape {shape}")
    sizes = {
        "transition_cov": (d, d),
        "observation_matrix": (k, d),
        "observation_cov": (k, k),
        "initial_mean": (d,),
        "initial_cov": (d, d),
        "state_intercept": (d,),
        "observation_intercept": (k,),
    }
    for name, size in sizes.items():
        if name not in parts:
            continue
        part = parts[name]
        if name in _VECTORS and part.ndim == 1 and size == (1,) != part.shape:
            part = part[:, None]  # a number for each time
        if (
            part.shape[part.ndim - len(size) :] != size
            or 0 in part.shape
            or (part.ndim > len(size) and name.startswith("initial"))
        ):
            inner = f"k, {d}" if name == "observation_matrix" else ", ".join(map(str, size))
            axis = f", or ({_times(name)}, {inner}) if it varies in time"
            axis = "" if name.startswith("initial") else axis
            raise ValueError(
                f"{name} must have shape ({inner}{',' * (len(size) == 1)}){axis}, got shape "
                f"{part.shape}"
            )
        parts[name] = _symmetric(part, name) if name.endswith("cov") else part
    return parts


def _full(array: NDArray[Any], name: str) -> NDArray[Any]:
    """A number as a vector or a matrix."""
    ndim = 1 if name in _VECTORS else 2
    array = array.reshape((1,) * ndim) if array.ndim == 0 else array
    if not ndim <= array.ndim <= ndim + 1:
        what = "a number or a vector" if ndim == 1 else "a number or a 2-D array"
        raise ValueError(
            f"{name} must be {what}, or one for each time along the first axis, got shape "
            f"{array.shape}"
        )
    return array


def _symmetric(P: Array, name: str) -> Array:
    scale = np.sqrt(np.abs(np.diagonal(P, axis1=-2, axis2=-1)))  # judged by its row and column
    off = np.abs(P - P.swapaxes(-1, -2))
    if (off > 1e-6 * scale[..., :, None] * scale[..., None, :]).any():
        raise ValueError(f"{name} must be symmetric, got differences up to {off.max():g}")
    return 0.5 * (P + P.swapaxes(-1, -2))


def has_time_axis(name: str, part: Array) -> bool:
    return part.ndim > (1 if name in _VECTORS else 2)


def block_at(blocks: Array, t: int) -> Array:
    """Block of time t of an array of `System`."""
    return blocks[min(t, len(blocks) - 1)]


def number_of_times(parts: dict[str, Array]) -> tuple[int | None, str]:
    """T and the argument that sets it; None if no argument has a time axis."""
    n_times, source = None, ""
    for name, part in parts.items():
        if not has_time_axis(name, part):
            continue
        n, says = len(part) + (name in _OF_STEPS), _axis(name, len(part))
        if n_times is None:
            n_times, source = n, says
        elif n != n_times:
            raise ValueError(
                f"{name} must vary over the same number of times as {source}, got {says}"
            )
    return n_times, source


def _times(name: str) -> str:
    """Length of the time axis of an argument: of steps from one time to the next, or of times."""
    return "T - 1" if name in _OF_STEPS else "T"


def _axis(name: str, length: int) -> str:
    if name in _OF_STEPS:
        steps = f"{length} entries along its first axis are T - 1 steps"
        return f"{name} ({steps}, so T = {length + 1})"
    return f"{name} ({length} entries along its first axis, so T = {length})"


def as_directions(diffuse: ArrayLike | None, d: int) -> tuple[Array, NDArray[np.bool_]]:
    """Directions (d, q) of a diffuse start, and which components a mask names."""
    none = np.zeros(d, np.bool_)
    if diffuse is None:
        return np.empty((d, 0)), none
    try:
        mask = np.asarray(diffuse)
    except ValueError:  # of rows of several lengths; reported below
        mask = none[:, None]
    if mask.dtype == np.bool_ and mask.ndim < 2:
        mask = np.atleast_1d(mask)
        if mask.shape != (d,):
            raise ValueError(f"diffuse must be a mask of shape ({d},), got shape {mask.shape}")
        return np.eye(d)[:, mask], mask.copy()
    D = np.array(as_array(diffuse, "diffuse"), np.float64)
    if D.ndim != 2 or len(D) != d:
        raise ValueError(
            f"diffuse must be a boolean mask ({d},) or a matrix ({d}, q) of directions, got "
            f"{'numbers of ' if D.ndim == 1 else ''}shape {D.shape}"
        )
    largest = np.abs(D).max(axis=0, initial=0.0)
    unit = D / np.where(largest > 0.0, largest, 1.0)
    dependent = D.shape[1] > d or (
        D.size and np.linalg.svd(unit / np.linalg.norm(unit, axis=0).clip(1.0))[1][-1] <= 1e-10
    )
    if dependent:
        raise ValueError("diffuse must have linearly independent columns, got dependent ones")
    return D, none


def root(P: Array, name: str) -> Array:
    """Lower triangular L, L L' = P, of one covariance or of each in a series."""
    if P.ndim == 3:
        return np.array([root(part, f"{name}[{t}]") for t, part in enumerate(P)])
    if P.shape == (1, 1) and P[0, 0] >= 0.0:
        return np.sqrt(P)
    out = np.empty(P.shape)
    bad = covariance_root(read_only(np.ascontiguousarray(P)), out)
    if bad:
        raise ValueError(
            f"{name} must be positive semidefinite, got a matrix that fails at row {bad - 1}"
        )
    return out


def is_regular(root: Array) -> bool:
    return bool(np.diagonal(root, axis1=-2, axis2=-1).all())


def with_variance(system: System, variances: Array) -> System:
    """The same law of y: a variance of delta in addition to its flat law has no effect on it."""
    d, q = len(system.P0_root), len(variances)
    M = np.concatenate([system.P0_root, system.directions.T * np.sqrt(variances)], axis=1)
    triangularize(M, d, d, d + q, np.zeros(d), np.empty(d, np.int64))
    return system._replace(P0_root=read_only(np.ascontiguousarray(M[:, :d])))
