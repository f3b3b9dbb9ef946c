"""Test vectors, and estimates of traces with errors from leaving vectors out."""
