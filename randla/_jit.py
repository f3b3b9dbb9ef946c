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
from numba.core.compiler_machinery import PassManager
from numba.core.cpu import CPUContext
from numba.core.runtime import rtsys

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
_OF_CODE = "finalize", "_optimize_final_module", "_finalize_final_module", "_get_module_for_linking"
_OF_CONTEXT = "create_cpython_wrapper", "get_executable"
_CAN_LINK = all(hasattr(JITCodeLibrary, method) for method in _OF_CODE) and all(
    hasattr(CPUContext, method) for method in _OF_CONTEXT
)
#: Lines of LLVM's text of a long function. (With 50, 150 or 600 first calls take as long, to 3%.)
_LONG = 300
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

    def _joins_late(self, library: JITCodeLibrary) -> bool:
        """Whether it is long; a short one may be inlined."""
        module = library._get_module_for_linking()
        function = next((f for f in module.functions if not f.is_declaration), None)
        if function is None or any(b"alwaysinline" in names for names in function.attributes):
            return False
        return str(function).count("\n") > _LONG

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
        super()._optimize_final_module()
        for module in self._late:
            self._final_module.link_in(module, preserve=True)


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


class _EntryCode(_Code):
    """The entry point for Python to a function, and all that is called from there."""

    def _joins_late(self, library: JITCodeLibrary) -> bool:
        return library is not rtsys.library

    def _get_module_for_linking(self) -> binding.ModuleRef:
        """What is saved beside the machine code: names alone, as no function calls this one."""
        names = self._codegen._create_empty_module(self.name)
        for defined in self.get_defined_functions():
            function = ir.Function(names, ir.FunctionType(ir.VoidType(), ()), defined.name)
            ir.IRBuilder(function.append_basic_block()).unreachable()
        return binding.parse_assembly(str(names))


class _LinkedCompiler(CompilerBase):
    """Numba's compiler with the passes that kernels need, and `_LinkedCode` for what it makes."""

    def define_pipelines(self) -> list[Any]:
        codegen = self.state.targetctx.codegen()
        self.state.library = _LinkedCode(codegen, self.state.func_id.func_qualname)
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
inline: Any = partial(_cached_njit, inline="always", error_model="numpy", no_cfunc_wrapper=True)
unsaved_kernel: Any = partial(_njit, nogil=True, error_model="numpy", no_cfunc_wrapper=True)
unsaved_inline: Any = partial(unsaved_kernel, forceinline=True)
