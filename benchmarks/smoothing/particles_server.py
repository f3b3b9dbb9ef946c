"""The peer library `particles` in a process of its own, since it needs an older NumPy.

Run by `Particles` in `peer.py` with the interpreter that RANDLA_PARTICLES_PYTHON names::

    python -m venv peer && peer/bin/pip install particles "numpy<2"
    RANDLA_PARTICLES_PYTHON=peer/bin/python python -m benchmarks smoothing

Each line of input is a task, a number of particles and how often to run it; the answer is an empty
line when it is done.
"""

import math
import sys


def main():
    import numpy as np
    import particles
    from particles import collectors, distributions, state_space_models as ssm

    class Walk(ssm.StateSpaceModel):
        def PX0(self):
            return distributions.Normal(scale=1.0)

        def PX(self, t, xp):
            return distributions.Normal(loc=0.9 * xp)

        def PY(self, t, xp, x):
            return distributions.Normal(loc=x)

        def upper_bound_log_pt(self, t):
            return -0.5 * math.log(2.0 * math.pi)

        def add_func(self, t, xp, x):
            return x

    y = np.array([float(word) for word in sys.stdin.readline().split()])
    problem = ssm.Bootstrap(ssm=Walk(), data=y)

    def smoothing(n, draw):
        run = particles.SMC(fk=problem, N=n, store_history=True)
        run.run()
        draw(run.hist)

    tasks = {
        "filter": lambda n: particles.SMC(fk=problem, N=n).run(),
        "paris": lambda n: particles.SMC(fk=problem, N=n, collect=[collectors.Paris()]).run(),
        "forward": lambda n: particles.SMC(
            fk=problem, N=n, collect=[collectors.Online_smooth_ON2()]
        ).run(),
        "ffbs_mcmc": lambda n: smoothing(n, lambda hist: hist.backward_sampling_mcmc(n)),
        "ffbs_reject": lambda n: smoothing(n, lambda hist: hist.backward_sampling_reject(n)),
        "ffbs_exact": lambda n: smoothing(n, lambda hist: hist.backward_sampling_ON2(n)),
    }
    for line in sys.stdin:
        task, n, times = line.split()
        for _ in range(int(times)):
            tasks[task](int(n))
        print(flush=True)


if __name__ == "__main__":
    main()
