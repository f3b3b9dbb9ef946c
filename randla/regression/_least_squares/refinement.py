"""The stored part of a sketch, and the refinement of its estimate to full precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._tall.open import open_operand
from randla._tall.problem import ScaledProblem
from randla._typing import Array
from randla.regression._least_squares.choice import solve
from randla.regression._least_squares.options import LstsqOptions
from randla.regression._least_squares.problem import as_problem, single_blas
from randla.regression._least_squares.sketch_factory import SketchFactory
from randla.regression._solvers.rank import minimum_norm
from randla.regression._solvers.refinement import Solution
from randla.regression._solvers.sketched_factor import SketchedFactor


@dataclass(frozen=True, eq=False)
class RefinementState:
    """The part of a sketch that is kept so that its estimate can be refined later.

    `root_weights` are square roots of the weights, an array or a Dask array as A was. The factor
    `sketched` is for rows whose weights were scaled by 2^-weight_exponent.
    """

    shape: tuple[int, int]  # of the user's A
    root_weights: Any
    weight_exponent: int
    ridge: float
    rcond: float | None
    factory: SketchFactory
    sketched: SketchedFactor
    scaling: tuple[Any, Any]  # exponents of the columns and which are active, of the problem

    def directions(self, d: int) -> Array:
        """Rows D (d, rank) of norm one: the errors of x are its standard errors times D z.

        The entries of z are independent, of variance 1.
        """
        exponents, active = self.scaling
        K, spectrum = self.sketched.inverse(), self.sketched.spectrum  # the errors are K z, scaled
        if spectrum is not None:
            total = self.sketched.exponents + (0 if exponents is None else exponents)
            K = minimum_norm(K, spectrum, total)
        top = np.abs(K).max(axis=1, initial=0.0)
        K = K / np.where(top > 0.0, top, 1.0)[:, None]
        norms = np.linalg.norm(K, axis=1)
        D = np.zeros((d, K.shape[1]))
        D[slice(None) if active is None else active] = (
            K / np.where(norms > 0.0, norms, 1.0)[:, None]
        )
        return D

    def refine(self, A: Any, b: Any) -> tuple[ScaledProblem, Solution, bool]:
        """Solve to full precision: the problem, its solution, and whether b is a vector."""
        tall = open_operand(A)
        if tall.A.shape != self.shape:
            raise ValueError(f"A must have shape {self.shape} as before, got shape {tall.A.shape}")
        root_weights = None if self.root_weights is None else tall.aligned(self.root_weights)
        with np.errstate(all="ignore"), single_blas(tall):
            options = LstsqOptions(rcond=self.rcond, ridge=self.ridge)
            rows, is_vector = as_problem(tall, b, root_weights, options)
            return rows, solve(rows, options, self.factory, self.factor_for(rows)), is_vector

    def factor_for(self, rows: ScaledProblem) -> SketchedFactor | None:
        """Give `rows` the scales that the sketch had; return the factor of the sketch.

        None if the sketch lacks rank, as A itself may have full rank.

        Weights in memory are scaled by a power of two, weights of Dask arrays are not: if the
        sketch was of the other kind, the scales of the columns compensate for it.
        """
        change = rows.weight_exponent - self.weight_exponent
        exponents, active = self.scaling
        if exponents is not None:  # in the scales of the sketch
            rows.scale(np.clip(exponents + change, -1020, 1020), active)
            change = 0
        if self.sketched.spectrum is not None:  # the rank must be decided on A itself
            return None
        return self.sketched.shifted(change) if change else self.sketched
