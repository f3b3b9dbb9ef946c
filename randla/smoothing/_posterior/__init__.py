"""The posterior law of parameters: priors, moves, tuning, diagnostics, result."""
