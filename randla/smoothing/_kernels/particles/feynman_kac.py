"""A Feynman-Kac model from the functions of a scalar or vector model, bootstrap or guided.

A scalar model returns a state as a float, a vector model writes it to an array. Clouds are arrays
``X`` of shape (N,) or (N, d), so that ``X[i]`` is a state in either case and only the drawing of
states needs two variants. The factories below are called by the templates' callers; each returns
a jitted function.

========================================================  =====================================
``draw_first(rng, y, observed, theta, X, i)``             draws the state i of time 0 into X
``mutate(rng, t, x, y, observed, theta, X, i)``           draws from x at time t a state of t + 1
``weigh_first(X, i, y, observed, theta)``                 its log weight at time 0
``weigh(t, x, X, i, y, observed, theta)``                 its log weight at time t + 1
========================================================  =====================================

`y` is the row of the new state. On a missing row (``observed`` false) the potential is one and a
proposal that would look at the observation gives way to the transition. An entry of a vector that
the model's function does not write is NaN, and not what the memory held before.
"""

import math

from randla._jit import unsaved_inline


@unsaved_inline
def blank(out):
    for k in range(out.size):
        out[k] = math.nan


def make_writer(draw, scalar):
    """`draw` of a scalar or vector model, with its state written to X[i]."""
    if scalar:

        @unsaved_inline
        def write(X, i, arguments):
            X[i] = draw(*arguments)

    else:

        @unsaved_inline
        def write(X, i, arguments):
            blank(X[i])
            draw(*(arguments + (X[i],)))

    return write


def make_draw_first(initial, proposal, scalar):
    draw = make_writer(initial, scalar)
    if proposal is None:

        @unsaved_inline
        def draw_first(rng, y, observed, theta, X, i):
            draw(X, i, (rng, theta))

    else:
        propose = make_writer(proposal, scalar)

        @unsaved_inline
        def draw_first(rng, y, observed, theta, X, i):
            if observed:
                propose(X, i, (rng, y, theta))
            else:
                draw(X, i, (rng, theta))

    return draw_first


def make_mutate(transition, proposal, scalar):
    draw = make_writer(transition, scalar)
    if proposal is None:

        @unsaved_inline
        def mutate(rng, t, x, y, observed, theta, X, i):
            draw(X, i, (rng, t, x, theta))

    else:
        propose = make_writer(proposal, scalar)

        @unsaved_inline
        def mutate(rng, t, x, y, observed, theta, X, i):
            if observed:
                propose(X, i, (rng, t, x, y, theta))
            else:
                draw(X, i, (rng, t, x, theta))

    return mutate


def make_weigh_first(log_potential, log_initial, log_proposal):
    if log_proposal is None:

        @unsaved_inline
        def weigh_first(X, i, y, observed, theta):
            if observed:
                return log_potential(0, X[i], y, theta)
            return 0.0

    else:

        @unsaved_inline
        def weigh_first(X, i, y, observed, theta):
            if not observed:
                return 0.0
            x = X[i]
            # g_0 mu / m_0
            return log_potential(0, x, y, theta) + log_initial(x, theta) - log_proposal(x, y, theta)

    return weigh_first


def make_weigh(log_potential, log_transition, log_proposal):
    if log_proposal is None:

        @unsaved_inline
        def weigh(t, x, X, i, y, observed, theta):
            if observed:
                return log_potential(t + 1, X[i], y, theta)
            return 0.0

    else:

        @unsaved_inline
        def weigh(t, x, X, i, y, observed, theta):
            if not observed:
                return 0.0
            xn = X[i]
            return (  # g_{t+1} q_t / m_t
                log_potential(t + 1, xn, y, theta)
                + log_transition(t, x, xn, theta)
                - log_proposal(t, x, xn, y, theta)
            )

    return weigh


def make_propagate(draw_first, mutate, weigh_first, weigh):
    """Draw and weigh the cloud of time t, all of it or all but slot 0, from the one before."""

    @unsaved_inline
    def propagate(rng, t, first_free, x, ancestors, xn, log_wn, y, observed, theta):
        n = log_wn.size
        if t == 0:
            for i in range(first_free, n):
                draw_first(rng, y, observed, theta, xn, i)
            for i in range(n):
                log_wn[i] = weigh_first(xn, i, y, observed, theta)
        else:
            for i in range(first_free, n):
                mutate(rng, t - 1, x[ancestors[i]], y, observed, theta, xn, i)
            for i in range(n):  # in a loop of its own, which may vectorise
                log_wn[i] = weigh(t - 1, x[ancestors[i]], xn, i, y, observed, theta)

    return propagate
