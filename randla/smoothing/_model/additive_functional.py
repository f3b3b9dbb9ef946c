"""Sums over time whose smoothed expectations are estimated."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from randla._typing import Array
from randla._validation import as_count
from randla.smoothing._kernels.particles import functionals
from randla.smoothing._model.functions import (
    FIRST,
    NEXT,
    ModelFunctions,
    UserFunction,
    as_function,
)

#: Functionals that have a name.
NAMES = ("state", "square", "lag_product", "score")


class AdditiveFunctional:
    r"""A sum over time of functions of neighboring states.

    .. math::
        h(x_{0:T-1}) = h_0(x_0) + \sum_{t=0}^{T-2} h_t(x_t, x_{t+1}),

    with `n_out` components. The functions are compiled into the loops of the smoothers. They are
    decorated with ``numba.njit``, or plain Python functions that Numba can compile, and *write* all
    components to `out` in each call (they do not add; a component that is not written is NaN, which
    is refused). As in `StateSpaceModel`, states are floats if the model is scalar, else 1-D arrays;
    observations have the form that `log_potential` takes; and arguments with the names below may be
    in any order.

    Parameters
    ----------
    n_out : int
        Number of components.
    initial : function
        ``initial(x, y[, u], theta, out)`` writes :math:`h_0(x)`; `y` and `u` are row 0 of the
        observations and of the inputs.
    step : function
        ``step(t, x, xn, y[, u], theta, out)`` writes :math:`h_t(x, x_n)`; `y` is row t + 1, `u` row
        t. A term that depends on one state should use `xn`, and for time 0 `initial`.

    Attributes
    ----------
    n_out : int
        Number of components.
    initial, step : jitted functions
        The compiled functions.

    Raises
    ------
    TypeError, ValueError
        If `n_out` is not a positive integer or a function has the wrong number of arguments.

    See Also
    --------
    paris, ppg, ffbs : estimate a functional; they also take "state", "square", "lag_product"
        (sums of :math:`x_t`, :math:`x_t^2`, :math:`x_t x_{t+1}`, component by component) and
        "score" (the gradient of the log-likelihood in theta, by Fisher's identity).

    Examples
    --------
    The number of times at which a scalar state crosses zero:

    >>> import numba
    >>> from randla import AdditiveFunctional
    >>> @numba.njit
    ... def initial(x, y, theta, out):
    ...     out[0] = 0.0
    >>> @numba.njit
    ... def step(t, x, xn, y, theta, out):
    ...     out[0] = 1.0 if x * xn < 0.0 else 0.0
    >>> AdditiveFunctional(1, initial=initial, step=step)
    AdditiveFunctional(n_out=1)
    """

    def __init__(
        self, n_out: int, *, initial: Callable[..., Any], step: Callable[..., Any]
    ) -> None:
        self.n_out = as_count(n_out, "n_out")
        first, later = as_function(initial, "initial", FIRST), as_function(step, "step", NEXT)
        self._users = first, later
        self._takes_inputs = bool(first.wants(FIRST) or later.wants(NEXT))
        self.initial, self.step = first.function, later.function
        if not self._takes_inputs:
            self.initial, self.step = first.called(FIRST, False), later.called(NEXT, False)
        self._packed: AdditiveFunctional | None = None  # its twin for `theta` with rows
        self._costly = self._checked = True  # what kernels do with a user's functional
        self._scratch = 0  # entries of `out` behind the components

    def __repr__(self) -> str:
        return f"AdditiveFunctional(n_out={self.n_out})"

    def _buffer(self) -> Array:
        """Memory for one value, with scratch space after it."""
        return np.empty(self.n_out + self._scratch)

    def _called(self, packed: bool) -> "AdditiveFunctional":
        """The functional with functions as kernels call them, see `UserFunction.called`."""
        if not packed:
            return self
        if self._packed is None:
            twin = copy.copy(self)
            first, later = self._users
            twin.initial, twin.step = first.called(FIRST, True), later.called(NEXT, True)
            self._packed = twin
        return self._packed

    def _of_user(self) -> dict[str, UserFunction]:
        """The functions for the errors that they raise; none of the library's own."""
        if self._scratch or not self._costly:
            return {}
        return {
            "initial of functional": UserFunction(self.initial, FIRST),
            "step of functional": UserFunction(self.step, NEXT),
        }


def named_functional(name: str, functions: ModelFunctions) -> AdditiveFunctional:
    """Return the functional that a name of `NAMES` denotes, for a model."""
    if name == "score":
        return _score(functions)
    first, step = functionals.make_named(name, functions.dim is None)
    functional = AdditiveFunctional(functions.dim or 1, initial=first, step=step)
    # Kernels may evaluate it again instead of storing a value, and it writes all of `out`.
    functional._costly = functional._checked = False
    return functional


def _score(functions: ModelFunctions) -> AdditiveFunctional:
    """The model's score functions, or central differences of its log densities."""
    n_theta = len(functions.support)
    if n_theta == 0:
        raise ValueError("functional='score' needs a model with parameters, got theta of size 0")
    if functions.score_initial is not None:
        own = AdditiveFunctional(
            n_theta, initial=functions.score_initial, step=functions.score_step
        )
        own._checked = not functions.is_ready  # a user's may leave out entries of `out`
        return own
    if functions.is_ready:  # differences in theta would not affect what is packed after it
        raise ValueError(
            "functional='score' needs densities and their scores, and this model has none: a "
            "LinearGaussian with a singular covariance, intercepts or a time axis has the exact "
            "score of kalman_smoother and maximum_likelihood(method='exact')"
        )
    for name in ("log_initial", "log_transition"):
        if getattr(functions, name) is None:
            raise ValueError(
                "functional='score' needs a model with log_initial and log_transition, or with "
                f"score_initial and score_step, got {name}=None: give them to StateSpaceModel"
            )
    first, step = functionals.make_numeric_score(
        functions.log_initial,
        functions.log_transition,
        functions.log_potential,
        tuple(getattr(functionals, kind.upper()) for kind in functions.support),
        bool(functions.wants),
    )
    functional = AdditiveFunctional(n_theta, initial=first, step=step)
    functional._scratch, functional._checked = n_theta, False  # for the shifted parameters
    return functional
