"""Exact smoothers."""
