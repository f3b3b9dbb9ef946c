"""Maximum likelihood of structural models, beside statsmodels: time, and what each reaches."""

import math
import warnings

import numpy as np

from randla import datasets, maximum_likelihood, structural

#: Options here, and those of UnobservedComponents; q, the number of diffuse states.
MODELS = {
    "level": ({}, {"level": "llevel"}, 1),
    "trend": ({"level": "trend"}, {"level": "lltrend"}, 2),
    "level, ar": ({"ar": 1}, {"level": "llevel", "autoregressive": 1}, 1),
    "trend, season": ({"level": "trend", "seasonal": 12}, {"level": "lltrend", "seasonal": 12}, 13),
}


def series(name):
    """The Nile, or monthly CO2 where there is a season."""
    if name != "trend, season":
        return datasets.nile()
    from statsmodels.datasets import co2

    return co2.load_pandas().data.co2.resample("MS").mean().to_numpy()


class StructuralLikelihood:
    params, param_names = [list(MODELS)], ["model"]
    headline = ("trend, season",)

    def setup(self, model):
        self.y = series(model)
        self.options, self.peer_options, self.n_diffuse = MODELS[model]
        self.time_randla(model)

    def time_randla(self, model):
        return maximum_likelihood(structural(**self.options), self.y, method="exact")

    def time_peer_statsmodels(self, model):
        from statsmodels.tsa.api import UnobservedComponents

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it has not converged
            peer = UnobservedComponents(self.y, use_exact_diffuse=True, **self.peer_options)
            return peer.fit(disp=False)

    def track_error_log_likelihood(self, model):
        """What statsmodels' fit lacks of ours; negative if it is better."""
        ours = self.time_randla(model).log_likelihood
        other = self.time_peer_statsmodels(model).llf
        return float(np.round(ours - 0.5 * self.n_diffuse * math.log(2 * math.pi) - other, 6))
