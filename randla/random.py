"""Random draws for the functions of a user's state-space model.

Every function takes the stream ``rng`` that a model function receives, a uint64 array of four
words, and is compiled: call it from a function that is decorated with ``numba.njit``. A draw with
parameters outside the domain is NaN or, for counts, -1, as compiled code raises nothing.

==================================== =================================================
``uniform(rng)``                     uniform on [0, 1)
``normal(rng)``                      standard normal
``exponential(rng)``                 exponential with mean 1
``gamma(rng, shape)``                gamma with scale 1; NaN unless shape > 0
``beta(rng, a, b)``                  beta; NaN unless 1e-300 <= a, b < inf. With small
                                     shapes often exactly 0 or 1, the floats next to it
``student_t(rng, df)``               Student's t; NaN unless df > 0
``poisson(rng, mean)``               Poisson count (int64); -1 unless 0 <= mean < 2^53
``binomial(rng, n, p)``              successes of n trials (int64); -1 unless
                                     0 <= p <= 1 and n is whole, 0 <= n <= 2^53
``negative_binomial(rng, r, p)``     failures before success r (int64), with mean
                                     r (1 - p) / p for any real r > 0, 0 < p <= 1; else
                                     -1, also where the gamma number with this mean of
                                     which it is a Poisson count is not below 2^53
``categorical(rng, probs)``          index with probability proportional to ``probs``, a
                                     1-D array (int64); -1 if one of them is negative (by
                                     more than 1e-12 of their sum), NaN or inf, or their
                                     sum is zero or overflows
``multinomial(rng, n, probs, out)``  counts of n trials in categories, written to ``out``;
                                     ``n`` as for ``binomial``, ``probs`` as for
                                     ``categorical``, else all -1
``dirichlet(rng, alpha, out)``       proportions, written to ``out``; all NaN unless
                                     1e-300 <= alpha < inf
==================================== =================================================

``out`` is a 1-D array with as many entries as ``probs`` or ``alpha`` (else it is filled with -1 or
NaN), such as a part of the state: ``out[1:4]``.

Examples
--------
An epidemic in which each of x[0] susceptibles is infected with the same probability:

>>> import math
>>> import numba
>>> from randla import random
>>> @numba.njit
... def transition(rng, t, x, theta, out):
...     infected = random.binomial(rng, x[0], -math.expm1(-theta[0] * x[1]))
...     recovered = random.binomial(rng, x[1], theta[1])
...     out[0] = x[0] - infected
...     out[1] = x[1] + infected - recovered
"""

from randla._kernels.draws import beta, binomial, dirichlet, multinomial, negative_binomial
from randla._random import categorical, exponential, gamma, normal, poisson, student_t, uniform

__all__ = [
    "beta",
    "binomial",
    "categorical",
    "dirichlet",
    "exponential",
    "gamma",
    "multinomial",
    "negative_binomial",
    "normal",
    "poisson",
    "student_t",
    "uniform",
]
