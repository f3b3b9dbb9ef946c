"""Dask arrays in three chunkings on three schedulers, one of them a cluster of two processes."""

import numpy as np
import pytest

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")

N = 1200
#: Rows of the chunks: even, uneven with a chunk of one row, and all in one.
CHUNKS = {"even": 256, "uneven": (500, 1, 399, 300), "one": N}
SCHEDULERS = ("synchronous", "threads", "distributed")


@pytest.fixture(scope="session")
def client():
    """A client of a cluster of two processes with one thread each, which is nobody's default."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(params=SCHEDULERS)
def scheduler(request):
    """Run on one scheduler after the other; the first one fills the cache of compiled kernels."""
    chosen = request.param
    if chosen == "distributed":
        chosen = request.getfixturevalue("client")
    with dask.config.set(scheduler=chosen):
        yield request.param


@pytest.fixture(params=CHUNKS)
def rows(request):
    """The chunks of N rows."""
    return CHUNKS[request.param]


def cut(x, rows=256):
    """An array in memory as a Dask array with these chunks of rows."""
    x = np.asarray(x)
    return da.from_array(x, chunks=(rows,) + x.shape[1:])


def cut_sparse(x, rows=256):
    """The same with chunks that are CSR arrays."""
    from scipy.sparse import csr_array

    return cut(x, rows).map_blocks(csr_array, dtype=np.asarray(x).dtype)
