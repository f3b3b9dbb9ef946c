"""All that knows Dask: the functions of the families for arrays in blocks of rows.

Nothing here is imported before a function meets a Dask array. The modules are named after what
they do: `arrays` (blocks and sums), `sketching`, `least_squares`, `scores`, `rows`,
`lp_regression`, `transport`.
"""
