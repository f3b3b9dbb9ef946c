"""Ctrl-C in long calls, and memory over many calls."""

import gc
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest

from randla import RandlaWarning
from tests.test_conformance import CASES

# Data of a size, the call, a small size, which compiles, and a large one, which takes from seconds
# to hours.
LONG_CALLS = {
    "lstsq": ("tall(n, 500)", "lstsq(*data, method='iterative')", 1500, 150_000),
    "GaussianSketch": ("tall(n, 20)[0]", "GaussianSketch(500, n, rng=0) @ data", 1000, 400_000),
    "lp_sensitivities": (
        "tall(n, 20)[0]", "lp_sensitivities(data, 1, method='sketch')", 100, 300_000,
    ),
    "lewis_weights": ("tall(n, 40)[0]", "lewis_weights(data, 30)", 100, 1_000_000),
    "lp_regression": (
        "tall(n, 60)", "lp_regression(*data, tau=0.3, method='full')", 300, 100_000,
    ),
    "sliced_wasserstein": (
        "clouds(2000, 10)", "sliced_wasserstein(*data, n_projections=n)", 100, 1_000_000,
    ),
    "sliced_wasserstein_flow": (
        "clouds(2000, 3)", "sliced_wasserstein_flow(*data, n_steps=n)", 2, 100_000,
    ),
    "sliced_wasserstein_gradient": (
        "clouds(2000, 10)", "sliced_wasserstein_gradient(*data, n_projections=n)", 100, 1_000_000,
    ),
    "sliced_wasserstein_sphere": (
        "sphere(20_000)", "sliced_wasserstein_sphere(data, n_projections=n)", 30, 100_000,
    ),
    "expected_sliced_plan": (
        "clouds(2000, 10)", "expected_sliced_plan(*data, n_projections=n)", 30, 100_000,
    ),
    "max_sliced_wasserstein": ("clouds(n, 30)", "max_sliced_wasserstein(*data)", 50, 200_000),
    "particle_filter": ("series(n)", "particle_filter(*data, n_particles=1000)", 10, 200_000),
    "ffbs": ("series(n)", "ffbs(*data, 'state', n_particles=500)", 10, 50_000),
    "ppg": (
        "series(200)", "ppg(*data, 'state', n_particles=200, n_iterations=n)", 6, 5000,
    ),
    "maximum_likelihood": (
        "series(200)", "maximum_likelihood(*data, free=['phi'], n_steps=n)", 2, 10_000,
    ),
}  # fmt: skip


QUICK = {"lstsq", "lp_sensitivities", "sliced_wasserstein", "ppg"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("name", LONG_CALLS)
def test_ctrl_c_stops_a_long_call(name, pytestconfig):
    if name not in QUICK and pytestconfig.getoption("--statistical") == "quick":
        pytest.skip("only with --statistical=long")
    data, call, small, large = LONG_CALLS[name]
    code = f"""
        import os, signal, threading, time, warnings
        import numpy as np
        import randla
        from randla import datasets

        warnings.simplefilter("ignore")

        def tall(n, d):
            rng = np.random.default_rng(0)
            return rng.standard_normal((n, d)), rng.standard_normal(n)

        def clouds(n, d):
            return datasets.gaussian_clouds(n, d, rng=0)

        def sphere(n):
            return np.linalg.qr(np.random.default_rng(0).standard_normal((n, 3, 1)))[0][:, :, 0]

        def series(n):
            model = randla.StochasticVolatility(0.975, 0.16, 0.63)
            return model, model.simulate(n, rng=0)[1]

        def make(n):
            data = {data}
            return lambda: randla.{call}

        small, large, sent = make({small}), make({large}), []
        small()

        def interrupt():
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(0.7, interrupt)
        timer.start()
        try:
            large()
        except KeyboardInterrupt:
            late = time.perf_counter() - sent[0]
            assert late < 8.0, f"{{late:.1f}} s after the signal"  # 1 s on a free machine
            print(late)
        else:
            timer.cancel()
            raise AssertionError("the call ended before it was interrupted")
        small()  # the process is sound
        """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=300, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    print(f"{name}: {run.stdout.strip()} s")


def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_from_call_to_call(pytestconfig):
    """Over all public calls together; with glibc's arenas some of them settle late."""

    def all_calls():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RandlaWarning)
            for case in CASES:
                case.run()
        gc.collect()

    n_calls = 20 if pytestconfig.getoption("--statistical") == "long" else 5
    for _ in range(4):
        all_calls()
    before = resident_mib()
    for _ in range(n_calls):
        all_calls()
    assert resident_mib() - before < 4.0
