"""Samples of rows, drawn by their scores."""
