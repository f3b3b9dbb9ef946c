"""Project, sort and cost in one kernel, for clouds of equal size without weights."""

from randla._jit import kernel
from randla.transport._kernels.cost import row_cost
from randla.transport._kernels.project import project_rows
from randla.transport._kernels.sort import sort_rows


@kernel
def cost_directions(theta, X, Y, shifts, p, U, V, spare, spare_order, keys, counts, out):
    """out[r] = cost of the projections of X and Y (d, n) onto theta[r], as in `cost_equal`.

    The steps are those of three kernels on batches U, V (B, n) that stay in cache. Separate calls
    would be so short that two threads spend a fifth of their time waiting for the interpreter. The
    last arrays except `out` are as in `sort_rows`.
    """
    for first in range(0, out.size, U.shape[0]):  # batches that stay in cache
        last = min(first + U.shape[0], out.size)
        rows, u, v = slice(first, last), U[: last - first], V[: last - first]
        project_rows(theta[rows], X, u)
        sort_rows(u, None, spare, spare_order, keys, counts)
        project_rows(theta[rows], Y, v)
        sort_rows(v, None, spare, spare_order, keys, counts)
        for r in range(last - first):
            out[first + r] = row_cost(u[r], v[r], shifts[first + r], 1.0, p)
