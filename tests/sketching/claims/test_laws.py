"""What the sketches promise as random matrices: unbiased, spread evenly, exact errors."""

import math

import numpy as np
import pytest
from scipy.stats import hypergeom, kstest, t as student

from randla import (
    SRHT,
    BlockSRHT,
    CountSketch,
    GaussianSketch,
    KroneckerSRHT,
    SparseSignSketch,
    lstsq,
    sketch_size,
)
from randla.datasets import aligned_pairs, collision_attack, stacked_identities
from tests.sketching import reference
from tests.sketching.test_operators import MAKERS
from tests.statistical import claim, normal_limit

KINDS = {
    "SRHT": lambda m, n, rng: SRHT(m, n, rng=rng),
    "BlockSRHT": lambda m, n, rng: BlockSRHT(m, n, block_size=8, rng=rng),
    "GaussianSketch": lambda m, n, rng: GaussianSketch(m, n, rng=rng),
    "SparseSignSketch": lambda m, n, rng: SparseSignSketch(m, n, nonzeros=4, rng=rng),
    "CountSketch": lambda m, n, rng: CountSketch(m, n, rng=rng),
    "KroneckerSRHT": lambda m, n, rng: KroneckerSRHT(m, (n // 6, 6), rng=rng),
}
DENSE = [k for k in KINDS if KINDS[k](8, 24, 0).has_linf_guarantee or k == "KroneckerSRHT"]
assert set(KINDS) == set(MAKERS), f"KINDS: {set(KINDS) ^ set(MAKERS)}"
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
@claim(null="E[S^T S] = I", test="z-tests of the entries, Bonferroni", replicates=1500)
def test_is_unbiased(trial, kind):
    m, n = 7, 18
    draws = [KINDS[kind](m, n, rng).toarray() for rng in trial.rngs()]
    products = np.einsum("rij,rik->rjk", draws, draws)
    rows, columns = np.triu_indices(n)
    trial.assert_mean(products[:, rows, columns], np.eye(n)[rows, columns], se_floor=1e-15)


@pytest.mark.parametrize("kind", DENSE)
@claim(
    null="m E[(g^T S^T S h - g^T h)^2] <= 3 |g|^2 |h|^2 for ten adversarial pairs (9 for products)",
    test="one-sided z-tests, Bonferroni",
    replicates=800,
)
def test_products_of_fixed_vectors_have_variance_of_order_one_over_m(trial, kind):
    m, n = 12, 48
    unit, ones, turns = (
        np.eye(n),
        np.ones(n) / np.sqrt(n),
        np.tile([1.0, -1.0], n // 2) / np.sqrt(n),
    )
    pair, block = (unit[0] + unit[1]) / np.sqrt(2), unit[:8].sum(0) / np.sqrt(8)
    pairs = [
        (unit[0], unit[0]), (unit[0], unit[1]), (unit[0], unit[n - 1]), (unit[0], unit[8]),
        (ones, ones), (ones, turns), (turns, turns), (pair, (unit[2] + unit[3]) / np.sqrt(2)),
        (pair, pair), (block, unit[8:16].sum(0) / np.sqrt(8)),
    ]  # fmt: skip
    G, H = (np.array(v).T for v in zip(*pairs, strict=True))
    errors = []
    for rng in trial.rngs():
        S = KINDS[kind](m, n, rng)
        errors.append(m * (((S @ G) * (S @ H)).sum(0) - (G * H).sum(0)) ** 2)
    errors = np.array(errors)
    limit = normal_limit(trial.claim.false_alarm, len(pairs))
    slack = limit * errors.std(0, ddof=1) / math.sqrt(len(errors))
    bound = 9.0 if kind == "KroneckerSRHT" else 3.0  # 3 for each factor
    assert (errors.mean(0) <= bound + slack).all()


# Least squares from a sketch: the laws of its coefficients ----------------------------------------


def problem(n, d, rng):
    """Columns of very different scale, heavy tails, three heavy rows."""
    A = rng.standard_t(3, (n, d)) * np.logspace(0, 3, d)
    A[:3] *= 20.0
    b = A @ np.ones(d) + rng.standard_t(3, n)
    return A, b


def errors_in_standard_errors(sketches, A, b):
    """(x'_j - x*_j) / se_j with the standard errors that the sketch itself gives."""
    d = A.shape[1]
    x, out = reference.solve(A, b), []
    for S in sketches:
        m, N = S.shape[0], S.population
        SA, Sb = S @ A, S @ b
        y = reference.solve(SA, Sb)
        residual = ((Sb - SA @ y) ** 2).sum() / (m - d)
        factor = 1.0 if N is None else (N - m) / (N - d - 1)
        R = np.linalg.inv(np.linalg.qr(SA, mode="r"))
        out.append((y - x) / np.sqrt(residual * factor * (R * R).sum(1)))
    return np.array(out)


@claim(
    null="errors over their standard errors are Student t with m - d degrees of freedom, exactly",
    test="Kolmogorov-Smirnov, one coordinate a draw",
    replicates=2000,
)
def test_gaussian_sketch_is_exact(trial):
    A, b = collision_attack(60, 4, 1)
    A = A + 0.1 * trial.rng().standard_normal((60, 4))
    z = errors_in_standard_errors((GaussianSketch(14, 60, rng=g) for g in trial.rngs()), A, b)
    trial.assert_pvalue(kstest(z[:, 2], student(10).cdf).pvalue)


def coverage_problem(name, n, d, rng):
    if name == "benign":
        return problem(n, d, rng)
    if name == "heavy residual":
        return collision_attack(n, d, 1)
    if name == "aligned pairs":
        return aligned_pairs(n, d)
    A, b = np.eye(n, d), np.zeros(n)
    b[-8:] = 1.0  # in another block than A
    return A, b


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize("name", ["benign", "heavy residual", "aligned pairs", "another block"])
@pytest.mark.parametrize("kind", ["SRHT", "padded SRHT", "BlockSRHT", "GaussianSketch"])
@claim(
    null="95% intervals cover: corrected for SRHT with the padded n, uncorrected for the others",
    test="z-test of the share of covered coordinates in each draw (independent units)",
    replicates=250,
)
def test_intervals_from_a_sketch_cover(trial, kind, name, share):
    n, d = {"padded SRHT": 800, "GaussianSketch": 256}.get(kind, 1024), 6
    m = int(share * (256 if kind == "GaussianSketch" else 1024))  # of entries that are all drawn
    A, b = coverage_problem(name, n, d, trial.rng())
    make = {
        "BlockSRHT": lambda g: BlockSRHT(m, n, block_size=512, rng=g),
        "GaussianSketch": lambda g: GaussianSketch(m, n, rng=g),
    }.get(kind, lambda g: SRHT(m, n, rng=g))
    z = errors_in_standard_errors((make(g) for g in trial.rngs()), A, b)
    covered = (np.abs(z) <= student(m - d).ppf(0.975)).mean(1)
    trial.assert_between(covered, 0.93, 1.0 if kind == "BlockSRHT" else 0.975)


@claim(
    null="sampling half of N rows without replacement halves the variance",
    test="z-test of the ratio to the formula without the correction",
    replicates=600,
)
def test_finite_population(trial):
    n, d, m = 256, 5, 128
    A, b = problem(n, d, trial.rng())
    x, r2 = reference.solve(A, b), None
    r2 = ((b - A @ x) ** 2).sum()
    variance = r2 / (m - d - 1) * np.diag(np.linalg.inv(A.T @ A))
    draws = [reference.solve(S @ A, S @ b) for S in (SRHT(m, n, rng=g) for g in trial.rngs())]
    ratio = (np.array(draws) - x) ** 2 / variance
    trial.assert_between(ratio.mean(1) / 4, 0.115, 0.14)  # (n - m)/(n - d) = 0.51, over 4


@claim(
    null="the residual of a sketch, scaled, estimates |r|^2 without bias",
    test="z-test of the mean",
    replicates=1500,
)
def test_residual_of_a_sketch_is_unbiased(trial):
    n, d, m = 256, 4, 60
    A, b = problem(n, d, trial.rng())
    r2 = ((b - A @ reference.solve(A, b)) ** 2).sum()
    for make in (
        lambda g: GaussianSketch(m, n, rng=g),
        lambda g: SRHT(m, n, rng=g),
    ):
        estimates = []
        for g in trial.rngs():
            S = make(g)
            SA, Sb = S @ A, S @ b
            rho2 = ((Sb - SA @ reference.solve(SA, Sb)) ** 2).sum()
            N = S.population
            factor = 1.0 if N is None else (N - d) / N
            estimates.append(rho2 * factor * m / (m - d) / r2)
        # The Haar model of the SRHT is accurate to about a per mille here.
        error = np.mean(estimates) - 1.0
        slack = (
            normal_limit(trial.claim.false_alarm / 2, 1) * np.std(estimates) / len(estimates) ** 0.5
        )
        assert abs(error) <= slack + (0.0 if S.population is None else 0.003)


# The paper's claim: thin sketches put the whole error into one coefficient ------------------------


def worst_coefficient(sketches, A, b):
    """Z = sqrt(m) |x' - x*|_inf / (|r| |A^+|) for each sketch, where the last two are 1."""
    x, out = reference.solve(A, b), []
    for S in sketches:
        z = np.abs(reference.solve(S @ A, S @ b) - x).max()
        out.append(math.sqrt(S.shape[0]) * z)
    return np.array(out)


def dense_bound(m, d):
    """Bound on nine draws of ten: Bonferroni over the coefficients."""
    return math.sqrt(2 * math.log(2 * d / 0.1) * m / (m - d - 1)) * 1.15


@pytest.mark.parametrize("kind", ["SRHT", "BlockSRHT", "GaussianSketch", "CountSketch"])
@claim(
    null="on [I; 0] with a residual on m/d rows dense sketches keep the l_inf bound, and "
    "CountSketch puts an error of sqrt(d) times its share into one coefficient",
    test="quantiles over draws; P(Bin(400, 0.64) < 200) < 1e-8 for the median",
    replicates=400,
)
def test_collisions(trial, kind):
    n, d, m = 640, 32, 512
    A, b = collision_attack(n, d, m // d)
    make = {
        "SRHT": lambda g: SRHT(m, n, rng=g),
        "BlockSRHT": lambda g: BlockSRHT(m, n, rng=g),
        "GaussianSketch": lambda g: GaussianSketch(m, n, rng=g),
        "CountSketch": lambda g: CountSketch(m, n, rng=g),
    }[kind]
    n_draws = trial.replicates if kind == "CountSketch" else trial.replicates // 8
    z = worst_coefficient((make(g) for g in trial.rngs(n_draws)), A, b)
    if kind == "CountSketch":
        assert np.median(z) > 0.9 * math.sqrt(d)
    else:
        assert np.quantile(z, 0.9) < dense_bound(m, d)


@claim(
    null="eight signs a column are too few for m = 64 d: one heavy row leaves 1/8 of itself in one "
    "coefficient of most draws",
    test="median over draws; P(Bin(200, 0.66) < 100) < 1e-5, P of the dense bound below 1e-8",
    replicates=200,
    false_alarm=2e-6,
)
def test_thin_sparse_signs(trial):
    n, d, m = 2176, 32, 2048
    A, b = collision_attack(n, d, 1)
    thin = worst_coefficient((SparseSignSketch(m, n, rng=g) for g in trial.rngs()), A, b)
    assert np.median(thin) > 0.9 * math.sqrt(m) / 8
    dense = worst_coefficient((SRHT(m, n, rng=g) for g in trial.rngs(40)), A, b)
    assert np.quantile(dense, 0.9) < dense_bound(m, d)


@claim(
    null="sampling rows by leverage breaks the bound where all leverages are equal",
    test="the 0.9 quantile is twice that of a dense sketch",
    replicates=80,
)
def test_leverage_sampling_has_no_such_bound(trial):
    n, d, m = 2048, 32, 512
    A, b = stacked_identities(n, d, n // m, rng=trial.rng())
    x, sampled = reference.solve(A, b), []
    for g in trial.rngs():
        rows = g.integers(0, n, m)  # all leverages are d/n
        y = reference.solve(A[rows], b[rows])
        sampled.append(math.sqrt(m) * np.abs(y - x).max())
    dense = worst_coefficient((SRHT(m, n, rng=g) for g in trial.rngs()), A, b)
    assert np.quantile(sampled, 0.9) > 2 * np.quantile(dense, 0.9)
    assert np.quantile(dense, 0.9) < dense_bound(m, d)


def test_countsketch_loses_rank():
    """[I; 0] needs m >> d^2: two of d rows share a bucket."""
    A, d = np.eye(1024, 64), 64
    ranks = [np.linalg.matrix_rank(CountSketch(512, 1024, rng=seed) @ A) for seed in range(30)]
    assert np.mean(np.array(ranks) < d) > 0.9
    assert np.linalg.matrix_rank(SparseSignSketch(512, 1024, rng=0) @ A) == d


@pytest.mark.parametrize("kind", ["SRHT", "GaussianSketch"])
@claim(
    null="with m from sketch_size the promise is broken in at most delta of the draws",
    test="one-sided z-test of the share of draws that keep it",
    replicates=300,
)
def test_size_keeps_its_promise(trial, kind):
    n, d, eps, delta = 1024, 8, 0.7, 0.2
    m = sketch_size(d, eps=eps, delta=delta, n=n if kind == "SRHT" else None)
    A, b = collision_attack(n, d, 5)
    z = worst_coefficient((KINDS[kind](m, n, g) for g in trial.rngs()), A, b)
    trial.assert_between(z / math.sqrt(m) <= eps / math.sqrt(d), 1 - delta, 1.0)


@claim(
    null="the coefficients from a Kronecker sketch have the Gaussian variance",
    test="z-test of the ratio, spiky and spread factors",
    replicates=300,
)
def test_kronecker_sketch_has_the_gaussian_variance(trial):
    n1, n2, m = 24, 20, 160
    rng = trial.rng()
    for A1, A2 in (
        (rng.standard_normal((n1, 3)), rng.standard_normal((n2, 2))),
        (np.eye(n1, 3), np.eye(n2, 2)),
    ):
        A, b = np.kron(A1, A2), rng.standard_t(3, n1 * n2)
        d = A.shape[1]
        x = reference.solve(A, b)
        variance = ((b - A @ x) ** 2).sum() / (m - d - 1) * np.diag(np.linalg.inv(A.T @ A))
        sketches = (KroneckerSRHT(m, (n1, n2), rng=g) for g in trial.rngs())
        draws = np.array([reference.solve(S @ A, S @ b) for S in sketches])
        ratio = ((draws - x) ** 2 / variance).mean(1)
        trial.assert_between(ratio / 8, 0.11, 0.15, share=0.5)  # 0.88 to 1.2, over 8


@pytest.mark.parametrize("m", [2, 4, 7, 30])
@claim(
    null="one column and one heavy row: 95% intervals cover as those of the mean of m signs do",
    test="z-test of the share that covers, against the exact law of that mean",
    replicates=800,
)
def test_small_srht_on_one_heavy_row(trial, m):
    # The documented limit of small sketches: x' is the mean of m of n signs, half of them positive.
    n = 1024
    mean = np.abs(2.0 * np.arange(m + 1) / m - 1.0)
    error = np.sqrt((1.0 - mean**2) * (n - m) / ((m - 1) * (n - 2)))
    inside = mean <= student(m - 1).isf(0.025) * error
    exact = hypergeom(n, n // 2, m).pmf(np.arange(m + 1)) @ inside
    A, b = collision_attack(n, 1, 1)
    results = (lstsq(A, b, sketch_size=m, rng=g) for g in trial.rngs())
    intervals = (result.confidence_interval() for result in results)
    covered = [bool(low[0] <= 0.0 <= high[0]) for low, high in intervals]
    trial.assert_between(covered, exact, exact, share=0.25)
