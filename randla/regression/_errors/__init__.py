"""Statistical errors of coefficients, from a second pass over the rows of a fit."""
