"""Priors: distributions of parameters by name, and the density on the line for the chains.

A chain moves a vector z of unconstrained numbers, see `parametrization`. Its target is the prior
density of the parameters times the volume |d theta / d z| of the transform (times a likelihood):
without that factor the chain would have another prior, 1 / theta for a positive parameter.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from randla._typing import Array
from randla._validation import read_only
from randla.smoothing._likelihood.parametrization import (
    Covariance,
    Parametrization,
    Simplex,
    Single,
    single_supports,
)
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._model.supports import SUPPORTS

_N_POINTS = 200  # midpoints of a law by which its spread on the line is judged
#: Spread of a walk if the prior does not determine one.
DEFAULT_SPREAD = 0.3

# The inverse of the usual transforms for one number, and the logarithm of its slope there.
_LOG_4 = math.log(4.0)
_POINTS: dict[str, Callable[[float], tuple[float, float]]] = {
    "real": lambda z: (z, 0.0),
    "log": lambda z: (math.exp(z) if z < 709.0 else math.inf, z),
    "logit": lambda z: (
        0.5 * (1.0 + math.tanh(0.5 * z)),
        -abs(z) - 2.0 * math.log1p(math.exp(-abs(z))),
    ),
    "tanh": lambda z: (
        math.tanh(z),
        _LOG_4 - 2.0 * (abs(z) + math.log1p(math.exp(-2.0 * abs(z)))),
    ),
}


def _point(kind: str, z: float) -> tuple[float, float]:
    support = SUPPORTS[kind]
    value = float(support.inverse(z))
    return value, math.log(slope) if (slope := support.slope(value)) > 0.0 else -math.inf


class Prior:
    """Free parameters with their prior density; chains evaluate `density`."""

    def __init__(self, model: StateSpaceModel, prior: Any) -> None:
        self.model, self.prior = model, prior
        self.laws: list[tuple[Any, Callable[[Any], float]]] = []  # (places, log density)
        self.function = None
        if isinstance(prior, Mapping):
            named = _named(model, prior)
            try:
                parameters = Parametrization(model, [n for names in named.values() for n in names])
            except ValueError as error:  # parts of what is constrained together
                message = str(error).replace("free must name", "prior must name", 1)
                raise ValueError(message) from None
            for name, names in named.items():
                self._add(parameters, name, prior[name], [model.names.index(n) for n in names])
        elif callable(prior) and not hasattr(prior, "logpdf"):
            self.function, parameters = prior, Parametrization(model, None)
        else:
            raise TypeError(
                "prior must be a dict of names and frozen distributions of scipy.stats, or a "
                f"function of theta, got {type(prior).__name__}"
            )
        self.names, self.free, self.size = parameters.names, parameters.free, parameters.size
        if self.size == 0:
            raise ValueError(
                "prior must name parameters that can move, got only probabilities of zero or one, "
                "which do not change"
            )
        self._singles, self._joint, first = [], [], 0
        ranges = single_supports(model)
        for block in parameters.blocks:
            if isinstance(block, Single):
                low, high = SUPPORTS[block.kind][:2]
                place = int(block.indices[0])
                if (block.kind, ranges[place]) == ("real", "log"):
                    low = -5e-324  # a standard deviation whose sign is free: zero is in its range
                point = _POINTS.get(block.kind) or partial(_point, block.kind)
                self._singles.append((first, place, point, low, high))
                block.scale = 1.0
            else:
                self._joint.append((slice(first, first + block.size), block))
            first += block.size
        self._start = parameters.start
        self.start = parameters.to_free(parameters.start)
        value = self.density(self.start)[1]
        if not math.isfinite(value):
            raise ValueError(
                "prior must have a finite log density at the parameters of the model, where the "
                f"chains begin ({_listing(self.names, self._start[self.free])}), got {value}"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return Prior, (self.model, self.prior)

    def _add(self, parameters: Parametrization, name: str, law: Any, indices: list[int]) -> None:
        """Enter a law, for each parameter that it is named for or for all of them together."""
        _require_law(name, law)
        at = parameters.start[indices[0]]  # a vector's law would broadcast
        if len(indices) == 1 and (getattr(law, "dim", 1) != 1 or np.size(law.logpdf(at)) != 1):
            raise ValueError(f"prior[{name!r}] must be a law of one number, got one of a vector")
        if len(indices) == 1 or hasattr(law, "support"):
            supports, density = single_supports(self.model), _fast_density(law)
            for i in indices:
                _require_inside(self.model.names[i], law, supports[i])
                self.laws.append((i, density))
            return
        blocks = [b for b in parameters.blocks if set(b.indices.tolist()) <= set(indices)]
        joint = [b for b in blocks if not isinstance(b, Single)]
        if not joint:  # a law of a vector of single parameters
            self.laws.append((np.array(indices), lambda v: float(law.logpdf(v))))
        for block in joint:
            shaped = _as_matrix if isinstance(block, Covariance) else np.asarray
            self.laws.append((block.indices, lambda v, f=shaped: float(law.logpdf(f(v)))))  # type: ignore[misc]
        try:
            for places, density in self.laws[-max(len(joint), 1) :]:
                density(parameters.start[places])
            for block in joint:  # SciPy's Dirichlet law takes a vector without its last entry, too
                if isinstance(block, Simplex) and np.size(law.mean()) != len(block.indices):
                    raise ValueError(f"it has {np.size(law.mean())} entries")
        except (ValueError, TypeError, IndexError) as error:
            raise ValueError(
                f"prior[{name!r}] must be a law of one parameter, or of the {len(indices)} that "
                f"it names together, got an error of {type(law).__name__}: {error}"
            ) from error

    def theta(self, z: Array) -> Array:
        """All parameters (p,) of the model at z; fixed parameters do not change."""
        return self.density(z)[0]

    def density(self, z: Array) -> tuple[Array, float]:
        """All parameters at z, and log prior + log |d theta / d z|; -inf out of range."""
        theta, total, inside = self._start.copy(), 0.0, True
        for k, place, point, low, high in self._singles:
            value, log_slope = point(float(z[k]))
            theta[place] = value
            inside &= low < value < high  # else rounded to the end of the range
            total += log_slope
        for part, block in self._joint:
            theta[block.indices] = block.to_theta(z[part])
            total += block.log_volume(z[part])
        if not inside or not total > -math.inf:
            return theta, -math.inf
        if self.function is not None:
            total += self._of_function(theta)
        with np.errstate(all="ignore"):  # far out
            for places, log_density in self.laws:
                total += log_density(theta[places])
        return theta, total if total == total else -math.inf

    def _of_function(self, theta: Array) -> float:
        assert self.function is not None
        value = self.function(read_only(theta))
        if not isinstance(value, (float, int, np.floating, np.integer)):
            raise TypeError(
                f"prior must return a number, the log density at theta, got {type(value).__name__}"
            )
        return float(value)

    def spread(self) -> Array:
        """Spread of the prior along each z, half the range of its middle 68%."""
        out = np.full(self.size, DEFAULT_SPREAD)
        laws = self.prior if isinstance(self.prior, Mapping) else {}
        supports = single_supports(self.model)
        probabilities = (np.arange(_N_POINTS) + 0.5) / _N_POINTS
        for name, names in _named(self.model, laws).items():
            if not hasattr(laws[name], "ppf"):
                continue
            points = np.asarray(laws[name].ppf(probabilities), float)
            for k, place, *_ in self._singles:
                if self.model.names[place] in names:
                    with np.errstate(all="ignore"):
                        z = SUPPORTS[supports[place]].transform(points)
                    half = 0.5 * np.subtract(*np.quantile(z, [0.84, 0.16]))
                    out[k] = half if 0.0 < half < math.inf else DEFAULT_SPREAD
        return out


def _named(model: StateSpaceModel, prior: Mapping[Any, Any]) -> dict[str, list[str]]:
    """The parameters that each key names: one, all entries of an argument, or of its row."""
    named: dict[str, list[str]] = {}
    owner: dict[str, str] = {}
    for key in prior:
        if not isinstance(key, str):
            raise TypeError(f"prior must have names of parameters as keys, got {key!r}")
        row = key[:-1] + "," if key.endswith("]") else key + "["
        names = [n for n in model.names if n == key or n.startswith(row)]
        if not names:
            known = ", ".join(dict.fromkeys(n.split("[")[0] for n in model.names)) or "none"
            raise ValueError(f"prior must name parameters of the model ({known}), got {key!r}")
        for name in names:
            if name in owner:
                raise ValueError(
                    f"prior must name each parameter once, got {name!r} in {owner[name]!r} and "
                    f"{key!r}"
                )
            owner[name] = key
        named[key] = names
    return named


def _require_law(name: str, law: Any) -> None:
    """Raise TypeError unless `law` is frozen and has a density."""
    expected = f"prior[{name!r}] must be a frozen distribution of scipy.stats, like norm(0, 1)"
    kind = type(law).__name__
    if isinstance(law, type) or callable(law):  # laws are called to freeze them
        raise TypeError(f"{expected}, got {kind} without its parameters")
    discrete = any("Discrete" in base.__name__ for base in type(law).__mro__)
    if discrete or (hasattr(law, "pmf") and not hasattr(law, "logpdf")):
        raise TypeError(f"{expected}, got a discrete one, {kind}: it has no density")
    if not callable(getattr(law, "logpdf", None)):
        raise TypeError(f"{expected}, got {kind}, which has no logpdf")


def _require_inside(name: str, law: Any, kind: str) -> None:
    """Raise ValueError if a distribution extends beyond the range of its parameter."""
    if not hasattr(law, "support"):
        return
    low, high = (float(end) for end in law.support())
    least, most = SUPPORTS[kind][:2]
    if not (least <= low and high <= most):
        raise ValueError(
            f"prior[{name!r}] must have its support in that of the parameter, between {least:g} "
            f"and {most:g}, got a law between {low:g} and {high:g}"
        )


def _log_normal(x: float, s: float) -> float:
    return -0.5 * (math.log(x) / s) ** 2 - math.log(s * x) - _HALF_LOG_2PI


def _student(x: float, df: float) -> float:
    norm = math.lgamma(0.5 * (df + 1.0)) - math.lgamma(0.5 * df) - 0.5 * math.log(math.pi * df)
    return norm - 0.5 * (df + 1.0) * math.log1p(x * x / df)


#: For laws of which SciPy's own formula is made for arrays (25 us a number).
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_FORMULAS: dict[str, Callable[..., float]] = {
    "lognorm": _log_normal,
    "t": _student,
    "cauchy": lambda x: -math.log(math.pi * (1.0 + x * x)),
}


def _fast_density(law: Any) -> Callable[[float], float]:
    """``law.logpdf`` for one number, without the checks of frozen laws (0.3 to 40 us of 60).

    The distributions of scipy.stats are based on the private ``_logpdf``; it is used if it agrees.
    """
    try:
        dist = law.dist
        shapes, loc, scale = dist._parse_args(*law.args, **law.kwds)
        (low, high), log_scale = law.support(), math.log(scale)
        inner = _FORMULAS.get(dist.name, dist._logpdf)

        def fast(x: float) -> float:
            if not low < x < high:  # at an end SciPy's law may have a density
                return float(law.logpdf(x)) if x in (low, high) else -math.inf
            return float(inner((x - loc) / scale, *shapes)) - log_scale

        probes = law.ppf([0.03, 0.2, 0.5, 0.8, 0.97])
        np.testing.assert_allclose([fast(x) for x in probes], law.logpdf(probes), rtol=1e-12)
        return fast
    except Exception:  # another kind of distribution, or another version of SciPy
        return lambda x: float(law.logpdf(x))


def _as_matrix(entries: Array) -> Array:
    """The symmetric matrix of a lower triangle, row by row."""
    n = math.isqrt(2 * len(entries))
    P = np.empty((n, n))
    rows, columns = np.tril_indices(n)
    P[rows, columns] = P[columns, rows] = entries
    return P


def _listing(names: tuple[str, ...], values: Array) -> str:
    shown = [f"{n} = {v:.6g}" for n, v in zip(names, values, strict=True)]
    return ", ".join(shown[:6]) + (", ..." if len(shown) > 6 else "")
