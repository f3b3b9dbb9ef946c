r"""Errors of coefficients where rows of one group may be correlated (clusters).

Let :math:`H = \sum_g M_g` with :math:`M_g = A_g^T V_g A_g`, V the weights for least squares and
weights times densities for quantiles, and :math:`s_g = A_g^T z_g` the scores of group g, which sum
to zero: z the weighted residuals, or the dual vector. With :math:`H^{-1} = L L^T` and
:math:`K_g = L^T M_g L = W \Lambda W^T` all sandwiches are

.. math:: c \sum_g \delta_g \delta_g^T, \qquad
          \delta_g = L W (I - \Lambda)^{-q} W^T L^T s_g,

q = 0 for CR1, 1/2 for CR2 (the factor :math:`(I - H_{gg})^{-1/2}` of Bell and McCaffrey acts on
the residuals of a group, and commutes with :math:`A_g` in this way) and 1 for CR3, where
:math:`\delta_g` is, up to sign, the change of the coefficients without group g (jackknife).

The degrees of freedom are those of Bell and McCaffrey: Satterthwaite's for independent errors,
:math:`(\mathrm{tr}\, N)^2 / \mathrm{tr}\, N^2` for the quadratic form N of CR2. With
:math:`\ell = L^T e_j`, :math:`\beta_g = \ell^T K_g \ell` and
:math:`v_g = K_g (I - K_g)^{-1/2} \ell`

.. math:: \mathrm{tr}\, N = \sum_g \beta_g, \qquad
          \mathrm{tr}\, N^2 = \sum_g \beta_g^2 + \sum_{g \ne h} (v_g^T v_h)^2.

No matrix has a row for each row of A, or for each group, on both sides.

Sources: Bell and McCaffrey, "Bias reduction in standard errors for linear regression with
multi-stage samples", Survey Methodology 28 (2002), 169-181; Imbens and Kolesár, "Robust standard
errors in small samples: some practical advice", Rev. Econ. Stat. 98 (2016), 701-712; MacKinnon,
Nielsen and Webb, "Fast and reliable jackknife and bootstrap methods for cluster-robust inference",
J. Appl. Econometrics 38 (2023), 671-694.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._parallel import part_bounds, run_parts
from randla._typing import Array
from randla._validation import read_only
from randla.regression._errors.basis import Bread
from randla.regression._errors.data import FittedData
from randla.regression._errors.errors import Errors
from randla.regression._errors.factors import root_of_rows
from randla.regression._errors.fit import LeastSquaresFit
from randla.regression._errors.whitened_rows import basis
from randla.regression._kernels import groups as kernels

#: Eigenvalues of K_g above 1 minus this belong to directions that only group g determines.
_CARRIED = 1e-10
#: Fraction of a coefficient, relative to its error, that is not rounding.
_SHARE = 1e-6
_EPS = float(np.finfo(np.float64).eps)
#: Norm of K_g below which powers of I - K_g are sums of a series, without eigenvalues.
_SMALL = 0.2
_SURELY_LESS = 0.5  # than 1, for any rounding
#: Condition number over the rank, up to which sums of products of the columns keep their digits.
_GOOD = 10.0
#: Number of groups whose K_g are processed together, and their entries.
_GROUPS_TOGETHER, _ENTRIES = 256, 1 << 20
_CARRIED_ALONE = "it depends on one group of rows, without which the data do not determine it"

#: The assumption and the method of each kind, in one line.
ASSUMED = {
    "CR1": "independent groups of rows, CR1",
    "CR2": "independent groups of rows, CR2, Bell-McCaffrey degrees of freedom",
    "CR3": "independent groups of rows, CR3, Bell-McCaffrey degrees of freedom",
    "cluster": "independent groups of rows, CR3, Bell-McCaffrey degrees of freedom",
}


@dataclass(frozen=True)
class GroupSums:
    """Sums over the rows of each group, in the columns of A T.

    Attributes
    ----------
    T : (d, r) ndarray
        Its columns span the row space of A; ideally the columns of A T are nearly orthonormal.
    grams : (q, n_groups, r, r) ndarray
        ``(A T)_g' V_g (A T)_g`` for each column of V.
    scores : (n_groups, k, r) ndarray
        ``Z_g' (A T)_g``.
    products : (k, k) ndarray
        ``Z' V^-1 Z`` over all rows, for the weighted residuals of least squares.
    gradient : (k, d) ndarray
        ``Z'A``, likewise.
    """

    T: Array
    grams: Array
    scores: Array
    products: Array
    gradient: Array


def group_sums(data: FittedData, T: Array, V: Any, Z: Any, *, Y: Array | None = None) -> GroupSums:
    """Sum over the rows of each group; one pass.

    Parameters
    ----------
    T : (d, r) ndarray
        Applied to the scaled columns of `data`.
    V : (n,), (n, q) ndarray or Dask array, or None
        Weights of the rows in the Gram matrices, a column for each of several quantiles, else one
        for all right-hand sides: `data.w` for least squares (None: ones), w f for quantiles.
    Z : (n, k) ndarray or Dask array
        The dual vector of quantiles, which includes w; with Y the right-hand sides.
    Y : (d, k) ndarray, optional
        Coefficients of least squares: the weighted residuals V (Z - A Y) replace Z.
    """
    assert data.groups is not None
    tall, codes, n_groups = data.tall, data.groups.codes, data.groups.n_groups
    if tall.lazy:
        box = tall.join_rows(
            _sums_of_block, codes, V, Z, T=T, Y=Y, shape=(1, 1), join=_joined, dtype=object
        )
        found, grams, scores, *others = tall.compute(box)[0, 0]
        sums = [_spread(found, n_groups, part) for part in (grams, scores)] + others
    else:
        sums = _sums_of_rows(tall, codes, V, Z, T, Y, n_groups)
    grams, scores, products, gradient = sums
    i = np.arange(T.shape[1])
    row, column = np.maximum.outer(i, i), np.minimum.outer(i, i)
    square = grams.swapaxes(0, 1)[..., row * (row + 1) // 2 + column]  # from the lower triangles
    return GroupSums(T, square, scores, products, gradient)


def sum_groups(fit: LeastSquaresFit, data: FittedData) -> GroupSums:
    """The sums of a least-squares fit, in its own columns if these are well conditioned."""
    good = fit.sketch is None and fit.rank == data.d and fit.condition < _GOOD * data.d
    T = np.eye(data.d) if good else basis(fit, data)
    return group_sums(data, T, data.w, data.B, Y=fit.Y)


def cluster_errors(data: FittedData, fit: LeastSquaresFit, kind: str, sums: GroupSums) -> Errors:
    """Errors of a least-squares fit whose rows are independent only if in different groups."""
    factor, df, reasons = factor_of_groups(sums, kind, n_rows=data.n_rows)
    return Errors(factor, df, ASSUMED[kind], reasons=reasons, unit=fit.units)


def factor_of_groups(
    sums: GroupSums, kind: str, *, n_rows: int
) -> tuple[Array, Array, dict[int, str]]:
    """Factor (k d, .) and degrees of freedom (d, k) of coefficients of the scaled columns.

    `kind` is "cluster", "CR1", "CR2" or "CR3". Coefficients that one of the groups alone determines
    are NaN in both; the third value gives the reason. The calling function handles coefficients
    outside the row space of A.
    """
    q, n_groups = sums.grams.shape[:2]
    d, k = len(sums.T), sums.scores.shape[1]
    changes, df = np.empty((n_groups, k, d)), np.empty((d, k))
    for i in range(q):  # one weighting for all columns, or one for each
        columns = slice(None) if q == 1 else slice(i, i + 1)
        change, freedom = _changes(sums.T, sums.grams[i], sums.scores[:, columns], kind, n_rows)
        changes[:, columns], df[:, columns] = change, freedom[:, None]
    absent = ~sums.T.any(axis=1)  # columns that others replace
    changes[:, :, absent], df[absent] = 0.0, n_groups - 1.0
    lost = np.isnan(df)
    if kind == "CR1":
        factor = n_groups / (n_groups - 1) * ((n_rows - 1) / (n_rows - sums.T.shape[1]))
        df[~lost] = n_groups - 1
    else:
        factor = 1.0 if kind == "CR2" else (n_groups - 1) / n_groups
    F = factor**0.5 * root_of_rows(changes.reshape(n_groups, k * d))
    F[lost.T.ravel()] = np.nan
    return F, df, {int(j): _CARRIED_ALONE for j in np.flatnonzero(lost.any(axis=1))}


# The sums ----------------------------------------------------------------------------------------


def _sums_of_rows(
    block: Any, codes: Any, V: Any, Z: Any, T: Array, Y: Array | None, n_groups: int
) -> list[Array]:
    """Triangles of grams (n_groups, q, .), and scores, products and gradient of rows in memory."""
    n, (d, r) = block.n, T.shape
    V = np.ones((n, 1)) if V is None else np.asarray(V, np.float64).reshape(n, -1)
    Z = np.asarray(Z, np.float64).reshape(n, -1)
    as_they_are = d == r and np.array_equal(T, np.eye(d))
    q, k = V.shape[1], Z.shape[1]
    shapes = (n_groups, q, r * (r + 1) // 2), (n_groups, k, r), (k, k), (k, d)
    step = block.tile_rows
    n_tiles = -(-n // step)
    size = sum(int(np.prod(shape)) for shape in shapes)
    most = 1 << int(np.log2(max(n * d // (4 * size), 1)))  # with sums smaller than A
    n_parts = min(n_tiles, most, 8)
    bounds = part_bounds(n_tiles, n_parts)

    def part(number: int) -> list[Array]:
        sums = [np.zeros(shape) for shape in shapes]
        scratch = np.empty((step, d))
        for tile in range(*bounds[number]):
            rows = slice(tile * step, min((tile + 1) * step, n))
            X = block.rows(rows.start, rows.stop, out=scratch)
            v, z = V[rows], Z[rows]
            if Y is not None:
                residual = z - X @ Y
                z = v * residual
                sums[2] += residual.T @ z
                sums[3] += 0.0 if as_they_are else z.T @ X
            of_kernel = (X if as_they_are else X @ T, codes[rows], v, z)
            kernels.add_groups(*map(_for_kernels, of_kernel), *sums[:2])
        if as_they_are:
            sums[3] += sums[1].sum(axis=0)
        return sums

    seconds = 1e-9 * n * r * (d + r * q)
    first, *others = run_parts(part, n_parts, seconds=seconds, blas=True)
    for other in others:
        for total, value in zip(first, other, strict=True):
            total += value
    return first


def _for_kernels(values: Any) -> Any:
    return read_only(np.ascontiguousarray(values))


def _sums_of_block(block: Any, codes: Any, V: Any, Z: Any, *, T: Array, Y: Array | None) -> Any:
    """The groups of a block, and their sums: only for groups in the block."""
    found, local = np.unique(np.asarray(codes, np.int64), return_inverse=True)
    return _boxed(found, *_sums_of_rows(block, local, V, Z, T, Y, len(found)))


def _boxed(*arrays: Any) -> Any:
    box = np.empty((1, 1), object)
    box[0, 0] = arrays
    return box


def _joined(one: Any, other: Any) -> Any:
    """The sums of two parts of the rows, which may share groups."""
    (found, *sums), (found2, *sums2) = one[0, 0], other[0, 0]
    union = np.union1d(found, found2)
    joined = [
        _spread(np.searchsorted(union, found), len(union), a)
        + _spread(np.searchsorted(union, found2), len(union), b)
        for a, b in zip(sums[:2], sums2[:2], strict=True)
    ]
    return _boxed(union, *joined, *(a + b for a, b in zip(sums[2:], sums2[2:], strict=True)))


def _spread(places: Array, n_groups: int, sums: Array) -> Array:
    """Sums of some groups, with zeros for the others."""
    out = np.zeros((n_groups, *sums.shape[1:]))
    out[places] = sums
    return out


# The effect of leaving out a group ---------------------------------------------------------------


def _changes(T: Array, grams: Array, scores: Array, kind: str, n_rows: int) -> tuple[Array, Array]:
    """The delta_g (n_groups, k, d), and degrees of freedom (d,), NaN if a group alone decides."""
    n_groups, k, r = scores.shape
    bread = Bread.of(grams.sum(axis=0), max(n_rows, r))
    P = bread.root  # P'HP = I
    L = T @ P  # (d, p)
    d, p = L.shape
    if p == 0:  # zeros
        return np.zeros((n_groups, k, d)), np.full(d, np.nan)
    size = np.linalg.norm(L, axis=1)  # of the errors of the coefficients
    unit = np.divide(L, size[:, None], out=np.zeros_like(L), where=size[:, None] > 0.0)
    lost, limit = ~bread.holds(T), 1.0 - max(_CARRIED, 64.0 * _EPS * bread.condition)
    power = {"CR1": 0.0, "CR2": 0.5}.get(kind, 1.0)
    changes, df = np.empty((n_groups, k, d)), np.ones(d)

    def visit(groups: slice, freedom: Freedom | None) -> Any:
        K = np.swapaxes((grams[groups].reshape(-1, r) @ P).reshape(-1, r, p), 1, 2)
        K = (K.reshape(-1, r) @ P).reshape(-1, p, p)
        Y = np.swapaxes((scores[groups].reshape(-1, r) @ P).reshape(-1, k, p), 1, 2)
        size = np.sqrt(np.einsum("gab,gab->g", K, K))  # not below the largest eigenvalue
        large = np.flatnonzero(size >= (_SMALL if power else _SURELY_LESS))
        spectra = _by_spectrum(K[large], Y[large], power, limit)
        F = K
        if power:  # the large groups, zero here, are filled in below
            K[large] = Y[large] = size[large] = 0.0
            Y, F = _by_series(K, Y, power, size.max(initial=0.0))
        Y[large], F[large], K[large], carried, is_heavy = spectra
        changes[groups] = np.swapaxes(L @ Y, 1, 2)
        if freedom is not None:
            freedom.add(K, F, large[is_heavy])
        return (np.abs(carried @ unit.T) > _SHARE).any(axis=0)

    def part(number: int) -> tuple[Any, Freedom | None]:
        freedom = Freedom.of(unit[some]) if power else None
        first, last = bounds[number]
        found = [visit(slice(i, min(i + step, last)), freedom) for i in range(first, last, step)]
        return np.any(found, axis=0), freedom

    step = max(min(_GROUPS_TOGETHER, _ENTRIES // max(p * p, 1)), 1)
    n_some = max(min(d, 32 * _ENTRIES // max(p * p, 1)), 1)  # coefficients at a time
    n_parts = max(min(8, -(-n_groups // step), 16 * _ENTRIES // max(n_some * p * p, 1)), 1)
    bounds = part_bounds(n_groups, n_parts)
    seconds = 1e-8 * n_groups * p**2 * (p + 10)
    for first in range(0, d if power else 1, n_some):
        some = slice(first, first + n_some)
        parts = run_parts(part, n_parts, seconds=seconds, blas=True)
        for is_lost, _ in parts:
            lost |= is_lost
        if power:
            df[some] = Freedom.joined([freedom for _, freedom in parts if freedom])
    df[lost] = np.nan
    return changes, df


def _by_series(K: Array, Y: Array, power: float, size: float) -> tuple[Array, Array]:
    """``(I - K)^-power Y`` and ``K (I - K)^-1/2`` for K of norms up to `size`, by Horner's rule."""
    n_terms = 1 + int(np.log(_EPS) / np.log(max(size, _EPS)))
    y, F = Y, K
    for m in range(n_terms, 0, -1):  # (1 - x)^-q = 1 + q x (1 + (q + 1) x / 2 (1 + ...))
        y = Y + ((power + m - 1.0) / m) * (K @ y)
    for m in range(n_terms // 2 + 1, 0, -1):  # as many digits as degrees of freedom need
        F = K @ F
        F *= (m - 0.5) / m
        F += K
    return y, F


def _by_spectrum(
    K: Array, Y: Array, power: float, limit: float
) -> tuple[Array, Array, Array, Array, Array]:
    """As `_by_series`, for any K, without the directions of eigenvalues above `limit`.

    Also K without them, these directions (m, p), and which K have an eigenvalue above 1/2.
    """
    values, W = np.linalg.eigh(K)
    transposed = np.swapaxes(W, 1, 2)
    inside = values < limit
    gap = np.where(inside, 1.0 - values, 1.0)
    kept = np.where(inside, np.maximum(values, 0.0), 0.0)
    y = W @ ((inside * gap**-power)[:, :, None] * (transposed @ Y))
    F = (W * (kept / np.sqrt(gap))[:, None]) @ transposed
    is_heavy = kept.max(axis=1, initial=0.0) > 0.5
    return y, F, (W * kept[:, None]) @ transposed, transposed[~inside], is_heavy


@dataclass
class Freedom:
    """The sums behind the degrees of freedom of some coefficients, over some of the groups.

    Groups with an eigenvalue above 1/2, fewer than 2 d of them, are stored separately: in sums over
    pairs their terms g = h, which are not part of the sum, would swamp the others.
    """

    unit: Array  # (c, p), the l of the coefficients over their norms
    betas: Any  # (c,), sum of beta_g
    squares: Any  # (c,), sum of beta_g^2
    own: Any  # (c,), sum of |v_g|^4 of light groups
    cross: Array  # (c, p, p), sum of v_g v_g' of light groups
    heavy: list[Array]  # (c, ., p), the others' v_g

    @classmethod
    def of(cls, unit: Array) -> Freedom:
        """No groups yet."""
        c, p = unit.shape
        return cls(unit, 0.0, 0.0, 0.0, np.zeros((c, p, p)), [])

    def add(self, K: Array, F: Array, heavy: Any) -> None:
        """Add groups by their K_g and K_g (I - K_g)^-1/2, and the indices of heavy groups."""
        (m, p, _), c = K.shape, len(self.unit)  # products of symmetric matrices, all at once
        beta = np.einsum("cgp,cp->cg", (self.unit @ K.reshape(-1, p).T).reshape(c, m, p), self.unit)
        V = (self.unit @ F.reshape(-1, p).T).reshape(c, m, p)
        self.betas += beta.sum(axis=1)
        self.squares += (beta * beta).sum(axis=1)
        self.heavy.append(V[:, heavy])
        V[:, heavy] = 0.0
        self.own += (np.einsum("cgp,cgp->cg", V, V) ** 2).sum(axis=1)
        self.cross += np.swapaxes(V, 1, 2) @ V

    @staticmethod
    def joined(parts: list[Freedom]) -> Array:
        """The degrees of freedom (c,)."""
        betas, squares, own, cross = (
            sum(getattr(part, name) for part in parts)
            for name in ("betas", "squares", "own", "cross")
        )
        heavy = np.concatenate([V for part in parts for V in part.heavy], axis=1)
        pairs = (cross * cross).sum(axis=(1, 2)) - own  # light ones
        pairs += 2.0 * ((heavy @ cross) * heavy).sum(axis=(1, 2))
        among = heavy @ np.swapaxes(heavy, 1, 2)  # (c, n_heavy, n_heavy)
        pairs += (among * among).sum(axis=(1, 2)) - (among.diagonal(axis1=1, axis2=2) ** 2).sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            df: Array = betas**2 / (squares + np.maximum(pairs, 0.0))
        return df
