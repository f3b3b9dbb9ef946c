"""Statistical errors of regression coefficients: what a paper's table needs beside a fit."""
