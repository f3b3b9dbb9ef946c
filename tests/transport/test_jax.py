"""The adapter of JAX."""

import numpy as np
import pytest

from randla import sliced_wasserstein_gradient
from tests.transport.reference import clouds, unit_vectors

jax = pytest.importorskip("jax")
jnp = jax.numpy
from randla.jax import sliced_wasserstein  # noqa: E402

X, Y = (Z.astype(np.float32) for Z in clouds("gauss", 3, 24))
Y = Y[:17]
OPTIONS = {"n_projections": 48}


def loss(X, Y, seed):
    return sliced_wasserstein(X, Y, seed, **OPTIONS)[0]


def test_value_and_gradients_are_those_of_the_library():
    expected = sliced_wasserstein_gradient(X, Y, wrt="both", rng=5, **OPTIONS)
    for wrap in (lambda f: f, jax.jit):
        power, error = wrap(lambda *z: sliced_wasserstein(*z, **OPTIONS))(X, Y, 5)
        assert power.dtype == jnp.float32
        np.testing.assert_allclose([power, error], [expected.power, expected.power_standard_error])
        of_x, of_y = wrap(jax.grad(loss, (0, 1)))(X, Y, 5)
        np.testing.assert_allclose(of_x, expected.gradient, rtol=1e-6)
        np.testing.assert_allclose(of_y, expected.gradient_Y, rtol=1e-6)
        np.testing.assert_allclose(of_x.sum(0), -of_y.sum(0), atol=1e-7)  # a common translation


def test_gradients_on_given_directions_are_finite_differences():
    """Of the points and of the weights, along a direction in the space of all four."""
    rng = np.random.default_rng(0)
    options = {"directions": unit_vectors(rng, 9, 3)}
    start = [X.astype(float), Y.astype(float), 0.5 + rng.random(24), 0.5 + rng.random(17)]
    steps = [rng.standard_normal(z.shape) for z in start]

    def along(t):
        x, y, a, b = (z + t * step for z, step in zip(start, steps, strict=True))
        return sliced_wasserstein(x, y, 0, a=a, b=b, **options)[0]

    with jax.enable_x64(True):
        _, slope = jax.value_and_grad(along)(0.0)
        h = 1e-6
        difference = (along(h) - along(-h)) / (2 * h)
        assert float(slope) == pytest.approx(float(difference), rel=1e-7)


def test_vmap_and_seeds():
    batch = jnp.stack([X, X + 1.0])
    seeds = jnp.arange(2, dtype=jnp.uint32)
    powers = jax.vmap(loss, (0, None, 0))(batch, Y, seeds)
    np.testing.assert_allclose(powers, [loss(X, Y, 0), loss(X + 1.0, Y, 1)], rtol=1e-6)
    gradients = jax.vmap(jax.grad(loss), (0, None, None))(batch, Y, 3)
    np.testing.assert_allclose(gradients[1], jax.grad(loss)(X + 1.0, Y, 3), rtol=1e-6)
    key = jax.random.key(1)
    keyed = jax.jit(lambda step: loss(X, Y, jax.random.fold_in(key, step)))
    assert keyed(0) == keyed(0)
    assert keyed(0) != keyed(1)
    assert loss(X, Y, jax.random.PRNGKey(2)) == loss(X, Y, jax.random.key(2))


def test_bad_input_is_named():
    for change, error, message in (
        ({"p": 0.5}, ValueError, "p must be in"),
        ({"rtol": 0.1}, TypeError, "options must be among 'p', .* got 'rtol'"),
        ({"directions": "best"}, ValueError, "directions must be one of"),
        ({"Y": Y[:, :2]}, ValueError, "Y must have points of dimension 3"),
        ({"X": X[0]}, ValueError, r"X must be a non-empty cloud \(n, d\), got shape \(3,\)"),
        ({"b": X[:, 0]}, ValueError, r"b must have shape \(\d+,\), got shape"),
        ({"seed": -1}, ValueError, "seed must be from 0"),
        ({"seed": 1.5}, TypeError, "seed must be an integer or a key"),
        ({"seed": None}, TypeError, "seed must be an integer or a key, got None"),
        ({"Y": Y + 1j}, TypeError, "Y must hold real numbers, got float32 and complex64"),
    ):
        with pytest.raises(error, match=message):
            sliced_wasserstein(**{"X": X, "Y": Y, "seed": 0, **change})
    with pytest.raises(Exception, match="X must be finite, got NaN"):
        loss(X * np.nan, Y, 0)[0].block_until_ready()
