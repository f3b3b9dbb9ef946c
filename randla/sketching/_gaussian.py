"""The Gaussian sketch: independent normal entries, made on the fly and never stored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from randla._random import fill_normal_rows
from randla.sketching._dense import DenseSketch


class GaussianSketch(DenseSketch):
    r"""Sketch with independent :math:`N(0, 1/m)` entries.

    The law of everything that follows from it is known exactly: least-squares coefficients from
    ``S @ A`` and ``S @ b`` have Student t errors for any A, b, n and d [1]_. Row i of the operand
    meets stream i of the key, so blocks of S are made when they are needed and thrown away. Drawing
    m normals for each row makes it the slowest sketch: `SRHT` has nearly the same quality at a
    twentieth of the time.

    Parameters
    ----------
    m : int
        Rows of the sketch.
    n : int
        Rows of the operand.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same sketch for any number of threads.

    Attributes
    ----------
    shape : tuple of int
        (m, n).
    population : None
        Rows are not drawn from a finite population.
    has_linf_guarantee : bool
        True.

    Raises
    ------
    ValueError, TypeError
        If `m` or `n` is no positive integer.

    See Also
    --------
    SRHT : the same quality in one read of the operand.

    References
    ----------
    .. [1] Bartan and Pilanci, IEEE Trans. Inf. Theory 69 (2023).

    Examples
    --------
    >>> import numpy as np
    >>> from randla import GaussianSketch
    >>> S = GaussianSketch(200, 1000, rng=0)
    >>> x = np.ones(1000)
    >>> bool(abs(np.linalg.norm(S @ x) / np.linalg.norm(x) - 1) < 0.2)
    True
    """

    has_linf_guarantee = True

    def _fill(self, out: NDArray[np.float64], first: int) -> None:
        fill_normal_rows(out, self._key, first)
