"""tr log M of a symmetric positive definite M, by random signs z and brackets of z' log(M) z.

E z' log(M) z = tr log M (Hutchinson 1990), and each of these numbers lies between the rules of
Gauss and Radau. The first vectors take as many Lanczos steps as make the mean width of their
brackets small compared with the expected standard error; the others take as many.
"""

import math

import numpy as np

from randla._typing import Array
from randla.spectral._quadrature.lanczos import LogBracket
from randla.spectral._quadrature.preconditioner import BoundedMatrix
from randla.spectral._traces.test_vectors import sign_vectors

#: Vectors by default.
_N_VECTORS = 16
#: Vectors that go through Lanczos together, steps of one, and the doubles that may hold its basis.
_WIDTH, MAX_STEPS, _BASIS = 8, 100, 1 << 27
#: The bracket should be narrower than this part of the standard error.
_AIM = 0.2
#: Narrow enough for any purpose, for the mean of log over the eigenvalues.
_FLOOR = 1e-11


def bracket_probes(
    M: BoundedMatrix, key: np.uint64, n_products: int | None, patience: int = MAX_STEPS
) -> tuple[Array, Array] | None:
    """Lower and upper bounds (m,) of z' log(M) z for sign vectors z, m at least 2.

    Of 16 vectors, or of as many as the products suffice for. None if the first ones need more than
    `patience` steps, where that is below their limit.
    """
    lower, upper = np.empty(0), np.empty(0)
    left = n_products or _N_VECTORS * M.n
    width, n_vectors, usual_steps = _first_width(M.n, left), 0, 1
    while width > 0:
        Z = sign_vectors(key, lower.size, lower.size + width, M.n).T
        bracket = LogBracket(M, Z, min(M.n, MAX_STEPS, left // width))
        most = bracket.limit if n_vectors else min(bracket.limit, patience)
        is_narrow = _step_until_narrow(bracket, most, lower + upper, n_vectors, n_products)
        if not is_narrow and most < bracket.limit:
            return None
        if not n_vectors:
            usual_steps = bracket.n_steps
            n_vectors = _affordable(width, usual_steps, n_products)
        lower, upper = np.append(lower, bracket.lower), np.append(upper, bracket.upper)
        left -= width * bracket.n_steps
        affordable = left // usual_steps if n_products else n_vectors - lower.size
        width = min(_WIDTH, affordable)
    return M.n * lower, M.n * upper


def _first_width(n: int, n_products: int) -> int:
    """Vectors to begin with: few where each of them can have few steps, or memory is short."""
    return min(_WIDTH, max(2, min(math.isqrt(n_products), _BASIS // (MAX_STEPS * n))))


def _affordable(width: int, n_steps: int, n_products: int | None) -> int:
    """Vectors in all where each takes so many steps."""
    return max(n_products // n_steps, width) if n_products else _N_VECTORS


def _step_until_narrow(
    bracket: LogBracket, most: int, sums_before: Array, n_vectors: int, n_products: int | None
) -> bool:
    """Step until the mean width is small compared with the standard error of `n_vectors`.

    Of as many as the products suffice for, where that is 0. Returns whether `most` steps did.
    """
    next_update = 1
    for step in range(1, most + 1):
        bracket.step()
        if step < min(next_update, most):
            continue
        bracket.update()
        middles = 0.5 * np.append(sums_before, bracket.lower + bracket.upper)
        m = n_vectors or _affordable(len(bracket.lower), step, n_products)
        aim = _AIM * middles.std(ddof=1) / math.sqrt(m)
        if np.mean(bracket.upper - bracket.lower) <= aim + _FLOOR:
            return True
        next_update = max(step + 1, math.ceil(1.15 * step))
    return False
