"""What every linear fit provides: the names of its columns, values and residuals."""
