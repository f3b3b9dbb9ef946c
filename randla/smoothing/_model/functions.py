"""The functions of which a model is made: what each takes, and which it is given with."""

import random
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numba.core.dispatcher import Dispatcher

from randla._jit import unsaved_kernel
from randla.smoothing._kernels.particles import feynman_kac
from randla.smoothing._model.specialise import config, plain_function, values_used

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
    """Return `function` jitted and with these arguments in this order, or an error that names it.

    A function whose arguments have these names may have them in any order; other names stand for
    the arguments in this order.
    """
    plain = plain_function(function)
    code = getattr(plain, "__code__", None)
    if not callable(function) or code is None:
        raise TypeError(
            f"{name} must be a function, jitted by numba.njit or plain, "
            f"got {type(function).__name__}"
        )
    given = code.co_varnames[: code.co_argcount]
    wrong = len(given) != len(arguments) or code.co_kwonlyargcount or code.co_flags & 0x0C
    by_name = set(given) == set(arguments)
    if not wrong and not by_name:
        wrong = any(g in _KNOWN and g != a for g, a in zip(given, arguments, strict=True))
    if wrong:
        raise ValueError(
            f"{name} must take ({', '.join(arguments)}), got ({', '.join(given)}): these names in "
            "any order, or others in this order"
        )
    require_own_randomness(name, plain)
    if not isinstance(function, Dispatcher) and not config.DISABLE_JIT:
        function = unsaved_kernel(function)
    return function if given == arguments or not by_name else _reordered(function, given, arguments)


def _reordered(function: Any, given: tuple[str, ...], arguments: tuple[str, ...]) -> Any:
    """`function` with its arguments in another order."""
    module = plain_function(function).__globals__.get("__name__", "__main__")
    scope = {"function": function, "__name__": module}
    exec(
        f"def reordered({', '.join(arguments)}):\n    return function({', '.join(given)})",
        scope,
    )
    return scope["reordered"] if config.DISABLE_JIT else unsaved_kernel(scope["reordered"])


def require_own_randomness(name: str, function: Any) -> None:
    """Raise ValueError if a function, or one that it calls, draws from another generator.

    Numba compiles calls of ``numpy.random`` and ``random``, but the numbers are not those of a
    seed that is known here: they differ from run to run and with the number of threads.
    """
    for where, value in values_used(function):
        owner = getattr(value, "__self__", value)
        module = getattr(value, "__name__" if isinstance(value, ModuleType) else "__module__", "")
        if isinstance(owner, _GENERATORS) or f"{module}.".startswith(("random.", "numpy.random.")):
            raise ValueError(
                f"{name} must draw from its stream rng by the functions of randla.random, so that "
                f"the same seed gives the same result, but it uses {where}, a generator of its own"
            )


_KNOWN = frozenset(("rng", "t", "x", "xn", "y", "theta", "out"))
_GENERATORS = (
    random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator,
)  # fmt: skip


class Forms(NamedTuple):
    """What the kernels call instead of a model's functions, see `_kernels.particles.feynman_kac`.

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
            feynman_kac.draw_first_form(model.initial, first[0], scalar),
            feynman_kac.draw_next_form(model.transition, after[0], scalar),
            feynman_kac.weigh_first_form(model.log_potential, model.log_initial, first[1]),
            feynman_kac.weigh_next_form(model.log_potential, model.log_transition, after[1]),
        )
