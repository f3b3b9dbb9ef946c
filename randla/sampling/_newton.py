"""Regression in the l_p norm for 1 < p < inf by Newton's method along a path of easier problems.

Minimised is sum_i phi(r_i) with phi(r) = (r^2 + eps^2)^(p/2). For p < 2 eps falls to almost
nothing: at a small p many residuals are nearly zero, where the second derivative of |r|^p is
infinite. For p > 2 the exponent rises to p. Each step follows the Newton direction to the minimum
along it, which is cheap beside the Gram matrix, and makes the long steps possible.

The Newton direction y gives a dual point for nothing: z = phi'(r) - phi''(r) A y has A'z = 0, and
|Ax - b|_p >= b'z / |z|_q with 1/p + 1/q = 1.
"""

from dataclasses import dataclass

import numpy as np

from randla.sampling._factor import Factor
from randla.sampling._panels import Array, Panels

#: The exponent grows by this factor from step to step.
_GROWTH = 1.5
#: Below this p the smoothing starts at the median residual and falls by this factor a step.
_SMOOTHED, _SHRINK = 1.5, 0.1
#: Smallest smoothing, relative to the median residual.
_SHARPEST = 1e-11
#: For p > 2 no row has less than this share of the largest curvature: at a large p hardly any rows
#: but the largest would hold the step. A dual point is feasible whatever the curvatures.
_FLOOR = 1e-12
