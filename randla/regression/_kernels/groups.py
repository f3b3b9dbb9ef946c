"""Sums over the rows of each group: Gram matrices and scores."""

from randla._jit import fused_kernel


@fused_kernel
def add_groups(X, codes, V, Z, grams, scores):
    """Add ``v x x'`` and ``x z'`` of each row to those of its group.

    X (rows, r or more), V (rows, q), Z (rows, k) C-ordered float64; grams (q, n_groups, r, r), scores
    (n_groups, k, r). Floor: one multiply-add for each entry, q r^2 + k r a row; rows of one group
    that follow one another find its sums in the first-level cache.
    """
    r = scores.shape[2]
    for i in range(X.shape[0]):
        g = codes[i]
        for c in range(V.shape[1]):
            for a in range(r):
                scaled = V[i, c] * X[i, a]
                for b in range(r):
                    grams[c, g, a, b] += scaled * X[i, b]
        for c in range(Z.shape[1]):
            z = Z[i, c]
            for a in range(r):
                scores[g, c, a] += z * X[i, a]
