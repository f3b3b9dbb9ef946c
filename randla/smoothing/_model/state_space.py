"""State-space models as a handful of small functions."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._results import html_table
from randla._typing import Array
from randla._validation import as_array, as_count, read_only
from randla.smoothing._model.compiled import CompiledModel
from randla.smoothing._model.drawing import draw_paths
from randla.smoothing._model.functions import ARGUMENTS, ModelFunctions, as_functions
from randla.smoothing._model.observations import as_observations
from randla.smoothing._model.parameters import Parametrized
from randla.smoothing._model.series import (
    Arguments,
    Series,
    as_inputs,
    require_rows,
    require_seen,
)
from randla.smoothing._model.several import as_several


class StateSpaceModel(Parametrized):
    r"""A Markov state with noisy observations, given by a few compiled functions.

    .. math::
        x_0 \sim \mu_\theta, \qquad x_{t+1} \sim q_{\theta,t}(x_t, \cdot), \qquad
        y_t \sim g_{\theta,t}(x_t, \cdot), \qquad t = 0, \dots, T - 1.

    The functions are compiled into the loops of the algorithms. Each is decorated with
    ``numba.njit``, or is a plain Python function that Numba can compile (it is jitted here). They
    draw with the functions of `randla.random` from the stream ``rng`` that they receive; other
    generators are refused.

    Arguments with the names below may be in any order. Other names are taken as the arguments in
    the order below; if some names are known and others are not, the known ones must be in their own
    positions.

    Any function, including those of an `AdditiveFunctional`, may have a further argument ``u``, at
    any position and by this name only: the row t of the ``inputs=`` of the algorithms (covariates,
    controls, numbers of contacts) for the t that the function receives, row 0 for functions without
    t. It is a float if the inputs have shape (T,), else a 1-D array. If a `proposal` or
    `score_step` needs row t + 1 as well, add it as further columns.

    Likewise `transition`, `log_transition` and `log_transition_bound` may have an argument ``y``,
    row t of the observations: the law of :math:`x_{t+1}` then depends on :math:`y_t` too, as in
    models with leverage. Such a row must not be missing, and `forecast` needs the row of its start.

    With ``dim=None`` the state is a number: ``x`` is a float and the functions that draw return
    one. With ``dim=d`` it is a vector: ``x`` is a 1-D array of d entries, which must not be
    modified, and the functions that draw have a last argument ``out`` to which they write all
    entries (an entry that is not written is NaN, which is refused). ``y`` is a row of the
    observations, a float or a 1-D array of k entries. If there is one number a time, given as (T,)
    or (T, 1), it has the form that `log_potential` takes: a float if the function computes with
    ``y``, an array if it indexes ``y[0]`` (the given form if both work).

    Parameters
    ----------
    initial : function
        ``initial(rng, theta[, out])`` draws :math:`x_0`.
    transition : function
        ``transition(rng, t, x, theta[, out])`` draws :math:`x_{t+1}` given :math:`x_t = x`.
    log_potential : function
        ``log_potential(t, x, y, theta)`` is :math:`\log p(y_t \mid x_t = x)`. It is not called for
        rows of the observations that are wholly NaN (missing: the potential is one); it must handle
        rows that are partly NaN.
    log_transition : function, optional
        ``log_transition(t, x, xn, theta)`` is :math:`\log q_t(x, x_n)`, t = 0, ..., T - 2. Required
        for backward sampling: all smoothers but those with ``backward="ancestor"``. Leave it out if
        the transition has no density (a deterministic component).
    dim : int, optional
        Number of components of the state; None for a scalar model.
    theta : array_like, optional
        Parameters, passed to all functions as one 1-D float64 array. They are data, not constants:
        `replace` changes them without a new compilation.
    names : sequence of str, optional
        Names of the parameters. Default ``"theta[0]"``, ...
    support : sequence of str, optional
        For each parameter the transform that maps its range to the whole line: ``"real"`` (the
        identity), ``"log"`` (positive numbers), ``"logit"`` (between 0 and 1), ``"angle"`` (between
        0 and pi) or ``"tanh"`` (between -1 and 1, by the inverse hyperbolic tangent). Default all
        ``"real"``.
    log_initial : function, optional
        ``log_initial(x, theta)`` is :math:`\log \mu(x)`; for a guided start and for scores.
    log_transition_bound : function, optional
        ``log_transition_bound(t, theta)`` is at least :math:`\log q_t` everywhere; for
        ``backward="reject"``.
    initial_proposal, log_initial_proposal : function, optional
        ``initial_proposal(rng, y, theta[, out])`` draws a start that depends on row 0 of the
        observations, ``log_initial_proposal(x, y, theta)`` is its log density.
    proposal, log_proposal : function, optional
        ``proposal(rng, t, x, y, theta[, out])`` draws :math:`x_{t+1}` given row t + 1 of the
        observations, ``log_proposal(t, x, xn, y, theta)`` is its log density (guided filter). For
        missing rows the transition is used instead.
    observe : function, optional
        ``observe(rng, t, x, theta, out)`` draws :math:`y_t` and writes it to `out`; entries that
        are not written are NaN (missing). For `simulate` and `forecast`.
    score_initial, score_step : function, optional
        ``score_initial(x, y, theta, out)`` writes the gradient in theta of
        :math:`\log \mu(x_0) + \log g_0(x_0)` and ``score_step(t, x, xn, y, theta, out)`` that of
        :math:`\log q_t(x, x_n) + \log g_{t+1}(x_n)`; `y` is row 0, or row t + 1. If the row is
        missing (all NaN) they must leave out the term of g.
    observation_dim : int, optional
        Number k of components of an observation, the size of `out` in `observe`. None: as many as
        `observe` writes (one if it fills all of `out`, for any size). Observations are simulated
        with shape (T, k), or (T,) if this is None and k is one.

    Raises
    ------
    TypeError, ValueError
        If a function has the wrong arguments, or draws from another generator, one of a pair is
        missing, or theta, `names` and `support` are inconsistent.

    See Also
    --------
    LinearGaussian, StochasticVolatility, ChaoticRNN, DiscreteHMM : ready models.

    Notes
    -----
    Globals and closures of the functions keep the values that they have when a model first runs, in
    all algorithms; a new model uses their new values. Compiled kernels are cached on disk and found
    again by the content of the functions.

    Indices are checked as the algorithms run. An index that is out of bounds raises a ValueError
    that names the function, the time t that it was called with and the expression, such as
    ``theta[2]``; other exceptions are passed on with the name of the function.

    Examples
    --------
    A random walk observed with noise:

    >>> import math
    >>> import numba
    >>> from randla import StateSpaceModel, random
    >>> @numba.njit
    ... def initial(rng, theta):
    ...     return random.normal(rng)
    >>> @numba.njit
    ... def transition(rng, t, x, theta):
    ...     return x + theta[0] * random.normal(rng)
    >>> @numba.njit
    ... def log_potential(t, x, y, theta):
    ...     return -0.5 * ((y - x) / theta[1]) ** 2 - math.log(theta[1])
    >>> @numba.njit
    ... def log_transition(t, x, xn, theta):
    ...     return -0.5 * ((xn - x) / theta[0]) ** 2 - math.log(theta[0])
    >>> model = StateSpaceModel(
    ...     initial=initial,
    ...     transition=transition,
    ...     log_potential=log_potential,
    ...     log_transition=log_transition,
    ...     theta=[0.5, 1.0],
    ...     names=["step", "noise"],
    ...     support=["log", "log"],
    ... )
    >>> model.replace([0.7, 1.0]).theta
    array([0.7, 1. ])

    The same walk driven by inputs, one number a time:

    >>> @numba.njit
    ... def pushed(rng, t, x, u, theta):
    ...     return transition(rng, t, x + u, theta)
    >>> @numba.njit
    ... def log_pushed(t, x, xn, u, theta):
    ...     return log_transition(t, x + u, xn, theta)
    >>> model = StateSpaceModel(
    ...     initial=initial,
    ...     transition=pushed,
    ...     log_potential=log_potential,
    ...     log_transition=log_pushed,
    ...     theta=[0.5, 1.0],
    ... )
    >>> import numpy as np
    >>> from randla import particle_filter
    >>> push = np.where(np.arange(40) < 20, 0.2, -0.2)
    >>> y = np.cumsum(push)
    >>> result = particle_filter(model, y, n_particles=500, inputs=push, rng=0)
    >>> result.mean.shape
    (40, 1)
    """

    _is_ready = False  # whether the functions are the library's own
    # The default parameters of `maximum_likelihood` (all if empty), and the parameters that are
    # constrained together: ("covariance" or "simplex", their positions in theta).
    _default_free: tuple[str, ...] = ()
    # Where intervals are normal, if that is not the whole line of `support`.
    _interval_support: tuple[str, ...] = ()
    _joint_parameters: tuple[tuple[str, NDArray[np.intp]], ...] = ()

    dim: int | None
    observation_dim: int | None
    initial: Any  # this one and those below: jitted functions, or None
    transition: Any
    log_potential: Any
    log_transition: Any
    log_initial: Any
    log_transition_bound: Any
    initial_proposal: Any
    log_initial_proposal: Any
    proposal: Any
    log_proposal: Any
    observe: Any
    score_initial: Any
    score_step: Any

    def __init__(
        self,
        *,
        initial: Callable[..., Any],
        transition: Callable[..., Any],
        log_potential: Callable[..., Any],
        log_transition: Callable[..., Any] | None = None,
        dim: int | None = None,
        theta: ArrayLike = (),
        names: Sequence[str] | None = None,
        support: Sequence[str] | None = None,
        log_initial: Callable[..., Any] | None = None,
        log_transition_bound: Callable[..., Any] | None = None,
        initial_proposal: Callable[..., Any] | None = None,
        log_initial_proposal: Callable[..., Any] | None = None,
        proposal: Callable[..., Any] | None = None,
        log_proposal: Callable[..., Any] | None = None,
        observe: Callable[..., Any] | None = None,
        score_initial: Callable[..., Any] | None = None,
        score_step: Callable[..., Any] | None = None,
        observation_dim: int | None = None,
    ) -> None:
        # The arguments that are functions, by name.
        functions = {name: value for name, value in locals().items() if name in ARGUMENTS}
        self.dim = None if dim is None else as_count(dim, "dim")
        self.observation_dim = (
            None if observation_dim is None else as_count(observation_dim, "observation_dim")
        )
        users = as_functions(functions, self.dim)
        self._set_parameters(theta, names, support)
        called = ModelFunctions(users, self.dim, self.support, self._is_ready)
        self._compiled = CompiledModel(called)
        for name, user in users.items():  # as they were given, where `theta` is not an array
            own = user.function if user is not None and called.wants else None
            setattr(self, name, own or getattr(called, name))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__ and not name.startswith("_"):
            raise AttributeError(f"a model is immutable: use replace instead of setting {name}")
        super().__setattr__(name, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name, value in state.items():  # pickling loses this, and kernels compile for it
            if isinstance(value, np.ndarray):
                self.__dict__[name] = read_only(value)

    def __repr__(self) -> str:
        kind = "scalar state" if self.dim is None else f"dim={self.dim}"
        values = [f"{n}={v:.6g}" for n, v in zip(self.names, self.theta, strict=True)]
        # At most what fits on a line or two.
        shown = ", ".join(values[:8]) + (", ..." if len(values) > 8 else "")
        return f"{type(self).__name__}({kind}{'; ' if shown else ''}{shown})"

    def _repr_html_(self) -> str:
        state = "scalar state" if self.dim is None else f"state of {self.dim} numbers"
        parameters = dict(zip(self.names[:20], map(float, self.theta), strict=False))
        more = {"...": f"{len(self.names) - 20} more"} if len(self.names) > 20 else {}
        return html_table(f"{type(self).__name__}, {state}", {**parameters, **more})

    # Parameters ----------------------------------------------------------------------------------

    def replace(self, theta: ArrayLike) -> "StateSpaceModel":
        """Return the same model with other parameters; nothing is compiled again.

        Parameters
        ----------
        theta : (p,) array_like
            Parameters inside their ranges.
        """
        return self._at(self._supported(theta))

    def _at(self, theta: Array) -> "StateSpaceModel":
        """The same model with other parameters, read-only and known to be in their ranges."""
        other = object.__new__(type(self))  # copy.copy would take ten times as long
        other.__dict__.update(self.__dict__, theta=theta)  # with the same `_compiled`
        return other

    # Drawing -------------------------------------------------------------------------------------

    def simulate(
        self, n_steps: int, *, inputs: ArrayLike | None = None, rng: Any = None
    ) -> tuple[Array, Array]:
        """Draw states and observations from the model.

        Parameters
        ----------
        n_steps : int
            Number T of times.
        inputs : (T,) or (T, m) array_like, optional
            Row t is the argument `u` of the functions at time t.
        rng : {None, int, SeedSequence, Generator}, optional
            The same seed gives the same draw.

        Returns
        -------
        states : (T, d) ndarray
            With d = 1 for a scalar model.
        observations : (T,) or (T, k) ndarray
            (T,) if an observation is one number and the model has no `observation_dim`.

        Raises
        ------
        ValueError
            If the model has no `observe`, or the inputs are not as described.

        Examples
        --------
        >>> from randla import StochasticVolatility
        >>> x, y = StochasticVolatility(0.9, 0.3, 0.6).simulate(50, rng=0)
        >>> x.shape, y.shape
        ((50, 1), (50,))
        """
        n_steps = as_count(n_steps, "n_steps")
        return draw_paths(self, n_steps, rng, inputs=self._as_inputs(inputs, n_steps, "n_steps"))

    def forecast(
        self,
        states: ArrayLike,
        n_steps: int,
        *,
        start_time: int = 0,
        inputs: ArrayLike | None = None,
        y: ArrayLike | None = None,
        rng: Any = None,
    ) -> tuple[Array, Array]:
        """Draw the future of given states, one path for each.

        Parameters
        ----------
        states : (..., d) or (n,) array_like
            The present states, such as ``result.paths[:, :, -1]``, the last ones of the paths of
            all chains; (n,) means n states of a scalar model.
        n_steps : int
            Number h of times to look ahead.
        start_time : int, optional
            Time of `states`; needed only for a model whose functions depend on t.
        inputs : (h + 1,) or (h + 1, m) array_like, optional
            The argument `u` of the functions at the times start_time, ..., start_time + h.
        y : float or (k,) or (...) or (..., k) array_like, optional
            The observation at start_time, for all states or for each: only for a model whose
            transition depends on it.
        rng : {None, int, SeedSequence, Generator}, optional
            The same seed gives the same draw; path i is a function of the seed, i and its start.

        Returns
        -------
        states : (..., h, d) ndarray
            The times start_time + 1, ..., start_time + h.
        observations : (..., h) or (..., h, k) ndarray

        Raises
        ------
        ValueError
            If the model has no `observe`, `states` has the wrong shape or has values that are not
            states of the model, or inputs or `y` are not as described.

        Examples
        --------
        >>> from randla import StochasticVolatility
        >>> x, y = StochasticVolatility(0.9, 0.3, 0.6).forecast([0.1, 0.2, 0.3], 10, rng=0)
        >>> x.shape, y.shape
        ((3, 10, 1), (3, 10))
        """
        start = as_array(states, "states")
        d = self.dim or 1
        if self.dim is None and start.ndim == 1:  # n states of a scalar model
            start = start[:, None]
        if start.ndim == 0 or start.shape[-1] != d or start.size == 0:
            expected = f"(..., {d})" if self.dim is not None else "(n,) or (..., 1)"
            raise ValueError(f"states must have shape {expected}, got shape {np.shape(states)}")
        n_steps = as_count(n_steps, "n_steps")
        start_time = as_count(start_time, "start_time", minimum=0)
        self._require_states(start)
        if y is not None and "y" not in self._compiled.functions.wants:
            raise ValueError("y must be None, since the transition does not depend on it")
        u = self._as_inputs(inputs, n_steps + 1, "n_steps + 1: those of start_time and after it")
        return draw_paths(self, n_steps, rng, inputs=u, start=start, time=start_time, y=y)

    # What the algorithms use ---------------------------------------------------------------------

    @property
    def _arguments(self) -> Array:
        """The `theta` of the functions; a ready model may pack more into it."""
        return self.theta

    def _require_states(self, states: NDArray[Any]) -> None:
        """Raise ValueError if a ready model has no such states."""

    def _require_start(self) -> None:
        """Raise ValueError if a ready model has no law to draw its first state from."""

    def _require_times(self, n_times: int) -> None:
        """Raise ValueError if a ready model has fewer times."""

    def _as_observations(
        self, y: ArrayLike, inputs: Array | None = None
    ) -> tuple[Array, NDArray[np.bool_]]:
        """`y` as the functions take it, read-only, and which rows are not wholly missing."""
        k = self.observation_dim  # None: one number of a ready model, else the functions know
        shape = (k,) if k is not None else () if self._is_ready else None
        return as_observations(y, shape, lambda default: self._row_ndim(default, inputs))

    def _row_ndim(self, default: int, inputs: Array | None) -> int:
        return self._compiled.row_ndim(default, 1 if inputs is None else inputs.ndim)

    def _for(self, functional: Any) -> "StateSpaceModel":
        """The model to be smoothed with `functional`, which may take inputs that this does not."""
        if not getattr(functional, "_takes_inputs", False):
            return self
        other = copy.copy(self)
        other._compiled = self._compiled.with_inputs()
        return other

    def _series(self, y: ArrayLike, inputs: ArrayLike | None = None) -> Series:
        """`y` and `inputs` as the kernels read them: the one door of all algorithms."""
        if as_several(y) is not None:
            raise ValueError("y must be one series here, got a list of arrays")
        u = self._as_inputs(inputs)
        values, observed = self._as_observations(y, u)
        if u is not None:
            require_rows(u, len(values), "one for each of y")
        if "y" in self._compiled.functions.wants:
            require_seen(values)
        return Series(values, observed, self._handed(u, values))

    def _as_inputs(
        self, inputs: ArrayLike | None, n_rows: int | None = None, reason: str = ""
    ) -> Array | None:
        """`inputs` as the functions take them, or None if they take none."""
        u = as_inputs(inputs, "u" in self._compiled.functions.wants)
        if u is not None and n_rows is not None:
            require_rows(u, n_rows, reason)
        return u

    def _handed(self, inputs: Array | None, y: Array | None, first: int = 0) -> Array | Arguments:
        """The `theta` of the functions: the array of parameters if that suffices."""
        wants = self._compiled.functions.wants
        return Arguments.of(self._arguments, inputs, y, first) if wants else self._arguments
