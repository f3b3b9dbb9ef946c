"""Quadrature by Lanczos: moments of the measure, brackets of each z' log(M) z, invariant spaces."""

import numpy as np
import pytest

from randla._scaling import EPS
from randla.spectral._quadrature.lanczos import Lanczos, LogBracket

N = 60


class Given:
    """A matrix of known eigenvalues, rotated at random, with what `Lanczos` asks of it."""

    def __init__(self, eigenvalues, seed=0):
        rng = np.random.default_rng(seed)
        self.eigenvalues = np.asarray(eigenvalues, float)
        self.n, self.rounding = len(eigenvalues), 10.0 * EPS * max(eigenvalues)
        self.vectors = np.linalg.qr(rng.standard_normal((self.n, self.n)))[0]
        self.matrix = (self.vectors * self.eigenvalues) @ self.vectors.T
        self.Z = rng.choice([-1.0, 1.0], (5, self.n))
        self.smallest, self.least = np.inf, 1.0

    def times(self, X):
        return X @ self.matrix

    def require_above_least(self, eigenvalue):
        self.smallest = min(self.smallest, eigenvalue)

    def mean_of(self, f):
        """z' f(M) z / |z|^2 for each z."""
        return ((self.Z @ self.vectors) ** 2 @ f(self.eigenvalues)) / self.n


SPECTRA = {
    "narrow": np.linspace(1.0, 3.0, N),
    "geometric": np.geomspace(1.0, 1e4, N),
    "ill-conditioned": np.geomspace(1.0, 1e10, N),
    "many ones": np.r_[np.ones(N - 10), np.geomspace(1.1, 1e6, 10)],
    "decaying": 1.0 + 1e6 * np.exp(-np.arange(N)),
    "two values": np.repeat([1.0, 1e8], N // 2),
    "one value": np.full(N, 7.0),
    "ones": np.ones(N),
}


@pytest.mark.parametrize("n_steps", [1, 2, 5])
def test_rules_integrate_polynomials(n_steps):
    """Gauss of l nodes is exact to degree 2 l - 1, Radau of l + 1 nodes to degree 2 l."""
    M = Given(np.linspace(1.0, 3.0, N))
    lanczos = Lanczos(M, M.Z, n_steps)
    for _ in range(n_steps):
        lanczos.step()
    gauss, weights = lanczos.gauss()
    nodes, radau_weights, accurate, is_above = lanczos.radau(0.9)
    assert accurate.all()
    assert is_above.all()
    np.testing.assert_allclose(nodes.min(axis=1), 0.9, rtol=1e-12)
    for degree in range(2 * n_steps + 1):
        exact = M.mean_of(lambda x, degree=degree: x**degree)
        by_radau = (radau_weights * nodes**degree).sum(axis=1)
        np.testing.assert_allclose(by_radau, exact, rtol=1e-11)
        if degree < 2 * n_steps:
            np.testing.assert_allclose((weights * gauss**degree).sum(axis=1), exact, rtol=1e-11)


@pytest.mark.parametrize("name", SPECTRA)
def test_brackets_hold_for_each_vector_and_step(name):
    M = Given(SPECTRA[name])
    exact = M.mean_of(np.log)
    bracket = LogBracket(M, M.Z, N)
    before = np.full(len(M.Z), np.inf)
    for _ in range(N):
        bracket.step()
        bracket.update()
        rounding = 1e-11 * exact + M.rounding
        assert (bracket.upper >= exact - rounding).all()
        assert (bracket.lower <= exact + rounding).all()
        assert (bracket.upper - bracket.lower <= before + rounding).all()
        before = bracket.upper - bracket.lower
    assert (before <= 1e-10 * exact + M.rounding).all()  # after n steps nothing is unknown
    assert M.smallest >= 1.0 - M.rounding


def test_the_basis_is_orthogonal():
    M = Given(np.geomspace(1.0, 1e8, N))
    lanczos = Lanczos(M, M.Z, N)
    for _ in range(N):
        lanczos.step()
    for Q in lanczos._basis:
        np.testing.assert_allclose(Q @ Q.T, np.eye(N), atol=1e-12)


def test_a_vector_in_an_invariant_space_ends_alone():
    """After two steps nothing couples it to what is left, and the rules stay as they are."""
    M = Given(np.geomspace(1.0, 10.0, N))
    M.Z[0] = M.vectors[:, 3] + M.vectors[:, 40]
    bracket = LogBracket(M, M.Z, 6)
    for _ in range(6):
        bracket.step()
        bracket.update()
    expected = np.log(M.eigenvalues[[3, 40]]).mean()
    np.testing.assert_allclose([bracket.lower[0], bracket.upper[0]], expected, rtol=1e-11)
    assert (bracket.upper[1:] - bracket.lower[1:] > 1e-8).all()


def test_an_eigenvalue_below_the_node_leaves_no_radau_rule():
    """It is taken for rounding up to a hundred of them; what is left is the least value of log."""
    M = Given(np.r_[0.5, np.geomspace(1.0, 10.0, N - 1)])
    bracket = LogBracket(M, M.Z, N)
    for _ in range(30):
        bracket.step()
        bracket.update()
    np.testing.assert_allclose(bracket.lower, 0.0, atol=1e-12)
