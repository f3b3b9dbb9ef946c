"""The functions of which a model is made: what each takes, and which it is given with."""

import random
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numba.core.dispatcher import Dispatcher

from randla._jit import unsaved_kernel
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
_PARTNERS = {  # functions that make no sense without others
    "proposal": ("log_proposal", "log_transition"),
    "log_proposal": ("proposal",),
    "initial_proposal": ("log_initial_proposal", "log_initial"),
    "log_initial_proposal": ("initial_proposal",),
    "log_transition_bound": ("log_transition",),
    "score_initial": ("score_step",),
    "score_step": ("score_initial",),
}
_KNOWN = frozenset(("rng", "t", "x", "xn", "y", "theta", "out"))
_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
_VARIADIC = 0x04 | 0x08  # flags of code with *args or **kwargs


class UserFunction(NamedTuple):
    """A user's function and the names of its arguments."""

    function: Any
    arguments: tuple[str, ...]


class ModelFunctions(SimpleNamespace):
    """The jitted functions `ARGUMENTS` of a model, or None for each, and what they work on."""

    dim: int | None  # of the state; None: a number
    support: tuple[str, ...]  # of each parameter
    is_ready: bool  # whether the functions are the library's own

    def of_user(self) -> dict[str, UserFunction]:
        """The user's functions for the errors that they raise, those that draw first."""
        if self.is_ready:
            return {}
        names = sorted(ARGUMENTS, key=lambda name: "rng" not in ARGUMENTS[name])
        return {
            name: UserFunction(getattr(self, name), _arguments_of(name, self.dim))
            for name in names
            if getattr(self, name) is not None
        }


def as_functions(functions: Mapping[str, Any], dim: int | None) -> dict[str, Any]:
    """Jitted functions of a model by name, None where there is none; or an error that names one."""
    compiled = {
        name: None
        if function is None and name not in _REQUIRED
        else as_function(function, name, _arguments_of(name, dim))
        for name, function in functions.items()
    }
    for name, partners in _PARTNERS.items():
        for partner in partners:
            if compiled[name] is not None and compiled[partner] is None:
                raise ValueError(f"{partner} must be given together with {name}, got None")
    return compiled


def _arguments_of(name: str, dim: int | None) -> tuple[str, ...]:
    """Return the names of the arguments that a function must take, for a state of this size."""
    return ARGUMENTS[name] + (("out",) if dim is not None and name in _DRAWS else ())


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
    own = code.co_varnames[: code.co_argcount]
    wrong = len(own) != len(arguments) or code.co_kwonlyargcount or code.co_flags & _VARIADIC
    by_name = set(own) == set(arguments)
    if not wrong and not by_name:  # a known name must then stand in its own place
        wrong = any(o in _KNOWN and o != a for o, a in zip(own, arguments, strict=True))
    if wrong:
        raise ValueError(
            f"{name} must take ({', '.join(arguments)}), got ({', '.join(own)}): these names in "
            "any order, or others in this order"
        )
    require_own_randomness(name, plain)
    if not isinstance(function, Dispatcher) and not config.DISABLE_JIT:
        function = unsaved_kernel(function)
    return function if own == arguments or not by_name else _reordered(function, own, arguments)


def _reordered(function: Any, own: tuple[str, ...], arguments: tuple[str, ...]) -> Any:
    """`function` with its arguments in another order."""
    module = plain_function(function).__globals__.get("__name__", "__main__")
    scope = {"function": function, "__name__": module}
    exec(f"def reordered({', '.join(arguments)}):\n    return function({', '.join(own)})", scope)
    return scope["reordered"] if config.DISABLE_JIT else unsaved_kernel(scope["reordered"])


def require_own_randomness(name: str, function: Any) -> None:
    """Raise ValueError if a function, or one that it calls, draws from another generator.

    Numba compiles calls of ``numpy.random`` and ``random``, but the numbers are not those of a
    seed that is known here: they differ from run to run and with the number of threads.
    """
    for where, value in values_used(function):
        owner = getattr(value, "__self__", value)  # of a bound method, such as Generator.normal
        module = getattr(value, "__name__" if isinstance(value, ModuleType) else "__module__", "")
        if isinstance(owner, _GENERATORS) or f"{module}.".startswith(("random.", "numpy.random.")):
            raise ValueError(
                f"{name} must draw from its stream rng by the functions of randla.random, so that "
                f"the same seed gives the same result, but it uses {where}, a generator of its own"
            )
