"""The sketches that `lstsq` draws, and their number of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from randla._random import as_generator
from randla._tall.problem import ScaledProblem
from randla.regression._least_squares.options import LstsqOptions
from randla.regression._solvers.kronecker import is_structured
from randla.sketching._gaussian import GaussianSketch
from randla.sketching._hadamard import SRHT, BlockSRHT, padded
from randla.sketching._kronecker import KroneckerSRHT
from randla.sketching._operators import UNBOUNDED, Sketch
from randla.sketching._size import required_rows
from randla.sketching._sparse import CountSketch, SparseSignSketch

_CLASSES: dict[str, type[Sketch]] = {
    "srht": SRHT,
    "block-srht": BlockSRHT,
    "gaussian": GaussianSketch,
    "sparse-sign": SparseSignSketch,
    "count": CountSketch,
}


@dataclass(eq=False)
class SketchFactory:
    """Draws sketches for a problem of n rows (including those of a ridge); picklable.

    With `factor_rows` the rows are those of a Kronecker product, whose structure "auto" keeps.
    """

    sketch: Any  # a name, or the user's operator
    n: int
    rng: Any
    factor_rows: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.sketch == "auto":
            return
        self.factor_rows = None
        if self.is_fixed and self.sketch.shape[1] not in (self.n, UNBOUNDED):
            raise ValueError(
                f"sketch must have {self.n} columns, one for each row of A and, with a ridge, for "
                f"each column, got shape {self.sketch.shape}"
            )

    @classmethod
    def of(cls, rows: ScaledProblem, options: LstsqOptions) -> SketchFactory:
        """The factory of a problem; with a fixed seed if the result is exact."""
        # An exact result is the same in every call.
        rng = 0 if options.rng is None and not options.wants_one_sketch else options.rng
        if rows.ridge > 0.0:  # whose rows are sketched with those of A
            return cls(options.sketch, rows.n + rows.d, rng)
        factor_rows = (len(rows.A.A1), len(rows.A.A2)) if is_structured(rows) else None
        return cls(options.sketch, rows.n, rng, factor_rows)

    @property
    def is_fixed(self) -> bool:
        """Whether the user gave the operator itself."""
        return not isinstance(self.sketch, str)

    def sketch_class(self, default: str = "srht") -> type[Sketch]:
        """Class of the operators that are drawn; `default` if the user did not choose."""
        if self.is_fixed:
            return type(self.sketch)
        if self.factor_rows is not None:
            return KroneckerSRHT
        return _CLASSES[default if self.sketch == "auto" else self.sketch]

    def draw(self, m: int, default: str = "srht") -> Sketch:
        """Draw a new operator with m rows, or return the user's operator."""
        if self.is_fixed:
            return self.sketch
        kind, largest = self.sketch_class(default), self.largest(default)
        if largest is not None and m > largest:
            raise ValueError(
                f"sketch_size must be at most {largest}, the padded number of rows, got {m}"
            )
        self.rng = as_generator(self.rng)  # kept: the next draw differs
        options: dict[str, Any] = {"rng": self.rng}
        if m < 8 and kind is SparseSignSketch:  # its default has 8 entries a column
            options["nonzeros"] = m
        return kind(m, self.factor_rows or self.n, **options)  # type: ignore[call-arg]

    def population(self) -> int | None:
        """Population of the operators that are drawn."""
        return self.sketch.population if self.is_fixed else self.largest()

    def largest(self, default: str = "srht") -> int | None:
        """Maximum number of rows of an operator; None: unlimited."""
        return padded(self.n) if self.sketch_class(default) is SRHT and not self.is_fixed else None


def preconditioner_size(rows: ScaledProblem, factory: SketchFactory, multiple: int) -> int:
    """Rows of a sketch used as a preconditioner: `multiple` for each column."""
    return min(max(multiple * rows.d, 64), factory.largest() or UNBOUNDED)


def estimate_size(rows: ScaledProblem, options: LstsqOptions, factory: SketchFactory) -> int | None:
    """Rows of the sketch for an estimate; None if an exact solution is cheaper."""
    kind, largest = factory.sketch_class(), factory.largest()
    if options.eps is None:
        m = options.sketch_size or 0
    else:
        operator = factory.sketch if factory.is_fixed else kind
        if not operator.has_linf_guarantee:
            names = [repr(name) for name, c in _CLASSES.items() if c.has_linf_guarantee]
            raise ValueError(
                f"eps needs a sketch with the l_inf guarantee ({', '.join(names)}), "
                f"got {kind.__name__}: give sketch_size instead"
            )
        m = required_rows(rows.d, options.eps, options.delta, factory.population())
        if 4 * m > rows.n:  # the documented limit of an estimate
            return None
        if factory.is_fixed:
            if options.sketch.shape[0] < m:
                raise ValueError(
                    f"sketch must have at least {m} rows for eps={options.eps:g}, "
                    f"got shape {options.sketch.shape}"
                )
            m = options.sketch.shape[0]
    if m <= rows.d or (largest is not None and m > largest):
        upper = "" if largest is None else f" and at most {largest}, the padded number of rows"
        raise ValueError(
            f"sketch_size must be greater than the {rows.d} columns of A{upper}, got {m}"
        )
    return m
