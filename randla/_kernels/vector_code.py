"""Writes functions for kernels as loops over LLVM vectors of 32 bytes.

A function is given as its meaning in NumPy and a builder of the loops. With Numba's JIT disabled it
is its meaning.
"""

from inspect import Parameter, Signature

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_VECTOR_BYTES = 32
_LINE_BYTES = 64  # of the cache
I32, I64 = ir.IntType(32), ir.IntType(64)

JIT_DISABLED = bool(getattr(numba.config, "DISABLE_JIT", False))


def lanes(dtype):
    """Entries of a vector."""
    return _VECTOR_BYTES // np.dtype(dtype).itemsize


def line_entries(dtype):
    """Entries of a cache line: tiles have rows of whole lines."""
    return _LINE_BYTES // np.dtype(dtype).itemsize


# Pieces of code generation ------------------------------------------------------------------------


class Code:
    """Builds the loops of one call: addresses, loads and stores of vectors."""

    def __init__(self, context, builder, signature, args):
        self.context, self.builder = context, builder
        self.types, self.args = signature.args, args
        dtype = signature.args[0].dtype
        self.lanes = _VECTOR_BYTES // (dtype.bitwidth // 8)
        self.scalar = context.get_value_type(dtype)
        self.vector = ir.VectorType(self.scalar, self.lanes)

    def base(self, k, position):
        """Address of entry `position` of array argument k."""
        array = self.context.make_array(self.types[k])(self.context, self.builder, self.args[k])
        return self.builder.gep(array.data, [position])

    def at(self, base, offset):
        return self.builder.gep(base, [offset])

    def load(self, address, vector=True):
        if vector:
            address = self.builder.bitcast(address, self.vector.as_pointer())
        value = self.builder.load(address)
        value.align = self.scalar_bytes
        return value

    def store(self, value, address):
        address = self.builder.bitcast(address, value.type.as_pointer())
        self.builder.store(value, address).align = self.scalar_bytes

    @property
    def scalar_bytes(self):
        return _VECTOR_BYTES // self.lanes

    def spread(self, x):
        """A scalar in all lanes."""
        undefined = ir.Constant(self.vector, ir.Undefined)  # broadcast: insert, then shuffle
        first = self.builder.insert_element(undefined, x, I32(0))
        zeros = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def fused(self, a, x, y):
        """Return a x + y, with one rounding where the machine can."""
        product = self.builder.fmul(a, x, flags=("contract",))  # LLVM makes one FMA of the two
        return self.builder.fadd(product, y, flags=("contract",))

    def hadamard(self, v):
        """The unnormalized transform of a list of values."""
        v, half = list(v), 1
        while half < len(v):
            for k in range(0, len(v), 2 * half):
                for r in range(k, k + half):
                    a, b = v[r], v[r + half]
                    v[r], v[r + half] = self.builder.fadd(a, b), self.builder.fsub(a, b)
            half *= 2
        return v

    def transposed(self, v):
        """Vector c of entries c of `lanes` vectors, by perfect shuffles."""
        half = self.lanes // 2
        low = [k // 2 + self.lanes * (k % 2) for k in range(self.lanes)]
        for _ in range(self.lanes.bit_length() - 1):
            shuffled = []
            for a, b in zip(v[:half], v[half:], strict=True):
                for first in (0, half):
                    mask = ir.Constant(
                        ir.VectorType(I32, self.lanes), [first + index for index in low]
                    )
                    shuffled.append(self.builder.shuffle_vector(a, b, mask))
            v = shuffled
        return v

    def prefetch(self, address):
        """Prefetch a cache line to the second level."""
        pointer = self.builder.bitcast(address, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, I32, I32, I32])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        # To read, with locality 2 (second level), data (not instructions).
        self.builder.call(function, [pointer, I32(0), I32(2), I32(1)])

    def whole(self, count):
        """The largest multiple of `lanes` that is not above `count`."""
        return self.builder.and_(count, I64(-self.lanes))  # lanes are a power of two

    def loop(self, first, last, step):
        """Context of ``for c in range(first, last, step)``; yields (c, number of the iteration)."""
        return cgutils.for_range_slice(self.builder, first, last, I64(step), I64)

    def vectors_then_rest(self, count, body):
        """Call ``body(position, vector)`` for whole vectors, then for single entries."""
        whole = self.whole(count)
        with self.loop(I64(0), whole, self.lanes) as (c, _):
            body(c, True)
        with self.loop(whole, count, 1) as (c, _):
            body(c, False)


def vector_function(meaning):
    """Decorator that makes ``build(code, *args)`` a function for kernels; NumPy twin: `meaning`.

    Arguments named x, y, ahead, offsets, factors, positions are arrays, s is a number of the dtype
    of the first argument, all others are integers.
    """
    names = meaning.__code__.co_varnames[: meaning.__code__.co_argcount]
    arrays = {"x", "y", "ahead", "offsets", "factors", "positions"}

    def decorate(build):
        if JIT_DISABLED:
            return meaning

        def typed(typing_context, *given):
            kinds = [
                kind if name in arrays else given[0].dtype if name == "s" else types.int64
                for name, kind in zip(names, given, strict=True)
            ]

            def generate(context, builder, signature, args):
                build(Code(context, builder, signature, args), *args)
                return context.get_dummy_value()

            return types.void(*kinds), generate

        typed.__name__, typed.__doc__ = meaning.__name__.lstrip("_"), meaning.__doc__
        typed.__signature__ = Signature(  # Numba looks here for the names of the arguments
            [Parameter(n, Parameter.POSITIONAL_OR_KEYWORD) for n in ("typing_context", *names)]
        )
        return intrinsic(typed)

    return decorate
