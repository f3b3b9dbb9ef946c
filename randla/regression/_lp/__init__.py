"""`lp_regression`: Newton for a norm, minimax, quantiles, samples of rows."""
