"""What goes wrong on a cluster: workers that die, tasks that raise, files that stay."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from packaging.version import Version

import randla
from tests.dask.cases import cut, dask, distributed
from tests.dask.data import A, b


def slow(block):
    time.sleep(0.15)
    return block


def broken(block, block_info=None):
    if block_info and block_info[0]["chunk-location"] == (2, 0):
        raise ZeroDivisionError("sensor 7 is broken")
    return block


def test_a_task_that_raises_gives_the_original_error(scheduler):
    source = cut(A).map_blocks(broken, dtype=float, meta=A[:0])
    for call in (
        lambda: randla.lstsq(source, b, sketch_size=50),
        lambda: randla.leverage_scores(source),
        lambda: randla.sample_rows(source, 20, p=1, scores="uniform", rng=0).apply(source),
        lambda: randla.sliced_wasserstein(source, source),
        lambda: randla.lp_regression(source, b),
    ):
        with pytest.raises(ZeroDivisionError, match="sensor 7 is broken"):
            call()


@pytest.mark.skipif(
    Version(distributed.__version__) < Version("2026.8"),
    reason="older clusters hang at their end if a worker was killed",
)
def test_a_killed_worker_changes_nothing_and_nothing_stays_on_disk(tmp_path):
    source = cut(A, 60).map_blocks(slow, dtype=float, meta=A[:0])
    expected = randla.lstsq(A, b, sketch_size=100, rng=1)
    randla.lstsq(cut(A, 60), b, sketch_size=100, rng=1)  # compiled before
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=":0",
            local_directory=str(tmp_path),
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
        dask.config.set(scheduler=client),
    ):
        victim = cluster.workers[0].pid
        killer = threading.Timer(0.8, os.kill, (victim, getattr(signal, "SIGKILL", signal.SIGTERM)))
        killer.start()
        result = randla.lstsq(source, b, sketch_size=100, rng=1)
        assert not killer.is_alive()
        with pytest.raises(OSError):
            os.kill(victim, 0)
    np.testing.assert_allclose(result.x, expected.x, rtol=1e-9)
    np.testing.assert_allclose(result.standard_error, expected.standard_error, rtol=1e-9)
    # Dask itself leaves the empty lock of the directory of a worker that was killed.
    left = [path for path in tmp_path.rglob("*") if path.is_file() and "lock" not in path.suffix]
    assert not left, left
