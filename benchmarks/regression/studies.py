"""Coverage of the intervals of `inference`, for `python -m benchmarks.calibration`."""

from benchmarks.regression import (
    inference_clusters,
    inference_least_squares,
    inference_norms,
    inference_quantiles,
    inference_resampling,
)


def studies():
    yield from inference_least_squares.studies()
    yield from inference_quantiles.studies()
    yield from inference_norms.studies()
    yield from inference_clusters.studies()
    yield from inference_resampling.studies()
