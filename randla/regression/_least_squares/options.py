"""The options of `lstsq`, checked one by one and against each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from randla._random import as_generator
from randla._results import RandlaWarning, warn_caller
from randla._validation import as_choice, as_count, as_number
from randla.sketching._operators import Sketch

#: Methods that use a sketch as a preconditioner.
_PRECONDITIONED = ("sketch-cholesky", "iterative", "lsqr")
METHODS = ("auto", "cholesky", *_PRECONDITIONED, "lapack", "sketch-and-solve")
SKETCHES = ("srht", "block-srht", "gaussian", "sparse-sign", "count")


class LstsqWarning(RandlaWarning):
    """A least-squares solution differs from the request, or is less accurate.

    Issued by `lstsq`; the message says what was computed instead.
    """


@dataclass(frozen=True, eq=False)
class LstsqOptions:
    """The options of `lstsq`, checked, without A, b and the weights."""

    eps: float | None = None
    delta: float = 0.05
    sketch_size: int | None = None
    sketch: Any = "auto"  # a name or a `Sketch`
    method: str = "auto"
    rcond: float | None = None
    rng: Any = None
    ridge: float = 0.0

    @classmethod
    def of(
        cls, *, eps: Any, delta: Any, sketch_size: Any, sketch: Any, method: Any, rcond: Any,
        rng: Any, ridge: Any,
    ) -> LstsqOptions:  # fmt: skip
        """Check the user's arguments."""
        if (  # all by default: the checks take 6 of the 19 microseconds of a 50 x 3 problem
            eps is sketch_size is rcond is rng is None
            and sketch is method is DEFAULT.method
            and type(delta) is type(ridge) is float
            and delta == DEFAULT.delta
            and ridge == DEFAULT.ridge
        ):
            return DEFAULT
        method = as_choice(method, "method", METHODS)
        if isinstance(sketch, str):
            as_choice(sketch, "sketch", ("auto", *SKETCHES))
        elif not isinstance(sketch, Sketch):
            listed = ", ".join(repr(name) for name in ("auto", *SKETCHES))
            got = type(sketch).__name__
            if isinstance(sketch, type):
                got = f"the class {sketch.__name__}"
            raise TypeError(
                f"sketch must be one of {listed} or a sketching operator, such as SRHT(m, n), "
                f"got {got}"
            )
        if eps is not None:
            eps = as_number(eps, "eps", low=0.0, closed="neither")
        delta = as_number(delta, "delta", low=0.0, high=1.0, closed="neither")
        if sketch_size is not None:
            sketch_size = as_count(sketch_size, "sketch_size")
        if rcond is not None:
            rcond = as_number(rcond, "rcond", low=0.0, high=1.0, closed="left")
        if rng is not None:
            rng = as_generator(rng)
        ridge = as_number(ridge, "ridge", low=0.0, closed="left")
        sketch_size = _consistent_size(eps, sketch_size, sketch, method)
        return cls(eps, delta, sketch_size, sketch, method, rcond, rng, ridge)

    @property
    def wants_one_sketch(self) -> bool:
        """Whether an estimate from a single sketch was requested."""
        if self.method == "sketch-and-solve":
            return True
        return self.method == "auto" and (self.eps is not None or self.sketch_size is not None)

    def exact(self) -> LstsqOptions:
        """The options of an exact solution instead of one sketch."""
        return LstsqOptions(sketch=self.sketch, rcond=self.rcond, rng=self.rng)


DEFAULT = LstsqOptions()


def _consistent_size(eps: Any, sketch_size: Any, sketch: Any, method: str) -> int | None:
    """Check the options for the size of a sketch together; return the size if it is known."""
    uses_sketch = method == "sketch-and-solve" or method in _PRECONDITIONED
    if eps is not None:
        if sketch_size is not None:
            raise ValueError(
                f"eps or sketch_size must be given, not both, got eps={eps:g} and "
                f"sketch_size={sketch_size}"
            )
        if method not in ("auto", "sketch-and-solve"):
            raise ValueError(
                f"eps requests one sketch: method must be 'auto' or 'sketch-and-solve', "
                f"got {method!r}"
            )
    elif sketch_size is not None and method in ("cholesky", "lapack"):
        raise ValueError(f"sketch_size has no meaning for method={method!r}, which uses no sketch")
    if isinstance(sketch, Sketch):
        m = sketch.shape[0]
        if sketch_size is not None and sketch_size != m:
            raise ValueError(
                f"sketch_size must be {m}, as the sketch has {m} rows, got {sketch_size}"
            )
        sketch_size = m if uses_sketch else sketch_size  # "auto" with an operator alone: exact
    elif method == "sketch-and-solve" and eps is None and sketch_size is None:
        raise ValueError("method='sketch-and-solve' needs eps or sketch_size")
    is_given = isinstance(sketch, Sketch) or sketch != "auto"
    if is_given and not uses_sketch and eps is None and sketch_size is None:
        warn_caller(
            "lstsq: sketch alone does not request an estimate, so the result is exact: give eps or "
            "sketch_size for an estimate, or a method that preconditions with the sketch",
            LstsqWarning,
        )
    return sketch_size
