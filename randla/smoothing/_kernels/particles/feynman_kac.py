"""A Feynman-Kac model from the functions of a scalar or vector model, bootstrap or guided.

A scalar model returns a state as a float, a vector model writes it to an array. Clouds are arrays
``X`` of shape (N,) or (N, d), so that ``X[i]`` is a state in either case and only the drawing of
states needs two variants. The factories below are called by the templates' callers; each returns
a jitted function.

``draw(before, y, observed, theta, X, i)``
    Draws the state i of time t into X; `before` is ``(rng,)`` at time 0, else ``(rng, t - 1, x)``
    with the state x of time t - 1.
``weigh(before, t, X, i, y, observed, theta)``
    Its log weight at time t; `before` is ``()`` at time 0, else ``(t - 1, x)``.

`y` is the row of the new state. On a missing row (``observed`` false) the potential is one and a
proposal that would depend on the observation gives way to the transition. An entry of a vector that
the model's function does not write is NaN, and not what the memory held before.
"""

import math

from randla._jit import kernel, unsaved_inline


@unsaved_inline
def blank(out):
    for k in range(out.size):
        out[k] = math.nan


@kernel
def copy_state(X, i, Y, j):
    """Y[j] = X[i]. Of vectors Numba would compile the message for a wrong shape, for a second."""
    if X.ndim == 1:  # known when it is compiled
        Y[j] = X[i]
    else:
        for k in range(X.shape[1]):
            Y[j, k] = X[i, k]


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


def make_draw(law, proposal, scalar):
    draw_from_law = make_writer(law, scalar)
    if proposal is None:

        @unsaved_inline
        def draw(before, y, observed, theta, X, i):
            draw_from_law(X, i, before + (theta,))

    else:
        propose = make_writer(proposal, scalar)

        @unsaved_inline
        def draw(before, y, observed, theta, X, i):
            if observed:
                propose(X, i, before + (y, theta))
            else:
                draw_from_law(X, i, before + (theta,))

    return draw


def make_weigh(log_potential, log_law, log_proposal):
    if log_proposal is None:

        @unsaved_inline
        def weigh(before, t, X, i, y, observed, theta):
            if observed:
                return log_potential(t, X[i], y, theta)
            return 0.0

    else:

        @unsaved_inline
        def weigh(before, t, X, i, y, observed, theta):
            if not observed:
                return 0.0
            x = X[i]
            return (  # g_0 mu / m_0, later g_{t+1} q_t / m_t
                log_potential(t, x, y, theta)
                + log_law(*(before + (x, theta)))
                - log_proposal(*(before + (x, y, theta)))
            )

    return weigh


def make_propagate(draw_first, mutate, weigh_first, weigh):
    """Draw and weigh the cloud of time t, all of it or all but slot 0, from the one before."""

    @unsaved_inline
    def propagate(rng, t, first_free, x, ancestors, xn, log_wn, y, observed, theta):
        n = log_wn.size
        if t == 0:
            for i in range(first_free, n):
                draw_first((rng,), y, observed, theta, xn, i)
            for i in range(n):
                log_wn[i] = weigh_first((), t, xn, i, y, observed, theta)
        else:
            for i in range(first_free, n):
                mutate((rng, t - 1, x[ancestors[i]]), y, observed, theta, xn, i)
            for i in range(n):  # in a loop of its own, which may vectorize
                log_wn[i] = weigh((t - 1, x[ancestors[i]]), t, xn, i, y, observed, theta)

    return propagate
