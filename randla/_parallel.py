"""The one way to use several cores: serial kernels on a small pool of Python threads.

A computation is cut into *parts* whose number and bounds depend only on the shape of the data. A
part calls serial kernels that release the GIL (or NumPy functions that do); it has its own memory
for the result, and the caller combines the results in the order of the parts. So the result is the
same, bit for bit, for any number of threads.

Why not ``numba.prange``: a fork after a parallel call kills the child, two Python threads in a
parallel kernel under the workqueue layer (the only one on some platforms) kill the process, and
OpenMP's threads spin at their barrier, which costs milliseconds on a shared machine. The overhead
of the pool is about 0.1 ms a call, so shorter work runs on the calling thread alone.

The calling thread works on the parts together with the pool. Between two of its parts it updates
the progress bar and Python checks for Ctrl-C; parts should therefore last at most half a second.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from typing import Any, TypeVar

import numba
import numba.np.ufunc.parallel as numba_threads
from threadpoolctl import ThreadpoolController

T = TypeVar("T")

#: Estimated work below which the pool is not worth its overhead, in seconds.
WORTH_THE_POOL = 1e-3
#: Operations of a triangular solve from which the threads of BLAS are worth waking.
_WORTH_BLAS_THREADS = 3e7
#: How long a call runs before the bar of its parts is shown, in seconds.
WORTH_A_BAR = 0.5
#: How long Ctrl-C waits for parts that run, in seconds.
_PATIENCE = 0.7

_local = threading.local()  # of each thread: depth of `single_thread`, bar of the block
_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_blas: ThreadpoolController | None = None
_blas_users = 0  # calls that hold BLAS at one thread now
_blas_limit: Any = None
_known_tasks: set[Any] = set()  # code of tasks that have run: their kernels are compiled


def thread_count() -> int:
    """Number of threads that `run_parts` may use when it is called from here.

    The value given to ``numba.set_num_threads``, else Numba's default (the number of cores, or
    ``NUMBA_NUM_THREADS``); one in a worker of a pool, whose owner already distributes the cores.
    """
    return 1 if getattr(_local, "serial", 0) or _in_worker() else _configured_threads()


def _configured_threads() -> int:
    # numba.get_num_threads() would start Numba's own threads; before they run nobody has set it.
    if getattr(numba_threads, "_is_initialized", False):
        return int(numba.get_num_threads())
    return int(getattr(numba.config, "NUMBA_NUM_THREADS", 1))  # set when Numba is imported


def _in_worker() -> bool:
    """Whether this thread or process belongs to a pool of other code."""
    if multiprocessing.parent_process() is not None:
        return True
    name = threading.current_thread().name
    return name.startswith(("ThreadPoolExecutor", "Dask-", "dask"))


@contextmanager
def single_thread() -> Iterator[None]:
    """Keep `run_parts` on the calling thread; for code that runs as one of several tasks."""
    _local.serial = getattr(_local, "serial", 0) + 1
    try:
        yield
    finally:
        _local.serial -= 1


def _get_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            workers = max(_configured_threads(), 2)
            _pool = ThreadPoolExecutor(workers, thread_name_prefix="randla")
        return _pool


def _after_fork_in_child() -> None:
    """A forked child has no threads: reset the pool, the locks and the BLAS limit."""
    global _lock, _pool, _blas_users, _blas_limit
    _lock, _pool, _blas_users, _blas_limit = threading.Lock(), None, 0, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit BLAS to one thread while parts call it (counted, so that calls may nest or overlap)."""
    global _blas, _blas_users, _blas_limit
    with _lock:
        if _blas is None:
            _blas = ThreadpoolController()  # looking up the libraries costs milliseconds: once
        _blas_users += 1
        if _blas_users == 1:
            _blas_limit = _blas.limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _blas_users -= 1
            if _blas_users == 0:
                _blas_limit.restore_original_limits()


def blas_threads(flops: float) -> AbstractContextManager[None]:
    """Keep BLAS at one thread for a small solve with several right-hand sides.

    OpenBLAS wakes its threads for any of them, even 5 x 5, and they then spin for 20 ms beside our
    own: HC3 errors of 10^5 x 10 took 1.5 times as long.
    """
    return single_threaded_blas() if flops < _WORTH_BLAS_THREADS else nullcontext()


def part_bounds(n: int, n_parts: int, multiple: int = 1) -> list[tuple[int, int]]:
    """Cut ``range(n)`` into `n_parts` nearly equal ranges whose inner bounds are multiples.

    >>> part_bounds(10, 3)
    [(0, 3), (3, 6), (6, 10)]
    >>> part_bounds(10, 2, multiple=4)
    [(0, 4), (4, 10)]
    """
    edges = [k * n // n_parts // multiple * multiple for k in range(n_parts)] + [n]
    return list(pairwise(edges))


class _Parts:
    """The parts that are not taken yet, shared by the threads of one call."""

    def __init__(self, task: Callable[[int], T], n_parts: int) -> None:
        self.task = task
        self.results: list[Any] = [None] * n_parts
        self.n_done = 0
        self._next = 0  # number of the next part
        self._lock = threading.Lock()
        self._stopped = False

    def take(self) -> int | None:
        with self._lock:
            if self._stopped or self._next == len(self.results):  # an error elsewhere, or none left
                return None
            self._next += 1
            return self._next - 1

    def stop(self) -> None:
        with self._lock:
            self._stopped = True

    def run_one(self) -> bool:
        """Run the next part; False if there was none."""
        k = self.take()
        if k is None:
            return False
        self.results[k] = self.task(k)  # outside the lock: parts run at the same time
        with self._lock:
            self.n_done += 1
        return True

    def help(self) -> None:
        """Run parts on a thread of the pool until there are none."""
        with single_thread():
            try:
                while self.run_one():
                    pass
            except BaseException:  # the others end after their current part
                self.stop()
                raise


def run_parts(
    task: Callable[[int], T], n_parts: int, *, seconds: float = float("inf"), blas: bool = False
) -> list[T]:
    """Return ``[task(0), ..., task(n_parts - 1)]``, computed on several threads.

    Parameters
    ----------
    task : callable
        Called with the index of a part. Must be safe to call from several threads at once.
    n_parts : int
        A function of the shape of the data, never of the number of threads.
    seconds : float
        Approximate time of the whole work; short work runs on the calling thread alone.
    blas : bool
        Whether parts call BLAS, which is then limited to one thread.

    Raises
    ------
    BaseException
        The first exception of a part, or KeyboardInterrupt. No part is then running any more,
        except possibly one whose kernel is being compiled; its results are discarded.
    """
    n_threads = min(thread_count(), n_parts) if seconds >= WORTH_THE_POOL else 1
    hold_blas = blas and seconds >= WORTH_THE_POOL  # for short work it costs more than it saves
    parts = _Parts(task, n_parts)
    with single_threaded_blas() if hold_blas else nullcontext():
        _work(parts, n_threads, _bar_of_parts(n_parts))
    return parts.results


def _bar_of_parts(n_parts: int) -> Callable[[int], None]:
    """Add parts to the bar of the block of this thread; nested parts are not shown."""
    bar = None if getattr(_local, "serial", 0) else getattr(_local, "bar", None)
    if bar is None:
        return lambda n_done: None
    before = bar.total  # parts of earlier passes of the block
    bar.total += n_parts  # the bar grows with each pass
    return lambda n_done: bar.update(before + n_done - bar.n)


def _work(parts: _Parts, n_threads: int, bar: Callable[[int], None]) -> None:
    helpers: list[Future[None]] = []
    interrupt: KeyboardInterrupt | None = None
    try:
        with single_thread():
            # Kernels are compiled by the calling thread, which Ctrl-C can stop.
            code = getattr(parts.task, "__code__", None)
            if n_threads > 1 and code not in _known_tasks and parts.run_one():
                _known_tasks.add(code)
                bar(parts.n_done)
            if n_threads > 1:
                pool = _get_pool()
                helpers = [pool.submit(parts.help) for _ in range(n_threads - 1)]
            while parts.run_one():  # between two parts Python checks for Ctrl-C
                bar(parts.n_done)
    except KeyboardInterrupt as error:
        interrupt = error
    finally:  # wait for running parts, as they write to our arrays
        parts.stop()
        started = [helper for helper in helpers if not helper.cancel()]
        while not all(helper.done() for helper in started):
            try:
                if interrupt is not None:  # a part that takes longer than this is being compiled
                    wait(started, timeout=_PATIENCE)
                    break
                wait(started)
            except KeyboardInterrupt as error:
                interrupt = error
    if interrupt is not None:
        raise interrupt
    for helper in started:
        helper.result()  # raises the error of a part
    bar(parts.n_done)


@contextmanager
def progress_bar(
    total: int, show: bool, description: str, *, counts_parts: bool = False
) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes the number of finished steps and updates a bar if `show` is set.

    With `counts_parts` each `run_parts` of this thread in the block updates the bar instead; it is
    not shown for short work.
    """
    if not show:  # the bar of an enclosing block is not changed
        yield lambda n_done: None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress=True needs tqdm: pip install 'randla[progress]'") from None
    outer, delay = getattr(_local, "bar", None), WORTH_A_BAR if counts_parts else 0.0
    with tqdm(total=total, desc=description, file=sys.stderr, delay=delay) as bar:
        _local.bar = bar if counts_parts else None
        try:
            yield lambda n_done: bar.update(n_done - bar.n)
        finally:
            _local.bar = outer


def showing_progress(description: str, show: bool) -> AbstractContextManager[Any]:
    """Show one bar of all parts that this thread runs in the block, if `show` is set."""
    if not show or shown_progress():
        return nullcontext()
    return progress_bar(0, True, description, counts_parts=True)


def shown_progress() -> bool:
    """Whether this thread is in a block of `showing_progress`."""
    return getattr(_local, "bar", None) is not None


def map_on_executor(
    executor: Executor,
    task: Callable[..., T],
    arguments: list[tuple[Any, ...]],
    *,
    progress: bool = False,
    description: str = "randla",
) -> list[T]:
    """Return ``[task(*a) for a in arguments]``, one task each, on one thread per task.

    If the executor uses processes, `task` and the arguments must be picklable.
    """
    futures = [executor.submit(_call_alone, task, a) for a in arguments]
    results = []
    try:
        with progress_bar(len(futures), progress, description) as bar:
            for k, future in enumerate(futures):
                results.append(future.result())
                bar(k + 1)
    finally:
        for future in futures[len(results) :]:  # after an error: tasks that have not begun
            future.cancel()
    return results


def _call_alone(task: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    with single_thread():
        return task(*arguments)
