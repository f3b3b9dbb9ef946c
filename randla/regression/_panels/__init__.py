"""Rows in blocks with contiguous columns, as the solvers of l_p regression read them."""
