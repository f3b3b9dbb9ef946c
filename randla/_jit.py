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
``inline``, ``summing_inline``
    The same as ``kernel`` and ``summing_kernel`` for a helper that LLVM inlines into those that
    call it.
``expression``
    A formula that is copied into kernels before their types are known, so that it takes their
    floating-point options. It is compiled again wherever it is used.
``unsaved_kernel``, ``unsaved_inline``
    The same as ``kernel`` and ``inline`` without the disk cache: for functions that a factory makes
    around other jitted functions, whose files no other process would find.
``linked``
    ``numba.njit`` for a function that only kernels call.

A kernel is compiled once, as `linked`, without the entry point for Python, which unpacks every
array, and without machine code: LLVM optimizes it, and its callers are linked with the result. If
Python calls it, its entry point is compiled by itself, joined with what it needs, and translated.
A long function joins those that call it when they have been optimized, a short one before, so that
it can be inlined; else one step of an algorithm would be optimized again with each of its callers,
which took a quarter of the time. No kernel may call itself. (To optimize all of it only in the
entry point saves next to nothing more, and made particle filters take 1.5 times as long on some
processors.)

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
from copy import copy
from functools import cache, partial
from hashlib import blake2b
from types import FunctionType
from typing import Any, ClassVar, cast

import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import event, types
from numba.core.caching import IndexDataCacheFile
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager
from numba.core.cpu import CPUContext
from numba.core.datamodel import register_default
from numba.core.datamodel.models import OpaqueModel
from numba.core.runtime import rtsys
from numba.core.typing import Context

_DISABLED = bool(getattr(numba.config, "DISABLE_JIT", False))


class _RestOfCollector(event.Listener):
    """No collection of cycles while kernels of the library compile, under the compiler's lock."""

    def __init__(self) -> None:
        self.depth, self.was_on = 0, False

    def on_start(self, event: Any) -> None:
        module = event.data["dispatcher"].py_func.__module__ or ""  # None: made by exec
        if self.depth or module.startswith("randla."):
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

#: Private methods of Numba that are replaced or called here. Without one, first calls take longer.
_OF_CODE = (
    *("finalize", "_get_module_for_linking"),
    *("_optimize_functions", "_optimize_final_module", "_finalize_final_module"),
)
_CAN_LINK = all(
    hasattr(owner, name)
    for owner, names in (
        (JITCodeLibrary, _OF_CODE),
        (CPUContext, ("create_cpython_wrapper", "get_executable", "subtarget")),
        (Context, ("_lookup_global",)),
    )
    for name in names
)
#: Numba's passes for what no kernel contains: closures and comprehensions, ``with``, expressions of
#: whole arrays, loops over tuples of several types, messages made at run time. Each pass costs time
#: in each function even if it finds nothing, all of these a twelfth of a first call.
_FOR_OTHERS = {
    "WithLifting",
    "InlineClosureLikes",
    "MakeFunctionToJitFunction",
    "RewriteDynamicRaises",
    "FindLiterallyCalls",
    "LiteralUnroll",
    "LiteralPropagationSubPipelinePass",
    "InlineOverloads",
    "NopythonRewrites",
    "DumpParforDiagnostics",
}


class _Code(JITCodeLibrary):
    """The code of a function, which some callees join before it is optimized, others after."""

    _late: list[binding.ModuleRef]  # which are optimized already
    _longest = 300  # lines of LLVM's text of a callee that joins before (50 and 600 are as good)

    def _joins_late(self, library: JITCodeLibrary) -> bool:
        """Whether it is long; a short one may be inlined."""
        module = library._get_module_for_linking()
        function = next((f for f in module.functions if not f.is_declaration), None)
        if function is None or any(b"alwaysinline" in names for names in function.attributes):
            return False
        return str(function).count("\n") > self._longest

    def finalize(self) -> None:
        early, self._late = [], []
        for library in dict.fromkeys(self._linking_libraries):
            if self._joins_late(library):
                self._late.append(library._get_module_for_linking())
                when_loaded = getattr(library, "_reload_init", ())  # not in older versions
                getattr(self, "_reload_init", set()).update(when_loaded)
            else:
                early.append(library)
        self._linking_libraries = early
        super().finalize()

    def _optimize_final_module(self) -> None:
        self._optimize_early_module()
        for module in self._late:
            self._final_module.link_in(module, preserve=True)

    def _optimize_early_module(self) -> None:
        super()._optimize_final_module()


class _LinkedCode(_Code):
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


class _InlineCode(_LinkedCode):
    """The code of a function that is optimized where it is inlined."""

    def _optimize_functions(self, module: binding.ModuleRef) -> None:
        pass

    def _optimize_early_module(self) -> None:
        pass


class _EntryCode(_Code):
    """The entry point for Python to a function, and all that is called from there."""

    _longest = 0

    def _joins_late(self, library: JITCodeLibrary) -> bool:
        return library is not rtsys.library and super()._joins_late(library)

    def _get_module_for_linking(self) -> binding.ModuleRef:
        """What is saved beside the machine code: names alone, as no function calls this one."""
        names = self._codegen._create_empty_module(self.name)
        for defined in self.get_defined_functions():
            function = ir.Function(names, ir.FunctionType(ir.VoidType(), ()), defined.name)
            ir.IRBuilder(function.append_basic_block()).unreachable()
        return binding.parse_assembly(str(names))


class _Operator(types.Function):
    """An operator that finds its signature for given types once; Numba searches for each use."""

    _found: dict[Any, Any]

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        if args not in self._found:
            self._found[args] = super().get_call_type(context, args, kws)
        return self._found[args]


register_default(_Operator)(OpaqueModel)  # nothing, as the type of any function


class _Typing(Context):
    """The view of Numba's table of types with `_Operator` for the operators of Python."""

    _operators: ClassVar[dict[types.Function, _Operator]] = {}

    def _lookup_global(self, value: Any) -> Any:
        found = super()._lookup_global(value)
        if type(found) is not types.Function or getattr(value, "__module__", "") != "_operator":
            return found
        if found not in self._operators:  # a user's extension makes another `found`
            known = self._operators[found] = object.__new__(_Operator)
            vars(known).update(vars(found), _found={})
        return self._operators[found]


@cache
def _typing_of(context: Context) -> _Typing:
    """A shallow copy: the tables are Numba's own."""
    view: Any = copy(context)
    view.__class__ = _Typing
    return cast(_Typing, view)


class _LinkedCompiler(CompilerBase):
    """Numba's compiler with the passes that kernels need, and `_LinkedCode` for what it makes."""

    def __init__(self, typing: Context, target: CPUContext, *state: Any) -> None:
        typing = _typing_of(typing)
        super().__init__(typing, target.subtarget(typing_context=typing), *state)

    def define_pipelines(self) -> list[Any]:
        codegen = self.state.targetctx.codegen()
        code = _InlineCode if self.state.flags.forceinline else _LinkedCode
        self.state.library = code(codegen, self.state.func_id.func_qualname)
        self.state.library.enable_object_caching()
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        if not self.state.func_id.modname.startswith("randla."):  # a user's, as of a model
            return [passes]
        needed = PassManager("nopython")
        needed.passes = [each for each in passes.passes if each[0].__name__ not in _FOR_OTHERS]
        needed.finalize()
        return [needed]


class _EntryCompiler(CompilerBase):
    """Makes an entry point for Python to a function that is compiled as `linked`."""

    def __init__(self, twin: Any, *state: Any) -> None:
        super().__init__(*state)
        self.twin = twin

    def compile_extra(self, function: FunctionType) -> Any:
        context, types = self.state.targetctx, tuple(self.state.args)
        self.twin.compile(types)
        code = self.twin.overloads[types]
        library = _EntryCode(context.codegen(), function.__qualname__)
        library.enable_object_caching()
        library.add_linking_library(code.library)
        library.add_linking_library(rtsys.library)  # what counts references to arrays
        of_code = code.fndesc, code.environment
        context.create_cpython_wrapper(
            library, *of_code, code.call_helper, release_gil=self.state.flags.release_gil
        )
        library.finalize()
        entry = context.get_executable(library, *of_code)
        return code._replace(library=library, entry_point=entry, metadata=self.state.metadata)


def linked(function: FunctionType, **options: Any) -> Any:
    """``numba.njit`` for a function that only kernels call."""
    # Without these two a function would take them from whichever function calls it first.
    options = {"fastmath": False, "forceinline": False} | options
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


def named_by_key(kernel: Any) -> Any:
    """A kernel whose cache several processes may fill."""
    files = getattr(kernel._cache, "_cache_file", None)
    if type(files) is IndexDataCacheFile:
        files.__class__ = _NamedByKey
    return kernel


def _njit(function: Any, **options: Any) -> Any:
    if _DISABLED:
        return np.errstate(all="ignore")(function)
    if "inline" in options:
        return named_by_key(numba.njit(**options)(function))
    twin = named_by_key(linked(_renamed(function), **options))
    if _CAN_LINK:
        options["pipeline_class"] = partial(_EntryCompiler, twin)
    kernel = named_by_key(numba.njit(**options)(function))
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
inline: Any = partial(kernel, forceinline=True)
summing_inline: Any = partial(summing_kernel, forceinline=True)
expression: Any = partial(_cached_njit, inline="always", error_model="numpy", no_cfunc_wrapper=True)
unsaved_kernel: Any = partial(_njit, nogil=True, error_model="numpy", no_cfunc_wrapper=True)
unsaved_inline: Any = partial(unsaved_kernel, forceinline=True)
