"""Least squares from a file on a cluster of two processes, beside one plain pass over the file.

``python -m benchmarks out_of_core``; the file stays in the page cache, so that the ratios are those
of the work and not of a disk. ``track_`` methods report the peak memory of a worker beyond what it
had before, in chunks.
"""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from randla import lstsq

CHUNK_ROWS = 1 << 17


def read_rows(path, mapped):
    """The rows of an .npy file as a Dask array; a block is a view of the file, or a copy."""
    import dask.array as da

    shape = np.load(path, mmap_mode="r").shape
    chunks = da.core.normalize_chunks((CHUNK_ROWS, *shape[1:]), shape)
    return da.map_blocks(
        _block,
        chunks=chunks,
        path=path,
        mapped=mapped,
        dtype=float,
        meta=np.empty((0,) * len(shape)),
    )


def _block(path, mapped, block_info=None):
    first, last = block_info[None]["array-location"][0]
    rows = np.load(path, mmap_mode="r")[first:last]
    return np.asarray(rows) if mapped else np.array(rows)


def write_problem(folder, n, d):
    """Gaussian A and b in two files; return their paths."""
    rng, paths = np.random.default_rng(0), []
    for name, shape in (("A", (n, d)), ("b", (n,))):
        paths.append(os.path.join(folder, f"{name}.npy"))
        file = np.lib.format.open_memmap(paths[-1], "w+", float, shape)
        for i in range(0, n, CHUNK_ROWS):
            rng.standard_normal(out=file[i : i + CHUNK_ROWS])
    return paths


def _status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def _start_watching():
    """Forget the peak so far; return what is in use."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak():
    return _status("VmHWM")


class LeastSquares:
    params = ([(1 << 20, 8), (1 << 22, 32)], [2.0, 0.5])
    param_names = ("shape", "eps")
    headline = (1 << 22, 32), 2.0
    timeout = 600

    def setup(self, shape, eps):
        try:
            from dask.distributed import Client, LocalCluster
        except ImportError as error:
            raise NotImplementedError from error
        self.folder = tempfile.mkdtemp()
        paths = write_problem(self.folder, *shape)
        self.cluster = LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address=":0"
        )
        self.client = Client(self.cluster)
        self.A, self.b = (read_rows(path, mapped=True) for path in paths)
        self.copies = [read_rows(path, mapped=False) for path in paths]
        self.time_randla(shape, eps)

    def teardown(self, shape, eps):
        self.client.close()
        self.cluster.close()
        shutil.rmtree(self.folder)

    def time_randla(self, shape, eps):
        assert lstsq(self.A, self.b, eps=eps, rng=0).n_passes == 1

    def time_randla_full_precision(self, shape, eps):
        lstsq(self.A, self.b)

    def time_peer_dask_array_linalg_lstsq(self, shape, eps):
        import dask.array as da

        x, *_ = da.linalg.lstsq(self.A, self.b)
        x.compute()

    def time_compare_sum_of_squares(self, shape, eps):
        (self.A * self.A).sum().compute()

    def _chunks(self, call):
        before = self.client.run(_start_watching)
        call()
        after = self.client.run(_peak)
        chunk = 8.0 * CHUNK_ROWS * self.A.shape[1]
        return max(after[worker] - before[worker] for worker in before) / chunk

    def track_chunks_in_memory_one_sketch(self, shape, eps):
        return self._chunks(lambda: lstsq(*self.copies, eps=eps, rng=0))

    def track_chunks_in_memory_full_precision(self, shape, eps):
        return self._chunks(lambda: lstsq(*self.copies))

    def track_chunks_in_memory_sum_of_squares(self, shape, eps):
        return self._chunks(lambda: (self.copies[0] * self.copies[0]).sum().compute())
