"""The dependencies of compiled code: all that a function reads from outside, and a digest of it.

`content_key` hashes the code objects of the functions that it is given, with everything that they
reach: constants, defaults, closures, globals, jitted helpers at any depth, attributes of the user's
modules, jit options; and the versions of Numba, NumPy and randla. The source text is not read: it
may have been edited since the function was created.
"""

import dis
import hashlib
import inspect
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.core import config as numba_config
from numba.core.ccallback import CFunc
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic
from numba.core.types import Type

import randla

config: Any = numba_config
# Modules whose version determines their content.
LIBRARIES = ("builtins", "cmath", "llvmlite", "math", "numba", "numpy", "operator", "scipy")
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))  # repr shows all
# All that matters of a code object besides its constants.
_CODE_FIELDS = (
    "code", "names", "varnames", "exceptiontable", "freevars", "cellvars", "flags", "argcount",
    "posonlyargcount", "kwonlyargcount",
)  # fmt: skip


class UnhashableError(Exception):
    """A function refers to something whose content cannot be hashed."""


class _Reads(NamedTuple):
    """What a code object reads from outside, nested code included."""

    #: Globals and variables of outer functions, with the attributes that are taken of them:
    #: ``("np", "random", "normal")``.
    paths: tuple[tuple[str, ...], ...]
    names: frozenset[str]  # of globals
    attributes: frozenset[str]  # of anything


def _instructions(code: CodeType) -> Iterator[tuple[str, Any]]:
    """Names and arguments, one after the other where Python 3.13 joins two of local variables."""
    for instruction in dis.get_instructions(code):
        joined = re.findall("(?:LOAD|STORE)_FAST", instruction.opname)
        if len(joined) == 2:
            yield from zip(joined, instruction.argval, strict=True)
        else:
            yield instruction.opname, instruction.argval


@lru_cache(maxsize=4096)
def reads_of(code: CodeType) -> _Reads:
    paths: list[tuple[str, ...]] = []
    names: set[str] = set()
    attributes: set[str] = set()
    other_names: dict[str, tuple[str, ...]] = {}  # q after ``q = np``
    follows = False  # whether the last path is what the instruction takes
    for kind, name in _instructions(code):
        if kind in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF"):
            names |= {name} if kind != "LOAD_DEREF" else set()
            paths.append((name,))
            follows = True
        elif kind in ("LOAD_ATTR", "LOAD_METHOD"):
            attributes.add(name)
            if follows:
                paths[-1] += (name,)
        elif kind == "STORE_FAST" and follows:
            other_names[name] = paths[-1]
            follows = False
        elif kind.startswith("LOAD_FAST") and name in other_names:
            paths.append(other_names[name])
            follows = True
        else:
            follows = False
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = reads_of(constant)
            paths += [path for path in inner.paths if path[0] not in code.co_cellvars]
            names |= inner.names
            attributes |= inner.attributes
    return _Reads(tuple(dict.fromkeys(paths)), frozenset(names), frozenset(attributes))


def cells_of(function: FunctionType) -> list[tuple[str, CellType]]:
    """What a function closes over: variables of outer functions with their cells."""
    return list(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))


def plain_function(function: Any) -> Any:
    """The Python function of a jitted one; other values unchanged."""
    return (
        inspect.unwrap(function) if config.DISABLE_JIT else getattr(function, "py_func", function)
    )


def values_used(function: Any) -> Iterator[tuple[str, Any]]:
    """What a function and the functions that it calls refer to, at any depth, by its name.

    Attributes are followed through modules only; libraries are not entered.
    """
    seen, todo = set(), [plain_function(function)]
    while todo:
        plain = todo.pop()
        if plain in seen:
            continue
        seen.add(plain)
        scope = dict(plain.__globals__)
        for name, cell in cells_of(plain):
            with suppress(ValueError):  # an empty cell
                scope[name] = cell.cell_contents
        values = [("a default", value) for value in plain.__defaults__ or ()]
        for path in reads_of(plain.__code__).paths:
            if path[0] in scope:
                value, k = scope[path[0]], 1
                while isinstance(value, ModuleType) and path[k:] and hasattr(value, path[k]):
                    value, k = getattr(value, path[k]), k + 1
                values.append((".".join(path[:k]), value))
        for name, value in values:
            for item in (value, *value) if isinstance(value, (tuple, list)) else (value,):
                yield name, item
                for part in _parts(item):
                    inner = plain_function(part)
                    if isinstance(inner, FunctionType) and not is_library(module_of(inner)):
                        todo.append(inner)


def _parts(value: Any) -> list[Any]:
    """The functions in a compiled ufunc, C callback or class, or the value itself."""
    if isinstance(value, CFunc):
        return [value.__wrapped__]
    kind = getattr(value, "class_type", None)  # of numba.experimental.jitclass
    if kind is None:
        return [getattr(value, "_dispatcher", value)]
    accessors = [accessor for pair in kind.jit_props.values() for accessor in pair.values()]
    return [*kind.jit_methods.values(), *kind.jit_static_methods.values(), *accessors]


def is_library(module: str) -> bool:
    """Whether the version of a module determines its content."""
    return module.split(".")[0] in LIBRARIES


def module_of(value: Any) -> str:
    """Module in which something was defined."""
    if isinstance(value, FunctionType):  # exec leaves a wrong __module__, "builtins"
        return str(value.__globals__.get("__name__", ""))
    return str(getattr(value, "__module__", None) or "numpy")  # NumPy's ufuncs have none


class _Hasher:
    """Feeds everything that compiled code depends on to a hash."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.seen: dict[FunctionType, int] = {}

    def put(self, *parts: Any) -> None:
        self.hash.update(repr(parts).encode() + b"|")

    def put_code(self, code: CodeType) -> None:
        """All but the file name and the line numbers."""
        self.put("code", *(getattr(code, f"co_{field}") for field in _CODE_FIELDS))
        for constant in code.co_consts:
            self.put_value(constant, frozenset())

    def put_function(self, function: FunctionType) -> None:
        if function in self.seen:  # recursion, or a helper of several functions
            self.put("seen", self.seen[function])
            return
        self.seen[function] = len(self.seen)
        _, names, attributes = reads_of(function.__code__)
        self.put("function", function.__module__)  # a cached kernel imports it when it is loaded
        self.put_code(function.__code__)
        self.put_value(function.__defaults__ or (), attributes)
        self.put_value(tuple(sorted((function.__kwdefaults__ or {}).items())), attributes)
        for name, cell in cells_of(function):
            self.put("cell", name)
            self.put_value(cell.cell_contents, attributes)
        for name in sorted(names & function.__globals__.keys()):
            self.put("global", name)
            self.put_value(function.__globals__[name], attributes)

    def put_value(self, value: Any, attributes: frozenset[str]) -> None:
        """`attributes` are those that the code around uses, to pick out those of a module."""
        if isinstance(value, (*_PLAIN, np.generic)):
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
            is_library(module_of(value))
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
    hasher.put("bounds", config.BOUNDSCHECK, config.OPT, config.DEBUGINFO_DEFAULT)
    for root in roots:
        hasher.put_value(root, frozenset())
    return hasher.hash.hexdigest()
