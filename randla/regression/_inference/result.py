"""Estimates with both errors, tests and intervals: what `inference` returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from randla._results import Result, t_interval
from randla._typing import Array
from randla._validation import as_flag
from randla.regression._inference.errors import Errors, diagonal


@dataclass(frozen=True, eq=False, repr=False)
class Inference(Result):
    """Estimates, their errors and what follows from them (to be completed)."""

    estimate: Array
    standard_error: Array
    statistical_error: Array
    algorithmic_error: Array
    degrees_of_freedom: Array
    t: Array
    p: Array
    covariance: Array
    kind: str
    names: tuple[str, ...]
    n_rows: int
    n_groups: int | None
    replicates: Array | None
    _columns: tuple[Any, ...]  # taus or names of right-hand sides; empty for a vector x
    _column_kind: str  # "tau" or "column"
    _assumed: str
    _notes: tuple[str, ...]
    _interval: Callable[[float], tuple[Array, Array]] | None

    _shown: ClassVar[tuple[str, ...]] = (
        "estimate", "standard_error", "degrees_of_freedom", "t", "p", "kind", "n_rows", "n_groups",
    )  # fmt: skip

    @classmethod
    def of(
        cls, x: Array, errors: Errors, *, algorithmic: Array | None, kind: str,
        names: tuple[str, ...], columns: tuple[Any, ...], column_kind: str, n_rows: int,
        n_groups: int | None,
    ) -> Inference:  # fmt: skip
        """From x (d,) or (d, k), its errors, and the covariance of the algorithm in their units."""
        shape = (len(x), x.size // len(x))
        unit = np.broadcast_to(errors.unit, shape)
        of_data = diagonal(errors.covariance, shape)
        of_algorithm = np.zeros(shape) if algorithmic is None else diagonal(algorithmic, shape)
        total = np.sqrt(of_data + of_algorithm)
        covariance = errors.covariance if algorithmic is None else errors.covariance + algorithmic
        flat = unit.T.reshape(-1)
        df = np.broadcast_to(errors.degrees_of_freedom, shape).reshape(x.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = ((x.reshape(shape) / unit) / total).reshape(x.shape)
        from scipy.special import stdtr

        return cls(
            estimate=x, standard_error=(unit * total).reshape(x.shape),
            statistical_error=(unit * np.sqrt(of_data)).reshape(x.shape),
            algorithmic_error=(unit * np.sqrt(of_algorithm)).reshape(x.shape),
            degrees_of_freedom=df, t=t, p=2.0 * stdtr(df, -np.abs(t)),
            covariance=covariance * flat[:, None] * flat,
            kind=kind, names=names, n_rows=n_rows, n_groups=n_groups,
            replicates=errors.replicates, _columns=columns, _column_kind=column_kind,
            _assumed=errors.assumed, _notes=errors.notes, _interval=errors.interval,
        )  # fmt: skip

    def confidence_interval(
        self, level: float = 0.95, *, simultaneous: bool = False
    ) -> tuple[Array, Array]:
        """Intervals for the coefficients of the population."""
        n_together = max(self.estimate.size, 1) if as_flag(simultaneous, "simultaneous") else 1
        error, df = self.standard_error, self.degrees_of_freedom
        return t_interval(self.estimate, error, df, level, n_together=n_together)
