"""What every linear fit knows: the names of its columns, values and residuals."""
