"""Scores of rows: leverage, Lewis weights, sensitivities."""
