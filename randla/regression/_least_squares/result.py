"""The result of `lstsq`, and the refinement of an estimate to full precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from randla._results import axes_or_new, t_interval
from randla._tall.problem import ScaledProblem
from randla._typing import Array
from randla._validation import as_flag
from randla.regression._errors.options import LEAST_SQUARES, InferenceOptions
from randla.regression._fitted.fitted import LinearFit
from randla.regression._inference.least_squares import least_squares_inference
from randla.regression._inference.result import Inference
from randla.regression._least_squares.options import LstsqOptions
from randla.regression._least_squares.problem import norms_of, shaped
from randla.regression._least_squares.record import Record, record_of_fit, record_of_sketch
from randla.regression._least_squares.refinement import RefinementState
from randla.regression._least_squares.sketch_and_solve import SketchedSolution
from randla.regression._least_squares.sketch_factory import SketchFactory
from randla.regression._solvers.backward_error import measure_backward_error
from randla.regression._solvers.refinement import Solution
from randla.sketching._inference import implied_eps


@dataclass(frozen=True, eq=False, repr=False)
class LstsqResult(LinearFit):
    r"""Least-squares coefficients, with the error of the sketch: the result of `lstsq`.

    Attributes
    ----------
    x : (d,) or (d, k) ndarray
        The coefficients.
    names : tuple of str
        Names of the coefficients: the column names if A is a table of pandas, polars or pyarrow,
        else "x0", "x1", ...
    standard_error : ndarray, like x
        Standard error of the sketch, given the data: the typical distance of `x` from the exact
        least-squares solution. Zero at full precision. It is not the sampling error of the data. It
        is too large for a block SRHT if m is a large fraction of n (at m = n/4, intervals of 95%
        covered in 97.5% of the draws), too small for sparse signs if only a few rows matter, and
        too small for an SRHT of fewer than d + 4 rows if one row carries the residual.
    degrees_of_freedom : float
        Degrees of freedom of the Student t law of ``(x - exact) / standard_error``: rows of the
        sketch minus rank; inf at full precision.
    linf_bound : float or (k,) ndarray
        :math:`\epsilon d^{-1/2} |Ax^* - b|_2 |A^+|_2`, with both norms estimated from the sketch:
        with probability at least 1 - delta it bounds the error of every coefficient. Without
        ``eps=``, the eps that the size of the sketch implies. Zero at full precision, inf for a
        sketch without the guarantee.
    residual_norm : float or (k,) ndarray
        Norm of the residual of the exact solution: the square root of the minimized sum, with
        weights and ridge. For a single sketch, an estimate.
    rank : int or None
        Numerical rank of A with columns scaled to norm about 1; None if it was not determined (LSQR
        without a preconditioner).
    method : str
        The method that was used. "sketch-and-solve" is one sketch; all others are exact.
    sketch_size : int or None
        Rows of the sketch; None at full precision.
    n_passes : int
        Number of passes over A.
    n_iterations : int
        Refinement steps or iterations.
    converged : bool
        At full precision, whether the solver stopped at a backward error of rounding level; else
        whether the sketch satisfied the bound of `eps`, judged by the standard errors.
    """

    x: Array
    standard_error: Array
    degrees_of_freedom: float
    linf_bound: Any
    residual_norm: Any
    rank: int | None
    method: str
    sketch_size: int | None
    n_passes: int
    n_iterations: int
    converged: bool
    _measure: Callable[[], float]  # of the backward error
    _record: Callable[[], Record]  # for the statistical errors
    _refinement: RefinementState | None

    @classmethod
    def of(
        cls,
        rows: ScaledProblem,
        solution: Solution,
        one_dimensional: bool,
        rcond: float | None = None,
    ) -> LstsqResult:
        """The result of a solution to full precision."""
        if rcond is not None and solution.rank is not None and solution.rank < len(solution.Y):
            # The shortest solution has a component in what counts as zero, and so another residual.
            Y, exponents = solution.Y, solution.exponents
            _, squares = rows.residual(Y if exponents is None else np.ldexp(Y, exponents[:, None]))
            solution = replace(solution, squares=squares)
        x = shaped(rows, solution.Y, solution.exponents, one_dimensional)
        P, error = solution.preconditioner, solution.error
        is_known = error is not None and (P is None or not P.has_factor)  # relative to A
        measure: Any = partial(measure_backward_error, rows, solution)  # columnwise
        result = cls(
            x=x,
            standard_error=np.zeros(x.shape),
            degrees_of_freedom=math.inf,
            linf_bound=0.0 if one_dimensional else np.zeros(rows.k),
            residual_norm=norms_of(rows, solution.squares, one_dimensional),
            rank=solution.rank,
            method=solution.method,
            sketch_size=None,
            n_passes=rows.n_passes,
            n_iterations=solution.n_iterations,
            converged=solution.converged,
            _measure=partial(float, error or 0.0) if is_known else measure,
            _record=record_of_fit(rows, solution, rcond),
            _refinement=None,
        )
        if is_known:  # so that the repr has it
            vars(result)["backward_error"] = error
        return result

    @classmethod
    def of_sketch(
        cls,
        rows: ScaledProblem,
        solution: SketchedSolution,
        one_dimensional: bool,
        options: LstsqOptions,
        factory: SketchFactory,
        root_weights: Any,
    ) -> LstsqResult:
        """The result of one sketch."""
        sketched, exponents = solution.sketched, solution.exponents
        m, rank = sketched.n_rows, sketched.rank
        bound = np.full(rows.k, math.inf)
        if solution.has_linf_guarantee:  # eps / sqrt(d) |r| |A^+|
            eps = options.eps or implied_eps(m, rank, options.delta, solution.population)
            residual = rows.unscale_norm(np.sqrt(solution.residual_squares))
            bound = eps / rows.d**0.5 * residual * solution.inverse_norm
        return cls(
            x=shaped(rows, solution.Y, exponents, one_dimensional),
            standard_error=shaped(rows, solution.standard_error, exponents, one_dimensional),
            degrees_of_freedom=float(m - rank),
            linf_bound=float(bound[0]) if one_dimensional else bound,
            residual_norm=norms_of(rows, solution.residual_squares, one_dimensional),
            rank=rank,
            method="sketch-and-solve",
            sketch_size=m,
            n_passes=rows.n_passes,
            n_iterations=0,
            converged=solution.converged,
            _measure=partial(float, solution.backward_error),
            _record=record_of_sketch(rows, solution),
            _refinement=RefinementState(
                (rows.n, rows.n_columns),
                root_weights,
                rows.weight_exponent,
                rows.ridge,
                options.rcond,
                factory,
                sketched,
                (rows.exponents, rows.active),
            ),
        )

    @property
    def is_estimate(self) -> bool:
        """Whether the result comes from one sketch and is not exact."""
        return self.sketch_size is not None

    @cached_property
    def backward_error(self) -> float:
        r"""Columnwise backward error of `x`, the maximum over k.

        The least :math:`\eta`, up to a small factor, such that changes of each column of A by at
        most :math:`\eta` times its norm make x an exact solution: it detects errors in the
        coefficients of columns of any scale. The rows of a ridge count as rows of A. It is computed
        by a formula like that of Karlson and Waldén. The residual costs a pass over A on first
        access; until then the result keeps references to A and b, which must not change. After a
        single sketch it is the expected size. For a Kronecker product, and after LSQR without a
        preconditioner, it is relative to the norm of A as a whole.
        """
        value = float(self._measure())  # a pass over A
        vars(self)["_measure"] = partial(float, value)  # drops the references to A and b
        return value

    def confidence_interval(
        self, level: float = 0.95, *, simultaneous: bool = False
    ) -> tuple[Array, Array]:
        """Return Student t intervals for the exact least-squares coefficients.

        Parameters
        ----------
        level : float
            Coverage probability of an interval, over the draw of the sketch. Exact for a Gaussian
            sketch. For an SRHT of m rows and data whose residual is concentrated on one row,
            intervals of 95% covered in 54 to 80% of the draws at m = d + 1 and in 94 to 96% at d
            + 4 (measured; for d = 1 the coverage varies between 88 and 98% up to 20 rows).
        simultaneous : bool
            All intervals together cover with this probability (Bonferroni), instead of each one.

        Returns
        -------
        low, high : ndarray, like x
            Both equal to x at full precision.
        """
        n_together = max(self.x.size, 1) if as_flag(simultaneous, "simultaneous") else 1
        error, df = self.standard_error, self.degrees_of_freedom
        return t_interval(self.x, error, df, level, n_together=n_together)

    def refine(self, A: ArrayLike, b: ArrayLike | None = None) -> LstsqResult:
        """Refine the estimate to full precision, with the factor of the sketch as a preconditioner.

        Parameters
        ----------
        A, b
            The arguments of `lstsq`, in memory or as Dask arrays: the sketch may have been of the
            other kind. After a formula its data, without `b`. Weights and ridge are remembered.

        Returns
        -------
        LstsqResult
            `self` if it is already at full precision.
        """
        if self._refinement is None:
            return self
        A, b, _ = self._labels.opened(A, b)
        if b is None:
            raise TypeError("b must be given with A, as results keep no data")
        rows, solution, is_vector = self._refinement.refine(A, b)
        rows.n_passes += self.n_passes
        refined = LstsqResult.of(rows, solution, is_vector, self._refinement.rcond)
        return refined.labeled(self._labels)

    def inference(
        self,
        A: Any = None,
        b: ArrayLike | None = None,
        *,
        kind: str | None = None,
        groups: Any = None,
        weights: ArrayLike | None = None,
        weights_are: str = "analytic",
        names: Any = None,
        n_replicates: int = 200,
        rng: Any = None,
        progress: bool = False,
    ) -> Inference:
        r"""Compute standard errors, tests and intervals for the coefficients of the population.

        Parameters
        ----------
        A, b : optional
            The arguments of `lstsq`, as a fit keeps no data: arrays, sparse matrices, tables or
            Dask arrays, which are read a block at a time. They can be left out only for
            ``kind="iid"``, which then takes one pass in all, also for a sketch; and after one
            sketch for "robust", which then uses the 300 rows that were kept in its pass (NaN, with
            a warning, for coefficients on which too few of these inform). For "iid" after a sketch,
            and for a LinearOperator, they are not checked: other data go unnoticed.
        kind : str, optional
            The assumption about the errors, for n rows and rank d:

            * "iid": one variance, or variance 1/weight in a weighted fit. Student's t with n - d
              degrees of freedom, exact for normal errors.
            * "robust" (the default): independent rows of any variance. HC3 with Satterthwaite's
              degrees of freedom, a number for each coefficient.
            * "HC0", "HC1", "HC2", "HC3": the same with the formulas of other packages [1]_, and
              n - d degrees of freedom. HC0 and HC1 are too small for few rows.
            * "cluster" (the default with `groups`): independent groups of rows. The jackknife over
              groups, "CR3", with the degrees of freedom of Bell and McCaffrey [2]_.
            * "CR1", "CR2", "CR3": the same with the usual formulas; CR1 as in other packages, with
              n_groups - 1 degrees of freedom, the others with those of Bell and McCaffrey.
            * "bootstrap": refits with random weights of rows, or of groups if given. If the
              variance grows with a skewed column, 95% intervals of 100 and 500 rows covered in 89
              and 93% of the samples, and those of 20 groups in 92%: the other kinds do better.
        groups : (n,) array_like, optional
            The group of each row, without missing values: numbers, strings, dates or categories, in
            an array, a list, a column of a table or a Dask array. Rows of a group need not be
            contiguous. Groups without weight do not count, and at least two must remain.
        weights : (n,) array_like, optional
            As in the fit; in another unit only if they are analytic and were in memory.
        weights_are : str
            "analytic": a row of weight w has the variance 1/w. "frequency": it represents w rows.
        names : sequence of str, optional
            Names of the coefficients, by default those of the fit.
        n_replicates : int
            Number of bootstrap refits.
        rng : {None, int, SeedSequence, Generator}, optional
            Seed of the bootstrap.
        progress : bool
            Show a progress bar for the bootstrap (needs tqdm).

        Returns
        -------
        Inference
            With ``standard_error``, ``confidence_interval``, ``t``, ``p``, ``covariance``,
            ``wald``, ``predict``, ``summary`` and ``to_frame``.

        Raises
        ------
        ValueError, TypeError
            If an argument is not as described above, A, b or weights are not those of the fit, no
            degrees of freedom are left, or no valid error exists: after a ridge, which biases the
            coefficients, if LSQR did not find the rank, and for a LinearOperator with any other
            kind than "iid".

        Warns
        -----
        InferenceWarning
            If a coefficient, given by name, has no error. Errors are NaN if the data do not
            determine the coefficient, and those of robust kinds also if it depends on a single row.

        Notes
        -----
        At 20 to 200 rows, with errors whose variance depends on a skewed regressor or differs in a
        group of four rows, 95% intervals covered the slopes in 94 to 97% of the samples for
        "robust", in 87 to 94% for "HC3", 56 to 92% for "HC0" and 30 to 83% for "iid". With
        errors of one variance "robust" is slightly wide for few rows (97 to 98% at n = 20).

        For 10 to 60 groups of rows of uneven sizes, with random effects and slopes, 95% intervals
        covered in 94 to 98% of the samples for "cluster" and in 78 to 94% for "CR1", least for a
        column that is constant in groups and nonzero in few. For a column that is nonzero in only
        two or three groups, "cluster" is wide (99%, up to twice the length) and "CR2" is closer. A
        column that is nonzero in a single group, such as its dummy, has no error.

        A rough factor of A (of "iterative", "lsqr", or "cholesky" if A is ill-conditioned) is
        corrected by a pass over A, to which the fit keeps a reference until then.

        After a single sketch `x` has two errors, that of the sketch and that of the data, which are
        reported separately and added: `Inference.algorithmic_error` and
        `Inference.statistical_error`. For sketches that mix all rows, "iid" is nearly right for
        errors of any variance as long as m is far below n: at n = 400, with a scale that grows with
        a column, 95% intervals covered its coefficient in 91% of the samples for m = 40 and in 69
        to 75% for m = 300, where "robust" covered in 94%, with A and b or from kept rows, and the
        error of the sketch alone in 45 to 62%. Kept rows miss a coefficient that a handful of rows
        of large leverage determines. The Student t law of the sum of both errors has degrees of
        freedom by the rule of Welch and Satterthwaite.

        References
        ----------
        .. [1] MacKinnon and White, "Some heteroskedasticity-consistent covariance matrix estimators
           with improved finite sample properties", J. Econometrics 29 (1985), 305-325.
        .. [2] Imbens and Kolesár, "Robust standard errors in small samples: some practical advice",
           Rev. Econ. Stat. 98 (2016), 701-712.

        Examples
        --------
        >>> import numpy as np
        >>> from randla import lstsq
        >>> rng = np.random.default_rng(0)
        >>> A = np.column_stack([np.ones(500), rng.exponential(size=500)])
        >>> b = A @ [1.0, 2.0] + A[:, 1] * rng.standard_normal(500)
        >>> robust = lstsq(A, b).inference(A, b, names=["const", "slope"])
        >>> low, high = robust.confidence_interval()
        >>> bool(low[1] < 2.0 < high[1])
        True
        >>> iid = lstsq(A, b).inference(kind="iid")
        >>> bool(iid.standard_error[1] < 0.7 * robust.standard_error[1])
        True
        """
        A, b, given = self._labels.opened(A, b, len(self.x), weights=weights, groups=groups)
        names, labels = self._labels.renamed(names, len(self.x))
        options = InferenceOptions.of(
            LEAST_SQUARES, kind=kind, **given, weights_are=weights_are,
            n_replicates=n_replicates, rng=rng, progress=progress,
        )  # fmt: skip
        result = least_squares_inference(
            self._fit_record(), self.x, A, b, options, **given, names=names
        )
        is_sketch = self.is_estimate
        return result.described("Least squares" + ", from one sketch" * is_sketch, labels)

    def error_of(self, C: Array) -> Any:
        """Return the standard errors of ``C @ x`` that are due to the sketch, for C (d,)."""
        if self._refinement is None:
            return 0.0 * self.x.sum(axis=0)
        errors = (C * self.standard_error.T).T
        return np.linalg.norm(self._refinement.directions(len(C)).T @ errors, axis=0)

    def _fit_record(self) -> Record:
        record = self._record()  # may cost a pass over A
        vars(self)["_record"] = partial(_same, record)  # drops the references to A and b
        return record

    @property
    def _shown(self) -> tuple[str, ...]:  # type: ignore[override]
        if self.is_estimate:
            names = ["x", "standard_error", "linf_bound", "residual_norm", "method", "sketch_size"]
        elif "backward_error" not in vars(self):
            names = ["x", "residual_norm", "rank", "method", "n_iterations"]
        else:
            names = ["x", "residual_norm", "backward_error", "rank", "method", "n_iterations"]
        return (*names, "converged")

    def _summary(self) -> dict[str, Any]:
        names = {"residual_norm": "residual_norm_estimate"} if self.is_estimate else {}
        return {names.get(name, name): value for name, value in super()._summary().items()}

    def plot(self, ax: Any = None) -> Any:
        """Plot the coefficients with 95% intervals, single and simultaneous (needs matplotlib).

        The intervals are for the exact solution, given the data; at full precision there are none.
        Each right-hand side has its own color.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        ax = axes_or_new(ax)
        X = self.x.reshape(len(self.x), -1)
        d, k = X.shape
        bounds = [
            [bound.reshape(d, k) for bound in self.confidence_interval(simultaneous=every)]
            for every in (False, True)
        ]
        for j in range(k):
            place = np.arange(d) + (j - (k - 1) / 2) * 0.6 / k
            for (low, high), width in zip(bounds, (3.0, 1.0), strict=True):
                if self.is_estimate:
                    ax.vlines(place, low[:, j], high[:, j], color=f"C{j % 10}", lw=width)
            ax.plot(place, X[:, j], "o", ms=4, color=f"C{j % 10}")
        ax.axhline(0.0, color="0.7", lw=0.8, zorder=0)
        ax.set(xlabel="column", ylabel="coefficient")
        return ax

    def __getstate__(self) -> dict[str, Any]:
        """Compute what needs A and b now, so that they need not be pickled."""
        _ = self.backward_error, self._fit_record()
        return vars(self)


def _same(record: Record) -> Record:
    return record
