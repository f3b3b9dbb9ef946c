r"""Degrees of freedom of robust errors.

The Student t law of kind "robust" has the degrees of freedom of Satterthwaite, which Bell and
McCaffrey (2002) use for HC2: they follow from the first two moments of the variance estimate for
errors of one variance. With :math:`g_i = (A G)_{ij} / \sqrt{1 - h_i}`,

.. math:: \nu_j = \frac{(\sum_i g_i^2 (1 - h_i))^2}{\sum_i g_i^4 (1 - 2 h_i) +
          \mathrm{tr}\, B^2}, \qquad B = \Big(\sum_i g_i^2 a_i a_i^T\Big) G,

whose numerator is :math:`G_{jj}^2`. (For a row of leverage near one, its own part of the trace
cancels the preceding term: :math:`g_i^4 (1 - h_i)^2` replaces both.) As
:math:`\mathrm{tr}\, B^2 \le (\mathrm{tr}\, B)^2 = (\sum_i g_i^2 h_i)^2` there is a lower bound from
the same pass; the trace itself costs :math:`O(n d^2)` for each coefficient and is computed if the
bound is below 100, as above that quantiles differ by less than 1.3%.

Sources: Bell and McCaffrey, "Bias reduction in standard errors for linear regression with
multi-stage samples", Survey Methodology 28 (2002), 169-181; Imbens and Kolesár, "Robust standard
errors in small samples: some practical advice", Rev. Econ. Stat. 98 (2016), 701-712.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from randla._typing import Array
from randla.regression._errors.data import FittedData
from randla.regression._errors.fit import LeastSquaresFit
from randla.regression._errors.whitened_rows import (
    WhitenedRows,
    basis,
    constants_of,
    whiten_rows,
)
from randla.regression._kernels import robust as kernels

#: Lower bound of the degrees of freedom from which it replaces them.
_MANY = 100.0
#: Entries of sums stored at a time for each part of the rows, and of rows stored together; rows of
#: a block of pairs.
_MAX_SUMS, _MAX_ROWS, _BLOCK = 1 << 20, 1 << 25, 512


def moments(G: Array, left: Array, counts: Array | None, least: float) -> Array:
    """Sums (2, d) of g^4 (1 - 2 h) and g^2 h, from (A'A)^-1 A' in G (d, n); left is 1 - h."""
    out = np.zeros((2, len(G)))
    kernels.moments(G, left, np.empty(0) if counts is None else counts, least, out)
    return out


def _squares(rows: WhitenedRows, K: Array) -> Array:
    """g_i^2 (rows, d) of each coefficient."""
    G = rows.Q @ K.T  # A (A'A)^-1
    G *= G
    G /= rows.left[:, None]
    return G


def degrees_of_freedom(
    fit: LeastSquaresFit, data: FittedData, sums: Array, heavy: WhitenedRows
) -> Array:
    """The degrees of freedom (d,), from the `moments` of all rows but the `heavy` ones."""
    K = basis(fit, data)
    numerator, own = (K * K).sum(axis=1) ** 2, sums[0]
    G2 = _squares(heavy, K)
    own = own + ((G2 * heavy.left[:, None]) ** 2).sum(axis=0)
    parts = np.vstack([sums[1], G2 * (1.0 - heavy.left)[:, None]])  # of tr B
    before = np.cumsum(parts, axis=0) - parts
    bound = sums[1] ** 2 + 2.0 * (before * parts).sum(axis=0)  # without squares of heavy rows
    df: Array = numerator / (own + bound)
    few = np.flatnonzero((df < _MANY) & (numerator > 0.0))
    if few.size:
        df[few] = numerator[few] / (own[few] + _traces(fit, data, K[few], heavy))
    return df


def _traces(fit: LeastSquaresFit, data: FittedData, some: Array, heavy: WhitenedRows) -> Array:
    """Tr B^2 for some coefficients, rows of K, without the terms of heavy rows alone.

    B is similar to T = sum of g_i^2 q_i q_i'.
    """
    n, r, c = data.n, fit.rank, len(some)
    g = _squares(heavy, some)
    among = (heavy.Q @ heavy.Q.T) ** 2
    np.fill_diagonal(among, 0.0)
    traces: Array = (g * (among @ g)).sum(axis=0)
    if _few_rows(n, r, c):
        return traces + _traces_of_pairs(fit, data, some, heavy.Q, g)
    i, j = np.triu_indices(r)
    twice = np.where(i == j, 1.0, 2.0)
    overlaps = (heavy.Q[:, i] * heavy.Q[:, j] * twice).T  # T @ overlaps: q'T q of heavy rows
    step = max(_MAX_SUMS // len(i), 1)
    for first in range(0, c, step):
        part = slice(first, first + step)
        shape = len(some[part]), len(i)
        (T,) = data.sums(
            _triangles, data.B, data.w, shapes=[shape], some=some[part], **constants_of(fit, data)
        )
        traces[part] += (T * T) @ twice + 2.0 * ((T @ overlaps) * g[:, part].T).sum(axis=1)
    return traces


def _few_rows(n: int, r: int, c: int) -> bool:
    """Whether sums over pairs of n rows cost less than c sums of products of r columns."""
    return 2 * n * (r + c) < r * r * c and n * r <= _MAX_ROWS


def _triangles(
    X: Array, B: Array, w: Array | None, *, some: Array, **constants: Any
) -> list[Array]:
    """Upper triangles of T, a row for each of some coefficients, without heavy rows."""
    rows = whiten_rows(X, B, w, **constants)
    rows = rows.where(~rows.heavy)
    i, j = np.triu_indices(rows.Q.shape[1])
    return [rows.counted(_squares(rows, some)).T @ (rows.Q[:, i] * rows.Q[:, j])]


def _traces_of_pairs(
    fit: LeastSquaresFit, data: FittedData, some: Array, heavy: Array, g_heavy: Array
) -> Array:
    """The same as sums of g_i^2 g_l^2 (q_i'q_l)^2 over pairs of rows, if these are few."""
    Q = data.rows(_q_of_tile, data.B, data.w, width=fit.rank, **constants_of(fit, data))
    Q, w = data.tall.compute(Q), data.tall.compute(data.w) if data.repeats else None
    rows = WhitenedRows(Q, Q, 1.0 - np.einsum("ij,ij->i", Q, Q), w)
    rows = rows.where(~rows.heavy)
    Q, g = rows.Q, rows.counted(_squares(rows, some))
    traces: Array = 2.0 * (g_heavy * ((heavy @ Q.T) ** 2 @ g)).sum(axis=0)
    for first in range(0, len(Q), _BLOCK):
        last = first + _BLOCK
        block, g_block = Q[first:last], g[first:last]
        others = (block @ block.T) ** 2 @ g_block + 2.0 * (block @ Q[last:].T) ** 2 @ g[last:]
        traces += (g_block * others).sum(axis=0)
    return traces


def _q_of_tile(X: Array, B: Array, w: Array | None, **constants: Any) -> Array:
    return whiten_rows(X, B, w, **constants).Q
