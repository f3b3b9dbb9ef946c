r"""Errors of coefficients where rows of one group may be correlated (clusters).

Let :math:`H = \sum_g M_g` with :math:`M_g = A_g^T V_g A_g`, V the weights for least squares and
weights times densities for quantiles, and :math:`s_g = A_g^T z_g` the scores of group g, which sum
to zero: z the weighted residuals, or the dual vector. With :math:`H^{-1} = L L^T` and
:math:`K_g = L^T M_g L = W \Lambda W^T` all sandwiches are

.. math:: c \sum_g \delta_g \delta_g^T, \qquad
          \delta_g = L W (I - \Lambda)^{-q} W^T L^T s_g,

q = 0 for CR1, 1/2 for CR2 (Bell and McCaffrey: their :math:`(I - H_{gg})^{-1/2}` acts on the
residuals of a group, and goes through :math:`A_g` in this way) and 1 for CR3, where
:math:`\delta_g` is, up to its sign, what leaving out group g does to the coefficients (jackknife).

The degrees of freedom are Bell and McCaffrey's, Satterthwaite's for independent errors:
:math:`(\mathrm{tr}\, N)^2 / \mathrm{tr}\, N^2` for the quadratic form N of CR2. With
:math:`\ell = L^T e_j`, :math:`\beta_g = \ell^T K_g \ell` and
:math:`v_g = K_g (I - K_g)^{-1/2} \ell`

.. math:: \mathrm{tr}\, N = \sum_g \beta_g, \qquad
          \mathrm{tr}\, N^2 = \sum_g \beta_g^2 + \sum_{g \ne h} (v_g^T v_h)^2.

No matrix has a row for each row of A, or for each group, on both sides.

Sources: Bell and McCaffrey, Survey Methodology 28 (2002); Imbens and Kolesar, Review of Economics
and Statistics 98 (2016); MacKinnon, Nielsen and Webb, Journal of Applied Econometrics 38 (2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._parallel import part_bounds, run_parts
from randla._results import warn_caller
from randla._tall.memory import MemoryMatrix
from randla._typing import Array
from randla.regression._inference.data import FittedData
from randla.regression._inference.options import InferenceWarning
from randla.regression._kernels import groups as kernels

#: Eigenvalues of K_g above 1 minus this belong to what group g carries alone.
_CARRIED = 1e-10
#: Share of a coefficient, relative to its error, that is not rounding.
_SHARE = 1e-6
_EPS = float(np.finfo(np.float64).eps)
_MAX_NAMES = 5  # in a warning


@dataclass(frozen=True)
class GroupSums:
    """What the rows of each group add up to, in the columns of A T.

    Attributes
    ----------
    T : (d, r) ndarray
        Its columns span the row space of A; best if the columns of A T are nearly orthonormal.
    grams : (q, n_groups, r, r) ndarray
        ``(A T)_g' V_g (A T)_g`` for each column of V.
    scores : (n_groups, k, r) ndarray
        ``Z_g' (A T)_g``.
    """

    T: Array
    grams: Array
    scores: Array


def group_sums(data: FittedData, T: Array, V: Any, Z: Any) -> GroupSums:
    """Sum over the rows of each group; one pass.

    Parameters
    ----------
    T : (d, r) ndarray
        Applied to the scaled columns of `data`.
    V : (n,), (n, q) ndarray or Dask array, or None
        Weights of the rows in the Gram matrices, a column for each of several quantiles, else one
        for all right-hand sides: `data.w` for least squares (None: ones), w f for quantiles.
    Z : (n, k) ndarray or Dask array
        ``w r`` for least squares; the dual vector, which contains w, for quantiles.
    """
    assert data.groups is not None
    tall, codes, n_groups = data.tall, data.groups.codes, data.groups.n_groups
    if not tall.lazy:
        return GroupSums(T, *_sums_of_rows(tall, codes, V, Z, T, n_groups))
    box = tall.join_rows(_sums_of_block, codes, V, Z, T=T, shape=(1, 1), join=_joined, dtype=object)
    found, grams, scores = tall.compute(box)[0, 0]
    return GroupSums(T, *(_spread(found, n_groups, part) for part in (grams, scores)))


def cluster_errors(
    sums: GroupSums, kind: str, *, n_rows: int, names: tuple[str, ...]
) -> tuple[Array, Array]:
    """Covariance (k d, k d) and degrees of freedom (d, k) of coefficients of the scaled columns.

    `kind` is "cluster", "CR1", "CR2" or "CR3". Coefficients that cannot be told without one of the
    groups are NaN in both, and an `InferenceWarning` names them.
    """
    q, n_groups = sums.grams.shape[:2]
    d, k = len(sums.T), sums.scores.shape[1]
    changes, df = np.empty((n_groups, k, d)), np.empty((d, k))
    for i in range(q):  # one weighting for all columns, or one for each
        columns = slice(None) if q == 1 else slice(i, i + 1)
        change, freedom = _changes(sums.T, sums.grams[i], sums.scores[:, columns], kind, n_rows)
        changes[:, columns], df[:, columns] = change, freedom[:, None]
    if kind == "CR1":
        factor = n_groups / (n_groups - 1) * ((n_rows - 1) / (n_rows - sums.T.shape[1]))
        df[~np.isnan(df)] = n_groups - 1
    else:
        factor = 1.0 if kind == "CR2" else (n_groups - 1) / n_groups
    flat = changes.reshape(n_groups, k * d)
    covariance = factor * (flat.T @ flat)
    lost = np.isnan(df)
    covariance[lost.T.ravel()] = covariance[:, lost.T.ravel()] = np.nan
    if lost.any():
        _warn_of(lost.any(axis=1), names)
    return covariance, df


def _warn_of(lost: Any, names: tuple[str, ...]) -> None:
    named = [name for name, is_lost in zip(names, lost, strict=True) if is_lost]
    more = len(named) - _MAX_NAMES
    listed = ", ".join(named[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
    warn_caller(
        f"no standard error for {listed}: A without one of the groups does not determine the "
        "coefficient",
        InferenceWarning,
    )


# The sums ----------------------------------------------------------------------------------------


def _sums_of_rows(
    block: Any, codes: Any, V: Any, Z: Any, T: Array, n_groups: int
) -> tuple[Array, Array]:
    """Grams (q, n_groups, r, r) and scores (n_groups, k, r) of rows in memory."""
    n, (d, r) = block.n, T.shape
    V = np.ones((n, 1)) if V is None else np.asarray(V, np.float64).reshape(n, -1)
    Z = np.asarray(Z, np.float64).reshape(n, -1)
    shapes = (V.shape[1], n_groups, r, r), (n_groups, Z.shape[1], r)
    step = block.tile_rows
    n_tiles = -(-n // step)
    size = sum(int(np.prod(shape)) for shape in shapes)
    n_parts = min(n_tiles, max(n * d // (4 * size), 1), 8)  # whose sums are smaller than A
    bounds = part_bounds(n_tiles, n_parts)

    def part(number: int) -> tuple[Array, Array]:
        grams, scores = np.zeros(shapes[0]), np.zeros(shapes[1])
        for tile in range(*bounds[number]):
            rows = slice(tile * step, min((tile + 1) * step, n))
            X = block.times(T, rows.start, rows.stop)
            kernels.add_groups(
                X, codes[rows], np.ascontiguousarray(V[rows]), np.ascontiguousarray(Z[rows]),
                grams, scores,
            )  # fmt: skip
        return grams, scores

    seconds = 1e-9 * n * r * (d + r * V.shape[1])
    (grams, scores), *others = run_parts(part, n_parts, seconds=seconds, blas=True)
    for other in others:
        grams += other[0]
        scores += other[1]
    return grams, scores


def _sums_of_block(block: MemoryMatrix, codes: Any, V: Any, Z: Any, *, T: Array) -> Any:
    """The groups of a block, and their sums: what a block holds, however many there are in all."""
    found, local = np.unique(np.asarray(codes, np.int64), return_inverse=True)
    return _boxed(found, *_sums_of_rows(block, local, V, Z, T, len(found)))


def _boxed(*arrays: Any) -> Any:
    box = np.empty((1, 1), object)
    box[0, 0] = arrays
    return box


def _joined(one: Any, other: Any) -> Any:
    """The sums of two parts of the rows, whose groups may be the same."""
    (found, *sums), (found2, *sums2) = one[0, 0], other[0, 0]
    union = np.union1d(found, found2)
    joined = [
        _spread(np.searchsorted(union, found), len(union), a)
        + _spread(np.searchsorted(union, found2), len(union), b)
        for a, b in zip(sums, sums2, strict=True)
    ]
    return _boxed(union, *joined)


def _spread(places: Array, n_groups: int, sums: Array) -> Array:
    """Sums of some groups among zeros for the others; groups are the last axis but two."""
    shape = list(sums.shape)
    axis = sums.ndim - 3
    shape[axis] = n_groups
    out = np.zeros(shape)
    out[(slice(None),) * axis + (places,)] = sums
    return out


# What leaving out a group changes ----------------------------------------------------------------


def _changes(T: Array, grams: Array, scores: Array, kind: str, n_rows: int) -> tuple[Array, Array]:
    """The delta_g (n_groups, k, d), and degrees of freedom (d,), NaN for what a group carries."""
    n_groups, k, r = scores.shape
    P, null, condition = _inverse_root(grams.sum(axis=0), n_rows)
    L = T @ P  # (d, p)
    d, p = L.shape
    size = np.sqrt((L * L).sum(axis=1))  # of the errors of the coefficients
    lost = _outside(T) | (np.abs(T @ null).max(axis=1, initial=0.0) > _SHARE * _row_norms(T))
    limit = 1.0 - max(_CARRIED, 64.0 * _EPS * condition)
    unit = np.divide(L, size[:, None], out=np.zeros_like(L), where=size[:, None] > 0.0)
    power = {"CR1": 0.0, "CR2": 0.5}.get(kind, 1.0)
    changes = np.empty((n_groups, k, d))
    bounds = part_bounds(n_groups, -(-n_groups // 256))

    def part(number: int) -> tuple[Array, Freedom | None]:
        groups = slice(*bounds[number])
        K = np.swapaxes((grams[groups].reshape(-1, r) @ P).reshape(-1, r, p), 1, 2)
        K = (K.reshape(-1, r) @ P).reshape(-1, p, p)
        values, W = np.linalg.eigh(K)
        inside = values < limit
        carried = np.swapaxes(W, 1, 2)[~inside]
        is_lost = (np.abs(carried @ unit.T) > _SHARE).any(axis=0)
        gap = np.where(inside, 1.0 - values, np.inf)
        values = np.where(inside, np.maximum(values, 0.0), 0.0)
        y = (scores[groups].reshape(-1, r) @ P).reshape(-1, k, p) @ W
        y *= gap[:, None] ** -power if power else inside[:, None]
        changes[groups] = (y @ np.swapaxes(W, 1, 2)) @ L.T
        return is_lost, None if kind == "CR1" else Freedom.of(values, gap, W, unit)

    parts = run_parts(part, len(bounds), seconds=1e-8 * n_groups * p**2 * (p + 10), blas=True)
    for is_lost, _ in parts:
        lost |= is_lost
    df = np.ones(d) if kind == "CR1" else Freedom.joined([part for _, part in parts if part])
    df[lost] = np.nan
    return changes, df


def _inverse_root(H: Array, n_rows: int) -> tuple[Array, Array, float]:
    """P (r, p) with P'HP = I, the null space of H (r, r - p), and a condition number."""
    diagonal = H.diagonal()
    scale = np.divide(1.0, np.sqrt(diagonal), out=np.ones(len(H)), where=diagonal > 0.0)
    values, U = np.linalg.eigh(H * scale * scale[:, None])
    keep = values > max(n_rows, len(H)) * _EPS * max(1.0, values[-1])
    U *= scale[:, None]
    return U[:, keep] / np.sqrt(values[keep]), U[:, ~keep], float(values[-1] / values[keep][0])


def _outside(T: Array) -> Array:
    """Which coefficients are not determined, as their unit vectors are not in the range of T."""
    d, r = T.shape
    if r == d:
        return np.zeros(d, bool)
    Q = np.linalg.qr(T / _row_norms(T.T))[0]
    inside: Array = np.sqrt(np.maximum(1.0 - (Q * Q).sum(axis=1), 0.0)) > _SHARE
    return inside


def _row_norms(X: Array) -> Array:
    norms: Array = np.sqrt((X * X).sum(axis=1))
    return norms


@dataclass(frozen=True)
class Freedom:
    """The sums behind the degrees of freedom, over some of the groups.

    Groups with an eigenvalue above 1/2, fewer than 2 d of them, are kept apart: in sums over pairs
    the terms g = h, which do not belong there, would drown the others.
    """

    betas: Array  # (d,), sum of beta_g
    squares: Array  # (d,), sum of beta_g^2
    own: Array  # (d,), sum of |v_g|^4 of light groups
    cross: Array  # (d, p, p), sum of v_g v_g' of light groups
    heavy: Array  # (d, n_heavy, p), the others' v_g

    @classmethod
    def of(cls, values: Array, gap: Array, W: Array, unit: Array) -> Freedom:
        """Of eigenvalues (0 for what is carried), 1 minus them, eigenvectors; unit (d, p)."""
        C = unit @ W  # (n_groups, d, p): W' l
        beta = ((C * C) @ values[:, :, None])[:, :, 0]
        C *= (values / np.sqrt(gap))[:, None]
        V = np.ascontiguousarray(np.swapaxes(C @ np.swapaxes(W, 1, 2), 0, 1))  # (d, n_groups, p)
        is_heavy = values.max(axis=1, initial=0.0) > 0.5
        light = V[:, ~is_heavy]
        own = ((light * light).sum(axis=2) ** 2).sum(axis=1)
        cross = np.swapaxes(light, 1, 2) @ light
        return cls(beta.sum(axis=0), (beta * beta).sum(axis=0), own, cross, V[:, is_heavy])

    @staticmethod
    def joined(parts: list[Freedom]) -> Array:
        """The degrees of freedom (d,)."""
        betas, squares, own, cross = (
            sum(getattr(part, name) for part in parts)
            for name in ("betas", "squares", "own", "cross")
        )
        heavy = np.concatenate([part.heavy for part in parts], axis=1)
        pairs = (cross * cross).sum(axis=(1, 2)) - own  # light ones
        pairs += 2.0 * ((heavy @ cross) * heavy).sum(axis=(1, 2))
        among = heavy @ np.swapaxes(heavy, 1, 2)  # (d, n_heavy, n_heavy)
        pairs += (among * among).sum(axis=(1, 2)) - (among.diagonal(axis1=1, axis2=2) ** 2).sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            df: Array = betas**2 / (squares + np.maximum(pairs, 0.0))
        return df
