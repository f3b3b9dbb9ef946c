"""The upper end of block Lanczos fails no more often than it says."""

import numpy as np
import pytest

from randla.spectral._krylov.block_krylov import BlockKrylov
from randla.spectral._krylov.lanczos_bound import lanczos_bound
from tests.statistical import claim

N = 60
_chebyshev = 0.5 + 0.5 * np.cos(np.pi * (np.arange(N - 1) + 0.5) / (N - 1))
SPECTRA = {
    "harmonic": 1.0 / np.arange(1, N + 1),
    "one above a crowd": np.append(1.0, 0.85 * _chebyshev),
}


@pytest.mark.parametrize(("name", "block"), [("harmonic", 1), ("one above a crowd", 2)])
@claim(
    null="the bound is below the largest eigenvalue with a probability of at most 5%",
    test="exact binomial, one-sided",
    replicates=200,
)
def test_the_bound_fails_no_more_often_than_it_says(name, block, trial):
    values = SPECTRA[name]

    def fails(rng):
        space = BlockKrylov(lambda X: values[:, None] * X, N, block, 4 * block, rng)
        bound = np.inf
        for _ in range(4):
            space.step()
            space.solve()
            bound = min(bound, lanczos_bound(
                space.mu, space.S, space.coupling, block=block, n=N,
                failure_probability=0.05, size=1.0, deflated=0.0,
            ))  # fmt: skip
        return bound < values[0]

    trial.assert_between([fails(rng) for rng in trial.rngs()], 0.0, 0.05)
