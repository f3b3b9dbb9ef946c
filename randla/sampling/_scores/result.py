"""The result of the functions that score rows: an array of values that carries its bounds."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from randla._results import RandlaWarning, Result, axes_or_new
from randla._validation import read_only

Array = NDArray[np.float64]


#: Doubt in scores, see `widened`, up to which they count as certified.
LITTLE_DOUBT = 1e-8


class NotConvergedWarning(RandlaWarning):
    """An iteration ended before its tolerance; the bounds of the result say how far it came."""


@dataclass(frozen=True, eq=False, repr=False)
class Scores(NDArrayOperatorsMixin, Result):
    """Scores of the rows of a matrix, one number a row, between certified bounds.

    It behaves as the array of values: NumPy functions and operators, indexing, ``len`` and
    iteration see `values` and return plain arrays. Of a Dask array the scores and their bounds are
    Dask arrays, chunked like its rows and computed when they are asked for.

    Attributes
    ----------
    values : (n,) ndarray
        The scores.
    lower, upper : (n,) ndarray
        Bounds: the exact score of each row lies between them.
    certified : bool
        Whether the bounds pin the values down to the tolerance that was asked for (rounding, where
        there is none). The bounds are valid in any case, but say nothing (0 and 1) where the rank
        of the matrix, or what tells its longest rows apart, hangs on digits that doubles do not
        have. Columns that depend on others up to rounding, to a relative 1e-16 times
        ``max(d, sqrt(n))``, count as dependent: the bounds are those of a matrix that near.
    residual : float
        How far the computation was from its end: the estimated relative rounding or sketching
        error of leverage scores; ``max |log(leverage / weight)|`` of Lewis weights; the largest
        relative gap ``(upper - lower) / upper`` of sensitivities.
    n_iterations : int
        Iterations used: 0 for direct methods; the largest number of a row for sensitivities.
    kind : str
        What the scores are: "leverage", "lewis", "sensitivity", ...
    p : float
        The power of the norm that they belong to.

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
    _lower: Array | None = None
    _upper: Array | None = None

    _shown: ClassVar[tuple[str, ...]] = (
        "kind",
        "p",
        "values",
        "certified",
        "residual",
        "n_iterations",
    )

    @cached_property
    def lower(self) -> Array:
        """Lower bounds of the exact scores."""
        if self._lower is not None:
            return self._lower
        return read_only(rounding_bounds(self.values, self.residual)[0])

    @cached_property
    def upper(self) -> Array:
        """Upper bounds of the exact scores."""
        if self._upper is not None:
            return self._upper
        return read_only(rounding_bounds(self.values, self.residual)[1])

    def plot(self, ax: Any = None) -> Any:
        """Draw the scores in falling order, with their bounds, on logarithmic axes.

        Zeros are left out. Needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        ax = axes_or_new(ax)
        order = np.argsort(-self.values, kind="stable")
        order = order[self.values[order] > 0.0]
        ranks = np.arange(1, len(order) + 1)
        (line,) = ax.plot(ranks, self.values[order], label=f"{self.kind}, p = {self.p:g}")
        low = np.maximum(self.lower[order], 1e-300)
        ax.fill_between(ranks, low, self.upper[order], color=line.get_color(), alpha=0.25, lw=0)
        ax.set(xscale="log", yscale="log", xlabel="rows, in falling order", ylabel="score")
        return ax

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The values, as NumPy asks for them."""
        if copy:
            return np.array(self.values, dtype=dtype)
        if copy is False and dtype is not None and np.dtype(dtype) != self.values.dtype:
            raise ValueError(f"cannot make a {np.dtype(dtype)} array of Scores without a copy")
        return np.asarray(self.values, dtype=dtype)

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
        """Row of the largest value."""
        return self.values.argmax(*args, **options)

    def argmin(self, *args: Any, **options: Any) -> Any:
        """Row of the smallest value."""
        return self.values.argmin(*args, **options)

    def argsort(self, *args: Any, **options: Any) -> Any:
        """Rows in the order of their values; those of lazy scores are computed for it."""
        return np.asarray(self.values).argsort(*args, **options)


def rounding_bounds(values: Any, error: float) -> tuple[Any, Any]:
    """Bounds of scores that are exact up to a relative rounding error."""
    return values / (1.0 + error), np.minimum(values * (1.0 + error), 1.0)


def widened(lower: Any, upper: Any, doubt: float) -> tuple[Any, Any]:
    """Bounds of scores that may be wrong by `doubt`; a row of zeros stays at 0."""
    low = np.maximum(lower - doubt, 0.0)
    return low, np.where(upper > 0.0, np.minimum(upper + doubt, 1.0), 0.0)


def make_scores(
    values: Array,
    lower: Array | None,
    upper: Array | None,
    *,
    kind: str,
    p: float,
    certified: bool,
    residual: float,
    n_iterations: int = 0,
) -> Scores:
    """Scores with arrays that cannot be written to; without bounds, exact up to the residual."""
    low, high = (None if b is None else read_only(b) for b in (lower, upper))
    return Scores(
        read_only(values), bool(certified), float(residual), n_iterations, kind, float(p), low, high
    )
