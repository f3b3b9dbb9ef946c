"""
A matrix larger than memory
===========================

This is a regression whose matrix is four times as large as the memory that the two workers may use
together. The matrix is in an ``.npy`` file. Each task maps the rows that it needs and returns a
small result. The calls are the same as for NumPy arrays.

Run it as a script, because the workers are separate processes that import it again::

    python memory_map.py
"""

import tempfile
import time
from pathlib import Path

import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster

import randla

LIMIT = 400 * 2**20  # bytes for each worker; importing NumPy, SciPy, Numba and Dask takes half
N_WORKERS, D, CHUNK = 2, 24, 1 << 17
N = -(-4 * N_WORKERS * LIMIT // (8 * D * CHUNK)) * CHUNK  # rows of four times the memory


def write_rows(path):
    """Columns of a random walk and noise; the last column is the right-hand side."""
    rng = np.random.default_rng(0)
    file = np.lib.format.open_memmap(path, "w+", np.float64, (N, D))
    for i in range(0, N, CHUNK):
        block = rng.standard_normal((CHUNK, D), dtype=np.float32)
        block[:, 1] += np.linspace(0, 3, CHUNK)
        block[:, -1] += block[:, :3] @ np.float32([1.0, -2.0, 0.5])
        file[i : i + CHUNK] = block


def read_rows(path):
    """The file as a Dask array in blocks of rows; nothing is read yet."""
    chunks = da.core.normalize_chunks((CHUNK, D), (N, D))
    return da.map_blocks(read_block, str(path), chunks=chunks, dtype=float, meta=np.empty((0, 0)))


def read_block(path, block_info=None):
    first, last = block_info[None]["array-location"][0]
    return np.load(path, mmap_mode="r")[first:last]


def peak_memory():
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(
            n_workers=N_WORKERS, threads_per_worker=1, memory_limit=LIMIT, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        path = Path(folder) / "rows.npy"
        write_rows(path)
        size, limit = path.stat().st_size, N_WORKERS * LIMIT
        assert size >= 4 * limit
        print(f"{N} x {D} numbers, {size / 2**20:.0f} MiB, for {limit / 2**20:.0f} MiB of memory")

        rows = read_rows(path)
        A, b = rows[:, :-1], rows[:, -1]
        start = time.perf_counter()
        quick = randla.lstsq(A, b, sketch_size=1000, rng=0)
        print(f"one sketch, {quick.n_passes} pass: {time.perf_counter() - start:.1f} s")
        start = time.perf_counter()
        exact = randla.lstsq(A, b)
        print(f"full precision, {exact.n_passes} passes: {time.perf_counter() - start:.1f} s")
        print("   estimate  std. error       exact")
        for j in range(4):
            print(f"{quick.x[j]:11.5f} {quick.standard_error[j]:11.5f} {exact.x[j]:11.5f}")
        apart = np.abs(quick.x - exact.x) / quick.standard_error
        assert apart.max() < 5.0

        try:
            peaks = client.run(peak_memory).values()
        except ModuleNotFoundError:
            return
        print(f"peak memory of a worker: {max(peaks) / 2**20:.0f} of {LIMIT / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()

# sphinx_gallery_thumbnail_path = "_drawn/dask.svg"
