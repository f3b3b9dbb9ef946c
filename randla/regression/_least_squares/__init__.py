"""`lstsq`: the choice of a solver, one sketch with its statistics, and the result."""
