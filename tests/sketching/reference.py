"""The sketches as explicit matrices, from their definitions, and instances on which thin ones fail.

Random bits come from `counter_hash`, whose known answers tests/test_random.py checks; everything
else here is written without the library.
"""

import numpy as np
from scipy.linalg import hadamard

from randla._random import counter_hash, hash_to_range, normal_rows


def bit_sign(key, k):
    """Bit k of the stream of bits of a key, as +1 or -1."""
    return 1.0 - 2.0 * ((int(counter_hash(key, k >> 6)) >> (k & 63)) & 1)


def parity(v):
    return 1.0 - 2.0 * (bin(v).count("1") & 1)


def block_transform(draw, i, rows):
    """H_B P_i D_i for the first `rows` rows of block i: one column for each row."""
    B = draw.block
    turn = hash_to_range(np.uint64(counter_hash(draw.shifts_key, i)), B)
    place = np.argsort(draw.table)
    columns = hadamard(B)[:, place[(np.arange(rows) + turn) % B]].astype(float)
    return columns * [bit_sign(draw.signs_key, i * B + r) for r in range(rows)]


def srht(S):
    """sqrt(N/m) R (H_N / sqrt N) P D, from H_N itself."""
    draw, (m, n), N = S._draw, S.shape, S.population
    B = draw.block
    place = np.argsort(draw.table)
    columns = np.empty(n, int)
    for row in range(n):
        i, r = divmod(row, B)
        turn = hash_to_range(np.uint64(counter_hash(draw.shifts_key, i)), B)
        columns[row] = draw.labels[i] * B + place[(r + turn) % B]
    signs = np.array([bit_sign(draw.signs_key, row) for row in range(n)])
    samples = (draw.p * B + draw.q)[S._rank]
    return hadamard(N)[np.ix_(samples, columns)] * signs / np.sqrt(m)


def block_srht(S, n):
    """[S_1 S_2 ...] with S_i = E_i R H_B P_i D_i / sqrt m."""
    draw, m = S._draw, S.shape[0]
    words, blocks = -(-m // 64), []
    for i in range(-(-n // draw.block)):
        flips = np.array([bit_sign(draw.flips_key, 64 * words * i + j) for j in range(m)])
        H = block_transform(draw, i, min(draw.block, n - i * draw.block))
        blocks.append((flips[:, None] * H[draw.q])[S._rank])
    return np.hstack(blocks) / np.sqrt(m)


def kronecker_srht(S):
    """Row k: row i_k of H_N1 P_1 D_1 times row j_k of H_N2 P_2 D_2, all pairs of columns."""
    n2 = S.factor_rows[1]
    positions, signs, rows = S._first
    N1, N2 = (max(8, 1 << (n - 1).bit_length()) for n in S.factor_rows)
    first = hadamard(N1)[np.ix_(rows, positions)] * signs
    draw, B = S._draw, S._draw.block
    columns = ((draw.p % (1 << 61)) % (N2 // B) * B + draw.q)[S._rank]
    place = np.argsort(draw.table)
    positions2 = np.empty(n2, int)
    for row in range(n2):
        i, r = divmod(row, B)
        turn = hash_to_range(np.uint64(counter_hash(draw.shifts_key, i)), B)
        positions2[row] = draw.labels[i] * B + place[(r + turn) % B]
    signs2 = [bit_sign(draw.signs_key, row) for row in range(n2)]
    second = hadamard(N2)[np.ix_(columns, positions2)] * signs2
    return (first[:, :, None] * second[:, None, :]).reshape(S.shape) / np.sqrt(S.shape[0])


def gaussian(S):
    m, n = S.shape
    return normal_rows(S._key, 0, n, m).T / np.sqrt(m)


def sparse_signs(S):
    """Column by column; a row that is taken already is drawn again."""
    (m, n), zeta = S.shape, S.nonzeros
    out = np.zeros((m, n))
    for column in range(n):
        for k in range(column * zeta, (column + 1) * zeta):
            bits = int(counter_hash(S._key, k))
            sign, attempt = 1.0 - 2.0 * (bits >> 63), 0
            row = ((bits & 0xFFFFFFFF) * m) >> 32
            while out[row, column]:
                again = int(counter_hash(np.uint64(counter_hash(S._key, k)), attempt))
                row, attempt = ((again & 0xFFFFFFFF) * m) >> 32, attempt + 1
            out[row, column] = sign
    return out / np.sqrt(zeta)


def solve(A, b):
    """Least squares (of minimum norm) where the condition is mild: fast for many draws."""
    return np.linalg.pinv(A.T @ A, rcond=1e-11, hermitian=True) @ (A.T @ b)
