"""The sliced Wasserstein distance in JAX: on the CPU, inside ``jit``, ``grad`` and ``vmap``.

A callback passes the clouds to the kernels of this library and returns the derivatives of both,
from one pass. On a GPU the copies may cost more than they save: the documentation (sliced
Wasserstein distances, training) has control variates in a few lines of plain JAX.

Needs JAX: ``pip install 'randla[jax]'``.
"""

from functools import cache, lru_cache
from typing import Any

import numpy as np

try:
    import jax
    import jax.numpy as jnp
except ImportError as error:
    raise ImportError("randla.jax needs JAX: pip install 'randla[jax]'") from error

from randla.transport._training import check_options, derivatives

__all__ = ["sliced_wasserstein"]


def sliced_wasserstein(
    X: Any, Y: Any, seed: Any, *, a: Any = None, b: Any = None, **options: Any
) -> tuple[Any, Any]:
    r"""Estimate :math:`SW_p^p` of two clouds with its standard error, differentiable in JAX.

    Parameters
    ----------
    X : (n, d) array
        Points of the first cloud, float32, or float64 if JAX has it enabled; the results have the
        same dtype.
    Y : (m, d) array
        Points of the second cloud.
    seed : int, scalar array, or a key of ``jax.random``
        Seed of the directions, from 0 to 2^32 - 1. Use a different one in each step of a training
        loop, ``jax.random.fold_in(key, step)``.
    a, b : (n,) and (m,) array, optional
        Non-negative weights, scaled to sum 1; differentiable too.
    **options
        `p`, `n_projections` and `directions` of `randla.sliced_wasserstein_gradient`.

    Returns
    -------
    power, standard_error : scalar arrays
        The second has no derivative; NaN for directions given as an array.

    Raises
    ------
    ValueError, TypeError
        If shapes or options are not as described. Invalid values (NaN, negative weights) are
        refused when the computation runs, as an error of JAX's own class.

    Notes
    -----
    Reverse mode only, and no second derivatives. ``vmap`` makes one call for each item. The
    gradient has less noise than the derivative of `power` on the same directions, and is therefore
    not equal to it; on directions given as an array they are equal, as line searches require.

    Examples
    --------
    >>> import jax
    >>> import randla.jax
    >>> key = jax.random.key(0)
    >>> X = jax.random.normal(key, (50, 3))
    >>> loss = jax.jit(jax.grad(lambda Z: randla.jax.sliced_wasserstein(Z, X, 0)[0]))
    >>> gradient = loss(X + 1.0)
    >>> float(gradient.sum().round(3))  # 2 / 3 for each of three coordinates
    2.0
    """
    X, Y = jnp.asarray(X), jnp.asarray(Y)
    check_options(options, X.shape, Y.shape)
    dtype = jnp.result_type(X, Y, jnp.float32)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        raise TypeError(f"X and Y must hold real numbers, got {X.dtype} and {Y.dtype}")
    weights = [None if w is None else jnp.asarray(w, dtype) for w in (a, b)]
    for name, w, points in (("a", weights[0], X), ("b", weights[1], Y)):
        if w is not None and w.shape != points.shape[:1]:
            raise ValueError(f"{name} must have shape {points.shape[:1]}, got shape {w.shape}")
    try:
        power = _saved_power(tuple(options.items()), dtype)
    except TypeError:  # directions as an array
        power = _power(tuple(options.items()), dtype)
    return power(X.astype(dtype), Y.astype(dtype), *weights, _as_seed(seed))


def _as_seed(seed: Any) -> Any:
    """A uint32, also from a key."""
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed must be from 0 to 2^32 - 1, got {seed}")
        return jnp.uint32(seed)
    if seed is None:
        raise TypeError("seed must be an integer or a key, got None")
    seed = jnp.asarray(seed)
    if jnp.issubdtype(seed.dtype, jax.dtypes.prng_key) or seed.shape == (2,):
        return jax.random.bits(seed, (), jnp.uint32)
    if seed.shape != () or not jnp.issubdtype(seed.dtype, jnp.integer):
        raise TypeError(f"seed must be an integer or a key, got {seed.dtype} of shape {seed.shape}")
    return seed.astype(jnp.uint32)


def _power(options: tuple[tuple[str, Any], ...], dtype: Any) -> Any:
    """The differentiable function of X, Y, a, b (which may be None) and the seed."""

    @cache  # one function object each, by which JAX identifies what it has compiled
    def host(wanted: tuple[bool, ...]) -> Any:
        def evaluate(*operands: Any) -> Any:
            arrays: list[Any] = [None if w is None else np.asarray(w) for w in operands]
            result = derivatives(arrays[:4], arrays[4], dict(options), wanted)
            return tuple(None if w is None else np.asarray(w, dtype) for w in result)

        return evaluate

    def call(differentiate: bool, X: Any, Y: Any, a: Any, b: Any, seed: Any) -> Any:
        wanted = tuple(differentiate and w is not None for w in (X, Y, a, b))
        scalar = jax.ShapeDtypeStruct((), dtype)
        shapes = [
            jax.ShapeDtypeStruct(w.shape, dtype) if is_wanted else None
            for w, is_wanted in zip((X, Y, a, b), wanted, strict=True)
        ]
        results = scalar, scalar, *shapes
        return jax.pure_callback(host(wanted), results, X, Y, a, b, seed, vmap_method="sequential")

    @jax.custom_vjp
    def power(X: Any, Y: Any, a: Any, b: Any, seed: Any) -> Any:
        return call(False, X, Y, a, b, seed)[:2]

    def forward(X: Any, Y: Any, a: Any, b: Any, seed: Any) -> Any:
        value, error, *slopes = call(True, X, Y, a, b, seed)
        return (value, error), slopes

    def backward(slopes: Any, cotangents: Any) -> Any:
        return (*(None if s is None else cotangents[0] * s for s in slopes), None)

    power.defvjp(forward, backward)
    return power


_saved_power = lru_cache(maxsize=64)(_power)
