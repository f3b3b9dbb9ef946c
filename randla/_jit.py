"""The one place that chooses Numba's options.

Every kernel of the library is compiled through one of the names below, so that a reader who
meets ``@kernel`` knows all of its options, and a change of policy is a change of one line.

``kernel``
    A serial loop over plain arrays. Cached on disk, where a folder can be written; releases the
    GIL, so that `randla._parallel` can run it on a pool of Python threads; division by zero gives
    inf or NaN as in NumPy.
``summing_kernel``
    The same, but floating-point sums may be reordered (``reassoc``) and multiply-adds fused
    (``contract``). That is what lets LLVM vectorise a reduction. It leaves NaN and inf alone,
    which ``fastmath=True`` does not, but it destroys compensated summation. A loop that sums must
    not also store to an array that may be shorter than 256 bytes: where two arrays begin within
    that distance LLVM runs the loop entry by entry, so that the order of the sum, and with it the
    last bit of the result, would depend on where the arrays lie.
``fused_kernel``
    The same as ``kernel``, but a product and a sum may become one fused multiply-add. No sum is
    reordered, so results do not depend on how a loop was vectorised.
``inline``
    A helper of one or two lines that is pasted into the kernels that call it.
``unsaved_kernel``, ``unsaved_inline``
    The same as ``kernel`` without the disk cache: for functions that a factory makes around
    other jitted functions, whose files no other process would find. The second one is always
    inlined by LLVM.

With ``NUMBA_DISABLE_JIT=1`` kernels are Python functions. They overflow as silently as compiled
ones: hashes and streams of random numbers are made of products that do not fit.
"""

from functools import partial
from typing import Any

import numba
import numpy as np

_DISABLED = bool(getattr(numba.config, "DISABLE_JIT", False))


def _njit(function: Any, **options: Any) -> Any:
    return np.errstate(all="ignore")(function) if _DISABLED else numba.njit(**options)(function)


def _cached_njit(function: Any, **options: Any) -> Any:
    """``numba.njit(cache=True)``, or without the cache where no folder can be written.

    There Numba raises when the function is made, so that the package could not be imported.
    """
    try:
        return _njit(function, cache=True, **options)
    except RuntimeError:
        return _njit(function, **options)


kernel: Any = partial(_cached_njit, nogil=True, error_model="numpy")
summing_kernel: Any = partial(kernel, fastmath={"reassoc", "contract"})
fused_kernel: Any = partial(kernel, fastmath={"contract"})
inline: Any = partial(_cached_njit, inline="always", error_model="numpy")
unsaved_kernel: Any = partial(_njit, nogil=True, error_model="numpy")
unsaved_inline: Any = partial(_njit, nogil=True, error_model="numpy", forceinline=True)
