"""Kernels compiled around users' functions, and cached on disk by their content.

A particle algorithm spends its time in the user's densities, so they are inlined into the loops: a
*template* is a Python function that takes jitted functions and returns the plain Python source of a
kernel that calls them, and `specialize` compiles it. Numba's own disk cache never finds such a
kernel again (the functions that a kernel closes over carry a number that is new in each process),
so this module does three things instead.

*Key.* `content_key` hashes the template and its functions with everything that they reach.

*Names.* Numba finds compiled functions by their names. Two models that were cached by different
processes may use the same name for different code, and the second one loaded would run the code
of the first. So kernels are built from copies of the functions, with a digest in their names. A
copy keeps its own values of globals, closures and arrays: the values of the original may have
changed by the time that the next kernel is built from it, or that the copy is found again by its
digest.

*Index.* The entries of the disk cache are looked up by the key alone.

A function that cannot be hashed (for example, because it refers to an object of an unknown class)
is compiled without the disk cache: the same results, a slower first call in each process.

*Bounds.* The copies check the bounds of every index, unlike compiled code by default: reading past
the end of a table that is too short would go unnoticed. Compared with drawing and weighing
particles this costs next to nothing: 1.01 times the time on average over four models and six
algorithms, 1.12 at most (exact backward weights that are read from a table).

*Threads.* Numba infers types under one lock and compiles under another, in this order or in the
reverse order. Code here that does either holds `global_compiler_lock` from the start; so does code
that fills a table of kernels.

The files are stored where Numba keeps those of the kernels: in ``NUMBA_CACHE_DIR`` if it is set,
else in ``__pycache__`` next to the templates or, if that is not writable, the user's cache folder.
They may be deleted at any time; above `MAX_CACHE_BYTES` the oldest are deleted.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import CellType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba.core.caching import FunctionCache
from numba.core.compiler import run_frontend
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target
from numba.core.typed_passes import type_inference_stage
from numba.core.types import Boolean, Float, Integer, Type

from randla._jit import linked, named_by_key, unsaved_kernel
from randla.smoothing._model.content import (
    LIBRARIES,
    UnhashableError,
    cells_of,
    config,
    content_key,
    is_library,
    module_of,
    reads_of,
)

#: Size of the specialized kernels in one folder above which the oldest are deleted.
MAX_CACHE_BYTES = 256 << 20

_CACHE_FILE = re.compile(r"_[0-9a-f]{16}-\d+\.py[0-9a-z]+(\.\d+)?\.nb[ic]$")

_kernels: dict[str, Any] = {}  # kernels of this process by digest
_copies: dict[str, Any] = {}  # copies of user functions of this process by digest


@global_compiler_lock
def specialize(template: Callable[..., FunctionType], *functions: Any) -> Any:
    """Compile the kernel that ``template(*functions)`` returns, or load it from the disk cache.

    `template` is a function of a module; `functions` are jitted functions, or numbers, strings
    and None, by which a template may choose among variants.
    """
    if config.DISABLE_JIT:
        return unsaved_kernel(template(*functions))
    try:
        digest = content_key(template, *functions)
        if digest not in _kernels:
            _kernels[digest] = _compile(template, functions, digest)
        return _kernels[digest]
    except (UnhashableError, AttributeError, TypeError, ValueError, OSError, RuntimeError):
        # Numba's private interface changed, or there is no folder for the files.
        return unsaved_kernel(_with_copies(template, functions))


def _with_copies(template: Callable[..., FunctionType], functions: tuple) -> FunctionType:
    done: dict[Any, Any] = {}
    return template(*(frozen(f, done) for f in functions))


def _compile(template: Callable[..., FunctionType], functions: tuple, digest: str) -> Any:
    kernel = _with_copies(template, functions)
    kernel.__qualname__ = f"{template.__name__}_{digest[:16]}"
    compiled = unsaved_kernel(kernel)
    cache = _ContentCache(kernel)
    cache.digest = digest
    cache._cache_file._source_stamp = digest  # the file of the template may be touched or moved
    compiled._cache = cache
    return named_by_key(compiled)


@global_compiler_lock
def returns_number(function: Any, *arguments: Type) -> bool:
    """Whether a jitted function can be called with these types and gives a real number.

    By type inference alone, about 20 ms; compiled (and not kept) only where that fails.
    """
    if config.DISABLE_JIT:
        return True
    try:
        context = cpu_target.typing_context
        context.refresh()
        code = run_frontend(function.py_func)
        result = type_inference_stage(
            context, cpu_target.target_context, code, arguments, None
        ).return_type
    except Exception:  # it may need passes that are not run here, or the interface changed
        try:
            result = compiled_type(function, arguments)
        except Exception:
            return False
    return isinstance(result, (Float, Integer, Boolean))


def compiled_type(function: Any, arguments: tuple[Type, ...]) -> Type:
    """What a jitted function returns for these types, by compiling it alone; the code is lost."""
    alone = unsaved_kernel(function.py_func)
    alone.compile(arguments)
    return alone.nopython_signatures[0].return_type


class _ContentCache(FunctionCache):
    """Numba's disk cache, looked up by a digest instead of the pickled closure."""

    digest = ""

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return sig, codegen.magic_tuple(), self.digest

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            overload = super().load_overload(sig, target_context)
        except Exception:  # for any error of a damaged file: compile instead
            with suppress(OSError):
                self.flush()  # else what is compiled could not be added to a damaged index
            return None
        if overload is not None:
            with suppress(OSError):  # mark as used, for `_evict`
                os.utime(self._cache_file._index_path)
        return overload

    def save_overload(self, sig: Any, data: Any) -> None:
        super().save_overload(sig, data)
        _evict(self.cache_path)


def _evict(folder: str, limit: int = MAX_CACHE_BYTES) -> None:
    """Delete the least recently used kernels of a folder until at most `limit` bytes are left."""
    with suppress(OSError):
        kernels: dict[str, list[tuple[float, int, Path]]] = {}
        for entry in os.scandir(folder):
            if _CACHE_FILE.search(entry.name):
                stat = entry.stat()
                name = entry.name.split("-")[0]
                kernels.setdefault(name, []).append((stat.st_mtime, stat.st_size, Path(entry.path)))
        by_age = sorted(kernels.values(), key=max)
        total = sum(size for files in by_age for _, size, _ in files)
        for files in by_age:
            if total <= limit:
                return
            for _, size, path in files:
                path.unlink(missing_ok=True)
                total -= size


# The copies --------------------------------------------------------------------------------------


def rebuild(
    function: FunctionType,
    finish: Callable[[FunctionType], Any],
    convert: Callable[[str, Any], Any],
) -> Any:
    """``finish`` of a copy of a function in which every value it refers to is converted.

    Those are its globals, what it closes over, and attributes of modules and entries of tuples
    among them (before the tuples themselves); ``convert(name, value)`` is called after ``finish``,
    as a function may call itself.
    """
    scope = dict(function.__globals__)
    cells = tuple(CellType() for _ in function.__closure__ or ())
    copy = FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, cells or None
    )
    copy.__kwdefaults__, copy.__module__ = function.__kwdefaults__, function.__module__
    result = finish(copy)
    _, names, attributes = reads_of(function.__code__)
    modules: dict[ModuleType, ModuleType] = {}

    def converted(name: str, value: Any) -> Any:
        if type(value) is tuple:
            value = tuple(converted(f"{name}[{k}]", item) for k, item in enumerate(value))
        if isinstance(value, ModuleType) and not is_library(value.__name__):
            if value not in modules:
                modules[value] = copy = ModuleType(value.__name__)
                vars(copy).update(vars(value))
                for key in sorted(attributes & vars(value).keys()):
                    vars(copy)[key] = converted(f"{name}.{key}", vars(value)[key])
            return modules[value]
        return convert(name, value)

    for cell, (name, old) in zip(cells, cells_of(function), strict=True):
        cell.cell_contents = converted(name, old.cell_contents)
    for name in sorted(names & scope.keys()):
        scope[name] = converted(name, scope[name])
    return result


def _is_ours(function: Any) -> bool:
    return module_of(function.py_func).split(".")[0] in ("randla", *LIBRARIES)


def frozen(function: Any, copies: dict[Any, Any]) -> Any:
    """Copy of a jitted function that keeps the values it refers to now; other values unchanged.

    It has its digest in its name and calls copies likewise; `copies` holds those made so far.
    """
    if not isinstance(function, Dispatcher) or function in copies:
        return copies.get(function, function)
    options = {k: v for k, v in function.targetoptions.items() if k not in ("nopython", "cache")}
    if not _is_ours(function):
        options["boundscheck"] = True

    def finish(copy: FunctionType) -> Any:
        copy.__qualname__ = function.py_func.__qualname__
        copies[function] = linked(copy, locals=function.locals, **options)
        return copies[function]

    def convert(_: str, value: Any) -> Any:
        if isinstance(value, np.ndarray):  # whose entries may change
            return value.copy(order="K")
        if isinstance(value, Dispatcher) and (not _is_ours(value) or value.py_func.__closure__):
            return frozen(value, copies)  # ours only if a factory made it: one name, many functions
        return value

    copy = rebuild(function.py_func, finish, convert)
    with suppress(UnhashableError):  # then its name does not matter: it is in no cache
        digest = content_key(copy)
        copy.py_func.__qualname__ += f"_{digest[:16]}"
        copies[function] = _copies.setdefault(digest, copy)
    return copies[function]
