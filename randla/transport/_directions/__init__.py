"""Designs of directions, and of frames of two."""
