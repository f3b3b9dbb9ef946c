"""The base of all sketches: an immutable, picklable linear operator, determined by its key.

A sketch S of m rows acts on the n rows of a tall matrix. Column i of S, that is, what happens to
row i of the operand, depends on (key, i) only. So a block of rows can be sketched alone, by
`Sketch.columns`, and the sum over the blocks is the sketch of the whole, wherever it was cut.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.sparse.linalg import LinearOperator

from randla._results import html_table
from randla._tall.open import sketch_lazily, transposed
from randla._tall.operator import FrozenOperator, RowsOnDemand
from randla._validation import as_array, as_count, as_matrix, is_sparse, read_only, require_finite

AnyArray = NDArray[Any]
#: Number of rows of a sketch to which rows can be appended indefinitely (`BlockSRHT` without n).
UNBOUNDED = 1 << 62
#: Entries of a block of rows that are made on demand.
_ON_DEMAND_ENTRIES = 1 << 20


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Sketch(FrozenOperator, ABC):
    """Base of the sketching operators: S of shape (m, n) with E[S^T S] = I.

    ``S @ A`` is the sketch of a matrix or vector, ``S.T @ Y`` the exact adjoint. Operators are
    immutable; a pickle holds only the parameters and the key, a few bytes.
    """

    shape: tuple[int, int]  # (m, n)
    _key: np.uint64

    dtype: ClassVar[np.dtype[np.float64]] = np.dtype(np.float64)
    #: Whether the l_inf guarantee holds for least-squares coefficients from this sketch.
    has_linf_guarantee: ClassVar[bool] = False

    # What a subclass defines ---------------------------------------------------------------------

    def _options(self) -> dict[str, Any]:
        """Remaining arguments of the constructor, for the repr."""
        return {}

    @abstractmethod
    def _apply(self, A: Any, b: AnyArray, weights: AnyArray, first_row: int) -> AnyArray:
        """``S W [A b]`` as one array (m, d + c), without checks; all operands are of one dtype.

        b is (k, c), c = 0 if there is none; weights are (k,), or (0,) for weights of one.
        """

    def _apply_on_demand(
        self, A: RowsOnDemand, b: AnyArray, weights: AnyArray, first_row: int
    ) -> AnyArray:
        """`_apply` of rows that are made a block at a time."""
        n, d = A.shape
        block = min(max(_ON_DEMAND_ENTRIES // d, 512), 4096)
        block = 1 << (block.bit_length() - 1)  # blocks of Hadamard sketches fit into it
        total = np.zeros((self.shape[0], d + b.shape[1]), A.dtype)
        for i in range(0, n, block):
            rows = read_only(A.row_block(i, min(i + block, n)))  # (block, d)
            total += self._apply(rows, b[i : i + block], weights[i : i + block], first_row + i)
        return total

    @abstractmethod
    def _apply_adjoint(self, Y: AnyArray, first: int, last: int) -> AnyArray:
        """Rows first..last of S^T Y, (last - first, k)."""

    @property
    def population(self) -> int | None:
        """Number of rows from which the m rows were drawn without replacement, or None.

        For the exact `SRHT` it is n padded to a power of two, the N of the finite-population
        correction. None means that there is no correction.
        """
        return None

    # The internal entry that least squares uses --------------------------------------------------

    def _sketch(
        self,
        A: Any,
        b: AnyArray | None = None,
        *,
        row_scale: AnyArray | None = None,
        first_row: int = 0,
    ) -> tuple[AnyArray, AnyArray | None]:
        """``S A`` (m, d) of rows first_row..first_row + k of an operand, and ``S b`` if b is given.

        A (k, d) is an array or CSR array in any memory order, validated except for NaN and inf;
        float32 is sketched in float32. b is (k,) or (k, c); `row_scale` (k,) multiplies the rows
        of both while they are loaded. ValueError for NaN, inf, or a result that overflows.
        """
        d = A.shape[1]
        columns = np.empty((A.shape[0], 0), A.dtype) if b is None else b.reshape(len(b), -1)
        if columns.dtype == A.dtype:
            total = self._apply_safely(A, columns, row_scale, first_row)
            SA, Sb = total[:, :d], total[:, d:]  # one pass over both
        else:
            if A.dtype == np.float64:  # a float32 b is exact in float64
                columns = columns.astype(np.float64)
            SA = self._apply_safely(A, np.empty((len(columns), 0), A.dtype), row_scale, first_row)
            Sb = self._apply_safely(columns, columns[:, :0], row_scale, first_row, name="b")
        return SA, None if b is None else Sb.reshape(Sb.shape[:1] + b.shape[1:])

    def _apply_safely(
        self, A: Any, b: AnyArray, row_scale: AnyArray | None, first_row: int, name: str = "A"
    ) -> AnyArray:
        """`_apply`, whose sums show whether there was a NaN or an inf, without another pass."""
        (n, d), m = A.shape, self.shape[0]
        if 0 in A.shape and b.size == 0:
            return np.zeros((m, d + b.shape[1]), A.dtype)
        apply = self._apply_on_demand if isinstance(A, RowsOnDemand) else self._apply
        weights = np.empty(0) if row_scale is None else row_scale
        with np.errstate(invalid="ignore", over="ignore"):
            total = apply(A, b, read_only(weights.astype(A.dtype, copy=False)), first_row)
        if _is_finite(total):
            return total
        if not isinstance(A, RowsOnDemand):  # its parts were checked when it was made
            require_finite(A.data if is_sparse(A) else A, name)
        require_finite(b, "b")
        require_finite(weights, "weights")
        # All entries are finite, so a sum has overflowed: try again, scaled down by a power of two.
        down = n.bit_length() + 2  # a sum of n terms is below 2^down times the largest
        weights = np.ldexp(weights if weights.size else np.ones(n), -down)
        total = apply(A, b, read_only(weights.astype(A.dtype, copy=False)), first_row)
        with np.errstate(over="ignore"):
            total = np.ldexp(total, down)
        if not _is_finite(total):
            name = "b" if _is_finite(total[:, :d]) else name  # the operand whose columns overflow
            raise ValueError(f"{name} must be scaled down: its sketch overflows {total.dtype}")
        return total

    # Products ------------------------------------------------------------------------------------

    def _product(self, A: Any) -> AnyArray:
        """S @ A for A as given by the user."""
        lazy = sketch_lazily(self, A)
        if lazy is not None:
            return lazy
        if isinstance(A, RowsOnDemand):
            pass  # its parts are checked
        elif is_sparse(A):
            A = as_matrix(A, "A", finite=False, sparse=True)
        else:
            A = as_array(A, "A", finite=False)
            if A.ndim not in (1, 2):
                raise ValueError(f"A must be 1-D or 2-D, got shape {A.shape}")
        self._require_rows(A, "A")
        if len(A.shape) == 1:
            return self._sketch(A[:, None])[0][:, 0]
        return self._sketch(A)[0]

    def _adjoint_product(self, Y: Any, first: int = 0, last: int | None = None) -> AnyArray:
        """Rows first..last of S^T Y for Y as given by the user."""
        last = self.shape[1] if last is None else last
        if is_sparse(Y):
            Y = Y.toarray()  # m rows only
        Y = as_array(Y, "Y")
        if Y.ndim not in (1, 2) or Y.shape[0] != self.shape[0]:
            raise ValueError(
                f"Y must have shape ({self.shape[0]},) or ({self.shape[0]}, k), as the sketch has "
                f"{self.shape[0]} rows, got shape {Y.shape}"
            )
        if last - first >= UNBOUNDED:
            raise ValueError("n must be given for S.T, got None: use S.columns(first, last).T")
        columns = read_only(np.ascontiguousarray(Y.reshape(len(Y), -1)))  # (m, k)
        out = np.empty((last - first, columns.shape[1]), Y.dtype)
        if out.size:
            out = self._apply_adjoint(columns, first, last)
        return out.reshape(out.shape[:1] + Y.shape[1:])

    def _require_rows(self, A: Any, name: str) -> None:
        n = self.shape[1]
        if A.shape[0] != n and (n < UNBOUNDED or A.shape[0] == 0):
            expected = f"{n} rows" if n < UNBOUNDED else "at least one row"
            raise ValueError(f"{name} must have {expected}, got shape {A.shape}")

    def dot(self, x: Any) -> Any:
        """Return ``S @ x``, the sketch of x.

        Parameters
        ----------
        x : (n,) or (n, d) array_like, sparse matrix, KroneckerProduct, Dask array or operator

        Returns
        -------
        (m,) or (m, d) ndarray
            Lazy for a Dask array or another operator.
        """
        lazy = isinstance(x, LinearOperator) and not isinstance(x, RowsOnDemand)
        if lazy or np.isscalar(x):
            return super().dot(x)
        return self._product(x)

    def _matvec(self, x: Any) -> AnyArray:
        return self._product(x)

    def _rmatvec(self, x: Any) -> AnyArray:
        return self._adjoint_product(x)

    _matmat, _rmatmat = _matvec, _rmatvec

    def _transpose(self) -> TransposedSketch:
        return TransposedSketch(self)

    _adjoint = _transpose

    # Parts and copies ----------------------------------------------------------------------------

    def columns(self, first: int, last: int) -> Sketch:
        """Return columns first..last - 1 of S, as a sketch of shape (m, last - first).

        It acts on rows first..last of the operand: the sum of ``S.columns(i, j) @ A[i:j]`` over
        row blocks equals ``S @ A`` up to rounding, for any division into blocks.

        Parameters
        ----------
        first, last : int
            0 <= first <= last <= n.

        Examples
        --------
        >>> import numpy as np
        >>> from randla import SRHT
        >>> A = np.arange(2000.0).reshape(1000, 2)
        >>> S = SRHT(8, 1000, rng=0)
        >>> parts = S.columns(0, 300) @ A[:300] + S.columns(300, 1000) @ A[300:]
        >>> np.allclose(parts, S @ A)
        True
        """
        first = as_count(first, "first", minimum=0, maximum=self.shape[1])
        last = as_count(last, "last", minimum=first, maximum=self.shape[1])
        return SketchColumns(self, first, last)

    def toarray(self, dtype: DTypeLike = np.float64) -> AnyArray:
        """Return S as an (m, n) array of float64 or float32; for tests and small examples."""
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise TypeError(f"dtype must be float32 or float64, got {np.dtype(dtype)}")
        eye = np.eye(self.shape[0], dtype=dtype)  # (m, m): S^T I costs n m
        return np.ascontiguousarray(self._adjoint_product(eye).T)

    def __getstate__(self) -> dict[str, Any]:
        """The fields, without the draws computed from them."""
        return {field.name: vars(self)[field.name] for field in fields(self)}

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return type(self).__name__, tuple(self.__getstate__().items())

    def _arguments(self) -> dict[str, Any]:
        m, n = self.shape
        return {"m": m, "n": None if n == UNBOUNDED else n, **self._options()}

    def __repr__(self) -> str:
        listed = ", ".join(f"{name}={value!r}" for name, value in self._arguments().items())
        return f"{type(self).__name__}({listed})"

    def _repr_html_(self) -> str:
        guarantee = {"has_linf_guarantee": self.has_linf_guarantee}
        return html_table(type(self).__name__, {**self._arguments(), **guarantee})


@dataclass(frozen=True, eq=False, repr=False, init=False)
class SketchColumns(Sketch):
    """Columns first..last of a sketch; made by `Sketch.columns`."""

    _whole: Sketch
    _first: int
    _last: int

    def __init__(self, whole: Sketch, first: int, last: int) -> None:
        if isinstance(whole, SketchColumns):  # columns of columns are columns of the whole
            whole, first, last = whole._whole, whole._first + first, whole._first + last
        shape = whole.shape[0], last - first
        self.__dict__.update(shape=shape, _key=whole._key, _whole=whole, _first=first, _last=last)

    @property
    def has_linf_guarantee(self) -> bool:  # type: ignore[override]
        """Whether the guarantee holds for the whole sketch."""
        return self._whole.has_linf_guarantee

    @property
    def population(self) -> int | None:
        """The population of the whole sketch."""
        return self._whole.population

    def _apply(self, A: Any, b: AnyArray, weights: AnyArray, first_row: int) -> AnyArray:
        return self._whole._apply(A, b, weights, self._first + first_row)

    def _apply_adjoint(self, Y: AnyArray, first: int, last: int) -> AnyArray:
        return self._whole._apply_adjoint(Y, self._first + first, self._first + last)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return self._whole.__dask_tokenize__(), self._first, self._last

    def _arguments(self) -> dict[str, Any]:
        return {"of": repr(self._whole), "first": self._first, "last": self._last}

    def __repr__(self) -> str:
        return f"{self._whole!r}.columns({self._first}, {self._last})"


class TransposedSketch(LinearOperator):
    """S^T, whose products are those of the sketch without a copy of n rows; made by ``S.T``."""

    def __init__(self, sketch: Sketch) -> None:
        super().__init__(sketch.dtype, sketch.shape[::-1])
        self._sketch = sketch

    def dot(self, x: Any) -> Any:
        """``S.T @ x`` for an array or another operator (lazily)."""
        if isinstance(x, LinearOperator) or np.isscalar(x):
            return super().dot(x)
        return self._sketch._adjoint_product(x)

    def __rmul__(self, x: Any) -> Any:
        """``A.T @ S.T``, computed from the rows of A in place."""
        if isinstance(x, LinearOperator) or np.isscalar(x):
            return super().__rmul__(x)
        return self._sketch._product(transposed(x)).T

    def _matvec(self, x: Any) -> AnyArray:
        return self._sketch._adjoint_product(x)

    def _rmatvec(self, x: Any) -> AnyArray:
        return self._sketch._product(x)

    _matmat, _rmatmat = _matvec, _rmatvec

    def _transpose(self) -> Sketch:
        return self._sketch

    _adjoint = _transpose

    def toarray(self) -> AnyArray:
        """S^T as an (n, m) array."""
        return self._sketch.toarray().T

    def __repr__(self) -> str:
        return f"{self._sketch!r}.T"


def _is_finite(X: AnyArray) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        # A sum is NaN or inf if an entry is; a sum of finite entries may overflow.
        return math.isfinite(X.sum(dtype=np.float64)) or bool(np.isfinite(X).all())
