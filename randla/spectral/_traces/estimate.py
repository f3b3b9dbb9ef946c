"""What `trace` and `diagonal` return in common, and the numbers of an estimate before that."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from randla._results import Result, t_interval


class Estimate(NamedTuple):
    """Over the scale of the matrix; floats of a trace, arrays (n,) of a diagonal."""

    value: Any
    standard_error: Any
    degrees_of_freedom: float


def require_enough(n_products: int, fewest: int, method: str, other: tuple[str, int]) -> None:
    """Raise ValueError for fewer products than a method takes; an `other` takes fewer."""
    if n_products >= fewest:
        return
    advice = "" if method == other[0] else f": method={other[0]!r} takes {other[1]} or more"
    raise ValueError(
        f"n_products must be at least {fewest} for the method {method!r}, got {n_products}{advice}"
    )


@dataclass(frozen=True, eq=False, repr=False)
class EstimateByProducts(Result):
    """A number, or several, from products of a matrix with random vectors."""

    value: Any
    standard_error: Any
    degrees_of_freedom: float
    n_products: int
    method: str

    def confidence_interval(self, level: float = 0.95) -> tuple[Any, Any]:
        """Return Student t intervals for the exact value, for a diagonal one for each entry.

        Parameters
        ----------
        level : float, default 0.95
            Coverage probability of an interval, over the random vectors.

        Returns
        -------
        low, high : float or ndarray, like value
            Both equal to `value` if it is exact.
        """
        low, high = t_interval(self.value, self.standard_error, self.degrees_of_freedom, level)
        return (low, high) if low.ndim else (low.item(), high.item())
