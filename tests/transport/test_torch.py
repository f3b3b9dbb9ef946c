"""The adapter of PyTorch."""

import numpy as np
import pytest

from randla import sliced_wasserstein_gradient
from tests.transport.reference import clouds, unit_vectors

torch = pytest.importorskip("torch")
from randla.torch import sliced_wasserstein  # noqa: E402

X, Y = (torch.as_tensor(Z) for Z in clouds("gauss", 3, 24))
Y = Y[:17]
OPTIONS = {"n_projections": 48}


def gradients(*tensors, **options):
    leaves = [z.clone().requires_grad_() for z in tensors]
    names = dict(zip(("a", "b"), leaves[2:], strict=False))
    power, error = sliced_wasserstein(*leaves[:2], 5, **names, **options)
    (3.0 * power).backward()
    return power, error, [z.grad for z in leaves]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_value_and_gradients_are_those_of_the_library(dtype):
    x, y = X.to(dtype), Y.to(dtype)
    arrays = [z.double().numpy() if dtype == torch.float64 else z.float().numpy() for z in (x, y)]
    expected = sliced_wasserstein_gradient(*arrays, wrt="both", rng=5, **OPTIONS)
    power, error, (of_x, of_y) = gradients(x, y, **OPTIONS)
    assert power.dtype == of_x.dtype == dtype
    assert not error.requires_grad
    tolerance = {"rtol": 1e-2 if dtype == torch.bfloat16 else 1e-6, "atol": 1e-9}
    np.testing.assert_allclose(power.item(), expected.power, **tolerance)
    np.testing.assert_allclose(error.item(), expected.power_standard_error, **tolerance)
    np.testing.assert_allclose(of_x.float(), 3 * expected.gradient, **tolerance)
    np.testing.assert_allclose(of_y.float(), 3 * expected.gradient_Y, **tolerance)


def test_gradients_on_given_directions_are_finite_differences():
    rng = np.random.default_rng(0)
    options = {"directions": unit_vectors(rng, 9, 3)}
    start = [X, Y, *(torch.as_tensor(0.5 + rng.random(n)) for n in (24, 17))]
    assert torch.autograd.gradcheck(
        lambda x, y, a, b: sliced_wasserstein(x, y, 0, a=a, b=b, **options)[0],
        [z.clone().requires_grad_() for z in start],
        eps=1e-6,
        atol=1e-7,
        rtol=1e-6,
        fast_mode=True,
    )


def test_what_needs_no_gradient_gets_none_and_may_change_in_between():
    Z, target = X.clone().requires_grad_(), Y.clone()
    power, _ = sliced_wasserstein(Z, target, 0, **OPTIONS)
    expected = torch.autograd.grad(power, Z, retain_graph=True)[0]
    with torch.no_grad():
        Z += 1.0
        target += 1.0
    power.backward()
    assert torch.equal(Z.grad, expected)
    assert target.grad is None
    generator = torch.Generator().manual_seed(0)
    first, second = (sliced_wasserstein(X, Y, generator, **OPTIONS)[0] for _ in range(2))
    assert first != second
    assert first == sliced_wasserstein(X, Y, torch.Generator().manual_seed(0), **OPTIONS)[0]


def test_bad_input_is_named():
    for change, error, message in (
        ({"p": 0.5}, ValueError, "p must be in"),
        ({"rtol": 0.1}, TypeError, "options must be among 'p', .* got 'rtol'"),
        ({"X": X.numpy()}, TypeError, "X must be a tensor, got ndarray"),
        ({"Y": Y.int()}, TypeError, "Y must hold floating-point numbers, got torch.int32"),
        ({"Y": Y[:, :2]}, ValueError, "Y must have points of dimension 3"),
        ({"X": X * np.nan}, ValueError, "X must be finite, got NaN"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": 1.5}, TypeError, "seed must be an integer, got 1.5"),
    ):
        with pytest.raises(error, match=message):
            sliced_wasserstein(**{"X": X, "Y": Y, "seed": 0, **change})
