"""Samples of rows, from their scores."""
