"""`lp_regression`: Newton's method for norms, minimax, quantiles, samples of rows."""
