"""Mutants that no test can or need catch: (file, function, changed code, change) -> why."""

# The same results (of the same law), by proof.
NOTHING = {
    (
        "randla/_kernels/interior_point.py",
        "form",
        "0.0",
        "0.0 to 1.0 or back",
    ): "entries beside rows of zeros that fill the last panel",
    (
        "randla/sampling/_kernels/sensitivity_max.py",
        "bounds_of_rows",
        "x[k] += inverse[k, j] * signs[j]",
        "Add= to Sub=",
    ): "-x for x: only magnitudes of its products are read",
    (
        "randla/smoothing/_kernels/particles/sweep.py",
        "make_full_update.update",
        "ancestors[i]",
        "shift an index down",
    ): "kept only where no particle could have moved there, though the ancestor did",
    (
        "randla/_kernels/mehrotra.py",
        "iterate",
        "0.0",
        "0.0 to 1.0 or back",
    ): "values of a failed step, which nobody reads",
    (
        "randla/_kernels/cholesky.py",
        "solve",
        "norm += abs(y[j])",
        "Add= to Sub=",
    ): "only whether the sum is finite is asked",
    (
        "randla/sampling/_kernels/sensitivity_one.py",
        "bounds_of_rows",
        "0.0",
        "0.0 to 1.0 or back",
    ): "a limit of scores that are 0 or infinite",
    (
        "randla/smoothing/_kernels/particles/backward.py",
        "make_backward_row.backward_row",
        "logs[k]",
        "shift an index down",
    ): "all are -inf or NaN there, and a NaN differs from its neighbor too",
    (
        "randla/smoothing/_kernels/particles/sweep.py",
        "make_full_update.update",
        "0.0",
        "0.0 to 1.0 or back",
    ): "relative to the largest, weights sum to 0 or at least 1; to 1 if the ancestor has all",
    (
        "randla/transport/_kernels/sort.py",
        "_scale",
        "x[i]",
        "shift an index down",
    ): "index -1 is the last entry: the same sum and maximum",
    (
        "randla/transport/_kernels/sort.py",
        "sort_rows",
        "P[row]",
        "shift an index down",
    ): "index -1 is the last row: each row is sorted once",
    (
        "randla/sampling/_kernels/sensitivity_one.py",
        "gather",
        "residuals[k] > 0.0",
        "Gt to LtE",
    ): "minus the sum of the other rows, which has the same loss",
    (
        "randla/regression/_kernels/vertex.py",
        "_reach",
        "p[j]",
        "shift an index down",
    ): "index -1 is the last entry: the same sum",
    (
        "randla/spectral/_kernels/pivoted_factor.py",
        "reject",
        "uniforms[a]",
        "shift an index down",
    ): "another of as many independent numbers: the same law",
}

# The same results, sooner or later.
SPEED = {
    (
        "randla/regression/_kernels/vertex.py",
        "refit",
        "steepest * math.sqrt(length)",
        "drop the right of Mult",
    ): "another edge to leave by, to the same vertex",
    (
        "randla/sampling/_kernels/sensitivity_one.py",
        "bounds_of_rows",
        "-(-(wanted + 1) // PANEL) * PANEL - 1",
        "Sub to Add",
    ): "two rows more, in a panel of their own",
    (
        "randla/sketching/_kernels/hadamard.py",
        "stages_and_samples",
        "rows += 4",
        "Add= to Sub=",
    ): "only which entries are prefetched",
    (
        "randla/transport/_kernels/circle.py",
        "circle_weighted",
        "h_high - h_low - s_high * width",
        "Sub to Add",
    ): "another kink to look at between the same two",
    (
        "randla/transport/_kernels/circle.py",
        "circle_weighted",
        "h_high - h_low",
        "Sub to Add",
    ): "another kink to look at between the same two",
    (
        "randla/transport/_kernels/directions.py",
        "cost_directions",
        "last - first",
        "Sub to Add",
    ): "rows of an earlier batch are sorted again",
    (
        "randla/sketching/_kernels/hadamard.py",
        "sketch_blocks",
        "(A.width + 7) // 8 * 8",
        "drop the right of Mult",
    ): "only which entries are prefetched",
    (
        "randla/sampling/_kernels/sensitivity_one.py",
        "least_absolute",
        "2.0",
        "double a constant",
    ): "a start that is good enough is not noticed",
    (
        "randla/sampling/_kernels/sensitivity_power.py",
        "search",
        "0.001 * newton",
        "drop the right of Mult",
    ): "a longer first step of a search",
    (
        "randla/sampling/_kernels/sensitivity_power.py",
        "search",
        "0.9",
        "double a constant",
    ): "a step of a search beyond its bracket, which is tried in vain",
    (
        "randla/sampling/_kernels/sensitivity_power.py",
        "search",
        "0.5",
        "double a constant",
    ): "where rounding errors hide that slopes increase, the end of a bracket is tried again",
    (
        "randla/regression/_kernels/robust.py",
        "_combine",
        "0.0",
        "0.0 to 1.0 or back",
    ): "zeros at the ends are not left out of a sum",
}

# Results that differ by a small part of what their tolerance allows.
TOLERANCE = {
    (
        "randla/sampling/_kernels/sensitivity_one.py",
        "bounds_of_rows",
        "norm * (1.0 / cutoff - 1.0) * (1.0 + 1e-09)",
        "drop the right of Mult",
    ): "a row is left at a value smaller by 1e-9 of it; its bounds are valid anywhere",
    (
        "randla/sampling/_kernels/sensitivity_power.py",
        "bounds_of_rows",
        "0.01",
        "double a constant",
    ): "only whether a correction of less than a fiftieth of rtol is made",
    (
        "randla/smoothing/_kernels/exact/kalman.py",
        "covariance_root",
        "4.0",
        "double a constant",
    ): "how many rounding errors a pivot may have",
    (
        "randla/smoothing/_kernels/exact/kalman.py",
        "predict",
        "32.0 * _EPS * d",
        "drop the right of Mult",
    ): "how many rounding errors a pivot may have",
}

# Caught by the suite in another mode: without the compiler, or with bounds checked.
ANOTHER_MODE = {
    (
        "randla/sketching/_kernels/walsh.py",
        "transform_short",
        "k + 1",
        "Add to Sub",
    ): "the end of a slice, which nobody asks for unless bounds are checked",
    (
        "randla/spectral/_kernels/csr.py",
        "_gather",
        "factors[p] * x[offsets[p] * step:][:count]",
        "drop the right of Mult",
    ): "runs without the compiler only, which has an overload of its own",
}

EXPLAINED = NOTHING | SPEED | TOLERANCE | ANOTHER_MODE
