"""Where work arrays begin."""

import numpy as np
import pytest

from randla._memory import aligned_empty, aligned_zeros


@pytest.mark.parametrize("shape", [0, 7, (3, 5), (70_000,), (300, 500), (4, 0)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32])
def test_work_arrays_begin_at_a_cache_line_and_large_ones_at_a_huge_page(shape, dtype):
    for array in (aligned_empty(shape, dtype), aligned_zeros(shape, dtype)):
        assert array.shape == ((shape,) if isinstance(shape, int) else shape)
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.writeable
        alignment = 1 << 21 if array.nbytes >= 1 << 19 else 64
        assert array.size == 0 or array.ctypes.data % alignment == 0
    assert not array.any()
