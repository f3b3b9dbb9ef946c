"""tr log M of a symmetric M >= I, by random signs z and brackets of z' log(M) z.

E z' log(M) z = tr log M (Hutchinson 1990), and each of these numbers lies between the rules of
Gauss and Radau. The first vectors take as many Lanczos steps as make the mean width of their
brackets small beside the standard error that is to be expected; the others do as they.
"""

import math
from collections.abc import Callable

import numpy as np

from randla._typing import Array
from randla.spectral._lanczos import LogBracket
from randla.spectral._test_vectors import sign_vectors

#: Vectors by default.
_N_VECTORS = 16
#: Vectors that go through Lanczos together, steps of one, and the doubles that may hold its basis.
_WIDTH, _MAX_STEPS, _BASIS = 8, 100, 1 << 27
#: The bracket should be narrower than this part of the standard error.
_AIM = 0.2


class NotAbove(Exception):
    """M has an eigenvalue below 1, not above `args[0]`."""


def bracket_probes(
    times: Callable[[Array], Array],
    n: int,
    key: np.uint64,
    *,
    n_products: int | None,
    eps: float,
    norm: float,
) -> tuple[Array, Array]:
    """Lower and upper bounds (m,) of z' log(M) z for sign vectors z.

    `times` maps vectors as rows (b, n) to their products, which are rounded to `eps` times the
    norm of M, or `norm` if that is larger.
    """
    lower, upper = np.empty(0), np.empty(0)
    width, n_vectors, n_steps = _first_width(n, n_products), 0, 1
    left = n_products or n * _N_VECTORS
    while width > 0:
        Z = sign_vectors(key, lower.size, lower.size + width, n).T
        bracket = LogBracket(times, Z, min(n, _MAX_STEPS, left // width), eps, norm)
        _narrow(bracket, lower, upper, ...)
        lower, upper = np.append(lower, n * bracket.lower), np.append(upper, n * bracket.upper)
