"""All that knows Dask: the functions of the families for arrays in blocks of rows.

Nothing here is imported before a function meets a Dask array. To be read in this order: `arrays`
(which are accepted, functions of blocks, sums over them); `sketching` and `least_squares`; `tiles`,
`scores`, `sensitivity` and `rows`; `residuals`, `newton`, `minimax` and `lp_regression`;
`transport`.
"""
