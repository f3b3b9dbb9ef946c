"""A tall matrix in blocks of rows, whatever it is: dense, sparse, an operator, a Dask array."""
