"""A tall matrix in blocks of rows, of any kind: dense, sparse, an operator, a Dask array."""
