"""Coverage of the intervals of the spectral family, for `python -m benchmarks.calibration`."""

from benchmarks.spectral import logdet_studies


def studies():
    yield from logdet_studies.studies()
