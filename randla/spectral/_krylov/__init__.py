"""Block Krylov spaces, and brackets of singular values and eigenvalues found in them."""
