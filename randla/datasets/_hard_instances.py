"""Instances on which careless methods fail.

Regression on sketches: `collision_attack`, `stacked_identities`, `aligned_pairs`,
`ill_conditioned`. Row sampling: `gaussian_blocks`, `heavy_tailed_rows`, `unequal_groups`.
Point clouds: `gaussian_clouds`, `mixture_clouds`, `torus_and_box`.
"""

from typing import Any

import numpy as np

from randla._random import as_generator
from randla._typing import Array
from randla._validation import as_count, as_number


def collision_attack(n: int, d: int, n_heavy: int = 1) -> tuple[Array, Array]:
    r"""Make a least-squares problem in which one collision ruins one coefficient.

    :math:`A = [I_d; 0]` and :math:`b` is constant on `n_heavy` rows outside the first d, with norm
    1, so that the solution is zero. A sketch that adds few rows together (CountSketch, thin sparse
    signs) adds a heavy row to one of the first d with constant probability, and the whole error
    falls on that coefficient; a dense sketch spreads it [1]_.

    Parameters
    ----------
    n, d : int
        Shape of A, with ``n >= d + n_heavy``.
    n_heavy : int
        Rows that share the residual; about ``m / d`` for a sketch of m rows is the worst.

    Returns
    -------
    A : (n, d) ndarray
    b : (n,) ndarray

    References
    ----------
    .. [1] Price, Song and Woodruff, "Fast regression with an l_inf guarantee", ICALP (2017),
       arXiv:1705.10723: similar to its lower bounds.

    Examples
    --------
    >>> import numpy as np
    >>> from randla.datasets import collision_attack
    >>> A, b = collision_attack(100, 5, 2)
    >>> np.linalg.lstsq(A, b)[0]
    array([0., 0., 0., 0., 0.])
    """
    d = as_count(d, "d")
    n_heavy = as_count(n_heavy, "n_heavy")
    n = as_count(n, "n", minimum=d + n_heavy)
    b = np.zeros(n)
    b[d : d + n_heavy] = 1.0 / np.sqrt(n_heavy)  # orthogonal to the range of A, of norm one
    return np.eye(n, d), b


def stacked_identities(n: int, d: int, n_heavy: int, *, rng: Any = None) -> tuple[Array, Array]:
    r"""Make a least-squares problem in which all leverage scores are equal but few rows matter.

    A is n/d copies of :math:`\sqrt{d/n}\, I_d` (all leverages are d/n), b the indicator of
    `n_heavy` random rows, projected off the range of A and normalized: the solution is zero. If the
    projection of b vanishes, as for all rows, b is zero.

    Parameters
    ----------
    n, d : int
        Shape of A; n is a multiple of d.
    n_heavy : int
        Number of rows on which b depends; about ``n / m`` is the worst for a sample of m rows.
    rng : {None, int, SeedSequence, Generator}, optional
        Seed; the same seed gives the same data.

    Returns
    -------
    A : (n, d) ndarray
    b : (n,) ndarray

    Examples
    --------
    >>> from randla.datasets import stacked_identities
    >>> A, b = stacked_identities(12, 3, 2, rng=0)
    >>> bool(abs(A.T @ b).max() < 1e-15)
    True
    """
    d = as_count(d, "d")
    n = as_count(n, "n", minimum=d)
    n_heavy = as_count(n_heavy, "n_heavy", maximum=n)
    if n % d:
        raise ValueError(f"n must be a multiple of d = {d}, got {n}")
    A = np.tile(np.eye(d), (n // d, 1)) * np.sqrt(d / n)  # orthonormal columns
    b = np.zeros(n)
    b[as_generator(rng).choice(n, n_heavy, replace=False)] = 1.0
    b -= A @ (A.T @ b)  # off the range
    norm = np.linalg.norm(b)
    if norm < 1e-7:  # rounding errors: the rows lie in the range of A
        return A, np.zeros(n)
    return A, b / norm


def aligned_pairs(n: int, d: int) -> tuple[Array, Array]:
    r"""Make a least-squares problem on pairs of rows, where a plain SRHT is unreliable.

    Column j is 1 on rows 2j and 2j + 1, b on the next pair: the solution is zero. The rows of a
    Hadamard matrix agree on such pairs, so that without permuted positions the error of each draw
    is either zero or twice the expected value.

    Parameters
    ----------
    n, d : int
        Shape of A, with ``n >= 2 d + 2``.

    Returns
    -------
    A : (n, d) ndarray
    b : (n,) ndarray

    Examples
    --------
    >>> from randla.datasets import aligned_pairs
    >>> aligned_pairs(6, 2)[0].T
    array([[1., 1., 0., 0., 0., 0.],
           [0., 0., 1., 1., 0., 0.]])
    """
    d = as_count(d, "d")
    n = as_count(n, "n", minimum=2 * d + 2)
    A, b = np.zeros((n, d)), np.zeros(n)
    A[: 2 * d] = np.repeat(np.eye(d), 2, axis=0)  # pairs of equal rows
    b[2 * d : 2 * d + 2] = 1.0  # the next pair
    return A, b


def ill_conditioned(
    n: int, d: int, *, condition: float, residual: float = 1.0, rng: Any = None
) -> tuple[Array, Array, Array]:
    """Make a least-squares problem whose singular values fall from 1 to 1 / `condition`.

    They are evenly spaced on a log scale, and the singular vectors are random.

    Parameters
    ----------
    n, d : int
        Shape of A, n > d.
    condition : float
        Ratio of the largest to the smallest singular value.
    residual : float
        Norm of b - A x.
    rng : {None, int, SeedSequence, Generator}, optional
        Seed; the same seed gives the same data.

    Returns
    -------
    A : (n, d) ndarray
    b : (n,) ndarray
    x : (d,) ndarray
        The solution, of norm 1, up to the rounding of A and b.

    Examples
    --------
    >>> import numpy as np
    >>> from randla.datasets import ill_conditioned
    >>> A, b, x = ill_conditioned(50, 4, condition=1e6, rng=0)
    >>> print(f"{np.linalg.cond(A):.1e}")
    1.0e+06
    """
    d = as_count(d, "d")
    n = as_count(n, "n", minimum=d + 1)
    condition = as_number(condition, "condition", low=1.0)
    residual = as_number(residual, "residual", low=0.0)
    generator = as_generator(rng)
    U = np.linalg.qr(generator.standard_normal((n, d)))[0]
    V = np.linalg.qr(generator.standard_normal((d, d)))[0]
    x, r = generator.standard_normal(d), generator.standard_normal(n)
    x /= np.linalg.norm(x)
    r -= U @ (U.T @ r)  # residual, orthogonal to the range
    A = (U * np.logspace(0.0, -np.log10(condition), d)) @ V.T  # U diag(s) V'
    return A, A @ x + residual / np.linalg.norm(r) * r, x


def gaussian_blocks(n: int, d: int, n_units: int, n_copies: int, *, rng: Any = None) -> Array:
    """Make a matrix of a Gaussian block and, in separate columns, repeated unit rows.

    On this matrix l_p sensitivities and Lewis weights distribute a sample very differently: for p <
    2 plain sensitivities give the Gaussian block too few rows, for p > 2 Lewis weights do [1]_
    [2]_.

    Parameters
    ----------
    n, d : int
        Shape of the Gaussian block.
    n_units : int
        Number of unit vectors in separate columns.
    n_copies : int
        How often each is repeated.
    rng : {None, int, SeedSequence, Generator}, optional
        Seed; the same seed gives the same data.

    Returns
    -------
    A : (n + n_units * n_copies, d + n_units) ndarray

    References
    ----------
    .. [1] Woodruff and Yasuda, "Sharper bounds for l_p sensitivity sampling", ICML (2023),
       arXiv:2306.00732.
    .. [2] Munteanu and Omlor, "Optimal bounds for l_p sensitivity sampling via l_2 augmentation",
       ICML (2024), arXiv:2406.00328.

    Examples
    --------
    >>> from randla.datasets import gaussian_blocks
    >>> gaussian_blocks(1200, 12, 36, 16, rng=0).shape
    (1776, 48)
    """
    n, d = as_count(n, "n"), as_count(d, "d")
    n_units, n_copies = as_count(n_units, "n_units"), as_count(n_copies, "n_copies")
    A = np.zeros((n + n_units * n_copies, d + n_units))
    A[:n, :d] = as_generator(rng).standard_normal((n, d))
    A[n:, d:] = np.repeat(np.eye(n_units), n_copies, axis=0)  # in columns of their own
    return A


def heavy_tailed_rows(n: int, d: int, *, exponent: float = 1.0, rng: Any = None) -> Array:
    """Make a matrix of Gaussian rows times Pareto variables: a few rows dominate.

    Parameters
    ----------
    n, d : int
        Shape of A.
    exponent : float
        Tail exponent of the Pareto law, greater than 0; below 1 its mean is infinite.
    rng : {None, int, SeedSequence, Generator}, optional
        Seed; the same seed gives the same data.

    Returns
    -------
    A : (n, d) ndarray

    Examples
    --------
    >>> from randla.datasets import heavy_tailed_rows
    >>> heavy_tailed_rows(100, 3, exponent=0.7, rng=0).shape
    (100, 3)
    """
    n, d = as_count(n, "n"), as_count(d, "d")
    exponent = as_number(exponent, "exponent", low=0.0, closed="neither")
    generator = as_generator(rng)
    scale = (1.0 - generator.random(n)) ** (-1.0 / exponent)  # Pareto, by inversion
    return scale[:, None] * generator.standard_normal((n, d))


def unequal_groups(n: int, n_groups: int, *, rng: Any = None) -> Array:
    """Make a design of an intercept and indicators of groups whose sizes fall by halves.

    The design of an analysis of variance with rare groups: its rows are highly tied, the smallest
    group has very few of them, and the columns are nearly dependent.

    Parameters
    ----------
    n : int
        Rows.
    n_groups : int
        Groups; one of them is the baseline, so that the rank is `n_groups`.
    rng : {None, int, SeedSequence, Generator}, optional
        Seed of the order of the rows.

    Returns
    -------
    A : (n, n_groups) ndarray
        The intercept, then indicators of all groups but the largest.

    Examples
    --------
    >>> from randla.datasets import unequal_groups
    >>> unequal_groups(100, 4, rng=0).sum(axis=0)
    array([100.,  27.,  14.,   7.])
    """
    n_groups = as_count(n_groups, "n_groups")
    n = as_count(n, "n", minimum=n_groups)
    share = 0.5 ** np.arange(n_groups)  # of the rows
    edges = np.rint(np.cumsum(share / share.sum()) * (n - n_groups)).astype(int)
    sizes = np.diff(edges, prepend=0) + 1  # no group is empty
    group = as_generator(rng).permutation(np.repeat(np.arange(n_groups), sizes))
    A = np.eye(n_groups)[group]
    A[:, 0] = 1.0  # the baseline's column becomes the intercept
    return A


def gaussian_clouds(n: int, d: int, *, rng: Any = None) -> tuple[Array, Array]:
    """Draw two Gaussian clouds with different random covariances and a shift.

    Parameters
    ----------
    n, d : int
        Points in each cloud, and their dimension.
    rng : {None, int, SeedSequence, Generator}, optional
        Seed; the same seed gives the same data.

    Returns
    -------
    X, Y : (n, d) ndarray
        Points of the two clouds, one per row.

    Examples
    --------
    >>> from randla.datasets import gaussian_clouds
    >>> X, Y = gaussian_clouds(500, 3, rng=0)
    >>> X.shape, Y.shape
    ((500, 3), (500, 3))
    """
    n, d = as_count(n, "n"), as_count(d, "d")
    generator = as_generator(rng)
    G, H = generator.standard_normal((2, d, d)) / np.sqrt(d)  # roots of the covariances
    X = generator.standard_normal((n, d)) @ G
    return X, generator.standard_normal((n, d)) @ H + 0.5 * generator.standard_normal(d)


def mixture_clouds(n: int, d: int, *, rng: Any = None) -> tuple[Array, Array]:
    """Draw two clouds of 3 and of 4 narrow clusters: far from Gaussian, hard for smooth controls.

    Parameters
    ----------
    n, d : int
        Points in each cloud, and their dimension.
    rng : {None, int, SeedSequence, Generator}, optional
        Seed; the same seed gives the same data.

    Returns
    -------
    X, Y : (n, d) ndarray
        Points of the two clouds, one per row. The centers of the clusters are normal with standard
        deviation 3, the points around them with 0.2.

    Examples
    --------
    >>> from randla.datasets import mixture_clouds
    >>> X, Y = mixture_clouds(500, 3, rng=0)
    >>> X.shape, Y.shape
    ((500, 3), (500, 3))
    """
    n, d = as_count(n, "n"), as_count(d, "d")
    generator = as_generator(rng)

    def cloud(n_clusters: int) -> Array:
        centers = 3.0 * generator.standard_normal((n_clusters, d))
        return centers[generator.integers(n_clusters, size=n)] + 0.2 * generator.standard_normal(
            (n, d)
        )

    return cloud(3), cloud(4)


def torus_and_box(n: int, *, rng: Any = None) -> tuple[Array, Array]:
    """Draw points on a torus and on the surface of a cube, in three dimensions.

    Parameters
    ----------
    n : int
        Points in each cloud.
    rng : {None, int, SeedSequence, Generator}, optional
        Seed; the same seed gives the same data.

    Returns
    -------
    X : (n, 3) ndarray
        Torus with radii 1 and 0.4, uniform in its two angles.
    Y : (n, 3) ndarray
        Surface of the cube [-1, 1]^3, uniform.

    Examples
    --------
    >>> from randla.datasets import torus_and_box
    >>> X, Y = torus_and_box(100, rng=0)
    >>> abs(Y).max(axis=1).tolist() == [1.0] * 100
    True
    """
    n = as_count(n, "n")
    generator = as_generator(rng)
    u, v = 2.0 * np.pi * generator.random((2, n))  # the angles
    ring = 1.0 + 0.4 * np.cos(v)  # distance from the axis
    X = np.column_stack([ring * np.cos(u), ring * np.sin(u), 0.4 * np.sin(v)])
    Y = generator.uniform(-1.0, 1.0, (n, 3))
    face = generator.integers(3, size=n)  # coordinate that is +-1
    Y[np.arange(n), face] = np.where(generator.random(n) < 0.5, -1.0, 1.0)  # one of its two sides
    return X, Y
