"""Brackets of log-determinants by Lanczos, after preconditioning."""
