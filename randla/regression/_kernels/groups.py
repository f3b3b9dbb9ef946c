"""Sums over the rows of each group: Gram matrices and scores."""

from randla._jit import fused_kernel


@fused_kernel
def add_groups(X, codes, V, Z, grams, scores):
    """Add ``v x x'`` and ``x z'`` of each row to the sums of its group.

    X (rows, r), V (rows, q), Z (rows, k) C-ordered float64; grams (n_groups, q, r (r + 1) / 2), the
    lower triangles row by row; scores (n_groups, k, r). Floor: one multiply-add for each entry;
    if rows of a group are not consecutive, the traffic of its sums between the caches.
    """
    rows, r = X.shape
    for i in range(rows):
        g = codes[i]
        for c in range(V.shape[1]):
            at = 0
            for a in range(r):
                scaled = V[i, c] * X[i, a]
                for b in range(a + 1):
                    grams[g, c, at + b] += scaled * X[i, b]
                at += a + 1
        for c in range(Z.shape[1]):
            z = Z[i, c]
            for a in range(r):
                scores[g, c, a] += z * X[i, a]
