"""Random draws for the functions of a user's state-space model.

Every function takes the stream ``rng`` that a model function is handed, a uint64 array of four
words, and is compiled: call it from a function that is decorated with ``numba.njit``.

=========================== ==========================================================
``uniform(rng)``            uniform on [0, 1)
``normal(rng)``             standard normal
``exponential(rng)``        exponential with mean 1
``gamma(rng, shape)``       gamma with scale 1; NaN unless shape > 0
``poisson(rng, mean)``      Poisson count (int64); -1 unless 0 <= mean < 2^53
``student_t(rng, df)``      Student's t; NaN unless df > 0
``categorical(rng, probs)`` index with probability proportional to ``probs``, a 1-D array
                            (int64); -1 if one of them is negative (by more than 1e-12 of
                            their sum), NaN or inf, or their sum is zero or overflows
=========================== ==========================================================

Examples
--------
>>> import numba
>>> from randla import random
>>> @numba.njit
... def transition(rng, t, x, theta):
...     return theta[0] * x + theta[1] * random.normal(rng)
"""

from randla._random import categorical, exponential, gamma, normal, poisson, student_t, uniform

__all__ = ["categorical", "exponential", "gamma", "normal", "poisson", "student_t", "uniform"]
