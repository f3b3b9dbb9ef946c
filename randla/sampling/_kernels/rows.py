"""Random numbers of rows: functions of the key and the global row number."""

import numpy as np

from randla._jit import kernel
from randla._random import counter_hash

_S11 = np.uint64(11)


@kernel
def counter_uniforms(key, first, out):
    """Uniform on [0, 1) for rows first, first + 1, ..."""
    for i in range(out.size):
        out[i] = np.float64(counter_hash(key, first + i) >> _S11) * 2.0**-53
