"""Where and how calls run: no folder for the cache, Python threads, after a fork, spawned."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.test_conformance import CASES, INPUTS, assert_same

ROOT = Path(__file__).resolve().parent.parent
# One call of each family that reaches many kernels.
FEW = [c for c in CASES if c.name in ("lstsq", "lp_regression", "sliced_wasserstein", "ppg")]


@pytest.fixture(autouse=True)
def no_warnings():
    """The filters of warnings are those of all threads: they are set once around a test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.skipif(sys.platform == "win32", reason="the cache folder follows other variables")
@pytest.mark.parametrize("cache_folder", [None, "a file"])
def test_without_any_folder_for_the_cache(tmp_path, cache_folder):
    """Files lie where Numba would make folders, for root cannot be refused otherwise."""
    blocked = tmp_path / "file"
    blocked.touch()
    shutil.copytree(
        ROOT / "randla", tmp_path / "randla", ignore=shutil.ignore_patterns("__pycache__")
    )
    for folder in [tmp_path / "randla", *(tmp_path / "randla").rglob("*/")]:
        (folder / "__pycache__").touch()
    environment = dict(os.environ, PYTHONPATH=str(tmp_path), HOME=str(blocked), TMPDIR=str(blocked))
    environment.pop("XDG_CACHE_HOME", None)
    environment.pop("NUMBA_CACHE_DIR", None)
    if cache_folder is not None:
        environment["NUMBA_CACHE_DIR"] = str(blocked)
    code = "import numpy, randla; print(randla.__file__, randla.fwht(numpy.ones(4)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(maxsplit=1) == [
        str(tmp_path / "randla" / "__init__.py"),
        "[4. 0. 0. 0.]\n",
    ]


def test_several_python_threads_at_once():
    """Every case twice, beside others or itself."""
    small = [given for given in INPUTS if not given.changes]
    expected = [given.expected for given in small]
    order = np.random.default_rng(0).permutation(np.tile(np.arange(len(small)), 2))
    with ThreadPoolExecutor(4) as pool:
        for k, got in zip(order, pool.map(lambda k: small[k].run_values(), order), strict=True):
            assert_same(got, expected[k])


def outcomes_of_few():
    return [case.run_values() for case in FEW]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_another_process(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    expected = outcomes_of_few()  # a fork comes after use, with the pool and BLAS at work
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        got = pool.submit(outcomes_of_few).result(timeout=120)
    for values, other in zip(got, expected, strict=True):
        assert_same(values, other)
