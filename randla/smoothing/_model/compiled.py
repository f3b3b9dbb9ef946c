"""The compiled parts of a model: kernels, and the functions that they call instead of its own."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from numba.core.compiler_lock import global_compiler_lock
from numba.core.types import Array, Tuple, float64, int64

from randla.smoothing._kernels.particles import backward, feynman_kac, sweep
from randla.smoothing._kernels.particles.simulate import make_of_path, simulate_template
from randla.smoothing._model.additive_functional import NAMES, AdditiveFunctional, named_functional
from randla.smoothing._model.function_errors import naming_errors
from randla.smoothing._model.functions import ModelFunctions, require_own_randomness
from randla.smoothing._model.specialize import frozen, returns_number, specialize

_T = TypeVar("_T")


def _once(method: Callable[..., _T]) -> Callable[..., _T]:
    """Call a method of `CompiledModel` once for each value of its arguments, by one thread."""

    @wraps(method)
    def cached(self: "CompiledModel", *args: Any, **options: Any) -> _T:
        key = (method.__name__, *args, *sorted(options.items()))
        if key not in self._results:
            # Numba's own lock, which creating a result takes: two locks could deadlock.
            with global_compiler_lock:
                if key not in self._results:  # no other thread was faster
                    self._results[key] = method(self, *args, **options)
        return self._results[key]

    return cached


class CompiledModel:
    """What is compiled from the functions of a model, each on first use.

    Shared by the copies of a model that differ in their parameters. A pickled copy starts empty.
    """

    def __init__(self, functions: ModelFunctions) -> None:
        self.functions = functions
        #: Entries that `observe` writes, once it has been tried.
        self.observation_size: int | None = None
        self._results: dict[Any, Any] = {}
        # Copies of users' functions, all made when the first kernel is: see `frozen`.
        self._copies: dict[Any, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return CompiledModel, (self.functions,)

    @_once
    def with_inputs(self) -> "CompiledModel":
        """The same model, for functionals that take inputs."""
        return self if "u" in self.functions.wants else CompiledModel(self.functions.with_inputs())

    @_once
    def feynman_kac(self, *, guided: bool) -> tuple[Any, Any, Any]:
        """Return the functions that draw a start and a step, and draw and weigh a whole cloud.

        A kernel then does not depend on whether states are numbers or vectors, or on the proposals:
        with `guided` these are the model's, see `_kernels.particles.feynman_kac`.
        """
        f, scalar = self.functions, self.functions.dim is None
        # A draw from a proposal is weighed by potential times law over the density of the proposal.
        first = (f.initial_proposal, f.log_initial_proposal) if guided else (None, None)
        later = (f.proposal, f.log_proposal) if guided else (None, None)
        draw_first = feynman_kac.make_draw(f.initial, first[0], scalar)  # x_0 ~ M_0
        mutate = feynman_kac.make_draw(f.transition, later[0], scalar)  # x_{t+1} ~ M_{t+1}(x_t, .)
        weigh_first = feynman_kac.make_weigh(f.log_potential, f.log_initial, first[1])  # log G_0
        weigh = feynman_kac.make_weigh(f.log_potential, f.log_transition, later[1])  # log G_{t+1}
        propagate = feynman_kac.make_propagate(draw_first, mutate, weigh_first, weigh)
        return draw_first, mutate, propagate

    @_once
    def simulate(self) -> Any:
        """Return the kernel that draws states and observations."""
        draw_first, mutate, _ = self.feynman_kac(guided=False)
        of_path = make_of_path("y" in self.functions.wants)
        return self.kernel(simulate_template, draw_first, mutate, self.functions.observe, of_path)

    @_once
    def backward(self, kind: str) -> Any:
        """Return the function that fills a table of backward draws."""
        f = self.functions
        if kind == "ancestor":
            return backward.make_ancestor()
        if kind == "reject":
            return backward.make_reject(f.log_transition, f.log_transition_bound)
        if kind == "exact":
            return backward.make_exact(f.log_transition)
        return backward.make_mcmc(f.log_transition, f.dim is None)

    @_once
    def update(self, kind: str | None, functional: AdditiveFunctional) -> Any:
        """Return the update of the statistics of PaRIS; `kind` None sums over all particles."""
        step = functional.step, functional._costly, functional._checked
        if kind is None:  # no draws
            return sweep.make_full_update(self.functions.log_transition, *step)
        return sweep.make_sampled_update(self.backward(kind), *step)

    @_once
    def kernel(
        self,
        template: Callable[..., Any],
        *functions: Any,
        functional: AdditiveFunctional | None = None,
    ) -> Any:
        """Return a template's kernel for these functions; some may be those of `functional`."""
        users = self.functions.of_user()
        for user in users.values():  # also those that only other algorithms call
            frozen(user.function, self._copies)
        users |= functional._of_user() if functional is not None else {}
        users = {
            name: user._replace(function=frozen(user.function, self._copies))
            for name, user in users.items()
        }
        for name, user in users.items():  # what a name referred to when the model first ran
            require_own_randomness(name, user.function)
        kernel = specialize(template, *(frozen(f, self._copies) for f in functions))
        return naming_errors(kernel, users, self.functions.dim is None)

    @_once
    def _named_functional(self, name: str) -> AdditiveFunctional:
        return named_functional(name, self.functions)

    def functional(self, functional: Any) -> AdditiveFunctional:
        """`functional` if it is one, or the functional that a name denotes."""
        if isinstance(functional, AdditiveFunctional):
            return functional._called(packed=bool(self.functions.wants))
        names = ", ".join(map(repr, NAMES))
        expected = f"functional must be an AdditiveFunctional or one of {names}"
        if not isinstance(functional, str):
            raise TypeError(f"{expected}, got {type(functional).__name__}")
        if functional not in NAMES:
            raise ValueError(f"{expected}, got {functional!r}")
        return self._named_functional(functional)

    @_once
    def row_ndim(self, default: int, inputs_ndim: int = 1) -> int:
        """0 if `log_potential` takes single observations as floats, 1 if as arrays of one entry.

        `default` if it takes both, or neither (its own error is then more informative).
        """
        f = self.functions

        def array(ndim: int) -> Array:
            return Array(float64, ndim, "C", readonly=True)

        x = float64 if f.dim is None else Array(float64, 1, "C")

        def takes(ndim: int) -> bool:
            y = array(1) if ndim else float64
            record = Tuple((array(1), array(inputs_ndim), array(1 + ndim), int64))
            theta = record if f.wants else array(1)  # `series.Arguments`, or the parameters
            sees_y = "y" in f.wants and f.log_transition is not None
            return returns_number(f.log_potential, int64, x, y, theta) and (
                not sees_y or returns_number(f.log_transition, int64, x, x, theta)
            )

        return default if takes(default) or not takes(1 - default) else 1 - default
