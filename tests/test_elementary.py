"""Vectorized functions against NumPy's, within the errors that the module's table states."""

import numpy as np
import pytest

from randla import _elementary
from randla._jit import kernel, unsaved_kernel


@kernel
def log2_of(x, out):
    for i in range(x.size):
        out[i] = _elementary.log2(x[i])


@kernel
def exp2_of(x, out):
    for i in range(x.size):
        out[i] = _elementary.exp2(x[i])


@kernel
def exp_of(x, out):
    for i in range(x.size):
        out[i] = _elementary.exp(x[i])


@kernel
def power_of(x, c, out):
    for i in range(x.size):
        out[i] = _elementary.power(x[i], c)


def values(function, x, *arguments):
    out = np.full(len(x), np.nan)
    function(x, *arguments, out)
    return out


def positive_numbers():
    x = 10.0 ** np.linspace(-307, 308, 4001)
    near = np.array([1.0, 2.0, 0.5, np.sqrt(0.5), 1.0 - 2.0**-53, 1.0 + 2.0**-52, np.sqrt(2.0)])
    return np.concatenate([x, near, np.nextafter(near, 0.0)])


def test_log2():
    x = positive_numbers()
    exact = np.log2(x)
    assert (np.abs(values(log2_of, x) - exact) <= 2.3e-16 * (1.0 + np.abs(exact))).all()


def test_exp2():
    y = np.concatenate([np.linspace(-1022.0, 1023.9, 20001), np.linspace(-0.5, 0.5, 101)])
    np.testing.assert_allclose(values(exp2_of, y), np.exp2(y), rtol=4e-16)
    beyond = np.array([-2000.0, -1100.0, 1024.0, 5000.0, np.inf, -np.inf, 0.0])
    assert values(exp2_of, beyond).tolist() == [0.0, 0.0, np.inf, np.inf, np.inf, 0.0, 1.0]


@pytest.mark.parametrize("c", [-0.99, 0.01, 0.5, 1.0, 1.7, 3.0, 20.0, 50.0])
def test_power(c):
    x = np.concatenate([[0.0, 5e-324], positive_numbers()])
    got = values(power_of, x, c)
    assert got[0] == got[1] == 0.0  # subnormal numbers count as zero
    x, got = x[2:], got[2:]
    with np.errstate(over="ignore", under="ignore"):
        expected = x**c
    assert (got[np.isinf(expected)] == np.inf).all()
    got[np.isinf(expected)] = expected[np.isinf(expected)] = 1.0
    tolerance = 1e-15 * (1.0 + np.abs(c * np.log2(x)))
    wrong = np.abs(got - expected) > tolerance * expected + 5e-324
    assert not wrong.any(), (x[wrong], got[wrong], expected[wrong])


def test_exp():
    x = -np.concatenate([np.geomspace(1e-300, 707.0, 20001), np.linspace(0.0, 2.0, 2001)])
    assert np.abs(values(exp_of, x) / np.exp(x) - 1.0).max() < 2.3e-16 * 1.01
    beyond = np.array([0.0, -708.5, -800.0, -np.inf, np.nan])
    assert values(exp_of, beyond).tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.skipif(not hasattr(power_of, "inspect_llvm"), reason="needs the compiled kernels")
@pytest.mark.parametrize("function", [log2_of, exp2_of, exp_of, power_of])
def test_loops_are_vectorized(function):
    arguments = (np.ones(8), 2.0, np.ones(8)) if function is power_of else (np.ones(8), np.ones(8))
    function = unsaved_kernel(function.py_func)  # Numba keeps no code of functions from its cache
    function(*arguments)
    code = function.inspect_llvm(function.signatures[0])
    assert "x double>" in code  # vectors of doubles
