"""Do brackets of singular values hold? Thousands of hostile matrices, on every route.

    python -m benchmarks.spectral.brackets          10,000 matrices up to 80 x 80
    python -m benchmarks.spectral.brackets 500 300  500 of them, up to 300 x 300

Prints each fault, and the relative widths of the brackets of values above 1e-4 of the first.
"""

import sys
import warnings

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator

from randla.spectral import svd
from randla.spectral._krylov import subspace


def main(n_matrices=10_000, largest=80):
    from tests.spectral import hostile

    widths, n_faults = {}, 0
    for seed in range(n_matrices):
        rng = np.random.default_rng(seed)
        kind, A, k = hostile.draw(rng, largest)
        center = bool(rng.random() < 0.3)
        form = str(rng.choice(["array", "sparse", "operator"], p=[0.6, 0.25, 0.15]))
        route = str(
            rng.choice(
                ["gram", "krylov"] if form == "operator" else ["lapack", "gram", "krylov", "krylov"]
            )
        )
        if form == "operator":  # whose entries nobody sees: they are scaled by their owner
            A = hostile.exact(A, False)[1]
            center = center and A.shape[0] >= A.shape[1]
        make = {"array": np.asarray, "sparse": sparse.csr_array, "operator": aslinearoperator}[form]
        goal = {"rtol": 10.0 ** -rng.integers(1, 9)} if rng.random() < 0.15 else {"k": k}
        subspace.choose_route = lambda *_, route=route: route
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = svd(
                make(A), center=center, tol=float(rng.choice([1e-2, 1e-3, 1e-5])), rng=seed, **goal
            )
        wrong = hostile.faults(result, A, center)
        n_faults += bool(wrong)
        if wrong:
            print(seed, kind, A.shape, A.dtype, k, route, form, "centered" * center, *wrong)
        if result.s[-1] > 1e-4 * result.s[0]:
            width = ((result.s_upper - result.s_lower) / result.s).max()
            widths.setdefault(f"{route}, {result.method}", []).append(width)
    print(n_faults, "faults in", n_matrices)
    for name, values in widths.items():
        median, most = np.quantile(values, (0.5, 0.95))
        print(f"{name}: {len(values)} matrices, width {median:.1e} (median), {most:.1e} (95%)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
