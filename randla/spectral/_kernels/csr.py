"""Products of CSR rows with several columns, fused: what a row gathers, it scatters at once.

A row (a_p at columns j_p) adds to the product with A'A of its own: ``y = sum_p a_p X[j_p]`` is
gathered and ``Z[j_p] += a_p y`` scattered while the entries are in the first-level cache. Both are
loops over LLVM vectors, as in `randla.sketching._kernels.vectors`: what LLVM makes of the plain
loops asks at each entry whether the arrays overlap.
"""

from llvmlite import ir
from numba.core import cgutils

from randla._jit import fused_kernel
from randla._kernels.vector_code import I64, vector_function
from randla.sketching._kernels.vectors import add_scaled

_UNROLLED = 8, 4, 2, 1  # vectors whose sums stay in registers


def _gather(x, step, offsets, factors, k, stop, y, first_y, count):
    """y[first_y + c] = sum of factors[p] x[offsets[p] step + c] over k <= p < stop."""
    total = sum(factors[p] * x[offsets[p] * step :][:count] for p in range(k, stop))
    y[first_y : first_y + count] = total


@vector_function(_gather)
def gather(code, x, step, offsets, factors, k, stop, y, first_y, count):
    builder = code.builder
    source, target = code.base(0, I64(0)), code.base(6, first_y)
    places, values = code.base(2, I64(0)), code.base(3, I64(0))

    def sums(c, n, kind):
        """Columns c.. of `n` vectors, or of a scalar."""
        totals = [cgutils.alloca_once_value(builder, ir.Constant(kind, None)) for _ in range(n)]
        for total in totals:
            builder.store(ir.Constant(kind, None), total)
        vector = kind is code.vector
        with code.loop(k, stop, 1) as (p, _):
            row = code.at(source, builder.add(builder.mul(_wide(code, places, p), step), c))
            factor = _double(code, values, p)
            factor = code.spread(factor) if vector else factor
            for u, total in enumerate(totals):
                value = code.load(code.at(row, I64(u * code.lanes)), vector)
                builder.store(code.fused(factor, value, builder.load(total)), total)
        for u, total in enumerate(totals):
            code.store(builder.load(total), code.at(target, builder.add(c, I64(u * code.lanes))))

    first = I64(0)
    for n in _UNROLLED:
        width = n * code.lanes
        last = builder.add(first, builder.and_(builder.sub(count, first), I64(-width)))
        with code.loop(first, last, width) as (c, _):
            sums(c, n, code.vector)
        first = last
    with code.loop(first, count, 1) as (c, _):
        sums(c, 1, code.scalar)


def _scatter(x, first_x, offsets, factors, k, stop, y, step, count):
    """y[offsets[p] step + c] += factors[p] x[first_x + c] for k <= p < stop."""
    for p in range(k, stop):
        y[offsets[p] * step :][:count] += factors[p] * x[first_x : first_x + count]


@vector_function(_scatter)
def scatter(code, x, first_x, offsets, factors, k, stop, y, step, count):
    builder = code.builder
    source, target = code.base(0, first_x), code.base(6, I64(0))
    places, values = code.base(2, I64(0)), code.base(3, I64(0))
    with code.loop(k, stop, 1) as (p, _):
        row = code.at(target, builder.mul(_wide(code, places, p), step))
        factor = _double(code, values, p)
        spread = code.spread(factor)

        def body(c, vector):
            address = code.at(row, c)
            value = code.load(code.at(source, c), vector)
            total = code.load(address, vector)
            code.store(code.fused(spread if vector else factor, value, total), address)

        code.vectors_then_rest(count, body)


def _wide(code, base, p):
    """Entry p of an array of integers as int64."""
    value = code.builder.load(code.at(base, p))
    return value if value.type == I64 else code.builder.sext(value, I64)


def _double(code, base, p):
    """Entry p of an array of floats in the type of the sums."""
    value = code.builder.load(code.at(base, p))
    return value if value.type == code.scalar else code.builder.fpext(value, code.scalar)


@fused_kernel
def rows(data, indices, indptr, first, last, x, u, vx, y, step, z, w):
    """Rows first..last of Y = A X, and what they add to A'Y, for A = S - u v'.

    x, z: (n, s), flat; u: (m,), or empty for A = S; vx, w: v'X and the sum of u_i y_i, (s,). y is
    flat, row i at i step. Y is gathered, unless it is given, for step > 0 with a z that is not
    empty; it is scattered unless z is empty.
    """
    s = vx.size
    for i in range(first, last):
        k, stop, at = indptr[i], indptr[i + 1], i * step
        if step == 0 or z.size == 0:
            gather(x, s, indices, data, k, stop, y, at, s)
            if u.size:
                add_scaled(vx, 0, -u[i], y, at, s)
        if z.size:
            scatter(y, at, indices, data, k, stop, z, s, s)
            if u.size:
                add_scaled(y, at, u[i], w, 0, s)
