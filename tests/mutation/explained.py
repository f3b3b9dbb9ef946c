"""Mutants that no test can or need catch: (file, function, changed code, change) -> why."""

EXPLAINED = {
    (
        "randla/sampling/_kernels/sensitivity_power.py",
        "bounds_of_rows",
        "error * norm",
        "drop the right of Mult",
    ): "a correction of a certified bound by less than a hundredth of rtol",
    (
        "randla/sampling/_kernels/least_absolute.py",
        "start",
        "-r[k, lane]",
        "drop a minus",
    ): "only the starting point of the interior-point method",
    (
        "randla/sampling/_kernels/sensitivity_one.py",
        "bounds_of_rows",
        "wanted // 4",
        "FloorDiv to Mult",
    ): "only a guess how many rows the next problem needs; the loop grows it",
    (
        "randla/sampling/_kernels/sensitivity_one.py",
        "threshold",
        "3 * wanted",
        "drop the right of Mult",
    ): "only how near a selection comes to the wanted number, which is a guess",
    (
        "randla/sampling/_kernels/least_absolute.py",
        "start",
        "0.0",
        "0.0 to 1.0 or back",
    ): "only the starting point of the interior-point method",
    (
        "randla/smoothing/_kernels/backward.py",
        "backward_row_form.backward_row",
        "logs[k]",
        "shift an index down",
    ): "the same: all are -inf or NaN there, and a NaN differs from its neighbour too",
    (
        "randla/sketching/_kernels/hadamard.py",
        "stages_and_samples",
        "rows += 4",
        "Add= to Sub=",
    ): "only which entries are prefetched",
    (
        "randla/sketching/_kernels/hadamard.py",
        "flip_samples",
        "v ^= v >> 32",
        "BitXor= to BitOr=",
    ): "no difference below 2^32 rows",
    (
        "randla/sampling/_kernels/mehrotra.py",
        "iterate",
        "0.0",
        "0.0 to 1.0 or back",
    ): "values of a failed step, which nobody reads",
    (
        "randla/sampling/_kernels/mehrotra.py",
        "iterate",
        "mu + dual * s1 + primal * s2 + dual * primal * s3",
        "Add to Sub",
    ): "only how far a step goes",
    (
        "randla/sampling/_kernels/least_absolute.py",
        "affine",
        "1.0",
        "0.0 to 1.0 or back",
    ): "only how much the next step is centred",
    (
        "randla/sampling/_kernels/sensitivity_power.py",
        "search",
        "-low_slope",
        "drop a minus",
    ): "only where a bracket is cut, between a tenth and nine tenths of it in any case",
    (
        "randla/sampling/_kernels/sensitivity_power.py",
        "floor_of",
        "1.0 / max(p - 2.0, 0.5)",
        "drop the right of Div",
    ): "only below which size residuals count as equal in a step; the bounds use all of them",
    (
        "randla/sampling/_kernels/sensitivity_one.py",
        "bounds_of_rows",
        "norm * (1.0 / cutoff - 1.0) * (1.0 + 1e-09)",
        "drop the right of Mult",
    ): "only the rounding of a value at which a row is left; its bounds are valid anywhere",
    (
        "randla/sampling/_kernels/sensitivity_one.py",
        "bounds_of_rows",
        "abs(flat[k]) / norms[k]",
        "drop the right of Div",
    ): "only which rows the small problem starts with",
    (
        "randla/smoothing/_kernels/chaotic.py",
        "proposal",
        "mean + theta[SD_P] * normal(rng)",
        "Add to Sub",
    ): "a normal number and its negative have the same law",
    (
        "randla/smoothing/_kernels/sweep.py",
        "full_update_form.update",
        "0.0",
        "0.0 to 1.0 or back",
    ): "a path that keeps its ancestor there has the same law",
    (
        "randla/smoothing/_kernels/backward.py",
        "exact_form.fill",
        "A[i]",
        "shift an index down",
    ): "only where no ancestor is possible",
    (
        "randla/transport/_kernels/sort.py",
        "_scale",
        "x[i]",
        "shift an index down",
    ): "index -1 is the last entry: the same sum and maximum",
    (
        "randla/transport/_kernels/sort.py",
        "_n_descents",
        "x[i] > x[i + 1]",
        "Gt to LtE",
    ): "only which way of sorting is taken; all of them sort",
}
