"""Brackets of log-determinants by Lanczos quadrature, after preconditioning."""
