"""Statistical errors of regression coefficients: what a table in a paper needs beside the fit."""
