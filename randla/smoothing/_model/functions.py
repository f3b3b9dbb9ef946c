"""The functions that define a model: the arguments of each, and which ones belong together."""

import inspect
import random
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numba.core.dispatcher import Dispatcher

from randla._jit import unsaved_kernel
from randla.smoothing._kernels.particles.unowned import unowned
from randla.smoothing._model.content import config, plain_function, values_used

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
# Optional further arguments of functions, only by name: `u` is the row of the inputs, and
# `y` here the row of the observations at the time t that the function receives.
_SEES_ITS_ROW = ("transition", "log_transition", "log_transition_bound")
_REQUIRED = ("initial", "transition", "log_potential")
_PARTNERS = {  # functions that have no meaning without others
    "proposal": ("log_proposal", "log_transition"),
    "log_proposal": ("proposal",),
    "initial_proposal": ("log_initial_proposal", "log_initial"),
    "log_initial_proposal": ("initial_proposal",),
    "log_transition_bound": ("log_transition",),
    "score_initial": ("score_step",),
    "score_step": ("score_initial",),
}
_KNOWN = frozenset(("rng", "t", "x", "xn", "y", "u", "theta", "out"))
_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
_VARIADIC = 0x04 | 0x08  # flags of code with *args or **kwargs


class UserFunction(NamedTuple):
    """A jitted function of a user and the names of its arguments, in the function's own order."""

    function: Any
    arguments: tuple[str, ...]

    def wants(self, arguments: tuple[str, ...]) -> frozenset[str]:
        """The function's arguments besides `arguments`: some of "u" and "y"."""
        return frozenset(self.arguments) - frozenset(arguments)

    def called(self, arguments: tuple[str, ...], packed: bool) -> Any:
        """The function as kernels call it: with `arguments`, in this order.

        If `packed`, `theta` is a record `series.Arguments`, which contains the parameters and the
        rows that the function takes. (Rows that count references kept loops over all particles from
        vectorizing: three times as slow.)
        """
        if self.arguments == arguments and not packed:
            return self.function
        row = "[t - theta[3]]" if "t" in arguments else "[0]"
        places = {"theta": "theta[0]", "u": "theta[1]" + row} if packed else {}
        if "y" not in arguments:
            places["y"] = "theta[2]" + row
        call = ", ".join(places.get(name, name) for name in self.arguments)
        scope = {"__name__": plain_function(self.function).__globals__.get("__name__", "__main__")}
        # Made by a factory: see `specialize.frozen`.
        first = "theta = unowned(theta)" if packed else ""
        exec(
            f"def make(function, unowned):\n    def called({', '.join(arguments)}):\n"
            f"        {first}\n        return function({call})\n    return called",
            scope,
        )
        called = scope["make"](self.function, unowned)  # type: ignore[operator]
        return called if config.DISABLE_JIT else unsaved_kernel(called)


class ModelFunctions(SimpleNamespace):
    """The functions `ARGUMENTS` of a model as kernels call them, or None for each."""

    users: Mapping[str, UserFunction | None]  # as they were given
    wants: frozenset[str]  # what their `theta` contains besides the parameters: "u", "y"
    dim: int | None  # of the state; None: a number
    support: tuple[str, ...]  # of each parameter
    is_ready: bool  # whether the functions are the library's own

    def __init__(
        self,
        users: Mapping[str, UserFunction | None],
        dim: int | None,
        support: tuple[str, ...],
        is_ready: bool,
        wants: frozenset[str] = frozenset(),
    ) -> None:
        given = {name: (user, _arguments_of(name, dim)) for name, user in users.items() if user}
        wants = wants.union(*(user.wants(arguments) for user, arguments in given.values()))
        super().__init__(users=users, wants=wants, dim=dim, support=support, is_ready=is_ready)
        for name in ARGUMENTS:
            user, arguments = given.get(name, (None, ()))
            setattr(self, name, user and user.called(arguments, bool(wants)))

    def __reduce__(self) -> tuple[Any, ...]:
        fields = self.users, self.dim, self.support, self.is_ready, self.wants
        return ModelFunctions, fields

    def with_inputs(self) -> "ModelFunctions":
        """The same functions, for a functional that takes inputs."""
        wants = self.wants | {"u"}
        return ModelFunctions(self.users, self.dim, self.support, self.is_ready, wants)

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


def as_functions(functions: Mapping[str, Any], dim: int | None) -> dict[str, UserFunction | None]:
    """Jitted functions of a model by name, None if absent; or an error that names one."""
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


def as_function(function: Any, name: str, arguments: tuple[str, ...]) -> UserFunction:
    """Return `function` jitted, with the names of its arguments, or an error that names it.

    A function whose arguments have these names may have them in any order; other names are taken as
    the arguments in this order. `u`, and in the transition `y`, may be at any position.
    """
    plain = plain_function(function)
    code = getattr(plain, "__code__", None)
    if not callable(function) or code is None:
        raise TypeError(
            f"{name} must be a function, jitted by numba.njit or plain, "
            f"got {type(function).__name__}"
        )
    own = code.co_varnames[: code.co_argcount]
    rows = ("y", "u") if name in _SEES_ITS_ROW else ("u",)
    rest = tuple(o for o in own if o not in rows or o in arguments)
    misplaced = False
    if set(rest) != set(arguments):  # other names: a known one must then be in its own position
        misplaced = any(o in _KNOWN and o != a for o, a in zip(rest, arguments, strict=False))
    variadic = code.co_kwonlyargcount or code.co_flags & _VARIADIC
    got = str(inspect.signature(plain)) if variadic else f"({', '.join(own)})"
    if misplaced or variadic or len(rest) != len(arguments):
        raise (TypeError if misplaced and len(rest) == len(arguments) else ValueError)(
            f"{name} must take ({', '.join(arguments)}), got {got}: these names in "
            f"any order, or others in this order; it may also take {' and '.join(rows)}"
        )
    require_own_randomness(name, plain)
    if not isinstance(function, Dispatcher) and not config.DISABLE_JIT:
        function = unsaved_kernel(function)
    if set(rest) != set(arguments):
        names = dict(zip(rest, arguments, strict=True))
        own = tuple(names.get(o, o) for o in own)
    return UserFunction(function, own)


def require_own_randomness(name: str, function: Any) -> None:
    """Raise ValueError if a function, or one that it calls, draws from another generator.

    Numba compiles calls of ``numpy.random`` and ``random``, but their numbers do not follow from a
    seed known here: they differ from run to run and with the number of threads.
    """
    for where, value in values_used(function):
        owner = getattr(value, "__self__", value)  # of a bound method, such as Generator.normal
        module = getattr(value, "__name__" if isinstance(value, ModuleType) else "__module__", "")
        if isinstance(owner, _GENERATORS) or f"{module}.".startswith(("random.", "numpy.random.")):
            raise ValueError(
                f"{name} must draw from its stream rng by the functions of randla.random, so that "
                f"the same seed gives the same result, but it uses {where}, another generator"
            )
