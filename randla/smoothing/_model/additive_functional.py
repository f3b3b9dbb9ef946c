"""Sums over time whose smoothed expectations are estimated."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._validation import as_count
from randla.smoothing._kernels.particles import functionals
from randla.smoothing._model.function_errors import UserFunction
from randla.smoothing._model.functions import FIRST, NEXT, as_function
from randla.smoothing._model.state_space import StateSpaceModel

_NAMES = ("state", "square", "lag_product", "score")


class AdditiveFunctional:
    r"""A sum over time of functions of neighbouring states.

    .. math::
        h(x_{0:T-1}) = h_0(x_0) + \sum_{t=0}^{T-2} h_t(x_t, x_{t+1}),

    with `n_out` components. The functions are compiled into the loops of the smoothers. They are
    decorated with ``numba.njit``, or plain Python functions that Numba can compile, and *write*
    all components to `out` in each call (they do not add; one that is not written is NaN, which is
    refused). As in `StateSpaceModel`, states are floats if the model is scalar, else 1-D arrays,
    observations come in the form that `log_potential` takes, and arguments that have the names
    below may stand in any order.

    Parameters
    ----------
    n_out : int
        Number of components.
    initial : function
        ``initial(x, y, theta, out)`` writes :math:`h_0(x)`; `y` is row 0 of the observations.
    step : function
        ``step(t, x, xn, y, theta, out)`` writes :math:`h_t(x, x_n)`; `y` is row t + 1. What
        depends on one state only belongs to `xn`, and for time 0 to `initial`.

    Attributes
    ----------
    n_out : int
    initial, step : jitted functions

    Raises
    ------
    TypeError, ValueError
        If `n_out` is no positive integer or a function has the wrong number of arguments.

    See Also
    --------
    paris, ppg, ffbs : where a functional goes; they also take "state", "square", "lag_product"
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
    >>> crossings = AdditiveFunctional(1, initial=initial, step=step)
    """

    def __init__(
        self, n_out: int, *, initial: Callable[..., Any], step: Callable[..., Any]
    ) -> None:
        self.n_out = as_count(n_out, "n_out")
        self.initial = as_function(initial, "initial", FIRST)
        self.step = as_function(step, "step", NEXT)
        self._costly = self._checked = True
        self._scratch = 0

    def __repr__(self) -> str:
        return f"AdditiveFunctional(n_out={self.n_out})"

    def _buffer(self) -> NDArray[np.float64]:
        """Place for one value, with scratch space behind it."""
        return np.empty(self.n_out + self._scratch)

    def _functions(self) -> dict[str, UserFunction]:
        """The functions for the errors that they raise; none of the library's own."""
        if self._scratch or not self._costly:
            return {}
        return {
            "initial of functional": UserFunction(self.initial, FIRST),
            "step of functional": UserFunction(self.step, NEXT),
        }


def _ready(first: Any, step: Any, n_out: int) -> AdditiveFunctional:
    functional = AdditiveFunctional(n_out, initial=first, step=step)
    functional._costly = functional._checked = False
    return functional


def as_functional(functional: Any, model: StateSpaceModel, y: NDArray[Any]) -> AdditiveFunctional:
    """`functional` if it is one, or the one that a name stands for."""
    if isinstance(functional, AdditiveFunctional):
        return functional
    if not isinstance(functional, str):
        raise TypeError(
            f"functional must be an AdditiveFunctional or one of {', '.join(map(repr, _NAMES))}, "
            f"got {type(functional).__name__}"
        )
    if functional not in _NAMES:
        raise ValueError(
            f"functional must be an AdditiveFunctional or one of {', '.join(map(repr, _NAMES))}, "
            f"got {functional!r}"
        )
    if functional == "score":
        return model._once(("score", y.ndim), lambda: _score(model, y.ndim))
    prefix = "" if model.dim is None else "vector_"
    return model._once(
        ("functional", functional),
        lambda: _ready(
            getattr(functionals, f"{prefix}{functional}_first"),
            getattr(functionals, f"{prefix}{functional}_next"),
            model.dim or 1,
        ),
    )


def _score(model: StateSpaceModel, y_ndim: int) -> AdditiveFunctional:
    """The model's score functions, or central differences of its log densities."""
    n_theta = model.theta.size
    if n_theta == 0:
        raise ValueError("functional='score' needs a model with parameters, got theta of size 0")
    if model.score_initial is not None:
        own = AdditiveFunctional(n_theta, initial=model.score_initial, step=model.score_step)
        own._checked = not model._is_ready
        return own
    for name in ("log_initial", "log_transition"):
        if getattr(model, name) is None:
            raise ValueError(
                f"functional='score' needs a model with score_initial and score_step, or with "
                f"log_initial and log_transition, got {name}=None"
            )
    first, step = functionals.numeric_score_forms(
        model.log_initial,
        model.log_transition,
        model.log_potential,
        functionals.is_missing_number if y_ndim == 1 else functionals.is_missing_row,
        tuple(getattr(functionals, kind.upper()) for kind in model.support),
    )
    functional = AdditiveFunctional(n_theta, initial=first, step=step)
    functional._scratch, functional._checked = n_theta, False
    return functional
