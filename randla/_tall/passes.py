"""The interface of a matrix for least squares: passes over its rows, weighted and scaled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla._validation import as_rhs, as_weights, read_only

#: Norms of columns for which sums of squares and products of two columns stay in range.
SMALLEST, LARGEST = 1e-140, 1e140


class OutOfRange(Exception):
    """The columns must be scaled first: sums of squares would overflow or underflow."""


class LeastSquaresMatrix(ABC):
    """The interface of a kind of A: passes over the rows of ``W^(1/2) A C``.

    B are right-hand sides (n, k) that were weighted and scaled before, lazy if A is lazy.
    """

    #: Whether columns can be scaled and left out.
    scalable: ClassVar[bool] = True
    #: Whether vectors over the rows are lazy, and each number costs a pass over data on disk.
    lazy: ClassVar[bool] = False

    A: Any
    n: int
    row_scale: Any = None  # square roots of the weights, (n,)
    column_exponents: NDArray[np.int64] | None = None  # of C; None: C = I

    def rescale(
        self,
        row_scale: Any,
        exponents: NDArray[np.int64] | None = None,
        columns: NDArray[np.int64] | None = None,
    ) -> None:
        """Weight the rows and scale the columns from now on; leave out all but `columns`."""
        self.row_scale, self.column_exponents, self.columns = row_scale, exponents, columns
        self.column_scale = None if exponents is None else np.ldexp(1.0, exponents)
        self._prepare()

    def _prepare(self) -> None:  # noqa: B027
        """Note new scales, if there is anything to note."""

    @abstractmethod
    def normal_equations(
        self, B: Any, P: Array | None, *, triangular: bool, single: bool
    ) -> tuple[Array, Array]:
        """``Y'Y`` and ``Y'B`` for Y = A P, with P (d, r) possibly upper triangular; None: Y = A.

        With `single` the products in Y'Y may be rounded to float32, but not those in A P.
        """

    @abstractmethod
    def residual_gradient(self, X: Array, B: Any) -> tuple[Array, Array]:
        """``A'R`` (d, k) and the squared norms of the columns of R = B - A X."""

    @abstractmethod
    def normal_product(self, X: Array) -> Array:
        """``A'A X``."""

    @abstractmethod
    def sketch_with(self, S: Any, B: Any) -> tuple[Array, Array | None]:
        """``S W^(1/2) A`` of all columns, unscaled, and ``S W^(1/2) B`` unless B is None.

        S is a sketching operator with a column for each row.
        """

    def weighted_maxima(self) -> Array:
        """Largest absolute weighted entry of each of all columns, which must be finite."""
        raise NotImplementedError

    def require_finite(self) -> None:
        """Raise ValueError if an entry of A is NaN or inf."""
        raise NotImplementedError

    def toarray(self) -> Array:
        """The unscaled A as a dense array, if it is sparse or an operator."""
        raise NotImplementedError

    def require_range(self, norms: NDArray[Any]) -> bool:
        """Whether these norms of columns allow sums of products; ValueError for NaN."""
        if norms.size and SMALLEST < norms.min() and norms.max() < LARGEST:  # NaN fails too
            return True
        if not np.isfinite(norms).all():
            self.require_finite()
        return False

    # The user's data besides A -------------------------------------------------------------------

    def vector(self, values: Any, name: str, *, positive_sum: bool = False) -> Any:
        """The user's vector, finite and not negative, and not of zeros with `positive_sum`."""
        return as_weights(values, self.n, name, positive_sum=positive_sum, each="row of A")

    def aligned(self, vector: Any) -> Any:
        """A vector that was checked before, possibly one of a Dask array, as a vector of A."""
        return read_only(np.asarray(vector))

    def right_hand_sides(self, b: Any, *, single: bool = False, finite: bool = False) -> Any:
        """The user's b, (n,) or (n, k), as float64; k = 1 for a `single` column.

        NaN and inf are found later, in the passes, unless `finite` asks for a check now.
        """
        B = as_rhs(b, self.n, finite=finite, single=single)
        if B.size == 0:
            raise ValueError(f"b must have at least one column, got shape {B.shape}")
        return B if B.dtype == np.float64 else B.astype(np.float64)

    # For LSQR, which keeps vectors of n entries --------------------------------------------------

    def image(self, X: Array) -> Array:
        """``A X``."""
        raise NotImplementedError

    def transposed(self, R: Array) -> Array:
        """``A'R``."""
        raise NotImplementedError


class ProductPasses(LeastSquaresMatrix):
    """The passes that follow from products with A and its transpose."""

    def residual_gradient(self, X: Array, B: Array) -> tuple[Array, Array]:
        R = B - self.image(X)  # (n, k)
        return self.transposed(R), (R * R).sum(axis=0)

    def normal_product(self, X: Array) -> Array:
        return self.transposed(self.image(X))
