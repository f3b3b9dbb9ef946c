"""Entries of an observation or state that is a number in some models and an array in others.

Kinds are known when a kernel is compiled. Numba compiles an ``overload`` for each kind of
arguments, in each process again; an intrinsic is two instructions in the function that calls it.
"""

import operator

import numpy as np
from numba.core import config
from numba.core.types import Array, intp
from numba.extending import intrinsic

if getattr(config, "DISABLE_JIT", False):

    def component(y, i):
        return y if np.ndim(y) == 0 else y[i]

    def length(y):
        return np.size(y)

else:

    @intrinsic
    def component(typingctx, y, i):
        """Entry i of an array, or a number itself."""
        if not isinstance(y, Array):
            return y(y, i), lambda context, builder, signature, args: args[0]
        getitem = typingctx.resolve_value_type(operator.getitem)
        signature = getitem.get_call_type(typingctx, (y, i), {})

        def codegen(context, builder, _, args):
            return context.get_function(getitem, signature)(builder, args)

        return signature.return_type(y, i), codegen

    @intrinsic
    def length(typingctx, y):
        """Number of entries of an array; 1 for a number."""

        def codegen(context, builder, _, args):
            if isinstance(y, Array):
                return context.make_array(y)(context, builder, args[0]).nitems
            return context.get_constant(intp, 1)

        return intp(y), codegen
