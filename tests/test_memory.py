"""Peak memory of most public functions beyond its input, against a bound.

`tracemalloc` does not see what kernels allocate, so the calls run in a process of their own, which
resets and reads the high-water mark of its resident memory (Linux only). It takes two minutes:

    pytest tests/test_memory.py --statistical=long -rP
"""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

MB = 1e6
SLACK = 24 * MB  # tiles of the threads, code that is loaded, BLAS, what the allocator keeps
N, D, SIZE = 200_000, 32, 8 * 200_000 * 32  # a tall matrix of 51 MB
VECTOR = 8 * N
CLOUD = 8 * 300_000 * 3
ROW = 8 * 600_000  # one number for each point of both clouds
PARTICLES, TIMES = 100_000, 40

# Call, and bytes beyond the input and the slack.
CALLS = {
    "SRHT": ("SRHT(500, N, rng=0) @ A", 0),
    "BlockSRHT": ("BlockSRHT(500, N, rng=0) @ A", 0),
    "GaussianSketch": ("GaussianSketch(60, N, rng=0) @ A", 0),
    "SparseSignSketch": ("SparseSignSketch(500, N, rng=0) @ A", 0),
    "CountSketch": ("CountSketch(500, N, rng=0) @ A", 0),
    "KroneckerSRHT": ("KroneckerSRHT(500, (k, k), rng=0) @ product", 0),
    "fwht": ("fwht(A[: 2**17])", SIZE),  # the result
    "lstsq": ("lstsq(A, b)", 4 * VECTOR),
    "lstsq, Fortran order": ("lstsq(fortran, b)", 4 * VECTOR),
    "lstsq, one sketch": ("lstsq(A, b, sketch_size=500, rng=0)", 4 * VECTOR),
    "lstsq, ridge and weights": ("lstsq(A, b, ridge=1.0, weights=w)", 6 * VECTOR),
    "lstsq, Kronecker product": ("lstsq(product, product_b, rng=0)", 8 * 8 * 250_000),
    "leverage_scores": ("leverage_scores(A)", 4 * VECTOR),
    "leverage_scores, sketch": ("leverage_scores(A, method='sketch', rng=0)", 4 * VECTOR),
    "lewis_weights": ("lewis_weights(A, 3.0)", 12 * VECTOR),
    "lp_sensitivities, bound": ("lp_sensitivities(A, 1, method='bound')", 8 * VECTOR),
    "lp_sensitivities, two rows": ("lp_sensitivities(A, 3, rows=[0, 1])", 3 * SIZE),
    "max_sensitivity": ("max_sensitivity(A, 3)", 3 * SIZE),
    "total_sensitivity": ("total_sensitivity(A, 3, n_draws=4, rng=0)", 3 * SIZE),
    "sample_rows": ("sample_rows(A, 500, p=1, rng=0)", 12 * VECTOR),
    "lp_regression, p = 1.5": ("lp_regression(A, b, 1.5)", 3 * SIZE),
    "lp_regression, quantile": ("lp_regression(A, b, tau=0.3, rng=0)", 20 * VECTOR),
    "lp_regression, sampled": (
        "lp_regression(A, b, 1, method='sample', size=2000, rng=0)", 2 * SIZE,
    ),
    "inference": ("fit.inference(A, b)", 4 * VECTOR),
    "inference, weights": ("fit.inference(A, b, weights=np.ones(N))", 6 * VECTOR),
    "inference, groups": ("fit.inference(A, b, groups=groups)", 8 * VECTOR + 16 * 1000 * D * D),
    "inference, quantile": ("median.inference(A, b)", 40 * VECTOR),
    "inference, quantile, groups": ("median.inference(A, b, groups=groups)", 40 * VECTOR),
    "inference, quantile, rank": ("median.inference(A, b, kind='rank')", 2 * SIZE),
    "inference, quantile, bootstrap": (
        "median.inference(A, b, kind='bootstrap', n_replicates=20, rng=0)", 2 * SIZE,
    ),
    "svd": ("svd(A, 5)", 20 * VECTOR),
    "svd, centered": ("svd(A, 5, center=True)", 20 * VECTOR),
    "svd, sparse": ("svd(sparse_rows, 5, rng=0)", 20 * VECTOR + 8 * 420 * 1000),
    "eigh, sparse": ("eigh(path, 4, rng=0)", 600 * VECTOR // 10),
    "spectral_norm": ("spectral_norm(A)", 0),
    "pivoted_cholesky": (
        "pivoted_cholesky(X, 20, kernel='gaussian', rng=0)", (20 + 8) * 8 * 300_000,
    ),
    "trace": ("trace(operator, 40, rng=0)", 6 * 20 * VECTOR),
    "trace, hutchinson": ("trace(operator, 200, method='hutchinson', rng=0)", 6 * 64 * VECTOR),
    "diagonal": ("diagonal(operator, 40, symmetric=True, method='xdiag', rng=0)", 7 * 20 * VECTOR),
    "logdet": ("logdet(operator, lower=1.0, n_products=40, rng=0)", 6 * (8 + 6) * VECTOR),
    "wasserstein_1d": ("wasserstein_1d(X[:, 0], Y[:, 0])", 2 * CLOUD),
    "sliced_wasserstein": (
        "sliced_wasserstein(X, Y, n_projections=30, rng=0)", 2 * CLOUD + 12 * ROW,
    ),
    "sliced_wasserstein, weights": (
        "sliced_wasserstein(X, Y, u, v, n_projections=30, rng=0)", 2 * CLOUD + 20 * ROW,
    ),
    "sliced_wasserstein_gradient": (
        "sliced_wasserstein_gradient(X, Y, n_projections=30, rng=0)", 6 * CLOUD + 28 * ROW,
    ),
    "sliced_wasserstein_matrix": (
        "sliced_wasserstein_matrix([X, Y], n_projections=30, rng=0)", 16 * MB + 4 * CLOUD,
    ),
    "sliced_wasserstein_flow": (
        "sliced_wasserstein_flow(X, Y, n_steps=2, rng=0)", 9 * CLOUD + 28 * ROW,
    ),
    "sliced_wasserstein_barycenter": (
        "sliced_wasserstein_barycenter([X, Y], n_steps=2, rng=0)",  # three clouds, with its own
        10 * CLOUD + 42 * ROW,
    ),
    "sliced_wasserstein_sphere": (
        "sliced_wasserstein_sphere(S, n_projections=30, rng=0)", CLOUD + 12 * ROW,
    ),
    "sliced_wasserstein_sphere, two clouds": (
        "sliced_wasserstein_sphere(S, S[:-1], n_projections=30, rng=0)", CLOUD + 12 * ROW,
    ),
    "expected_sliced_plan": (
        "expected_sliced_plan(X, Y, n_projections=30, rng=0)", 25 * CLOUD + 28 * ROW,
    ),
    "max_sliced_wasserstein": ("max_sliced_wasserstein(X, Y, rng=0)", 8 * CLOUD + 20 * ROW),
    "particle_filter": (
        "particle_filter(model, y, n_particles=P, rng=0)", (12 * 8 + 21 * 4 + 20) * PARTICLES,
    ),
    "particle_filter, no errors": (
        "particle_filter(model, y, n_particles=P, n_lags=0, rng=0)", 12 * 8 * PARTICLES,
    ),
    "paris": ("paris(model, y, 'state', n_particles=P, n_chains=2, rng=0)", 40 * 8 * PARTICLES),
    "ffbs": (
        "ffbs(model, y, 'state', n_particles=P, n_paths=P, n_chains=1, rng=0)",
        TIMES * 2 * PARTICLES * 20,
    ),
    "ppg": (
        "ppg(model, y, 'state', n_particles=P, n_iterations=2, n_chains=1, rng=0)",
        TIMES * PARTICLES * 12 + 40 * 8 * PARTICLES,
    ),
    "particle_gibbs": (
        "particle_gibbs(model, y, n_particles=P, n_iterations=2, n_chains=1, rng=0)",
        TIMES * PARTICLES * 20,
    ),
    "maximum_likelihood": (
        "maximum_likelihood(model, y, n_particles=P // 10, n_steps=2, n_final=2, n_chains=2,"
        " rng=0)",
        2 * TIMES * PARTICLES // 10 * 20,
    ),
    "kalman_smoother": ("kalman_smoother(gaussian, long)", 8 * 20_000 * 20),
    "hmm_smoother": ("hmm_smoother(chain, symbols)", 8 * 20_000 * 3 * 8),
}  # fmt: skip

CODE = """
    import ctypes, json, os, sys, warnings
    import numpy as np
    from randla import *
    from scipy.sparse import diags_array, random_array
    from scipy.sparse.linalg import aslinearoperator

    warnings.simplefilter("ignore")
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: None)

    def high_water():
        with open("/proc/self/status") as file:
            return 1024 * next(int(s.split()[1]) for s in file if s.startswith("VmHWM"))

    def reset():
        give_back(0)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")

    def data(N, cloud, P, times, n_long):
        rng = np.random.default_rng(0)
        A = rng.standard_normal((N, {D}))
        model = StochasticVolatility(0.9, 0.3, 0.6)
        gaussian = LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0)
        chain = DiscreteHMM([0.5, 0.3, 0.2], np.full((3, 3), 1 / 3), np.full((3, 3), 1 / 3))
        k = max(int(N**0.5) + 53, 10)
        product = KroneckerProduct(rng.standard_normal((k, 6)), rng.standard_normal((k, 5)))
        b = rng.standard_normal(N)
        path = diags_array([-np.ones(N // 10 - 1), np.full(N // 10, 2.1), -np.ones(N // 10 - 1)],
                           offsets=[-1, 0, 1])
        return dict(
            path=path, operator=aslinearoperator(diags_array(1.0 + rng.random(N)).tocsr()),
            sparse_rows=random_array((N, 1000), density=2e-3, rng=rng, format="csr"),
            fit=lstsq(A, b), median=lp_regression(A, b, tau=0.5),
            N=N, k=k, A=A, b=b, w=rng.random(N), fortran=np.asfortranarray(A),
            X=rng.standard_normal((cloud, 3)), Y=rng.standard_normal((cloud, 3)) + 1.0,
            S=np.linalg.qr(rng.standard_normal((cloud, 3, 1)))[0][:, :, 0],  # on the sphere
            u=rng.random(cloud), v=rng.random(cloud), groups=rng.integers(0, 1000, N),
            P=P, model=model, y=model.simulate(times, rng=0)[1], gaussian=gaussian,
            long=gaussian.simulate(n_long, rng=0)[1], chain=chain,
            symbols=chain.simulate(n_long, rng=0)[1], product=product,
            product_b=rng.standard_normal(k * k),
        )

    small = data(2**17, 20_000, 1000, {TIMES}, 50)
    large = data({N}, 300_000, {PARTICLES}, {TIMES}, 20_000)
    for name, call in json.loads(sys.argv[1]).items():
        for scope in (small, large):
            reset()
            before = high_water()
            result = eval(call, globals(), scope)
            used = high_water() - before
            del result
        print(json.dumps([name, used]), flush=True)
"""


@pytest.fixture(scope="module")
def peaks(pytestconfig):
    """Name of each call -> bytes beyond what there was before."""
    if pytestconfig.getoption("--statistical") == "quick":
        pytest.skip("only with --statistical=long")
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs the high-water mark of Linux")
    code = textwrap.dedent(CODE).format(D=D, N=N, PARTICLES=PARTICLES, TIMES=TIMES)
    calls = {name: call for name, (call, _) in CALLS.items()}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(calls)],
        env={**os.environ, "MALLOC_ARENA_MAX": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(map(json.loads, done.stdout.splitlines()))


@pytest.mark.parametrize("name", CALLS)
def test_peak_memory(name, peaks):
    bound = CALLS[name][1] + SLACK
    print(f"{name}: {peaks[name] / MB:.0f} of {bound / MB:.0f} MB")
    assert peaks[name] <= bound
