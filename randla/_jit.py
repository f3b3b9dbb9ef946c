"""The one place that chooses Numba's options.

Every kernel of the library is compiled through one of the names below, so that a reader who sees
``@kernel`` knows all of its options, and a change of policy is a change of one line.

``kernel``
    A serial loop over plain arrays. Cached on disk, if a folder is writable; releases the GIL, so
    that `randla._parallel` can run it on a pool of Python threads; division by zero gives inf or
    NaN as in NumPy.
``summing_kernel``
    The same, but floating-point sums may be reordered (``reassoc``) and multiply-adds fused
    (``contract``). This allows LLVM to vectorize a reduction. It preserves NaN and inf, unlike
    ``fastmath=True``, but it destroys compensated summation. A loop that sums must not also store
    to an array that may be shorter than 256 bytes: if two arrays begin within that distance LLVM
    runs the loop entry by entry, so that the order of the sum, and with it the last bit of the
    result, would depend on the position of the arrays.
``fused_kernel``
    The same as ``kernel``, but a product and a sum may become one fused multiply-add. No sum is
    reordered, so results do not depend on how a loop was vectorized.
``inline``
    A helper of one or two lines that is inlined into the kernels that call it.
``unsaved_kernel``, ``unsaved_inline``
    The same as ``kernel`` without the disk cache: for functions that a factory makes around other
    jitted functions, whose files no other process would find. The second one is always inlined by
    LLVM.
``linked``
    ``numba.njit`` for a function that only kernels call.

If one kernel calls another, the second is compiled as `linked` for it: without the entry point
for Python, which unpacks every array and costs a third of the compile time, and without machine
code of its own: LLVM optimizes it and hands it to its callers, and only the kernel that Python
calls is translated. No kernel may call itself. (To optimize it in its caller only saves next to
nothing more, and made particle filters take 1.5 times as long on some processors.)

None of them has the entry point for C that Numba would add, as no function is passed by its
address. While a kernel is being compiled, Python's cyclic garbage collector is disabled: it would
repeatedly scan the objects of the compiler, which live until the end, for an eighth of the time.

Numba numbers the files of a kernel in its cache. Two processes that save at once, for arguments of
two types or from two versions of the source, take the same number, and then one runs the code of
the other; so here a file is named after the versions and the types. A file that was cut short
counts as missing. As with Numba, a kernel whose own file did not change keeps the code of the
kernels in other files that it calls: after an edit of those, delete the cache.

With ``NUMBA_DISABLE_JIT=1`` kernels are Python functions. They overflow silently, like compiled
kernels: hashes and streams of random numbers are products that overflow.
"""

import gc
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from types import FunctionType
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import event
from numba.core.caching import IndexDataCacheFile
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder

_DISABLED = bool(getattr(numba.config, "DISABLE_JIT", False))


class _RestOfCollector(event.Listener):
    """No collection of cycles while kernels of the library compile, under the compiler's lock."""

    def __init__(self) -> None:
        self.depth, self.was_on = 0, False

    def on_start(self, event: Any) -> None:
        if self.depth or event.data["dispatcher"].py_func.__module__.startswith("randla."):
            if self.depth == 0 and gc.isenabled():
                self.was_on = True
                gc.disable()
            self.depth += 1

    def on_end(self, event: Any) -> None:
        self.depth = max(self.depth - 1, 0)
        if self.depth == 0 and self.was_on:
            self.was_on = False
            gc.enable()


event.register("numba:compile", _RestOfCollector())

#: Private methods of Numba that `linked` replaces or calls. Without one, first calls take longer.
_LINKING = "_finalize_final_module", "_get_module_for_linking"
_CAN_LINK = all(hasattr(JITCodeLibrary, method) for method in _LINKING)


class _LinkedCode(JITCodeLibrary):
    """The code of a function for its callers, without machine code of its own."""

    def _finalize_final_module(self) -> None:
        """Translate a shell: the variables that Numba sets when a function is loaded."""
        self._finalized = True  # else the next line would begin again
        code = self._get_module_for_linking()
        shell = self._codegen._create_empty_module(self.name)
        for variable in code.global_variables:
            if variable.name.startswith("_ZN08NumbaEnv"):
                place = ir.GlobalVariable(shell, ir.IntType(8).as_pointer(), variable.name)
                place.linkage, place.initializer = "common", place.value_type(None)
        self._final_module = binding.parse_assembly(str(shell))
        super()._finalize_final_module()
        self._shared_module = code


class _LinkedCompiler(CompilerBase):
    """Numba's compiler, with `_LinkedCode` for what it makes."""

    def define_pipelines(self) -> list[Any]:
        codegen = self.state.targetctx.codegen()
        self.state.library = _LinkedCode(codegen, self.state.func_id.func_qualname)
        self.state.library.enable_object_caching()
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


def linked(function: FunctionType, **options: Any) -> Any:
    """``numba.njit`` for a function that only kernels call."""
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    if _CAN_LINK:
        options["pipeline_class"] = _LinkedCompiler
    return numba.njit(**options)(function)


def _renamed(function: FunctionType) -> FunctionType:
    """The same function under a name, and so in files of Numba's cache, of its own."""
    parts = function.__code__, function.__globals__, function.__name__
    copy = FunctionType(*parts, function.__defaults__, function.__closure__)
    copy.__module__, copy.__qualname__ = function.__module__, f"{function.__qualname__}.linked"
    return copy


class _NamedByKey(IndexDataCacheFile):
    """The files of one kernel, which several processes may fill; at worst one compiles again."""

    def save(self, key: Any, data: Any) -> None:
        # All that must agree before Numba loads a file; its key has types and processor alone.
        whole = self._version, self._source_stamp, key
        digest = blake2b(self._dump(whole), digest_size=8).digest()
        name = self._data_name(int.from_bytes(digest))
        self._save_data(name, data)  # first: whoever sees the name in the index finds the file
        self._save_index({**self._load_index(), key: name})

    def load(self, key: Any) -> Any:
        with suppress(Exception):  # any error of a damaged file
            return super().load(key)
        return None

    def _load_index(self) -> dict[Any, str]:
        with suppress(Exception):
            return super()._load_index()
        return {}


def name_files_by_key(cache: Any) -> None:
    """Let several processes fill the cache of a kernel."""
    files = getattr(cache, "_cache_file", None)
    if type(files) is IndexDataCacheFile:
        files.__class__ = _NamedByKey


def _njit(function: Any, **options: Any) -> Any:
    if _DISABLED:
        return np.errstate(all="ignore")(function)
    kernel = numba.njit(**options)(function)
    name_files_by_key(getattr(kernel, "_cache", None))
    if "inline" not in options:  # a caller that is compiled finds the twin
        twin = linked(_renamed(function), **options)
        name_files_by_key(getattr(twin, "_cache", None))
        kernel.get_call_template, kernel.get_overload = twin.get_call_template, twin.get_overload
    return kernel


def _cached_njit(function: Any, **options: Any) -> Any:
    """``numba.njit(cache=True)``, or without the cache if no folder is writable.

    In that case Numba raises when the function is made, so that the package could not be imported.
    """
    try:
        return _njit(function, cache=True, **options)
    except RuntimeError:
        return _njit(function, **options)


kernel: Any = partial(_cached_njit, nogil=True, error_model="numpy", no_cfunc_wrapper=True)
summing_kernel: Any = partial(kernel, fastmath={"reassoc", "contract"})
fused_kernel: Any = partial(kernel, fastmath={"contract"})
inline: Any = partial(_cached_njit, inline="always", error_model="numpy", no_cfunc_wrapper=True)
unsaved_kernel: Any = partial(_njit, nogil=True, error_model="numpy", no_cfunc_wrapper=True)
unsaved_inline: Any = partial(unsaved_kernel, forceinline=True)
