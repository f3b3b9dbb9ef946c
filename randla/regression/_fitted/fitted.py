"""Methods shared by all fits of coefficients: names, fitted values of new rows, residuals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from randla._results import Result
from randla._typing import Array
from randla.regression._fitted.labels import PLAIN, Labels
from randla.regression._fitted.products import product, residuals


@dataclass(frozen=True, eq=False, repr=False)
class LinearFit(Result):
    """Base of the results of `lstsq` and `lp_regression`: coefficients x, (d,) or (d, k)."""

    x: Array
    _labels: Labels = field(default=PLAIN, kw_only=True)

    def labeled(self, labels: Labels) -> Any:
        """The new result itself, with names from now on."""
        vars(self)["_labels"] = labels
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients: the columns of a table A, else "x0", "x1", ..."""
        return self._labels.all_names(len(self.x))

    def predict(self, A_new: Any) -> Any:
        """Return fitted values of new rows.

        Parameters
        ----------
        A_new : (m, d) array_like, sparse matrix, LinearOperator, Dask array, or table
            If A was a table, columns of a new table are matched by name; other columns are ignored.
            After a formula of ``randla.formula``: new data.

        Returns
        -------
        values : (m,) or (m, k) ndarray
            ``A_new @ x``; lazy for a Dask array.
        """
        return product(self._labels.design(A_new, len(self.x)), self.x, "A_new")

    def residuals(self, A: Any, b: Any = None) -> Any:
        """Return the residuals ``b - A x`` of the fitted rows, or of others.

        Parameters
        ----------
        A : (n, d) array_like, sparse matrix, LinearOperator, Dask array, or table
            As in the fit; after a formula of ``randla.formula`` its data, without `b`.
        b : (n,) or (n, k) array_like
            As in the fit.

        Returns
        -------
        residuals : (n,) or (n, k) ndarray
            Without weights; lazy for a Dask array.
        """
        A, b, _ = self._labels.opened(A, b, len(self.x))
        if b is None:
            raise TypeError("b must be given with A, as results keep no data")
        return residuals(A, b, self.x)
