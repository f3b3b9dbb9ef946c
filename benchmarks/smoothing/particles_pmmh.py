"""PMMH by the library `particles`, in a process of its own (see `particles_server`).

Input and output are JSON: {"name", "y", "n_particles", "n_iterations", "n_chains"} to {"draws",
"seconds"}, draws (n_chains, n_iterations / 2, 3) of (atanh phi, log sigma, log r or log beta).
"""

import json
import sys
import time
from collections import OrderedDict


def main():
    import numpy as np
    from particles import distributions as d, mcmc, state_space_models as ssm

    class Walk(ssm.StateSpaceModel):
        def PX0(self):
            return d.Normal()

        def PX(self, t, xp):
            return d.Normal(loc=np.tanh(self.a) * xp, scale=np.exp(self.b))

        def PY(self, t, xp, x):
            return d.Normal(loc=x, scale=np.exp(self.c))

    class Volatility(Walk):
        def PX0(self):
            return d.Normal(scale=np.exp(self.b) * np.cosh(self.a))

        def PY(self, t, xp, x):
            return d.Normal(scale=np.exp(self.c + 0.5 * x))

    task = json.load(sys.stdin)
    laws = OrderedDict(a=d.Normal(loc=1.0), b=d.Normal(), c=d.Normal())
    chains, began = [], time.process_time()
    for _ in range(task["n_chains"]):
        pmmh = mcmc.PMMH(
            niter=task["n_iterations"],
            ssm_cls=Volatility if task["name"] == "volatility" else Walk,
            prior=d.StructDist(laws),
            data=np.array(task["y"]),
            Nx=task["n_particles"],
        )
        pmmh.run()
        kept = slice(task["n_iterations"] // 2, None)
        chains.append(np.stack([pmmh.chain.theta[k][kept] for k in "abc"], axis=1).tolist())
    json.dump({"draws": chains, "seconds": time.process_time() - began}, sys.stdout)


if __name__ == "__main__":
    main()
