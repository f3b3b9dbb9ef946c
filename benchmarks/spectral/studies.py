"""Coverage of the intervals of the spectral family, for `python -m benchmarks.calibration`."""

from benchmarks.spectral import logdet_studies, svd_studies, trace_studies


def studies():
    yield from trace_studies.studies()
    yield from logdet_studies.studies()
    yield from svd_studies.studies()
