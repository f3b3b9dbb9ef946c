"""Views of a kernel's arguments that cost less than the arrays themselves.

Numba counts the references to an array whenever it is passed to a function, by atomic additions,
and removes only the pairs that it can prove to be useless. Around the calls of user functions in
the particle loops it often cannot: a loop that draws from a transition took 18.5 ns a particle with
counts and 6.9 ns without. `unowned` returns views of the same type (read-only stays read-only) that
own nothing, of an array or of all arrays of a record. It must be used on *arguments* of a kernel
only: those are alive until the kernel returns. An array that is created inside a kernel would be
freed after its last visible use.

A stream of random numbers is four words in memory that every draw reads and writes, since a write
to any other array might have changed them. `stack_copy` returns a copy whose memory no other array
can share, so that a loop keeps it in registers (a bootstrap filter took 0.87 of the time);
`store_stream` writes it back, at the end of the function that made it.
"""

from llvmlite import ir
from numba.core import cgutils, config
from numba.core.types import Array, BaseTuple
from numba.extending import intrinsic

from randla._jit import inline

_WORDS = 4  # of the state of xoshiro256++


def _disown(view):
    """Without `meminfo` there is no counter; without `parent` no Python object to hold."""
    view.meminfo = cgutils.get_null_value(view.meminfo.type)
    view.parent = cgutils.get_null_value(view.parent.type)
    return view._getvalue()


def _disowned(context, builder, kind, value):
    if isinstance(kind, BaseTuple):
        parts = zip(kind, cgutils.unpack_tuple(builder, value), strict=True)
        return context.make_tuple(builder, kind, [_disowned(context, builder, *p) for p in parts])
    if isinstance(kind, Array):
        return _disown(context.make_array(kind)(context, builder, value))
    return value


if getattr(config, "DISABLE_JIT", False):

    def unowned(record):
        return record

    def stack_copy(stream):
        return stream

else:

    @intrinsic
    def unowned(typingctx, record):
        def codegen(context, builder, signature, args):
            return _disowned(context, builder, signature.return_type, args[0])

        return record(record), codegen  # the same type

    @intrinsic
    def stack_copy(typingctx, stream):
        def codegen(context, builder, signature, args):
            view = context.make_array(signature.return_type)(context, builder, args[0])
            # On the stack of the function: no other array can point there.
            words = cgutils.alloca_once(builder, ir.IntType(64), size=_WORDS)
            for k in range(_WORDS):
                word = builder.load(cgutils.gep_inbounds(builder, view.data, k))
                builder.store(word, cgutils.gep_inbounds(builder, words, k))
            view.data = words
            return _disown(view)

        return stream(stream), codegen


@inline
def store_stream(copy, stream):
    """Write the words of a `stack_copy` back to where they came from."""
    for k in range(_WORDS):
        stream[k] = copy[k]
