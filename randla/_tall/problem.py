r"""A least-squares problem for its solvers: weighted, scaled, in float64.

Solvers work on

.. math:: \tilde A = W^{1/2} A C, \qquad \tilde B = W^{1/2} B E,

with the rows :math:`\sqrt\lambda\, C` of a ridge, and zeros, below. C and E are diagonal matrices
of powers of two (no rounding), and zero columns of A are left out. Nothing of the size of A is
stored: blocks of dense rows are weighted and scaled as they are loaded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._scaling import MAX_EXPONENT, exponents_of
from randla._tall.passes import LARGEST, SMALLEST, LeastSquaresMatrix, OutOfRange
from randla._typing import Array
from randla._validation import as_weights, require_finite


class ScaledProblem:
    """A, B, the weights and a ridge, with their scales. `n_passes` counts the reads of A.

    Attributes
    ----------
    n, d, k : int
        Shape of A without its zero columns; number of right-hand sides.
    B : (n, k) ndarray
        Weighted and scaled right-hand sides.
    root_ridge : (d,) ndarray or None
        Diagonal of the rows that the ridge adds below.
    """

    def __init__(
        self, tall: LeastSquaresMatrix, B: Any, root_weights: Any = None, ridge: float = 0.0
    ) -> None:
        self.tall: Any = tall  # its kind may have separate passes
        self.A = tall.A
        self.n, self.d = self.A.shape
        self.k = 1 if B.ndim == 1 else B.shape[1]
        self.n_columns = self.d
        self.root_weights = root_weights
        self.weight_exponent = 0  # the largest root weight is scaled to [1/2, 1) by 2^-this
        self.ridge = ridge
        self.root_ridge: Array | None = None
        self.active: NDArray[np.int64] | None = None  # None: all columns
        self.exponents: NDArray[np.int64] | None = None  # of C; None: C = I
        self.b_exponents: NDArray[np.int64] | None = None  # of E; None: E = I
        self.n_passes = 0
        self._read(B)
        if ridge > 0.0:
            self.root_ridge = np.ldexp(np.full(self.d, ridge**0.5), -self.weight_exponent)
        tall.rescale(self.root_weights)

    def _read(self, B: Array) -> None:
        """Scale the weights and the right-hand sides."""
        if self.root_weights is not None:
            self.weight_exponent = int(exponents_of(self.root_weights.max()))
            self.root_weights = np.ldexp(self.root_weights, -self.weight_exponent)
        self._unweighted = self.B = self._scaled_rhs(np.ascontiguousarray(B))
        if self.root_weights is not None:
            self.B = self._unweighted * self.root_weights[:, None]

    def _scaled_rhs(self, B: Array) -> Array:
        """Scale the columns of B that are very large or very small."""
        if self.k == 1 and 1e-200 < B[:, 0] @ B[:, 0] < 1e200:  # the quick check; NaN fails
            return B
        top = np.abs(B).max(axis=0)  # of each right-hand side
        if not np.isfinite(top).all():
            require_finite(B, "b")
        moderate = (top == 0.0) | ((top > SMALLEST) & (top < LARGEST))
        if not moderate.all():
            self.b_exponents = np.where(moderate, 0, -exponents_of(top))
            B = np.ldexp(B, self.b_exponents)
        return B

    # Scaling -------------------------------------------------------------------------------------

    def equilibrate(self) -> None:
        """Scale every column so that its largest entry is near 1; leave out the zero columns."""
        top = self._maxima()
        self.n_passes += 1
        active = None
        if self.ridge > 0.0:
            top = np.maximum(top, np.ldexp(self.ridge**0.5, -self.weight_exponent))
        elif not top.all():
            active = np.flatnonzero(top)  # nonzero columns
            top = top[active]
        self.scale(np.clip(-exponents_of(top), -MAX_EXPONENT, MAX_EXPONENT), active)

    def scale(self, exponents: NDArray[np.int64], active: NDArray[np.int64] | None) -> None:
        """Use these scales of the active columns from now on."""
        self.exponents, self.active, self.d = exponents, active, len(exponents)
        if self.ridge > 0.0:
            root = np.ldexp(self.ridge**0.5, -self.weight_exponent)
            self.root_ridge = np.ldexp(np.full(self.d, root), exponents)
        self.tall.rescale(self.root_weights, exponents, active)

    def _maxima(self) -> Array:
        """Largest absolute weighted entry of each of all columns."""
        return self.tall.weighted_maxima()

    def require_range(self, norms: NDArray[Any]) -> None:
        """Raise OutOfRange unless all column norms allow sums of products; ValueError for NaN."""
        if not self.tall.require_range(norms) and self.exponents is None:
            raise OutOfRange

    def total_exponents(self, exponents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Scales of the columns of the user's A, from those of the scaled A."""
        return exponents if self.exponents is None else exponents + self.exponents

    def unscale(
        self, Y: Array, exponents: NDArray[np.int64] | None = None, *, of_b: bool = True
    ) -> Array:
        """Coefficients for the user's A and b from 2^e Y, those of the scaled problem.

        With ``of_b=False`` the columns of Y do not belong to right-hand sides.
        """
        if exponents is None and self.exponents is None and self.b_exponents is None:
            return Y
        total = np.zeros(Y.shape, np.int64)  # x = 2^total y, column by column of A and B
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
        full = np.zeros((self.n_columns, Y.shape[1]))  # zeros for the columns that were left out
        full[self.active] = X
        return full

    def unscale_norm(self, norm: Array) -> Array:
        """Norms of columns of the user's residual from those of the scaled problem."""
        if self.b_exponents is not None:
            norm = np.ldexp(norm, -self.b_exponents)
        return np.ldexp(norm, self.weight_exponent) if self.weight_exponent else norm

    # Passes --------------------------------------------------------------------------------------

    def gram(
        self, P: Array | None = None, *, triangular: bool = False, single: bool = False
    ) -> tuple[Array, Array]:
        """``Y'Y`` (r, r) and ``Y'B`` (r, k) for Y = A P, or A, with the rows of the ridge.

        With `single` the products in Y'Y may be rounded to float32, where that is faster.
        """
        self.n_passes += 1
        options = {"triangular": triangular, "single": single}
        G, C = self._in_range(*self.tall.normal_equations(self.B, P, **options))
        if self.root_ridge is None:
            return G, C
        if P is None:
            G.flat[:: self.d + 1] += self.root_ridge**2  # the diagonal: lambda C^2
        else:
            below = self.root_ridge[:, None] * P  # rows sqrt(lambda) C P
            G += below.T @ below
        return G, C

    def residual(self, X: Array) -> tuple[Array, Array]:
        """Return ``A'R`` (d, k) and the squared column norms of R = B - A X."""
        self.n_passes += 1
        g, squares = self.tall.residual_gradient(X, self.B)
        if self.root_ridge is not None:
            below = self.root_ridge[:, None] * X
            g -= self.root_ridge[:, None] * below  # their right-hand sides are zero
            squares += (below * below).sum(axis=0)
        return g, squares

    def normal_product(self, X: Array) -> Array:
        """Return ``A'A X``."""
        self.n_passes += 1
        G = self.tall.normal_product(X)
        if self.root_ridge is not None:
            G += (self.root_ridge**2)[:, None] * X  # lambda C^2 X
        return G

    def times(self, X: Array) -> Array:
        """Return ``A X`` with the rows of the ridge below."""
        self.n_passes += 1
        image = self.tall.image(X)
        if self.root_ridge is None:
            return image
        return np.vstack([image, self.root_ridge[:, None] * X])

    def transposed(self, R: Array) -> Array:
        """Return ``A'R`` for R with the rows of the ridge below."""
        self.n_passes += 1
        g = self.tall.transposed(R[: self.n])
        if self.root_ridge is not None:
            g = g + self.root_ridge[:, None] * R[self.n :]
        return g

    def residual_vectors(self, X: Array) -> Array:
        """Return ``B - A X`` with the rows of the ridge below."""
        R = -self.times(X)
        R[: self.n] += self.B
        return R

    def sketch(self, S: Any, *, with_b: bool) -> tuple[Array, Array | None]:
        """Sketch of the columns of A, and of B in the same pass; columns n.. of S are the ridge's.

        The result is Fortran ordered, ready for LAPACK.
        """
        self.n_passes += 1
        width = self.n + (self.n_columns if self.root_ridge is not None else 0)
        S = S if S.shape[1] == width else S.columns(0, width)  # of an unbounded sketch
        SA, SB = self.tall.sketch_with(S, self._unweighted if with_b else None)
        SA = np.asfortranarray(SA if self.active is None else SA[:, self.active])
        if self.exponents is not None:
            SA = np.ldexp(SA, self.exponents)  # S A C: a sketch acts on rows only
        if self.root_ridge is not None:
            SA += S._sketch(np.diag(self.root_ridge), first_row=self.n)[0]  # columns n.. of S
        return SA, SB

    def sketch_and_rows(
        self, S: Any, numbers: NDArray[np.int64]
    ) -> tuple[Array, Array, Array | None]:
        """The sketches of A and B, and some rows of [A, B]; None if A is an operator."""
        SA, SB = self.sketch(S, with_b=True)
        sample = None
        if hasattr(self.tall, "take"):
            sample = chosen_rows(self.tall, self.B, self.root_weights, numbers=numbers)
        return SA, SB, sample  # type: ignore[return-value]

    def rhs_squares(self) -> Array:
        """Squared norms of the columns of B."""
        return (self.B * self.B).sum(axis=0)

    def _in_range(self, G: Array, C: Array) -> tuple[Array, Array]:
        """A Gram matrix and A'B, whose B is in range: it was checked before."""
        return G, C


class LazyProblem(ScaledProblem):
    """A problem whose B and weights are lazy: their values are seen in the passes over A.

    The weights are not scaled, and B only where a pass has shown that it must be.
    """

    #: Squared norms of right-hand sides that are far from the ends of the range.
    _SQUARES = 1e-280, 1e280

    def _read(self, B: Any) -> None:
        self._given = B
        self._scale_rhs(None)

    def _scale_rhs(self, exponents: NDArray[np.int64] | None) -> None:
        self.b_exponents = exponents
        options = {"width": self.k, "exponents": exponents}
        self._unweighted = self.tall.map_vectors(weighted_rhs, self._given, None, **options)
        self.B = self.tall.map_vectors(weighted_rhs, self._given, self.root_weights, **options)

    def _require_moderate(self, squares: Array) -> None:
        """Raise OutOfRange for squared norms of B that are near the ends of the range, or NaN."""
        moderate = (squares > self._SQUARES[0]) & (squares < self._SQUARES[1])
        if self.b_exponents is None and not moderate.all():
            raise OutOfRange  # the maxima are checked next

    def _in_range(self, G: Array, C: Array) -> tuple[Array, Array]:
        self._require_moderate(C[-1])  # below A'B are the squared norms of B
        return G, C[:-1]

    def residual(self, X: Array) -> tuple[Array, Array]:
        g, squares = super().residual(X)
        if not X.any():  # the start of an iteration: R = B
            self._require_moderate(squares)
        return g, squares

    def sketch(self, S: Any, *, with_b: bool) -> tuple[Array, Array | None]:
        SA, SB = super().sketch(S, with_b=with_b)
        if SB is not None and self.b_exponents is None:
            top = np.abs(SB).max(axis=0)
            if not ((top == 0.0) | ((top > SMALLEST) & (top < LARGEST))).all():
                self._scale_rhs(-exponents_of(top))
                SB = np.ldexp(SB, -exponents_of(top))
        return SA, SB

    def sketch_and_rows(
        self, S: Any, numbers: NDArray[np.int64]
    ) -> tuple[Array, Array, Array | None]:
        exponents, shape = self.b_exponents, (len(numbers), self.d + self.k)
        lazy = self.tall.join_rows(
            chosen_rows, self.B, self.root_weights, numbers=numbers, shape=shape
        )
        sample, (SA, SB) = self.tall.alongside(lazy, lambda: self.sketch(S, with_b=True))
        sample = np.array(sample)
        if exponents is None and self.b_exponents is not None:  # seen in this pass
            sample[:, self.d :] = np.ldexp(sample[:, self.d :], self.b_exponents)
        return SA, SB, sample

    def _maxima(self) -> Array:
        top, top_of_b = np.split(self.tall.weighted_maxima(self._given), [self.n_columns])
        self._scale_rhs(-exponents_of(top_of_b))  # to [1/2, 1)
        if self.root_weights is not None and not top.any():
            as_weights(self.tall.compute(self.root_weights), self.n, "weights", each="row of A")
        return top

    def rhs_squares(self) -> Array:
        squares: Array = self.tall.compute((self.B * self.B).sum(axis=0))
        return squares


def chosen_rows(block: Any, B: Any, root_weights: Any, *, numbers: NDArray[np.int64]) -> Array:
    """The rows [A, B] with these indices that are in a block, weighted; zeros for the others.

    B is weighted before.
    """
    B = np.asarray(B)
    out = np.zeros((len(numbers), block.d + B.shape[1]))
    mine = np.flatnonzero((numbers >= block.first) & (numbers < block.first + block.n))
    if mine.size:
        local = numbers[mine] - block.first
        X = block.take(local).rows(0, len(local))
        out[mine, : block.d] = X if root_weights is None else X * root_weights[local][:, None]
        out[mine, block.d :] = B[local]
    return out


def weighted_rhs(first: int, B: Any, root_weights: Any, *, exponents: Any) -> Array:
    """The right-hand sides of a block, (rows, k), scaled and weighted."""
    B = np.asarray(B, np.float64).reshape(len(B), -1)
    if exponents is not None:
        B = np.ldexp(B, exponents)
    return B if root_weights is None else B * root_weights[:, None]
