"""Dask arrays in three chunkings on three schedulers, one of them a cluster of two processes."""

import pytest

N = 1200
#: Rows of the chunks: even, uneven with a chunk of one row, and all in one.
CHUNKS = {"even": 256, "uneven": (500, 1, 399, 300), "one": N}
SCHEDULERS = ("synchronous", "threads", "distributed")


@pytest.fixture(scope="session")
def client():
    """A client of a cluster of two processes with one thread each, which is nobody's default."""
    distributed = pytest.importorskip("distributed")
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
    dask = pytest.importorskip("dask")
    chosen = request.param
    if chosen == "distributed":
        chosen = request.getfixturevalue("client")
    with dask.config.set(scheduler=chosen):
        yield request.param


@pytest.fixture(params=CHUNKS)
def rows(request):
    """The chunks of N rows."""
    return CHUNKS[request.param]
