"""Statistical errors of regression coefficients: for the tables of papers."""
