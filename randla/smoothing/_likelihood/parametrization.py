"""Free parameters of a model as a vector without constraints, for the optimizers.

Single parameters go through the transform that `StateSpaceModel.support` names. Parameters that
are constrained together go together: a covariance by the logarithms of the diagonal of its
Cholesky factor and the other entries relative to them, a row of probabilities by logarithms of
ratios to its largest entry, an autoregression by its partial autocorrelations. Each transform is
a block of parameters ``theta[indices]`` that are functions of `size` unconstrained numbers z, with
the same three verbs: `to_free` (z from them), `to_theta` (the inverse) and `jacobian`, the
derivatives (len(indices), size) of the second; those of several parameters have `log_volume`, the
logarithm of |d theta / d z| (of a row of probabilities all but one).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._model.supports import SUPPORTS
from randla.smoothing._models.structural_parts import (
    autoregression,
    autoregression_gradient,
    partial_autocorrelations,
)

# Keep the default scale unless the estimated one differs by this factor.
_SAME_UNIT = 10.0
# Maximum number of differences of the score in the search for a standard error.
_UNIT_ROUNDS = 12
_LARGEST_GRADIENT = 1e140  # also g^2 / 1e-14 is finite, which is the length of a Newton step
IntArray = NDArray[np.intp]


class Single:
    """One parameter, by the transform of its support."""

    size = 1

    def __init__(self, index: int, kind: str, start: float) -> None:
        self.indices, self.kind = np.array([index]), kind
        # Of a real parameter, so that steps have a unit; the others are logarithms or similar.
        self.scale = max(abs(start), 1.0) if kind == "real" else 1.0

    def to_free(self, theta: Array) -> Array:
        return SUPPORTS[self.kind].transform(theta) / self.scale

    def to_theta(self, z: Array) -> Array:
        return SUPPORTS[self.kind].inverse(z * self.scale)

    def jacobian(self, z: Array) -> Array:
        slope = SUPPORTS[self.kind].slope(self.to_theta(z))
        return np.full((1, 1), slope * self.scale)


class Covariance:
    """The lower triangle of a covariance L L': L_ii = exp(z_ii), L_ij = L_ii z_ij."""

    def __init__(self, indices: IntArray, n: int) -> None:
        self.indices, self.n, self.size = indices, n, len(indices)
        self.rows, self.columns = np.tril_indices(n)

    def to_free(self, theta: Array) -> Array:
        P = np.empty((self.n, self.n))
        P[self.rows, self.columns] = P[self.columns, self.rows] = theta
        L = np.linalg.cholesky(P)
        z = L / np.diag(L)[:, None]  # z_ij = L_ij / L_ii below the diagonal
        np.fill_diagonal(z, np.log(np.diag(L)))
        return z[self.rows, self.columns]

    def _root(self, z: Array) -> Array:
        L = np.zeros((self.n, self.n))
        L[self.rows, self.columns] = z
        scale = np.exp(np.diag(L))
        np.fill_diagonal(L, 1.0)
        return L * scale[:, None]

    def to_theta(self, z: Array) -> Array:
        L = self._root(z)
        return (L @ L.T)[self.rows, self.columns]

    def jacobian(self, z: Array) -> Array:
        L = self._root(z)
        out = np.empty((self.size, self.size))
        for k, (i, j) in enumerate(zip(self.rows, self.columns, strict=True)):
            change = np.zeros_like(L)  # z_ii scales the row i of L
            change[i] = L[i] if i == j else 0.0
            change[i, j] = L[i, i]  # for i = j: dL_ii = L_ii dz_ii, too
            move = change @ L.T  # d(L L') = dL L' + L dL'
            out[:, k] = (move + move.T)[self.rows, self.columns]
        return out

    def log_volume(self, z: Array) -> float:
        return float(np.linalg.slogdet(self.jacobian(z))[1])


class Simplex:
    """A row of probabilities by log(p_i / p_r), r its largest entry. Zeros stay zero."""

    def __init__(self, indices: IntArray, start: Array) -> None:
        reference = int(np.argmax(start))  # its logarithm is finite and well determined
        others = [i for i in np.flatnonzero(start > 0) if i != reference]
        self.indices, self.size = indices, len(others)
        self.reference, self.others = reference, np.array(others, dtype=np.intp)

    def to_free(self, theta: Array) -> Array:
        return np.log(theta[self.others] / theta[self.reference])

    def to_theta(self, z: Array) -> Array:
        top = max(0.0, z.max(initial=0.0))  # of all logits, the reference's 0 too: no overflow
        p = np.zeros(len(self.indices))
        p[self.others], p[self.reference] = np.exp(z - top), np.exp(-top)
        return p / p.sum()

    def jacobian(self, z: Array) -> Array:
        p = self.to_theta(z)
        return (np.diag(p) - np.outer(p, p))[:, self.others]  # of the softmax

    def log_volume(self, z: Array) -> float:
        p = self.to_theta(z)  # of all entries but the reference: |diag(p) - p p'| = prod of all p
        return float(np.log(p[[*self.others, self.reference]]).sum())


class Stationary:
    """Coefficients of a stationary autoregression, r = tanh(z) its partial autocorrelations."""

    kind = "stationary"

    def __init__(self, indices: IntArray) -> None:
        self.indices, self.size = indices, len(indices)

    def to_free(self, theta: Array) -> Array:
        return np.arctanh(partial_autocorrelations(theta))

    def to_theta(self, z: Array) -> Array:
        return autoregression(np.tanh(z))

    def jacobian(self, z: Array) -> Array:
        return np.array([self.pull_back(z, row) for row in np.eye(self.size)])

    def pull_back(self, z: Array, gradient: Array) -> Array:
        """Gradient in z."""
        r = np.tanh(z)
        return autoregression_gradient(r, gradient) * (1.0 - r * r)

    def log_volume(self, z: Array) -> float:
        return float(np.linalg.slogdet(self.jacobian(z))[1])


Block = Single | Covariance | Simplex | Stationary


class Parametrization:
    """The free parameters of a model: names, and a map from R^m to all of theta."""

    def __init__(self, model: StateSpaceModel, free: Any) -> None:
        self.start = np.array(model.theta)
        self.free = _free_indices(model, free)
        self.names = tuple(model.names[i] for i in self.free)
        self.blocks = _blocks(model, self.free)
        self.size = sum(block.size for block in self.blocks)
        self.at_the_edge = False  # whether some of them became zero on the way
        #: Whether an unconstrained number stands for a parameter with a limited range.
        self.limited = np.repeat(
            [not (isinstance(b, Single) and b.kind == "real") for b in self.blocks],
            [b.size for b in self.blocks],
        )
        places = {index: k for k, index in enumerate(self.free)}
        self._rows = [np.array([places[i] for i in b.indices]) for b in self.blocks]
        self._slices, first = [], 0
        for block in self.blocks:
            self._slices.append(slice(first, first + block.size))
            first += block.size

    def moved(self, model: StateSpaceModel, theta: Array) -> "Parametrization":
        """Return the same parameters with `theta` as start.

        Probabilities that became zero, as in EM, stay zero.
        """
        other = Parametrization(model.replace(theta), list(self.names))
        other.at_the_edge = other.size < self.size
        for new, old in zip(other.blocks, self.blocks, strict=True):
            if isinstance(new, Single) and isinstance(old, Single):
                new.scale = old.scale
        return other

    def find_units(self, score: Callable[[Array], Array], n_observed: int) -> None:
        """Measure real parameters in suitable units, where 1 or the start are not suitable.

        `score` gives a gradient (p,) in theta. The unit is a standard error at the start times the
        root of the number of observations: about as far as one observation determines it.
        """
        for block in self.blocks:
            if isinstance(block, Single) and block.kind == "real":
                error = _standard_error(score, self.start, int(block.indices[0]))
                unit = None if error is None else error * n_observed**0.5
                if unit and not 1 / _SAME_UNIT < unit / block.scale < _SAME_UNIT:
                    block.scale = unit

    def to_free(self, theta: Array) -> Array:
        """Unconstrained vector of a full theta."""
        return np.concatenate([np.zeros(0), *(b.to_free(theta[b.indices]) for b in self.blocks)])

    def to_theta(self, z: Array) -> Array:
        """Full theta; fixed parameters do not change."""
        theta = self.start.copy()
        for block, part in zip(self.blocks, self._slices, strict=True):
            theta[block.indices] = block.to_theta(z[part])
        return theta

    def jacobian(self, z: Array) -> Array:
        """Derivatives (number of free parameters, m) of the free parameters in z."""
        out = np.zeros((len(self.free), self.size))
        for block, rows, part in zip(self.blocks, self._rows, self._slices, strict=True):
            out[rows, part] = block.jacobian(z[part])
        return out

    def pull_back(self, z: Array, gradient: Array) -> Array:
        """Gradients in z from gradients (..., p) in all of theta, limited to finite squares."""
        pulled = gradient[..., self.free] @ self.jacobian(z)
        return np.clip(pulled, -_LARGEST_GRADIENT, _LARGEST_GRADIENT)


def _standard_error(score: Callable[[Array], Array], theta: Array, k: int) -> float | None:
    """Standard error of theta[k] from differences of its score over a tenth of that error."""
    step = abs(float(theta[k])) or 1.0  # any unit to begin with
    for _ in range(_UNIT_ROUNDS):
        ends = np.array([theta, theta])
        ends[:, k] += [-step, step]
        try:
            low, high = (float(score(end)[k]) for end in ends)
            error = abs((low - high) / (2.0 * step)) ** -0.5  # root of the inverse curvature
        except (ValueError, ZeroDivisionError):  # impossible parameters, or no curvature at all
            error = np.nan
        if not 0.0 < error < np.inf:
            step *= 1e-2  # too far for the model, or for doubles
        elif 0.03 < step / error < 0.3:  # small enough to be local, large enough for its rounding
            return error
        else:
            step = 0.1 * error
    return None


def single_supports(model: StateSpaceModel) -> list[str]:
    """Support of each parameter of a model by itself, for intervals."""
    kinds = list(model._interval_support or model.support)
    for kind, indices in model._joint_parameters:
        if kind == "simplex":
            for index in indices:
                kinds[index] = "logit"
    return kinds


def _free_indices(model: StateSpaceModel, free: Any) -> IntArray:
    """Positions in theta that `free` names; the name of a matrix stands for all its entries."""
    names = model.names
    if free is None:
        wanted: Iterable[str] = model._default_free or names
    elif isinstance(free, str):
        wanted = (free,)
    elif isinstance(free, Sequence) and all(isinstance(f, str) for f in free):
        wanted = free
    else:
        raise TypeError(f"free must be None, a name or a sequence of names, got {free!r}")
    indices: set[int] = set()
    for name in wanted:
        named = [i for i, n in enumerate(names) if n == name or n.startswith(f"{name}[")]
        if not named:
            known = ", ".join(dict.fromkeys(n.split("[")[0] for n in names))
            raise ValueError(f"free must name parameters of the model ({known}), got {name!r}")
        indices.update(named)
    if not indices:
        raise ValueError("free must name at least one parameter, got none")
    return np.array(sorted(indices))


def _blocks(model: StateSpaceModel, free: IntArray) -> list[Block]:
    """Joint blocks of the model first, then the single parameters."""
    blocks: list[Block] = []
    singles = set(free.tolist())
    for kind, indices in model._joint_parameters:
        inside = singles.intersection(indices.tolist())
        if not inside:
            continue
        what = model.names[indices[0]].split("[")[0]
        if len(inside) == len(indices):
            start = model.theta[indices]
            if kind == "covariance":
                n = int(np.sqrt(2 * len(indices)))
                blocks.append(Covariance(indices, n))
            elif kind == "autoregression":
                blocks.append(Stationary(indices))
            else:
                blocks.append(Simplex(indices, start))
            singles -= inside
        elif kind == "autoregression":
            raise ValueError(f"free must name all of {what} or none, got {len(inside)} of "
                             f"{len(indices)} entries")  # fmt: skip
        elif kind == "simplex":
            raise ValueError(f"free must name whole rows of {what}, got {len(inside)} of a row's "
                             f"{len(indices)} entries")  # fmt: skip
        elif not _only_free_variances(model, indices, inside):
            raise ValueError(
                f"free must name all entries of {what}, or diagonal ones where all others in "
                "the row are zero"
            )
    for index in sorted(singles):
        blocks.append(Single(index, model.support[index], float(model.theta[index])))
    return blocks


def _only_free_variances(model: StateSpaceModel, indices: IntArray, inside: set[int]) -> bool:
    """Whether the free entries of a covariance are variances of uncorrelated components."""
    n = int(np.sqrt(2 * len(indices)))
    lower, free = np.tril_indices(n), np.zeros((n, n), dtype=bool)
    free[lower] = [index in inside for index in indices.tolist()]
    covariances = np.zeros((n, n), dtype=bool)
    covariances[lower] = model.theta[indices] != 0.0
    np.fill_diagonal(covariances, False)
    correlated = covariances.any(axis=0) | covariances.any(axis=1)  # (n,), row or column
    return not np.tril(free, -1).any() and not (np.diag(free) & correlated).any()
