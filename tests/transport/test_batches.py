"""What does not depend on batches, or is seen between them: memory, progress, Ctrl-C."""

import numpy as np
import pytest

import randla._parallel
from randla.transport import (
    max_sliced_wasserstein,
    sliced_wasserstein,
    sliced_wasserstein_gradient,
)
from tests.transport.reference import clouds

DESIGNS = ("iid", "orthogonal", "rqmc")


def test_chunks_do_not_change_the_value(monkeypatch):
    # A patch, as a chunk holds a million numbers.
    X, Y = clouds("gauss", 4, 60)
    for design in DESIGNS:
        whole = sliced_wasserstein(X, Y, directions=design, rng=1)
        with monkeypatch.context() as patch:
            patch.setattr("randla.transport._estimation._CHUNK_NUMBERS", 300)
            patch.setattr("randla.transport._projections.projector._BATCH_NUMBERS", 700)
            parts = sliced_wasserstein(X, Y, directions=design, rng=1)
        assert parts.value == pytest.approx(whole.value, rel=1e-13)


def test_memory_does_not_grow_with_the_projections():
    import tracemalloc

    X, Y = clouds("gauss", 3, 2000)
    sliced_wasserstein(X, Y, n_projections=200, directions="iid", rng=0)
    peaks = []
    for n in (1000, 10_000):
        tracemalloc.start()
        sliced_wasserstein(X, Y, n_projections=n, directions="iid", rng=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 8 << 20
    assert peaks[1] - peaks[0] < 9_000 * 8 * 60  # a few numbers for each direction and control


def test_ctrl_c_stops_between_parts(monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    X, Y = clouds("gauss", 3, 30)
    monkeypatch.setattr("randla.transport._clouds.project_rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sliced_wasserstein(X, Y, rng=0)
    assert randla._parallel._blas_users == 0


def test_many_dimensions_need_no_square_arrays():
    import tracemalloc

    X, Y = np.random.default_rng(10).standard_normal((2, 20, 6000))
    for call in (sliced_wasserstein, sliced_wasserstein_gradient, max_sliced_wasserstein):
        tracemalloc.start()
        call(X, Y + 0.01, rng=0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 200 << 20, call  # d^2 numbers are 275 MiB
