r"""The rows of a regression as its solvers see them: weighted, scaled, in float64.

Solvers work on

.. math:: \tilde A = W^{1/2} A C, \qquad \tilde B = W^{1/2} B E,

below which a ridge puts the rows :math:`\sqrt\lambda\, C` and zeros. C and E are diagonal matrices
of powers of two (no rounding), and columns of A that are zero are left out. Nothing of the size of
A is stored: dense blocks of rows are weighted and scaled as they are loaded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from randla._scaling import exponents_of
from randla._validation import require_finite
from randla.sketching._operators import Sketch

Matrix = NDArray[np.float64]

#: Column norms for which sums of squares and products of two columns stay in range.
_SMALLEST, _LARGEST = 1e-140, 1e140


class OutOfRange(Exception):
    """The columns must be scaled first: sums of squares would overflow or underflow."""


class Rows(ABC):
    """Base: what all kinds of A share. `n_passes` counts the reads of A.

    Attributes
    ----------
    n, d, k : int
        Shape of A without its zero columns; number of right-hand sides.
    B : (n, k) ndarray
        Weighted and scaled right-hand sides.
    root_ridge : (d,) ndarray or None
        Diagonal of the rows that the ridge puts below.
    """

    #: Whether columns can be scaled and left out.
    scalable: ClassVar[bool] = True

    def __init__(
        self,
        A: Any,
        B: Matrix,
        root_weights: Matrix | None = None,
        ridge: float = 0.0,
    ) -> None:
        self.A = A
        self.n, self.d = A.shape
        self.k = B.shape[1]
        self.n_columns = self.d
        self.root_weights = root_weights
        self.weight_exponent = 0
        self.ridge = ridge
        self.root_ridge: Matrix | None = None
        self.active: NDArray[np.int64] | None = None  # None: all columns
        self.exponents: NDArray[np.int64] | None = None  # of C; None: C = I
        self.b_exponents: NDArray[np.int64] | None = None  # of E; None: E = I
        self.n_passes = 0
        if root_weights is not None:
            self.weight_exponent = int(exponents_of(root_weights.max()))
            root_weights = np.ldexp(root_weights, -self.weight_exponent)
            self.root_weights = root_weights
        self._unweighted = self._scaled_rhs(np.ascontiguousarray(B))
        self.B = self._unweighted
        if root_weights is not None:
            self.B = self._unweighted * root_weights[:, None]
        if ridge > 0.0:
            self.root_ridge = np.ldexp(np.full(self.d, ridge**0.5), -self.weight_exponent)
        self._prepare()

    def _scaled_rhs(self, B: Matrix) -> Matrix:
        """Scale the columns of B that are very large or very small."""
        if self.k == 1 and 1e-200 < B[:, 0] @ B[:, 0] < 1e200:
            return B
        top = np.abs(B).max(axis=0)
        if not np.isfinite(top).all():
            require_finite(B, "b")
        moderate = (top == 0.0) | ((top > _SMALLEST) & (top < _LARGEST))
        if not moderate.all():
            self.b_exponents = np.where(moderate, 0, -exponents_of(top))
            B = np.ldexp(B, self.b_exponents)
        return B

    # Scaling -------------------------------------------------------------------------------------

    def equilibrate(self) -> None:
        """Scale every column so that its largest entry is near 1; leave out the zero columns."""
        top = self._column_maxima()
        self.n_passes += 1
        active = None
        if self.ridge > 0.0:
            top = np.maximum(top, np.ldexp(self.ridge**0.5, -self.weight_exponent))
        elif not top.all():
            active = np.flatnonzero(top)
            top = top[active]
        self.scale(np.clip(-exponents_of(top), -1020, 1020), active)

    def scale(self, exponents: NDArray[np.int64], active: NDArray[np.int64] | None) -> None:
        """Use these scales of the active columns from now on."""
        self.exponents, self.active, self.d = exponents, active, len(exponents)
        if self.ridge > 0.0:
            root = np.ldexp(self.ridge**0.5, -self.weight_exponent)
            self.root_ridge = np.ldexp(np.full(self.d, root), exponents)
        self._prepare()

    def _prepare(self) -> None:  # noqa: B027
        """Take note of the scaling, at first and when it is new, if there is anything to note."""

    def require_range(self, norms: NDArray[Any]) -> None:
        """Raise OutOfRange unless all column norms allow sums of products; ValueError for NaN."""
        if norms.size and _SMALLEST < norms.min() and norms.max() < _LARGEST:
            return
        if not np.isfinite(norms).all():
            self._require_finite()
        if self.exponents is None:
            raise OutOfRange

    def total_exponents(self, exponents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Scales of the columns of the caller's A, from those of the scaled A."""
        return exponents if self.exponents is None else exponents + self.exponents

    def unscale(
        self, Y: Matrix, exponents: NDArray[np.int64] | None = None, *, of_b: bool = True
    ) -> Matrix:
        """Coefficients for the caller's A and b from 2^e Y, those of the scaled problem.

        With ``of_b=False`` the columns of Y do not belong to right-hand sides.
        """
        if exponents is None and self.exponents is None and self.b_exponents is None:
            return Y
        total = np.zeros(Y.shape, np.int64)
        if exponents is not None:
            total += exponents[:, None]
        if self.exponents is not None:
            total += self.exponents[:, None]
        if self.b_exponents is not None and of_b:
            total -= self.b_exponents
        with np.errstate(over="ignore"):
            X = np.ldexp(Y, total)
        if self.active is None:
            return X
        full = np.zeros((self.n_columns, Y.shape[1]))
        full[self.active] = X
        return full

    def unscale_norm(self, size: Matrix) -> Matrix:
        """Norms of columns of the caller's residual from those of the scaled problem."""
        if self.b_exponents is not None:
            size = np.ldexp(size, -self.b_exponents)
        return np.ldexp(size, self.weight_exponent) if self.weight_exponent else size

    # Passes --------------------------------------------------------------------------------------

    def gram(self, *, single: bool = False) -> tuple[Matrix, Matrix]:
        """Return ``A'A`` (d, d) and ``A'B`` (d, k), with the rows of the ridge.

        With `single` the products in ``A'A`` may be rounded to float32, where that is faster.
        """
        self.n_passes += 1
        G, C = self._gram_in_single() if single else self._gram()
        if self.root_ridge is not None:
            G.flat[:: self.d + 1] += self.root_ridge**2
        return G, C

    def gram_after(
        self, P: Matrix, *, triangular: bool, single: bool = False
    ) -> tuple[Matrix, Matrix]:
        """Return ``Y'Y`` and ``Y'B`` for Y = A P, with P (d, r) perhaps upper triangular.

        With `single` the products in ``Y'Y`` may be rounded to float32, but not those in A P.
        """
        self.n_passes += 1
        gram_after = self._gram_after_in_single if single else self._gram_after
        G, C = gram_after(P, triangular)
        if self.root_ridge is not None:
            below = self.root_ridge[:, None] * P
            G += below.T @ below
        return G, C

    def residual(self, X: Matrix) -> tuple[Matrix, Matrix]:
        """Return ``A'R`` (d, k) and the squared column norms of R = B - A X."""
        self.n_passes += 1
        g, squares = self._residual(X)
        if self.root_ridge is not None:
            below = self.root_ridge[:, None] * X
            g -= self.root_ridge[:, None] * below
            squares += (below * below).sum(axis=0)
        return g, squares

    def normal_product(self, X: Matrix) -> Matrix:
        """Return ``A'A X``."""
        self.n_passes += 1
        G = self._normal_product(X)
        if self.root_ridge is not None:
            G += (self.root_ridge**2)[:, None] * X
        return G

    def times(self, X: Matrix) -> Matrix:
        """Return ``A X`` with the rows of the ridge below."""
        self.n_passes += 1
        image = self._times(X)
        if self.root_ridge is None:
            return image
        return np.vstack([image, self.root_ridge[:, None] * X])

    def transposed(self, R: Matrix) -> Matrix:
        """Return ``A'R`` for R with the rows of the ridge below."""
        self.n_passes += 1
        g = self._transposed(R[: self.n])
        if self.root_ridge is not None:
            g = g + self.root_ridge[:, None] * R[self.n :]
        return g

    def residual_vectors(self, X: Matrix) -> Matrix:
        """Return ``B - A X`` with the rows of the ridge below."""
        R = -self.times(X)
        R[: self.n] += self.B
        return R

    def sketch(self, S: Sketch, *, with_b: bool) -> tuple[Matrix, Matrix | None]:
        """Sketch of the columns of A, and of B in the same pass; columns n.. of S are the ridge's.

        The result is Fortran ordered, ready for LAPACK.
        """
        self.n_passes += 1
        S = S._for_rows(self.n + (self.n_columns if self.root_ridge is not None else 0))
        SA, SB = self._sketch(S, with_b)
        SA = np.asfortranarray(SA if self.active is None else SA[:, self.active])
        if self.exponents is not None:
            SA = np.ldexp(SA, self.exponents)
        if self.root_ridge is not None:
            SA += S._sketch(np.diag(self.root_ridge), first_row=self.n)[0]
        return SA, SB

    def rhs_squares(self) -> Matrix:
        """Squared norms of the columns of B."""
        return (self.B * self.B).sum(axis=0)

    # What a kind of A must say -------------------------------------------------------------------

    @abstractmethod
    def _gram(self) -> tuple[Matrix, Matrix]: ...

    @abstractmethod
    def _gram_after(self, P: Matrix, triangular: bool) -> tuple[Matrix, Matrix]: ...

    def _gram_in_single(self) -> tuple[Matrix, Matrix]:
        return self._gram()

    def _gram_after_in_single(self, P: Matrix, triangular: bool) -> tuple[Matrix, Matrix]:
        return self._gram_after(P, triangular)

    @abstractmethod
    def _residual(self, X: Matrix) -> tuple[Matrix, Matrix]: ...

    @abstractmethod
    def _normal_product(self, X: Matrix) -> Matrix: ...

    @abstractmethod
    def _sketch(self, S: Sketch, with_b: bool) -> tuple[Matrix, Matrix | None]:
        """All columns of A, unscaled."""

    # What it must say if its columns can be scaled -----------------------------------------------

    def _require_finite(self) -> None:
        """Raise ValueError if an entry of A is NaN or inf."""
        raise NotImplementedError

    def _column_maxima(self) -> Matrix:
        """Largest absolute weighted entry of each of all columns."""
        raise NotImplementedError

    # What LSQR needs, which keeps vectors of n entries -------------------------------------------

    def _times(self, X: Matrix) -> Matrix:
        raise NotImplementedError

    def _transposed(self, R: Matrix) -> Matrix:
        raise NotImplementedError


class CarefulSum:
    """Running sums of several arrays, with compensation where they may cancel."""

    def __init__(self, compensated: bool) -> None:
        self.compensated = compensated
        self.sums: list[Matrix] = []
        self.carries: list[Matrix] = []

    def add(self, values: list[Matrix]) -> None:
        """Add arrays, which from now on belong to the total."""
        if not self.sums:
            self.sums = [value.astype(np.float64, copy=False) for value in values]
        elif not self.compensated:
            for total, value in zip(self.sums, values, strict=True):
                total += value
        else:
            if not self.carries:
                self.carries = [np.zeros_like(value) for value in values]
            for k, value in enumerate(values):  # Knuth's two-sum
                total = self.sums[k] + value
                added = total - self.sums[k]
                self.carries[k] += (self.sums[k] - (total - added)) + (value - added)
                self.sums[k] = total

    def value(self) -> list[Matrix]:
        """The sums."""
        if self.carries:
            return [total + carry for total, carry in zip(self.sums, self.carries, strict=True)]
        return self.sums
