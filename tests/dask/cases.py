"""Dask, without which the tests are skipped, and arrays cut into blocks of rows."""

import numpy as np
import pytest

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")

from tests.dask.conftest import N  # noqa: E402

__all__ = ["N", "cut", "cut_sparse", "da", "dask", "distributed"]


def cut(x, rows=256):
    """An array in memory as a Dask array with these chunks of rows."""
    x = np.asarray(x)
    return da.from_array(x, chunks=(rows,) + x.shape[1:])


def cut_sparse(x, rows=256):
    """The same with chunks that are CSR arrays."""
    from scipy.sparse import csr_array

    return cut(x, rows).map_blocks(csr_array, dtype=np.asarray(x).dtype)
