"""Kernels that are compiled around a user's functions, and cached on disk by their content.

A particle algorithm spends its time in the user's densities, so they are inlined into the loops:
a *template* is a Python function that takes jitted functions and returns the plain Python source
of a kernel that calls them, and `specialise` compiles it. Numba's own disk cache never finds such
a kernel again (the functions that a kernel closes over carry a number that is new in each
process), so three things are done here instead.

*Key.* `content_key` hashes the code objects of the template and of all functions that it is
given, with everything that they reach: constants, defaults, closures, globals, jitted helpers at
any depth, attributes of the user's modules, jit options; and the versions of Numba, NumPy and
randla. The source text is not read: it may have been edited since the function was made.

*Names.* Numba finds compiled functions by their names. Two models that were cached by different
processes may use the same name for different code, and the second one loaded would run the code
of the first. So kernels are built from copies of the functions, with a digest in their names.

*Index.* The entries of the disk cache are looked up by the key alone.

A function that cannot be hashed (it refers to an object of a class that is not known here, say)
is compiled without the disk cache: the same results, a slower first call in each process.

The files lie where Numba keeps those of the kernels: ``NUMBA_CACHE_DIR`` if it is set, else
``__pycache__`` beside the templates or, where that is not writable, the user's cache folder. They
may be deleted at any time; beyond `MAX_CACHE_BYTES` the oldest are.
"""

import dis
import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
from numba.core import config as numba_config
from numba.core.caching import FunctionCache
from numba.core.compiler import run_frontend
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic
from numba.core.registry import cpu_target
from numba.core.typed_passes import type_inference_stage
from numba.core.types import Boolean, Float, Integer, Type

import randla
from randla._jit import unsaved_kernel

config: Any = numba_config
#: Size of the specialised kernels in one folder beyond which the oldest are deleted.
MAX_CACHE_BYTES = 256 << 20

# Modules whose version stands for their content.
_LIBRARIES = ("builtins", "cmath", "llvmlite", "math", "numba", "numpy", "operator", "scipy")
_CACHE_FILE = re.compile(r"_[0-9a-f]{16}-\d+\.py[0-9a-z]+(\.\d+)?\.nb[ic]$")

_kernels: dict[str, Any] = {}  # kernels of this process by digest
_clones: dict[str, Any] = {}  # copies of user functions of this process by digest


class UnhashableError(Exception):
    """A function refers to something whose content is not known how to hash."""


def specialise(template: Callable[..., FunctionType], *functions: Any) -> Any:
    """Compile the kernel that ``template(*functions)`` returns, or load it from the disk cache.

    `template` is a function of a module; `functions` are jitted functions, or numbers, strings
    and None, by which a template may choose among variants.
    """
    if config.DISABLE_JIT:
        return template(*functions)
    try:
        digest = content_key(template, *functions)
        if digest not in _kernels:
            _kernels[digest] = _compile(template, functions, digest)
        return _kernels[digest]
    except (UnhashableError, AttributeError, TypeError, ValueError, OSError, RuntimeError):
        # Numba's private interface changed, or there is no place for the files.
        return unsaved_kernel(template(*functions))


def _compile(template: Callable[..., FunctionType], functions: tuple, digest: str) -> Any:
    done: dict[Any, Any] = {}
    kernel = template(*(_clone(f, done) if isinstance(f, Dispatcher) else f for f in functions))
    kernel.__qualname__ = f"{template.__name__}_{digest[:16]}"
    compiled = unsaved_kernel(kernel)
    cache = _ContentCache(kernel)
    cache.digest = digest
    cache._cache_file._source_stamp = digest  # the file of the template may be touched or moved
    compiled._cache = cache
    return compiled


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
            found = super().load_overload(sig, target_context)
        except Exception:  # whatever a damaged file may raise: compile instead
            return None
        if found is not None:
            with suppress(OSError):  # mark as used, for `_evict`
                os.utime(self._cache_file._index_path)
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        super().save_overload(sig, data)
        _evict(self.cache_path)


def _evict(folder: str) -> None:
    """Delete the least recently used kernels of a folder until it is below the cap."""
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
            if total <= MAX_CACHE_BYTES:
                return
            for _, size, path in files:
                path.unlink(missing_ok=True)
                total -= size


# The key -----------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def names_in(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """Names of globals and of attributes that a code object uses, nested code included."""
    names: set[str] = set()
    attributes: set[str] = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names.add(instruction.argval)
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            attributes.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner_names, inner_attributes = names_in(constant)
            names |= inner_names
            attributes |= inner_attributes
    return frozenset(names), frozenset(attributes)


def is_library(module: str) -> bool:
    """Whether the version of a module stands for its content."""
    return module.split(".")[0] in _LIBRARIES


def _package(value: Any) -> str:
    """Top-level package in which something was defined."""
    if isinstance(value, FunctionType):  # exec leaves a wrong __module__, "builtins"
        module = value.__globals__.get("__name__", "")
    else:
        module = getattr(value, "__module__", None) or "numpy"  # NumPy's ufuncs have none
    return str(module).split(".")[0]


def _is_library(value: Any) -> bool:
    return is_library(_package(value))


class _Hasher:
    """Feeds everything that compiled code depends on to a hash."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.seen: dict[FunctionType, int] = {}

    def put(self, *parts: Any) -> None:
        self.hash.update(repr(parts).encode() + b"|")

    def put_code(self, code: CodeType) -> None:
        """All but the file name and the line numbers."""
        self.put("code", code.co_code, code.co_names, code.co_varnames, code.co_exceptiontable)
        self.put(code.co_freevars, code.co_cellvars, code.co_flags)
        self.put(code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
        for constant in code.co_consts:
            self.put_value(constant, frozenset())

    def put_function(self, function: FunctionType) -> None:
        if function in self.seen:  # recursion, or a helper of several functions
            self.put("seen", self.seen[function])
            return
        self.seen[function] = len(self.seen)
        names, attributes = names_in(function.__code__)
        self.put("function", function.__module__)  # a cached kernel imports it when it is loaded
        self.put_code(function.__code__)
        self.put_value(function.__defaults__ or (), attributes)
        self.put_value(tuple(sorted((function.__kwdefaults__ or {}).items())), attributes)
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            self.put("cell", name)
            self.put_value(cell.cell_contents, attributes)
        for name in sorted(names & function.__globals__.keys()):
            self.put("global", name)
            self.put_value(function.__globals__[name], attributes)

    def put_value(self, value: Any, attributes: frozenset[str]) -> None:
        """`attributes` are those that the code around uses, to pick out those of a module."""
        if value is None or value is Ellipsis:
            self.put(repr(value))
        elif isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
            self.put(type(value).__name__, value)
        elif isinstance(value, CodeType):
            self.put_code(value)
        elif isinstance(value, (set, frozenset)):  # its order depends on the hash seed
            self.put(type(value).__name__, sorted(map(repr, value)))
        elif isinstance(value, tuple):
            self.put(type(value).__name__, getattr(value, "_fields", ()), len(value))
            for item in value:
                self.put_value(item, attributes)
        elif isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            self.put(value.dtype.str, value.shape, value.strides, value.tobytes())
        elif isinstance(value, (np.dtype, Type)):
            self.put("type", str(value))
        elif isinstance(value, ModuleType):
            self.put_module(value, attributes)
        elif isinstance(value, _Intrinsic):
            self.put("intrinsic")
            self.put_function(value._defn)
        elif isinstance(value, Dispatcher):
            self.put("jit", _options(value))
            self.put_function(value.py_func)
        elif isinstance(value, (FunctionType, BuiltinFunctionType, type, np.ufunc)) and (
            _is_library(value)
        ):
            self.put("library", getattr(value, "__module__", ""), value.__name__)
        elif isinstance(value, FunctionType):
            self.put_function(value)
        else:
            raise UnhashableError(repr(value))

    def put_module(self, module: ModuleType, attributes: frozenset[str]) -> None:
        self.put("module", module.__name__, getattr(module, "__version__", ""))
        if is_library(module.__name__):
            return
        for name in sorted(attributes & vars(module).keys()):
            self.put("attribute", name)
            self.put_value(vars(module)[name], attributes)


def _options(function: Any) -> list[tuple[str, str]]:
    """Jit options that change the code, in a fixed order."""
    options = dict(function.targetoptions, locals=tuple(sorted(map(str, function.locals.items()))))
    options.pop("cache", None)
    return sorted(
        (k, str(sorted(v)) if isinstance(v, (set, frozenset)) else repr(v))
        for k, v in options.items()
    )


def content_key(*roots: Any) -> str:
    """The sha256, in hexadecimal, of all that the code compiled from `roots` depends on."""
    hasher = _Hasher()
    hasher.put(numba.__version__, np.__version__, randla.__version__)
    hasher.put(config.BOUNDSCHECK, config.OPT, config.DEBUGINFO_DEFAULT)
    for root in roots:
        hasher.put_value(root, frozenset())
    return hasher.hash.hexdigest()


# The copies --------------------------------------------------------------------------------------


def _is_copied(value: Any) -> bool:
    """Jitted functions of users are copied, and ours if a factory made them (one name, many)."""
    if not isinstance(value, Dispatcher):
        return False
    ours = _package(value.py_func) in ("randla", *_LIBRARIES)
    return not ours or bool(value.py_func.__closure__)


def _clone(function: Any, done: dict[Any, Any]) -> Any:
    """Copy of a jitted function, with its digest in its name, that calls copies likewise."""
    if function in done:
        return done[function]
    digest = content_key(function)
    if digest in _clones:
        return _clones[digest]
    original = function.py_func
    scope = dict(original.__globals__)
    cells = tuple(CellType() for _ in original.__closure__ or ())
    copy = FunctionType(
        original.__code__, scope, original.__name__, original.__defaults__, cells or None
    )
    copy.__kwdefaults__, copy.__module__ = original.__kwdefaults__, original.__module__
    copy.__qualname__ = f"{original.__qualname__}_{digest[:16]}"
    options = {k: v for k, v in function.targetoptions.items() if k not in ("nopython", "cache")}
    done[function] = numba.njit(locals=function.locals, **options)(copy)  # first: recursion
    for cell, old in zip(cells, original.__closure__ or (), strict=True):
        value = old.cell_contents
        cell.cell_contents = _clone(value, done) if _is_copied(value) else value
    for name in names_in(original.__code__)[0] & scope.keys():
        if _is_copied(scope[name]):
            scope[name] = _clone(scope[name], done)
    _clones[digest] = done[function]
    return done[function]
