"""SRHT and BlockSRHT against scipy.linalg.hadamard, and the Walsh-Hadamard transform."""

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from scipy.linalg import hadamard

from randla import SRHT, BlockSRHT, fwht
from randla._random import (
    counter_hash,
    hash_to_range,
    hashes,
    random_signs,
    sample_without_replacement,
)
from randla.sketching._kernels.hadamard import Draw, flip_samples
from tests.sketching import reference
from tests.statistical import chi_square_pvalue, claim


def block(S):
    return S._draw.block


@pytest.mark.parametrize(
    ("m", "n", "expected_block"),
    [(3, 5, 8), (7, 9, 16), (20, 30, 32), (60, 64, 64), (90, 100, 128), (9, 250, 256),
     (40, 512, 512), (500, 513, 512), (900, 3000, 512), (1100, 4000, 1024), (2100, 4096, 2048),
     (4096, 4096, 2048)],
)  # fmt: skip
def test_srht_is_the_subsampled_hadamard_matrix(m, n, expected_block):
    S = SRHT(m, n, rng=m)
    assert block(S) == expected_block
    E = reference.srht(S)
    for width in (1, 4, 21):
        A = np.random.default_rng(width).standard_normal((n, width))
        np.testing.assert_allclose(S @ A, E @ A, rtol=0, atol=2e-13 * np.sqrt(n))
    Y = np.random.default_rng(0).standard_normal((m, 3))
    np.testing.assert_allclose(S.T @ Y, E.T @ Y, rtol=0, atol=2e-13 * np.sqrt(n))
    assert np.unique(np.abs(S.columns(0, min(n, 9)).toarray())).size == 1  # all +-1/sqrt m


def test_largest_blocks():
    m, n = 5000, 9000
    S = SRHT(m, n, rng=0)
    assert block(S) == 4096
    assert S.population == 16384
    A = np.random.default_rng(1).standard_normal((n, 2))
    columns = [0, 4095, 4096, 8999]
    E = np.hstack([S.columns(j, j + 1).toarray() for j in columns])
    assert np.abs(E.T @ E - np.eye(4)).max() < 0.2
    np.testing.assert_allclose(S.T @ (S @ A), S.T @ (S @ A[:, ::-1])[:, ::-1], atol=1e-12)
    full = S.toarray()
    np.testing.assert_allclose(S @ A, full @ A, rtol=0, atol=1e-11)
    np.testing.assert_allclose(np.abs(full), 1 / np.sqrt(m), rtol=1e-12)


@pytest.mark.parametrize("bits", [4, 17, 31, 33, 62])
def test_signs_of_samples_are_parities(bits):
    """(-1)^popcount(p & label), also for more blocks than memory would hold rows."""
    rng = np.random.default_rng(bits)
    p, labels = rng.integers(0, 1 << bits, 40), rng.integers(0, 1 << bits, 7)
    draw, flip = SRHT(40, 300, rng=0)._draw._replace(p=p, labels=labels), np.empty(40)
    for i, label in enumerate(labels):
        flip_samples(draw, i, flip)
        assert flip.tolist() == [(-1) ** int(v).bit_count() for v in p & label]


@pytest.mark.parametrize("n", [8, 64, 512, 1000])
def test_rows_are_orthogonal(n):
    """Rows are drawn without replacement: S S^T = (N/m) I over the padded rows."""
    N = max(8, 1 << (n - 1).bit_length())
    S = SRHT(N, N, rng=2)
    np.testing.assert_allclose(S.T @ S.toarray(), np.eye(N), atol=1e-13)
    m = N // 3
    S = SRHT(m, N, rng=3)
    E = S.toarray()
    np.testing.assert_allclose(E @ E.T, N / m * np.eye(m), atol=1e-12 * N / m)


def test_many_blocks():
    """Entries of single columns by the parity of their positions: 2048 blocks."""
    n, m = 1 << 20, 40
    S = SRHT(m, n, rng=3)
    draw, B = S._draw, block(S)
    place = np.argsort(draw.table)
    samples = (draw.p * B + draw.q)[S._rank]
    for row in (0, 511, 512, 12_345, 700_001, n - 1):
        i, r = divmod(row, B)
        turn = hash_to_range(np.uint64(counter_hash(draw.shifts_key, i)), B)
        position = int(draw.labels[i]) * B + int(place[(r + turn) % B])
        signs = [reference.parity(int(sample) & position) for sample in samples]
        expected = reference.bit_sign(draw.signs_key, row) * np.array(signs) / np.sqrt(m)
        np.testing.assert_allclose(S.columns(row, row + 1).toarray()[:, 0], expected, rtol=1e-15)
        np.testing.assert_allclose(S.columns(row, row + 1) @ np.ones(1), expected, rtol=1e-15)


def test_population_and_guarantee():
    assert [SRHT(1, n).population for n in (1, 8, 9, 1000, 1024)] == [8, 8, 16, 1024, 1024]
    assert SRHT(1, 5).has_linf_guarantee
    assert BlockSRHT(1, 5).population is None


def test_structured_columns_survive():
    """Without the signs a Walsh function would be destroyed or concentrated in one row."""
    H = hadamard(1024)[:, [0, 1, 37, 512]] / 32.0
    singular = np.linalg.svd(SRHT(256, 1024, rng=4) @ H, compute_uv=False)
    assert 0.6 < singular.min() <= singular.max() < 1.4


def test_keeps_the_rank_of_aligned_rows():
    """Without permuted positions 27 of 30 draws at m = 4d are singular on [I_128; 0]."""
    A = np.eye(8192, 128)
    smallest = [np.linalg.norm(SRHT(512, 8192, rng=seed) @ A, -2) for seed in range(30)]
    assert min(smallest) > 0.35
    A = np.eye(4096, 300)  # more columns than half a usual block
    smallest = [np.linalg.norm(SRHT(1200, 4096, rng=seed) @ A, -2) for seed in range(3)]
    assert min(smallest) > 0.25


@pytest.mark.parametrize(
    ("m", "n", "block_size"), [(5, 70, 8), (70, 200, 16), (100, 1300, 128), (300, 1300, None)]
)
def test_block_form_is_its_definition(m, n, block_size):
    S = BlockSRHT(m, n, block_size=block_size, rng=5)
    E = reference.block_srht(S, n)
    A = np.random.default_rng(6).standard_normal((n, 3))
    np.testing.assert_allclose(S @ A, E @ A, rtol=0, atol=1e-12)
    np.testing.assert_allclose(S.toarray(), E, rtol=0, atol=1e-15)
    counts = np.bincount(S._draw.q, minlength=S.block_size)
    assert counts.max() - counts.min() <= 1  # rows of H_B in turn, so m > B is no loss


def test_block_form_goes_on_for_ever():
    m, rng = 30, np.random.default_rng(7)
    S, total, first = BlockSRHT(m, block_size=64, rng=8), np.zeros((m, 2)), 0
    A = rng.standard_normal((1000, 2))
    for chunk in np.array_split(A, 6):
        total += S.columns(first, first + len(chunk)) @ chunk
        first += len(chunk)
    np.testing.assert_allclose(total, S @ A, rtol=0, atol=1e-12)
    np.testing.assert_allclose(total, BlockSRHT(m, 1000, block_size=64, rng=8) @ A, atol=1e-12)
    far = S.columns(10**15, 10**15 + 5)
    np.testing.assert_allclose(
        far.T @ (far @ np.eye(5)), far.toarray().T @ far.toarray(), atol=1e-14
    )
    assert S.shape == (m, 2**62)
    assert "n=None" in repr(S)
    with pytest.raises(ValueError, match=r"use S\.columns\(first, last\)\.T"):
        S.T @ np.ones(m)
    with pytest.raises(ValueError, match="A must have at least one row"):
        S @ np.empty((0, 3))


def test_default_block_sizes():
    assert BlockSRHT(10).block_size == 512
    assert BlockSRHT(600).block_size == 1024
    assert BlockSRHT(10**5).block_size == 4096
    assert BlockSRHT(10, 100).block_size == 128


def test_draw_has_no_writable_array():
    arrays = [x for x in SRHT(20, 100, rng=0)._draw if isinstance(x, np.ndarray)]
    assert len(arrays) == sum(kind is np.ndarray for kind in Draw.__annotations__.values())
    assert not any(x.flags.writeable for x in arrays)


@claim(
    null="m different numbers below n are drawn uniformly",
    test="chi-square over the numbers, few (rejection) and many (permutation)",
    replicates=1500,
)
def test_samples_are_uniform(trial):
    for m in (5, 13):
        keys = trial.rng().integers(2**64, size=trial.replicates, dtype=np.uint64)
        draws = np.array([sample_without_replacement(key, 16, m) for key in keys])
        assert all(len(set(draw)) == m for draw in draws)
        # Each is drawn with probability m/16; drawing without replacement narrows the spread.
        counts = np.bincount(draws.ravel(), minlength=16) / np.sqrt(1 - (m - 1) / 15)
        expected = np.full(16, counts.mean())
        trial.assert_pvalue(chi_square_pvalue(counts, expected), share=0.5)


def test_signs_are_the_bits_of_the_kernels():
    key = hashes(np.uint64(7), 3)[2]
    expected = [reference.bit_sign(key, k) for k in range(150)]
    np.testing.assert_array_equal(random_signs(key, 150), expected)


# The transform ------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, derandomize=True)
@example(bits=6, before=2, after=1, single=False, seed=0)  # one vector without a stage across rows
@given(
    bits=st.integers(0, 12), before=st.integers(1, 3), after=st.integers(1, 70),
    single=st.booleans(), seed=st.integers(0, 2**32),
)  # fmt: skip
def test_fwht_is_the_hadamard_matrix(bits, before, after, single, seed):
    n = 1 << bits
    after = 1 if after > 35 else after
    X = np.random.default_rng(seed).standard_normal((before, n, after))
    X = X.astype(np.float32 if single else np.float64)
    expected = np.einsum("ij,ajb->aib", hadamard(n), X.astype(float))
    tolerance = (3e-6 if single else 1e-14) * n
    for Y, axis in ((X, 1), (np.asfortranarray(X), -2), (X[:, ::-1][:, ::-1], 1)):
        got = fwht(Y, axis=axis)
        assert got.dtype == X.dtype
        assert got.flags.f_contiguous or not Y.flags.f_contiguous
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)
    np.testing.assert_allclose(
        fwht(X.transpose(0, 2, 1), axis=2), expected.transpose(0, 2, 1), rtol=0, atol=tolerance
    )
    vectors = np.ascontiguousarray(X.transpose(0, 2, 1))
    np.testing.assert_allclose(
        fwht(vectors, axis=2), expected.transpose(0, 2, 1), rtol=0, atol=tolerance
    )


@pytest.mark.parametrize(("shape", "axis"), [((1 << 19,), 0), ((1 << 14, 3), 0), ((2, 1 << 17), 1)])
def test_fwht_twice_is_n(shape, axis):
    X = np.random.default_rng(9).standard_normal(shape)
    n = shape[axis]
    Y = fwht(X, axis=axis)
    np.testing.assert_allclose(fwht(Y, axis=axis), n * X, rtol=0, atol=1e-12 * n)
    assert np.linalg.norm(Y) == pytest.approx(np.sqrt(n) * np.linalg.norm(X), rel=1e-12)
    position = [0] * X.ndim
    position[axis] = n // 2 + 3  # one column of H
    unit = np.zeros(shape)
    unit[tuple(position)] = 1.0
    column = np.moveaxis(fwht(unit, axis=axis), axis, 0).reshape(n, -1)[:, 0]
    rows = np.arange(0, n, 4097)
    np.testing.assert_array_equal(column[rows], [reference.parity(r & (n // 2 + 3)) for r in rows])


def test_fwht_refuses():
    with pytest.raises(ValueError, match="X must be at least 1-D"):
        fwht(3.0)
    with pytest.raises(ValueError, match="got 6"):
        fwht(np.ones(6))
    with pytest.raises(ValueError, match="X must be finite, got inf"):
        fwht([1.0, np.inf])
    with pytest.raises(ValueError, match="X must be scaled down: its transform overflows float64"):
        fwht([1.7e308, 1.7e308])
    assert fwht(np.ones((4, 0))).shape == (4, 0)
    np.testing.assert_array_equal(fwht([1.7e308, 0.0]), [1.7e308, 1.7e308])
