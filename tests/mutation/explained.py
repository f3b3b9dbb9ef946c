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
}
