"""The functions of which a model is made: what each takes, and which it is given with."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from numba.core.dispatcher import Dispatcher

from randla._jit import unsaved_kernel
from randla.smoothing._kernels import forms
from randla.smoothing._specialise import config

#: Arguments of the functions of an additive functional, for time 0 and for a step.
FIRST = ("x", "y", "theta", "out")
NEXT = ("t", "x", "xn", "y", "theta", "out")

#: Arguments of the functions of a model; those in `_DRAWS` have `out` as well if the state is a
#: vector.
ARGUMENTS = {
    "initial": ("rng", "theta"),
    "transition": ("rng", "t", "x", "theta"),
    "log_potential": ("t", "x", "y", "theta"),
    "log_transition": ("t", "x", "xn", "theta"),
    "log_initial": ("x", "theta"),
    "log_transition_bound": ("t", "theta"),
    "initial_proposal": ("rng", "y", "theta"),
    "log_initial_proposal": ("x", "y", "theta"),
    "proposal": ("rng", "t", "x", "y", "theta"),
    "log_proposal": ("t", "x", "xn", "y", "theta"),
    "observe": ("rng", "t", "x", "theta", "out"),
    "score_initial": FIRST,
    "score_step": NEXT,
}
_DRAWS = ("initial", "transition", "initial_proposal", "proposal")
_REQUIRED = ("initial", "transition", "log_potential")
_PARTNERS = {
    "proposal": ("log_proposal", "log_transition"),
    "log_proposal": ("proposal",),
    "initial_proposal": ("log_initial_proposal", "log_initial"),
    "log_initial_proposal": ("initial_proposal",),
    "log_transition_bound": ("log_transition",),
    "score_initial": ("score_step",),
    "score_step": ("score_initial",),
}


def arguments_of(name: str, dim: int | None) -> tuple[str, ...]:
    """Return the names of the arguments that a function must take, for a state of this size."""
    extra = ("out",) if dim is not None and name in _DRAWS else ()
    return ARGUMENTS[name] + extra


def as_model_functions(given: Mapping[str, Any], dim: int | None) -> dict[str, Any]:
    """Jitted functions of a model by name, None where there is none; or an error that names one."""
    compiled = {
        name: None
        if function is None and name not in _REQUIRED
        else as_function(function, name, arguments_of(name, dim))
        for name, function in given.items()
    }
    for name, partners in _PARTNERS.items():
        for partner in partners:
            if compiled[name] is not None and compiled[partner] is None:
                raise ValueError(f"{partner} must be given together with {name}, got None")
    return compiled


def as_function(function: Any, name: str, arguments: tuple[str, ...]) -> Any:
    """Return `function` jitted, or an error that names it."""
    if isinstance(function, Dispatcher):
        code = function.py_func.__code__
    elif callable(function) and hasattr(function, "__code__"):
        code = function.__code__
    else:
        raise TypeError(
            f"{name} must be a function, jitted by numba.njit or plain, "
            f"got {type(function).__name__}"
        )
    if code.co_argcount != len(arguments) or code.co_kwonlyargcount or code.co_flags & 0x0C:
        got = ", ".join(code.co_varnames[: code.co_argcount])
        raise ValueError(f"{name} must take ({', '.join(arguments)}), got ({got})")
    if isinstance(function, Dispatcher) or config.DISABLE_JIT:
        return function
    return unsaved_kernel(function)


class Forms(NamedTuple):
    """What the kernels call instead of a model's functions, see `randla.smoothing._kernels.forms`.

    A kernel then need not know whether states are numbers or vectors, and who proposes them.
    """

    draw_first: Any
    draw_next: Any
    weigh_first: Any
    weigh_next: Any

    @classmethod
    def of(cls, model: Any, *, guided: bool) -> "Forms":
        """Those of a model, with its proposals where it has them and the filter is `guided`."""
        scalar = model.dim is None
        first = (model.initial_proposal, model.log_initial_proposal) if guided else (None, None)
        after = (model.proposal, model.log_proposal) if guided else (None, None)
        return cls(
            forms.draw_first_form(model.initial, first[0], scalar),
            forms.draw_next_form(model.transition, after[0], scalar),
            forms.weigh_first_form(model.log_potential, model.log_initial, first[1]),
            forms.weigh_next_form(model.log_potential, model.log_transition, after[1]),
        )
