"""Kronecker products that are never formed, and the sketch that keeps their structure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._random import (
    counter_hash,
    draw_key,
    hash_to_range,
    hashes,
    random_permutation,
    random_signs,
)
from randla._tall.operator import RowsOnDemand
from randla._validation import as_count, as_matrix
from randla.sketching._hadamard import USUAL_BLOCK, HadamardSketch, Purpose, padded, sort_samples
from randla.sketching._kernels import hadamard as kernels
from randla.sketching._operators import UNBOUNDED, AnyArray
from randla.sketching._walsh import fwht


@dataclass(frozen=True, eq=False, repr=False, init=False)
class KroneckerProduct(RowsOnDemand):
    r"""The Kronecker product of two matrices, never formed.

    .. math:: (A_1 \otimes A_2)_{i_1 n_2 + i_2,\, j_1 d_2 + j_2} = (A_1)_{i_1 j_1} (A_2)_{i_2 j_2}

    An operand for sketches (``S @ KroneckerProduct(A1, A2)``) and for `lstsq`; a
    `scipy.sparse.linalg.LinearOperator` of shape (n1 n2, d1 d2), whose products with a vector cost
    :math:`n_1 n_2 d_2 + n_1 d_1 d_2` multiplications.

    Parameters
    ----------
    A1 : (n1, d1) array_like
        Real and finite.
    A2 : (n2, d2) array_like
        Real and finite.

    Attributes
    ----------
    A1, A2 : ndarray
        The factors, read-only.
    shape : tuple of int
        (n1 n2, d1 d2).

    Raises
    ------
    ValueError, TypeError
        If a factor is not real, 2-D, finite and non-empty.

    See Also
    --------
    KroneckerSRHT : a sketch that costs only two transforms of the factors.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import KroneckerProduct
    >>> K = KroneckerProduct([[1.0, 2.0]], [[1.0], [10.0]])
    >>> K.toarray()
    array([[ 1.,  2.],
           [10., 20.]])
    >>> K @ np.array([1.0, 1.0])
    array([ 3., 30.])
    """

    A1: AnyArray  # (n1, d1)
    A2: AnyArray  # (n2, d2)
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def __init__(self, A1: ArrayLike, A2: ArrayLike) -> None:
        factors = {"A1": as_matrix(A1, "A1"), "A2": as_matrix(A2, "A2")}
        for name, factor in factors.items():
            if 0 in factor.shape:
                raise ValueError(f"{name} must have rows and columns, got shape {factor.shape}")
        (n1, d1), (n2, d2) = (factor.shape for factor in factors.values())
        dtype = np.result_type(*factors.values())
        self.__dict__.update(shape=(n1 * n2, d1 * d2), dtype=dtype, **factors)

    def row_block(self, first: int, last: int) -> AnyArray:
        """Return rows first..last - 1 of the product, (last - first, d1 d2)."""
        i, j = np.divmod(np.arange(first, last), len(self.A2))
        return (self.A1[i][:, :, None] * self.A2[j][:, None, :]).reshape(len(i), self.shape[1])

    def _matvec(self, x: AnyArray) -> AnyArray:
        return _product(self.A1, self.A2, x.reshape(self.shape[1], -1))

    def _rmatvec(self, x: AnyArray) -> AnyArray:
        return _product(self.A1.T, self.A2.T, x.reshape(self.shape[0], -1))

    _matmat, _rmatmat = _matvec, _rmatvec

    def _transpose(self) -> KroneckerProduct:
        return KroneckerProduct(self.A1.T, self.A2.T)

    _adjoint = _transpose

    def toarray(self) -> AnyArray:
        """Return the product as an (n1 n2, d1 d2) array; for tests and small examples."""
        with np.errstate(over="ignore", invalid="ignore"):
            product = np.kron(self.A1, self.A2)
        if not np.isfinite(product).all():
            raise ValueError("A1 and A2 must not be so large that entries of A1 ⊗ A2 overflow")
        return product

    def __reduce__(self) -> tuple[Any, ...]:
        return KroneckerProduct, (self.A1, self.A2)

    def __repr__(self) -> str:
        return f"KroneckerProduct(<{self.A1.shape}>, <{self.A2.shape}>)"


def _product(A1: AnyArray, A2: AnyArray, X: AnyArray) -> AnyArray:
    """(A1 (x) A2) X, column by column as A1 Z A2^T, Z the matrix that the column holds."""
    d1, d2, k = A1.shape[1], A2.shape[1], X.shape[1]
    Z = A1 @ X.reshape(d1, d2 * k)  # (n1, d2 k)
    return np.matmul(A2, Z.reshape(len(A1), d2, k)).reshape(-1, k)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class KroneckerSRHT(HadamardSketch):
    r"""Subsampled Hadamard sketch of vectors that are Kronecker products (TensorSRHT).

    .. math:: S = m^{-1/2}\, R\, (H_{N_1} P_1 D_1 \otimes H_{N_2} P_2 D_2)

    with random signs :math:`D`, permutations :math:`P` of the rows padded to powers of two, and m
    pairs of rows R, drawn independently with replacement [1]_. Then
    :math:`S (a \otimes b)` is the elementwise product of two sketches: the sketch of a
    `KroneckerProduct` costs two transforms of the factors and m d1 d2 multiplications, for any
    n1 n2. Ordinary arrays of n1 n2 rows (row i1 n2 + i2 belongs to rows i1 and i2 of the
    factors) are sketched in one pass, as in `SRHT`.

    Parameters
    ----------
    m : int
        Rows of the sketch.
    n : tuple of int
        (n1, n2), rows of the two factors.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same sketch for any number of threads.

    Attributes
    ----------
    shape : tuple of int
        (m, n1 n2).
    factor_rows : tuple of int
        (n1, n2).
    population : None
        Rows are drawn with replacement: there is no finite-population correction.
    has_linf_guarantee : bool
        True.

    Raises
    ------
    ValueError, TypeError
        If `m` is not a positive integer or `n` is not a pair of positive integers.

    References
    ----------
    .. [1] Ahle, Kapralov, Knudsen, Pagh, Velingker, Woodruff and Zandieh, "Oblivious sketching of
       high-degree polynomial kernels", SODA (2020), 141-160.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import KroneckerProduct, KroneckerSRHT
    >>> rng = np.random.default_rng(0)
    >>> A1, A2 = rng.standard_normal((60, 3)), rng.standard_normal((50, 2))
    >>> S = KroneckerSRHT(400, (60, 50), rng=0)
    >>> np.allclose(S @ KroneckerProduct(A1, A2), S @ np.kron(A1, A2))
    True
    """

    factor_rows: tuple[int, int]

    def __init__(self, m: int, n: Sequence[int], *, rng: Any = None) -> None:
        m = as_count(m, "m")
        if np.ndim(n) != 1 or len(n) != 2:
            raise TypeError(f"n must be a pair (n1, n2) of integers, got {n!r}")
        n1, n2 = as_count(n[0], "n[0]"), as_count(n[1], "n[1]")
        if n1 * n2 >= UNBOUNDED:
            raise ValueError(f"n must have a product below 2**62, got {n1 * n2}")
        self.__dict__.update(shape=(m, n1 * n2), _key=draw_key(rng), factor_rows=(n1, n2))

    def _options(self) -> dict[str, Any]:
        return {"n": self.factor_rows}

    @cached_property
    def _first(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """Position and sign of each row of the first factor, and the sampled rows of H_N1."""
        n1, keys = self.factor_rows[0], hashes(self._key, len(Purpose))
        N1 = padded(n1)
        samples = hashes(keys[Purpose.SAMPLES_1], self.shape[0]) % np.uint64(N1)
        positions = random_permutation(keys[Purpose.TABLE_1], N1)[:n1]  # P_1
        return positions, random_signs(keys[Purpose.SIGNS_1], n1), samples.astype(np.int64)

    @cached_property
    def _sorted_draw(self) -> tuple[kernels.Draw, NDArray[np.int64]]:
        n2, keys = self.factor_rows[1], hashes(self._key, len(Purpose))
        N2 = padded(n2)
        B = min(N2, USUAL_BLOCK)
        per_row = N2 // B  # blocks of B rows for each row of the first factor
        positions, signs, rows = self._first
        columns = (hashes(keys[Purpose.SAMPLES], self.shape[0]) % np.uint64(N2)).astype(np.int64)
        # Bit 61 of a label says that the row of the first factor has the sign -1.
        labels = random_permutation(keys[Purpose.LABELS], per_row)
        outer = positions * per_row + ((signs < 0).astype(np.int64) << 61)
        p = rows * per_row + columns // B + (1 << 61)
        return sort_samples(keys, B, p, columns % B, labels, n2, outer)

    def _apply_on_demand(
        self, A: RowsOnDemand, b: AnyArray, weights: AnyArray, first_row: int
    ) -> AnyArray:
        is_product = isinstance(A, KroneckerProduct)
        if not is_product or (len(A.A1), len(A.A2)) != self.factor_rows or weights.size:
            return super()._apply_on_demand(A, b, weights, first_row)
        m = self.shape[0]
        # Row j of sqrt(m) S (A1 x A2) is the product of rows j of the two sketches.
        T1, T2 = _sampled_transform(A.A1, *self._first), self._sketch_second(A.A2)  # (m, d1 or d2)
        SA = (T1[:, :, None] * T2[:, None, :]).reshape(m, -1) / math.sqrt(m)
        if b.shape[1]:
            SA = np.hstack([SA, self._apply(b, b[:, :0], weights, 0)])
        return SA.astype(A.dtype, copy=False)

    def _sketch_second(self, A2: AnyArray) -> AnyArray:
        draw, n2 = self._draw, len(A2)
        row, block = np.arange(n2) % draw.block, np.arange(n2) // draw.block
        shifts = (np.uint64(counter_hash(draw.shifts_key, i)) for i in range(draw.period))
        turns = np.array([hash_to_range(shift, draw.block) for shift in shifts])
        place = np.argsort(draw.table)  # the inverse permutation
        positions = draw.labels[block] * draw.block + place[(row + turns[block]) % draw.block]
        samples = (draw.p % draw.period * draw.block + draw.q)[self._rank]
        signs = random_signs(draw.signs_key, n2)
        return _sampled_transform(A2, positions, signs, samples)


def _sampled_transform(
    A: AnyArray, positions: NDArray[Any], signs: NDArray[Any], samples: NDArray[Any]
) -> AnyArray:
    """Rows of H_N P D A; A is a factor and therefore small, so it is copied."""
    X = np.zeros((padded(len(A)), A.shape[1]))
    X[positions] = signs[:, None] * A  # P D A, padded with zeros
    return fwht(X)[samples]  # R H_N
