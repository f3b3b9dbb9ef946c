"""Control variates: functions of the direction whose mean over the sphere is known exactly.

In terms of the mean difference Delta and the covariances S_1, S_2 of the two clouds (divided by the
total weight), with l = (theta' Delta)^2 and q_k = theta' S_k theta:

========== ============================================================== ====
family     controls                                                       k
========== ============================================================== ====
lower      l                                                              1
upper      l + q_1 + q_2                                                  1
quadratic  l, q_1, q_2                                                    3
quartic    quadratic, and the products of two of them                     9
bures      quadratic, and sqrt(q_1 q_2)                                   4
full       quartic, and sqrt(q_1 q_2)                                     10
harmonics  all even polynomials of degree 2 (to degree 4 for d = 2, 3)    --
========== ============================================================== ====

For p != 2 the families from quadratic to full also contain |theta' Delta|^p. At p = 2, l <= f <= l
+ q_1 + q_2: the bounds of Nguyen and Ho.

Source: Nguyen and Ho, "Sliced Wasserstein estimation with control variates", ICLR (2024),
arXiv:2305.00402.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla.transport._clouds import FEW_COORDINATES, Cloud, mean_difference, pair_moments
from randla.transport._controls.bures_mean import RELATIVE_ERROR, bures_mean
from randla.transport._projections.projector import along

FAMILIES = ("lower", "upper", "quadratic", "quartic", "bures", "full", "harmonics")
_GRAM_COORDINATES = 512  # multiplied at a time
_SINGLE_ERROR = 2.0**-28  # relative, of the mean of a variance of float32 projections
PAPER = ("lower", "upper")  # one control each, with the coefficient of the paper


@dataclass(frozen=True, eq=False)
class Columns:
    """Values of the controls at some directions."""

    centered: Array  # (L, k), minus their exact means
    sizes: Array  # (k,), typical magnitude of each, without that subtraction


@dataclass(frozen=True, eq=False)
class Controls:
    """A family of controls for one pair of clouds.

    The coefficient of a control as documented is that of `evaluate` times its scale, in units of
    length^(p - degree).
    """

    name: str
    k: int  # number of controls
    evaluate: Callable[..., Columns]  # at directions (L, d), given variances (2, L) of projections
    scales: Array  # (k,)
    degrees: Array  # (k,)
    mean_errors: Array  # (k,), absolute, of quadrature; zero where means are closed forms
    reads_variances: bool = False  # whether `evaluate` needs them


class QuadraticForms:
    """The three quadratic forms of a pair of clouds, each divided by its mean over the sphere.

    In few dimensions q_k is theta' S_k theta. In many dimensions it is the variance of the
    projections, which are available: then S_k is needed for products only, and only through traces.

    Attributes
    ----------
    reads_variances : bool
        Whether `values` needs the variances of the projections.
    means : (3,) ndarray
        The means of l, q_1, q_2 over the sphere, by which they are divided.
    """

    def __init__(self, x: Any, y: Any) -> None:
        self._pair, self.dim = (x, y), x.dim
        self.reads_variances = self.dim > FEW_COORDINATES
        # projections of float32 are rounded: the mean of their variances is not exactly tr S_k / d
        is_rounded = self.reads_variances and x.dtype == np.float32
        self.relative_error = _SINGLE_ERROR if is_rounded else 0.0
        self._is_sparse = self.reads_variances and x.dim > x.size + y.size
        delta = mean_difference(x, y)
        length = math.sqrt(delta @ delta)  # |Delta|
        self._direction = delta / length if length > 0.0 else delta
        variances = [
            c.total_variance if self.reads_variances else max(float(np.trace(c.covariance)), 0.0)
            for c in (x, y)
        ]
        self.means = np.array([length**2, *variances]) / self.dim  # E theta' A theta = tr A / d

    @cached_property
    def matrices(self) -> tuple[Array, Array]:
        """S_1 and S_2 scaled to trace d (zero where they vanish); in the r < d coordinates of
        `pair_moments` where there are fewer points than (many) dimensions.
        """
        x, y = self._pair
        if self._is_sparse:
            moments = pair_moments(x, y)
            S1, S2 = moments.first, moments.second
        else:
            S1, S2 = x.covariance, y.covariance
        return self._normalized(S1, 1), self._normalized(S2, 2)

    def _normalized(self, S: Array, which: int) -> Array:
        if self.means[which] <= 0.0:
            return np.zeros_like(S)
        S = S / S.max()  # it may be subnormal
        return np.asarray(S * (self.dim / np.trace(S)))  # theta' S theta has mean one

    def values(self, theta: Array, variances: Array | None) -> tuple[list[Array], Array]:
        """l, q_1, q_2 over their means, each (L,) of mean one unless the form vanishes; and the
        cosine (L,) of the angle with Delta. `variances` (2, L) are those of the projections.
        """
        cosine = along(theta, self._direction)
        forms = [cosine**2 * self.dim]  # l over its mean |Delta|^2 / d
        if not self.reads_variances:
            forms += [np.einsum("ld,ld->l", theta @ S, theta) for S in self.matrices]  # q_1, q_2
        else:
            assert variances is not None
            known = zip(variances, self.means[1:], strict=True)
            forms += [q / mean if mean > 0.0 else np.zeros(len(q)) for q, mean in known]
        return [np.maximum(form, 0.0) for form in forms], cosine

    def mean(self, *which: int) -> float:
        """Exact mean of one form, or of the product of two: (tr F tr G + 2 tr FG) / (d (d + 2))."""
        d, is_there = self.dim, all(self.means[i] > 0.0 for i in which)
        if len(which) == 1 or not is_there:
            return float(is_there)
        return (d * d + 2.0 * self._traces[which]) / (d * (d + 2))

    @cached_property
    def _traces(self) -> dict[tuple[int, ...], float]:
        """Traces of the products of two forms; that of l is d u u', u = Delta / |Delta|."""
        d, u = self.dim, self._direction
        if self._is_sparse:
            units = 1.0 / np.where(self.means[1:] > 0.0, self.means[1:], 1.0)
            products = _gram_traces(*self._pair, units)
            along = [c.variance_along(u) * unit for c, unit in zip(self._pair, units, strict=True)]
        else:
            F, G = self.matrices
            products = float(np.vdot(F, F)), float(np.vdot(F, G)), float(np.vdot(G, G))
            along = [float(u @ F @ u), float(u @ G @ u)]
        traces: dict[tuple[int, ...], float] = {(0, 0): float(d * d)}
        traces |= {(0, 1): d * along[0], (0, 2): d * along[1]}
        return traces | dict(zip(((1, 1), (1, 2), (2, 2)), products, strict=True))


def make_controls(name: str, x: Any, y: Any, p: float) -> Controls:
    """The controls of a named family for two clouds."""
    if name == "harmonics":
        return _harmonics(x.dim)
    forms = QuadraticForms(x, y)
    if name in PAPER:
        return _papers(name, forms)
    return _adapted(name, forms, p)


def _papers(name: str, forms: QuadraticForms) -> Controls:
    """The two families of Nguyen and Ho: one control each, bounds of the cost of Gaussians."""
    parts = forms.means * ((1.0, 0.0, 0.0) if name == "lower" else (1.0, 1.0, 1.0))
    mean = float(parts @ [forms.mean(i) for i in range(3)])

    def evaluate(theta: Array, variances: Array | None = None) -> Columns:
        value = np.stack(forms.values(theta, variances)[0], axis=1) @ parts  # l, or l + q_1 + q_2
        return Columns(value[:, None] - mean, np.array([mean]))

    one = np.ones(1)
    return Controls(name, 1, evaluate, one, 2.0 * one, 0.0 * one, forms.reads_variances)


def _adapted(name: str, forms: QuadraticForms, p: float) -> Controls:
    """Quadratic forms of the clouds, their products, sqrt(q_1 q_2), and |theta' Delta|^p."""
    pairs: list[tuple[int, ...]] = [(0,), (1,), (2,)]  # quadratic: l, q_1, q_2
    if name in ("quartic", "full"):
        pairs += list(combinations_with_replacement(range(3), 2))  # the six products of two
    means = [forms.mean(*which) for which in pairs]
    sizes = [float(_product(forms.means, which)) for which in pairs]
    degrees = [2.0 * len(which) for which in pairs]
    root, gap = name in ("bures", "full"), p != 2.0
    if root:
        means.append(bures_mean(*forms.matrices, dim=forms.dim))  # E sqrt(q_1 q_2)
        sizes.append(math.sqrt(forms.means[1] * forms.means[2]))  # the divisors
        degrees.append(2.0)  # of length
    if gap:
        length = math.sqrt(forms.means[0] * forms.dim)
        means.append(abs_moment(forms.dim, p) if length > 0.0 else 0.0)
        with np.errstate(over="ignore", under="ignore"):  # where 0 and inf mean no scale
            sizes.append(float(np.float64(length) ** p))
        degrees.append(p)
    scales = np.array([1.0 / size if size > 0.0 else 0.0 for size in sizes])  # and back
    exact = np.array(means)

    def evaluate(theta: Array, variances: Array | None = None) -> Columns:
        value, cosine = forms.values(theta, variances)
        columns = [_product(value, which) for which in pairs]
        if root:
            columns.append(np.sqrt(value[1] * value[2]))  # each of mean one before the root
        if gap:
            columns.append(np.abs(cosine) ** p)  # |theta' Delta|^p over |Delta|^p
        return Columns(np.stack(columns, axis=1) - exact, np.maximum(exact, 1e-300))

    errors = np.zeros(len(exact))
    errors[: len(pairs)] = [
        forms.relative_error * e * any(w) for w, e in zip(pairs, exact, strict=False)
    ]
    if root:
        errors[len(pairs)] = RELATIVE_ERROR * exact[len(pairs)]  # all other means are closed forms
    powers = np.array(degrees)
    return Controls(name, len(exact), evaluate, scales, powers, errors, forms.reads_variances)


def _gram_traces(x: Cloud, y: Cloud, units: Array) -> tuple[float, float, float]:
    """Traces of S S, S T and T T, where S and T are the covariances of x and y times `units`.

    From the inner products of all points: tr ST = sum_ij a_i b_j ((x_i - m_x)'(y_j - m_y))^2; for
    few points, these are fewer numbers than d^2.
    """
    n = x.size
    scale, G = np.sqrt(np.repeat(units, (n, y.size))), np.zeros((n + y.size, n + y.size))
    for first in range(0, x.dim, _GRAM_COORDINATES):
        last = min(first + _GRAM_COORDINATES, x.dim)
        Z = np.concatenate([x.deviations(first, last), y.deviations(first, last)], axis=1) * scale
        G += Z.T @ Z
    G *= G
    return float(G[:n, :n].sum()), float(G[:n, n:].sum()), float(G[n:, n:].sum())


def _product(values: Any, which: tuple[int, ...]) -> Any:
    product = values[which[0]]
    for i in which[1:]:
        product = product * values[i]
    return product


def abs_moment(d: int, p: float) -> float:
    """E |theta_1|^p over the unit sphere: Gamma(d/2) Gamma((p+1)/2) / (sqrt(pi) Gamma((d+p)/2))."""
    log = math.lgamma(0.5 * d) + math.lgamma(0.5 * (p + 1.0)) - math.lgamma(0.5 * (d + p))
    return math.exp(log) / math.sqrt(math.pi)


def family_size(name: str, d: int, p: float) -> int:
    """Number of controls of a named family."""
    if name == "harmonics":
        return math.comb(d + 3, 4) - 1 if d <= 3 else math.comb(d + 1, 2) - 1
    k = {"lower": 1, "upper": 1, "quadratic": 3, "bures": 4, "quartic": 9, "full": 10}[name]
    return k + int(p != 2.0 and k > 1)  # |theta' Delta|^p


def directions_for(k: int) -> int:
    """Least number of directions for an interval from a regression on k controls."""
    return 4 if k == 1 else 3 * k + 10  # the documented limit


def needed_projections(name: str, d: int, p: float) -> int:
    """Least number of directions for a named family."""
    k = family_size(name, d, p)
    # the harmonics do not depend on the clouds: with fewer directions the intervals are too wide
    return max(directions_for(k), 5 * k if name == "harmonics" else 0)


def _harmonics(d: int) -> Controls:
    """Monomials of degree 2 (4 for d <= 3), all but the last: with a constant they span the even
    polynomials to that degree, as |theta|^2 = 1.
    """
    degree = 4 if d <= 3 else 2  # of polynomials
    which = list(combinations_with_replacement(range(d), degree))[:-1]
    means = np.array([_monomial_mean(d, np.bincount(w, minlength=d)) for w in which])
    sizes = np.full(len(which), 1.0 / d ** (degree // 2))  # a coordinate is of size 1 / sqrt(d)

    def evaluate(theta: Array, variances: Array | None = None) -> Columns:
        columns = np.stack([theta[:, w].prod(axis=1) for w in map(list, which)], axis=1)
        return Columns(columns - means, sizes)

    k = len(which)
    return Controls("harmonics", k, evaluate, np.ones(k), np.zeros(k), np.zeros(k))


def _monomial_mean(d: int, powers: NDArray[np.int64]) -> float:
    """E prod theta_j^{a_j}: zero if some a_j is odd, else prod (a_j - 1)!! / (d (d + 2) ...)."""
    if (powers % 2).any():
        return 0.0
    product = 1.0
    for a in powers:
        product *= math.prod(range(1, int(a), 2))  # (a - 1)!!
    return product / math.prod(d + 2 * i for i in range(int(powers.sum()) // 2))


def custom_controls(pair: Any) -> Controls:
    """Controls from a user's pair: (function of (L, d) directions -> (L, k), means (k,))."""
    try:
        function, means = pair
    except (TypeError, ValueError):
        raise TypeError(_CUSTOM.format(f"got {type(pair).__name__}")) from None
    if not callable(function):
        raise TypeError(_CUSTOM.format(f"got {type(function).__name__} as the function"))
    try:
        means = np.asarray(means)
    except ValueError:  # ragged
        raise ValueError(_CUSTOM.format(f"got means {means!r}")) from None
    if means.dtype.kind not in "biuf" or means.ndim > 1 or not np.isfinite(means).all():
        raise ValueError(_CUSTOM.format(f"got means of shape {means.shape}, dtype {means.dtype}"))
    means = np.atleast_1d(means).astype(np.float64)  # (k,)

    def evaluate(theta: Array, variances: Array | None = None) -> Columns:
        theta = theta.view()
        theta.flags.writeable = False  # the function is the user's
        values = np.asarray(function(theta))
        if values.dtype.kind in "biuf" and values.ndim == 1 and len(means) == 1:
            values = values[:, None]  # (L,) means one control
        shape = (len(theta), len(means))
        if values.dtype.kind not in "biuf" or values.shape != shape:
            got = f"its function returned shape {values.shape}, dtype {values.dtype}"
            raise ValueError(_CUSTOM.format(f"{got} instead of shape {shape}"))
        if not np.isfinite(values).all():
            raise ValueError(_CUSTOM.format("its function returned numbers that are not finite"))
        values = values.astype(np.float64)
        return Columns(values - means, np.abs(values).max(axis=0) + np.abs(means))

    k = len(means)
    return Controls("custom", k, evaluate, np.ones(k), np.zeros(k), np.zeros(k))


_CUSTOM = (
    f"control_variate must be one of None, {', '.join(map(repr, (*FAMILIES, 'auto')))}, or a pair "
    "(function, means), where the function takes directions (L, d) and returns values (L, k), and "
    "means are the k exact means of these values, {}"
)
