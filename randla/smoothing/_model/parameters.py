"""Parameters with names, each in a range that a transform maps to the whole line."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._typing import Array
from randla._validation import as_choice, as_vector, read_only
from randla.smoothing._model.supports import SUPPORTS


class Parametrized:
    """Base of objects with parameters."""

    theta: Array  # (p,), read-only
    names: tuple[str, ...]
    support: tuple[str, ...]

    def _set_parameters(
        self, theta: ArrayLike, names: Sequence[str] | None, support: Sequence[str] | None
    ) -> None:
        """Set the three, or raise an error if they are inconsistent."""
        self.theta = read_only(np.array(as_vector(theta, "theta"), np.float64))  # a copy
        size = self.theta.size
        default_names = [f"theta[{k}]" for k in range(size)]
        self.names = _labels(default_names if names is None else names, "names", size)
        self.support = _labels(["real"] * size if support is None else support, "support", size)
        for kind in self.support:
            as_choice(kind, "support", tuple(SUPPORTS))
        if len(set(self.names)) < size:
            raise ValueError(f"names must differ from each other, got {list(self.names)}")
        self._supported(self.theta)

    def _supported(self, theta: ArrayLike) -> Array:
        """Return `theta` as a read-only array, or raise ValueError outside the support."""
        values = np.array(as_vector(theta, "theta", size=self.theta.size), np.float64)
        for name, kind, value in zip(self.names, self.support, values, strict=True):
            low, high = SUPPORTS[kind][:2]
            if not low < value < high:
                raise ValueError(
                    f"theta must lie in its support: {name} ({kind!r}) between {low:g} and "
                    f"{high:g}, got {value:g}"
                )
        return read_only(values)

    def _each(self, function: str, values: NDArray[Any]) -> Array:
        """Apply a function of `Support` to the value of each parameter."""
        pairs = zip(self.support, values, strict=True)
        return np.array([getattr(SUPPORTS[kind], function)(v) for kind, v in pairs], np.float64)

    def transform(self, theta: ArrayLike) -> Array:
        """Parameters on the unconstrained scale that `support` names.

        Parameters
        ----------
        theta : (p,) array_like
            Parameters inside their ranges.

        Returns
        -------
        z : (p,) ndarray
        """
        return self._each("transform", self._supported(theta))

    def inverse(self, z: ArrayLike) -> Array:
        """Parameters from their unconstrained values, the inverse of `transform`.

        Parameters
        ----------
        z : (p,) array_like
            Any real numbers.

        Returns
        -------
        theta : (p,) ndarray
        """
        return self._each("inverse", as_vector(z, "z", size=self.theta.size))

    def slope(self, theta: ArrayLike) -> Array:
        """Derivatives of the parameters with respect to their unconstrained values.

        Parameters
        ----------
        theta : (p,) array_like
            Parameters inside their ranges.

        Returns
        -------
        slope : (p,) ndarray
            A gradient in theta times `slope` is the gradient in the unconstrained values.
        """
        return self._each("slope", self._supported(theta))


def _labels(values: Sequence[str], name: str, size: int) -> tuple[str, ...]:
    if isinstance(values, str) or not all(isinstance(v, str) for v in values):
        raise TypeError(f"{name} must be a sequence of strings, got {values!r}")
    if len(values) != size:
        raise ValueError(f"{name} must have one entry for each of {size} theta, got {len(values)}")
    return tuple(values)
