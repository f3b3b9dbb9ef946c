"""The arguments of `lstsq`: what is asked for, checked, and how sketches are drawn."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._parallel import single_threaded_blas
from randla._random import as_generator
from randla._results import RandlaWarning, warn_caller
from randla._tall.dense_rows import DenseRows
from randla._tall.operator import OperatorRows, SparseRows, is_operator
from randla._tall.problem import Rows
from randla._validation import (
    as_choice,
    as_count,
    as_matrix,
    as_number,
    as_rhs,
    as_weights,
    read_only,
)
from randla.sketching._hadamard_plan import padded
from randla.sketching._kronecker import KroneckerProduct, KroneckerSRHT
from randla.sketching._operators import UNBOUNDED, Sketch
from randla.sketching._size import required_rows

Matrix = NDArray[np.float64]

METHODS = (
    "auto",
    "cholesky",
    "sketch-cholesky",
    "iterative",
    "lsqr",
    "lapack",
    "sketch-and-solve",
)
#: Sketches by name: module and class, loaded when they are asked for.
_SKETCHES = {
    "srht": ("_hadamard", "SRHT"),
    "block-srht": ("_hadamard", "BlockSRHT"),
    "gaussian": ("_gaussian", "GaussianSketch"),
    "sparse-sign": ("_sparse", "SparseSignSketch"),
    "count": ("_sparse", "CountSketch"),
}
#: Entries up to which a sparse matrix or an operator is solved as a dense matrix.
_MAX_DENSE_ENTRIES = 1 << 22
#: Ratio of the sizes of two columns of a Kronecker factor up to which its singular values will do.
_LARGEST_SPREAD = 1e9
#: BLAS is held at one thread from this many entries, which pay for the call, up to this many
#: columns, beyond which the factors are worth several threads.
_MIN_SINGLE, _MAX_SINGLE = 4000, 1500
#: Methods that use a sketch as a preconditioner.
_PRECONDITIONED = ("sketch-cholesky", "iterative", "lsqr")


class LstsqWarning(RandlaWarning):
    """A least-squares solution that is not what was asked for, or not as accurate."""


@dataclass(frozen=True, eq=False)
class Options:
    """The options of `lstsq`, checked, without those that belong to the data."""

    eps: float | None = None
    delta: float = 0.05
    sketch_size: int | None = None
    sketch: Any = "auto"
    method: str = "auto"
    rcond: float | None = None
    rng: Any = None

    @property
    def wants_one_sketch(self) -> bool:
        """Whether the answer shall come from a single sketch."""
        if self.method == "sketch-and-solve":
            return True
        return self.method == "auto" and (self.eps is not None or self.sketch_size is not None)

    def exact(self) -> Options:
        """The options of an exact solution in place of one sketch."""
        return Options(sketch=self.sketch, rcond=self.rcond, rng=self.rng)


DEFAULT = Options()


def read_options(
    *,
    eps: Any,
    delta: Any,
    sketch_size: Any,
    sketch: Any,
    method: Any,
    rcond: Any,
    rng: Any,
) -> Options:
    """Check the options one by one and against one another."""
    method = as_choice(method, "method", METHODS)
    if not isinstance(sketch, Sketch):
        _require_sketch_name(sketch)
    if eps is not None:
        eps = as_number(eps, "eps", low=0.0, closed="neither")
    delta = as_number(delta, "delta", low=0.0, high=1.0, closed="neither")
    if sketch_size is not None:
        sketch_size = as_count(sketch_size, "sketch_size")
    if rcond is not None:
        rcond = as_number(rcond, "rcond", low=0.0, high=1.0, closed="left")
    if eps is not None:
        if sketch_size is not None:
            raise ValueError(f"eps and sketch_size={sketch_size} exclude one another: give one")
        if method not in ("auto", "sketch-and-solve"):
            raise ValueError(
                f"eps asks for one sketch: method must be 'auto' or 'sketch-and-solve', "
                f"got {method!r}"
            )
    elif sketch_size is not None and method in ("cholesky", "lapack"):
        raise ValueError(f"sketch_size has no meaning for method={method!r}, which uses no sketch")
    if isinstance(sketch, Sketch):
        rows = sketch.shape[0]
        if sketch_size is not None and sketch_size != rows:
            raise ValueError(
                f"sketch_size must be {rows}, as the sketch has {rows} rows, got {sketch_size}"
            )
        if method == "sketch-and-solve" or method in _PRECONDITIONED:
            sketch_size = rows
    elif method == "sketch-and-solve" and eps is None and sketch_size is None:
        raise ValueError("method='sketch-and-solve' needs eps or sketch_size")
    named = isinstance(sketch, Sketch) or sketch != "auto"
    unused = method != "sketch-and-solve" and method not in _PRECONDITIONED
    if named and unused and eps is None and sketch_size is None:
        warn_caller(
            "lstsq: sketch alone asks for no estimate, and so the answer is exact: give eps or "
            "sketch_size for an estimate, or a method that preconditions with the sketch",
            LstsqWarning,
        )
    if rng is not None:
        rng = as_generator(rng)
    return Options(eps, delta, sketch_size, sketch, method, rcond, rng)


def _require_sketch_name(sketch: Any) -> None:
    names = ("auto", *_SKETCHES)
    if isinstance(sketch, str):
        as_choice(sketch, "sketch", names)
        return
    listed = ", ".join(repr(name) for name in names)
    raise TypeError(
        f"sketch must be one of {listed} or a sketching operator, got {type(sketch).__name__}"
    )


def read_ridge(ridge: Any) -> float:
    """The penalty, finite and not negative."""
    return as_number(ridge, "ridge", low=0.0, closed="left")


def read_root_weights(weights: Any, n: int) -> NDArray[np.float64] | None:
    """Square roots of the weights; None stands for weights of one."""
    if weights is None:
        return None
    return read_only(np.sqrt(as_weights(weights, n, "weights")))


def read_matrix(A: Any) -> Any:
    """The matrix, sparse matrix or operator; NaN and inf are found later, on the way."""
    if not is_operator(A):
        A = as_matrix(A, finite=False, sparse=True)
    if 0 in A.shape:
        raise ValueError(f"A must have at least one row and one column, got shape {A.shape}")
    return A


def read_rows(
    A: Any,
    b: Any,
    root_weights: Matrix | None,
    ridge: float,
    options: Options = DEFAULT,
) -> tuple[Rows, bool]:
    """The operand, and whether b is a vector."""
    n, d = A.shape
    rhs = as_rhs(b, n, finite=False)
    if rhs.size == 0:
        raise ValueError(f"b must have at least one column, got shape {rhs.shape}")
    B: Any = rhs if rhs.dtype == np.float64 else rhs.astype(np.float64)
    B = B.reshape(n, -1)
    if not isinstance(A, np.ndarray):
        kind = OperatorRows if is_operator(A) else SparseRows
        small = options.method == "auto" and not options.wants_one_sketch
        small &= n * d < _MAX_DENSE_ENTRIES
        structured = _splits(A, root_weights, ridge)
        if options.method != "lapack" and (structured or not small):
            return kind(A, B, root_weights, ridge), rhs.ndim == 1
        A = kind(A, B).toarray()
    return DenseRows(A, B, root_weights, ridge), rhs.ndim == 1


class Recipe:
    """Draws sketches for a problem of n rows (with those of a ridge); picklable.

    With `factor_rows` the rows are those of a Kronecker product, whose structure "auto" keeps.
    """

    def __init__(
        self, sketch: Any, n: int, rng: Any, factor_rows: tuple[int, int] | None = None
    ) -> None:
        self.sketch, self.n, self.rng = sketch, n, rng
        self.factor_rows = factor_rows if sketch == "auto" else None
        if isinstance(sketch, Sketch) and sketch.shape[1] not in (n, UNBOUNDED):
            raise ValueError(
                f"sketch must have {n} columns, one for each row of A and, with a ridge, for each "
                f"column, got shape {sketch.shape}"
            )

    @property
    def is_fixed(self) -> bool:
        """Whether the caller gave the operator itself."""
        return isinstance(self.sketch, Sketch)

    def named(self, default: str) -> str:
        """Name of the sketch, where the caller left the choice."""
        return default if self.sketch == "auto" else self.sketch

    def class_of(self, default: str) -> type[Sketch]:
        """Class of the operators that are drawn."""
        if isinstance(self.sketch, Sketch):
            return type(self.sketch)
        if self.factor_rows is not None:
            return KroneckerSRHT
        module, name = _SKETCHES[self.named(default)]
        return getattr(import_module(f"randla.sketching.{module}"), name)

    def draw(self, m: int, default: str = "srht") -> Sketch:
        """Draw a new operator with m rows, or return the caller's own."""
        if isinstance(self.sketch, Sketch):
            return self.sketch
        largest = self.largest(default)
        if largest is not None and m > largest:
            raise ValueError(
                f"sketch_size must be at most {largest}, the padded number of rows, got {m}"
            )
        self.rng = as_generator(self.rng)
        if self.factor_rows is not None:
            return KroneckerSRHT(m, self.factor_rows, rng=self.rng)
        fewer = {"nonzeros": m} if m < 8 and self.named(default) == "sparse-sign" else {}
        return self.class_of(default)(m, self.n, rng=self.rng, **fewer)  # type: ignore[call-arg]

    def population(self, default: str = "srht") -> int | None:
        """Population of the operators that are drawn."""
        if isinstance(self.sketch, Sketch):
            return self.sketch.population
        return self.largest(default)

    def largest(self, default: str = "srht") -> int | None:
        """Rows that an operator can have at most; None: any number."""
        if self.named(default) == "srht" and not self.is_fixed and self.factor_rows is None:
            return padded(self.n)
        return None


def rows_of_sketch(rows: Rows, options: Options, recipe: Recipe) -> int | None:
    """Rows of the sketch to draw; None if an exact solution is cheaper."""
    kind, largest = recipe.class_of("srht"), recipe.largest()
    if options.eps is None:
        m = options.sketch_size or 0
    else:
        operator = recipe.sketch if recipe.is_fixed else kind
        if not operator.has_linf_guarantee:
            raise ValueError(
                "eps needs a sketch with the l_inf guarantee ('srht', 'block-srht' or 'gaussian'), "
                f"got {kind.__name__}: give sketch_size instead"
            )
        m = required_rows(rows.d, options.eps, options.delta, recipe.population())
        if 4 * m > rows.n:
            return None
        if recipe.is_fixed:
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


def is_structured(rows: Rows) -> bool:
    """Whether the problem splits into those of the factors of a Kronecker product."""
    return _splits(rows.A, rows.root_weights, rows.ridge)


def _splits(A: Any, root_weights: Matrix | None, ridge: float) -> bool:
    if not isinstance(A, KroneckerProduct) or root_weights is not None:
        return False
    # A ridge asks for the singular values of the factors, and small ones that belong to small
    # columns have no digits left beside large ones.
    return ridge == 0.0 or max(_spread(A.A1), _spread(A.A2)) < _LARGEST_SPREAD


def _spread(A: Matrix) -> float:
    """Ratio of the largest to the least size of a column; columns of zeros do not count."""
    sizes = np.abs(A).max(axis=0).astype(np.float64)
    return float(sizes.max() / sizes.min(where=sizes > 0.0, initial=np.inf))


def recipe_for(rows: Rows, options: Options) -> Recipe:
    """How sketches of the rows are drawn; with a fixed seed where the answer is exact."""
    rng = 0 if options.rng is None and not options.wants_one_sketch else options.rng
    if rows.ridge > 0.0:
        return Recipe(options.sketch, rows.n + rows.d, rng)
    factor_rows = (len(rows.A.A1), len(rows.A.A2)) if is_structured(rows) else None
    return Recipe(options.sketch, rows.n, rng, factor_rows)


def few_threads(shape: tuple[int, int]) -> AbstractContextManager[None]:
    """Hold BLAS at one thread where its threads cost more than they gain.

    The passes over A run on threads of our own. A small factor, or one inner product of the length
    of b, would wake those of BLAS, which then spin for some time on the cores that a pass needs
    (measured: 1.2 times the time of a whole solution).
    """
    n, d = shape
    if n * d <= _MIN_SINGLE or d > _MAX_SINGLE:
        return nullcontext()
    return single_threaded_blas()
