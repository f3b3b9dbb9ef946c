"""The result of the score functions: an array of values with bounds."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from randla._results import RandlaWarning, Result, axes_or_new
from randla._typing import Array
from randla._validation import read_only

#: A ratio of the exact score to the value without information: bounds are 0 and 1.
UNKNOWN = math.inf


class NotConvergedWarning(RandlaWarning):
    """An iteration ended before its tolerance; the bounds of the result show its accuracy.

    Issued by `lewis_weights`, `lp_sensitivities` and `lp_regression`.
    """


@dataclass(frozen=True, eq=False, repr=False)
class Scores(NDArrayOperatorsMixin, Result):
    """Scores of the rows of a matrix, one number per row, with certified bounds.

    The result of `leverage_scores`, `lewis_weights` and `lp_sensitivities`. It behaves like the
    array of values: NumPy functions and operators, indexing, ``len`` and
    iteration act on `values` and return plain arrays. The scores and bounds of a Dask array are
    Dask arrays, chunked like its rows and computed on demand.

    Attributes
    ----------
    values : (n,) ndarray
        The scores.
    lower, upper : (n,) ndarray
        Bounds: the exact score of each row lies between them.
    certified : bool
        Whether the bounds enclose the values to the requested tolerance (to rounding error, if
        there is none). The bounds are always valid, but carry no information (0 and 1) if the rank
        of the matrix depends on digits that doubles do not have, as with a row about 1e11 times as
        long as the others. Columns that depend on others up to rounding, to a relative 1e-16 times
        ``max(d, sqrt(n))``, count as dependent: the bounds are then those of a matrix that near.
    residual : float
        The error of the computation: the estimated relative rounding or sketching error of leverage
        scores; ``max |log(leverage / weight)|`` of Lewis weights; the largest relative gap
        ``(upper - lower) / upper`` of sensitivities.
    n_iterations : int
        Iterations used: 0 for direct methods; the maximum over the rows for sensitivities.
    kind : str
        The kind of scores: "leverage", "lewis", "sensitivity", ...
    p : float
        The power of the norm.

    Examples
    --------
    >>> import numpy as np
    >>> from randla.sampling import leverage_scores
    >>> scores = leverage_scores([[1.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
    >>> np.round(np.asarray(scores), 12)
    array([1. , 0.5, 0.5])
    >>> bool((scores.lower <= scores).all())
    True
    """

    values: Array
    certified: bool
    residual: float
    n_iterations: int
    kind: str
    p: float
    #: Lower and upper bounds, or the factor by which the exact scores may differ from the values.
    _bounds: Any = UNKNOWN

    _shown: ClassVar[tuple[str, ...]] = (
        "kind",
        "p",
        "values",
        "certified",
        "residual",
        "n_iterations",
    )

    @classmethod
    def of(
        cls,
        values: Any,
        bounds: Any,
        *,
        kind: str,
        p: float,
        certified: bool,
        residual: float,
        n_iterations: int = 0,
    ) -> "Scores":
        """Scores from arrays, or Dask vectors; `bounds` are a pair, or a factor (see `_bounds`)."""
        if isinstance(bounds, tuple):
            bounds = tuple(map(_frozen, bounds))
        return cls(
            _frozen(values), bool(certified), float(residual), n_iterations, kind, float(p), bounds
        )

    @cached_property
    def lower(self) -> Array:
        """Lower bounds of the exact scores."""
        if isinstance(self._bounds, tuple):
            return self._bounds[0]  # type: ignore[no-any-return]
        return _frozen(self.values / self._bounds)

    @cached_property
    def upper(self) -> Array:
        """Upper bounds of the exact scores."""
        if isinstance(self._bounds, tuple):
            return self._bounds[1]  # type: ignore[no-any-return]
        if np.ndim(self._bounds) == 0 and math.isinf(self._bounds):  # and 0 * inf is NaN
            return _frozen((self.values > 0.0).astype(np.float64))
        return _frozen(np.minimum(self.values * self._bounds, 1.0))

    def plot(self, ax: Any = None) -> Any:
        """Plot the scores in descending order, with their bounds, on logarithmic axes.

        Zeros are left out. Needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        ax = axes_or_new(ax)
        order = np.argsort(-self.values, kind="stable")  # descending, ties by row
        order = order[self.values[order] > 0.0]  # as axes are logarithmic
        ranks = np.arange(1, len(order) + 1)
        (line,) = ax.plot(ranks, self.values[order], label=f"{self.kind}, p = {self.p:g}")
        low = np.maximum(self.lower[order], 1e-300)  # likewise
        ax.fill_between(ranks, low, self.upper[order], color=line.get_color(), alpha=0.25, lw=0)
        ax.set(xscale="log", yscale="log", xlabel="rows, in decreasing order", ylabel="score")
        return ax

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The values, for NumPy."""
        if copy:
            return np.array(self.values, dtype=dtype)
        if copy is False and dtype is not None and np.dtype(dtype) != self.values.dtype:
            raise ValueError(f"cannot make a {np.dtype(dtype)} array of Scores without a copy")
        return np.asarray(self.values, dtype=dtype)  # lazy values are computed

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Apply a ufunc to the values; the result is a plain array."""
        if any(isinstance(out, Scores) for out in options.get("out", ())):
            return NotImplemented  # results are frozen
        plain = tuple(x.values if isinstance(x, Scores) else x for x in inputs)
        return getattr(ufunc, method)(*plain, **options)

    def __getitem__(self, index: Any) -> Any:
        return self.values[index]

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[np.float64]:
        return iter(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values."""
        return self.values.shape

    @property
    def ndim(self) -> int:
        """Always 1."""
        return self.values.ndim

    @property
    def size(self) -> int:
        """Number of rows."""
        return self.values.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values, float64."""
        return self.values.dtype

    def sum(self, *args: Any, **options: Any) -> Any:
        """Sum of the values."""
        return self.values.sum(*args, **options)

    def mean(self, *args: Any, **options: Any) -> Any:
        """Mean of the values."""
        return self.values.mean(*args, **options)

    def max(self, *args: Any, **options: Any) -> Any:
        """Largest value."""
        return self.values.max(*args, **options)

    def min(self, *args: Any, **options: Any) -> Any:
        """Smallest value."""
        return self.values.min(*args, **options)

    def argmax(self, *args: Any, **options: Any) -> Any:
        """Index of the row with the largest value."""
        return self.values.argmax(*args, **options)

    def argmin(self, *args: Any, **options: Any) -> Any:
        """Index of the row with the smallest value."""
        return self.values.argmin(*args, **options)

    def argsort(self, *args: Any, **options: Any) -> Any:
        """Rows in the order of their values; lazy scores are computed."""
        return np.asarray(self.values).argsort(*args, **options)


def _frozen(values: Any) -> Any:
    """The values, read-only (Dask arrays are immutable)."""
    return read_only(values) if isinstance(values, np.ndarray) else values


def certified_bounds(low: Any, high: Any, rank_is_certain: bool) -> tuple[Any, Any]:
    """Bounds of the exact scores: 0 and 1 where the rank is not certain, 0 for a row of zeros."""
    return (low, high) if rank_is_certain else (0.0 * low, (high > 0.0).astype(np.float64))


def relative_gap(low: Any, high: Any) -> float:
    """The largest ``(high - low) / high``."""
    if len(high) == 0:
        return 0.0
    gap = np.where(high > 0.0, high - low, 0.0) / np.where(high > 0.0, high, 1.0)  # 0 for zero rows
    return float(gap.max())
