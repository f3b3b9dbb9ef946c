"""Statistical errors of coefficients, from the rows of a fit read once more."""
