"""The pool: results, exceptions, Ctrl-C, nesting, fork, the BLAS limit, progress, executors."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from randla import _parallel


@pytest.fixture
def four_threads(monkeypatch):
    monkeypatch.setattr(_parallel, "_configured_threads", lambda: 4)


def test_results_are_in_order(four_threads):
    def task(k):
        time.sleep(0.001 * (k % 3))
        return k * k

    assert _parallel.run_parts(task, 20) == [k * k for k in range(20)]
    assert _parallel.run_parts(task, 0) == []
    assert _parallel.run_parts(task, 1) == [0]


def test_several_threads_take_part(four_threads):
    gate = threading.Barrier(3)  # passes only if three parts run at the same time

    def task(k):
        return k == 0 or gate.wait(timeout=20) >= 0

    assert _parallel.run_parts(task, 4) == [True] * 4


def test_the_first_part_of_a_task_is_compiled_by_the_calling_thread(four_threads):
    ran_on, alone = [], threading.Event()

    def task(k):
        ran_on.append(threading.get_ident())
        if k == 0:
            assert not alone.wait(0.05)  # nobody else takes a part
        else:
            alone.set()

    _parallel.run_parts(task, 40)
    assert ran_on[0] == threading.get_ident()


def test_ctrl_c_does_not_wait_for_a_kernel_that_is_being_compiled(four_threads):
    started, gate = threading.Event(), threading.Event()
    here = threading.get_ident()

    def task(k):
        if k == 0:
            return
        if threading.get_ident() == here:
            assert started.wait(20)
            signal.raise_signal(signal.SIGINT)
        started.set()
        assert gate.wait(20)

    with pytest.raises(KeyboardInterrupt):
        _parallel.run_parts(task, 3)
    gate.set()
    assert _parallel.run_parts(lambda k: k, 3) == [0, 1, 2]


def test_short_work_stays_on_the_calling_thread(four_threads):
    here = threading.get_ident()
    ran_on = _parallel.run_parts(lambda k: threading.get_ident(), 8, seconds=1e-5)
    assert set(ran_on) == {here}


def test_nested_calls_are_serial(four_threads):
    def outer(k):
        here = threading.get_ident()
        time.sleep(0.005)
        return set(_parallel.run_parts(lambda j: threading.get_ident(), 4)) == {here}

    assert all(_parallel.run_parts(outer, 4))


@pytest.mark.parametrize("bad_part", [0, 3, 7])
def test_exception_of_a_part_is_raised_and_nothing_runs_on(four_threads, bad_part):
    running = []

    def task(k):
        running.append(k)
        time.sleep(0.002)
        if k == bad_part:
            raise ZeroDivisionError(k)
        running.remove(k)

    with pytest.raises(ZeroDivisionError):
        _parallel.run_parts(task, 200)
    assert running == [bad_part]
    assert _parallel.run_parts(lambda k: k, 5) == list(range(5))  # the pool is sound


def test_callers_in_several_threads(four_threads):
    answers = []

    def caller(c):
        answers.append(_parallel.run_parts(lambda k: (time.sleep(0.001), c * k)[1], 10))

    threads = [threading.Thread(target=caller, args=(c,)) for c in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted([c * k for k in range(10)] for c in range(6))


def test_thread_count_follows_numba():
    code = """
        import numba
        from randla._parallel import thread_count, single_thread
        assert thread_count() == 3
        assert not numba.np.ufunc.parallel._is_initialized  # asking starts no threads
        numba.set_num_threads(2)
        assert thread_count() == 2
        with single_thread():
            assert thread_count() == 1
        assert thread_count() == 2
    """
    run_python(code, NUMBA_NUM_THREADS="3")


def test_one_thread_in_workers_of_a_pool():
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(_parallel.thread_count).result() == 1


def test_part_bounds():
    assert _parallel.part_bounds(7, 1) == [(0, 7)]
    bounds = _parallel.part_bounds(1000, 7, multiple=8)
    assert bounds[0][0] == 0
    assert bounds[-1][1] == 1000
    assert all(a[1] == b[0] for a, b in pairwise(bounds))
    assert all(low % 8 == 0 for low, _ in bounds)


def blas_threads():
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


def test_blas_is_held_at_one_thread_and_set_back(four_threads):
    np.ones((2, 2)) @ np.ones((2, 2))
    before = blas_threads()
    inside = _parallel.run_parts(lambda k: blas_threads(), 4, blas=True)
    assert all(threads == {1} for threads in inside)
    assert blas_threads() == before
    with _parallel.single_threaded_blas(), _parallel.single_threaded_blas():
        assert blas_threads() == {1}
    assert blas_threads() == before
    with pytest.raises(ZeroDivisionError):
        _parallel.run_parts(lambda k: 1 // 0, 4, blas=True)
    assert blas_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_after_use():
    run_python(
        """
        import os, warnings
        from randla import _parallel
        _parallel._configured_threads = lambda: 2
        assert _parallel.run_parts(lambda k: k, 9, blas=True) == list(range(9))
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads
        child = os.fork()
        if child == 0:
            ok = _parallel.run_parts(lambda k: k, 9, blas=True) == list(range(9))
            os._exit(0 if ok else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert _parallel.run_parts(lambda k: k, 9) == list(range(9))
        """
    )


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="needs signals")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_interrupt_stops_between_parts(n_threads):
    run_python(
        f"""
        import os, signal, threading, time
        from randla import _parallel
        _parallel._configured_threads = lambda: {n_threads}
        done = []
        def task(k):
            time.sleep(0.02)
            done.append(k)
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        start = time.perf_counter()
        try:
            _parallel.run_parts(task, 10_000)
        except KeyboardInterrupt:
            assert time.perf_counter() - start < 5.0
        else:
            raise AssertionError("not interrupted")
        n = len(done)
        time.sleep(0.2)
        assert len(done) == n, "a part was still running"
        assert _parallel.run_parts(lambda k: k, 3) == [0, 1, 2]
        """
    )


def test_one_bar_for_all_parts_of_a_block(four_threads, monkeypatch, capsys):
    pytest.importorskip("tqdm")
    with _parallel.showing_progress("passes", True):
        _parallel.run_parts(lambda k: None, 7)
    assert capsys.readouterr().err == ""  # too short
    monkeypatch.setattr(_parallel, "WORTH_A_BAR", 0.0)
    with _parallel.showing_progress("passes", True):
        with _parallel.showing_progress("more passes", True):
            _parallel.run_parts(lambda k: _parallel.run_parts(lambda j: None, 50), 7)
        _parallel.run_parts(lambda k: None, 4)
    shown = capsys.readouterr().err
    assert "passes: 100%" in shown
    assert "11/11" in shown
    assert "more passes" not in shown
    _parallel.run_parts(lambda k: None, 7)
    with _parallel.showing_progress("passes", False):
        _parallel.run_parts(lambda k: None, 7)
    assert capsys.readouterr().err == ""


def test_a_bar_of_steps_counts_no_parts(capsys):
    pytest.importorskip("tqdm")
    with _parallel.progress_bar(3, True, "steps") as tell:
        assert not _parallel.shown_progress()
        for k in range(3):
            _parallel.run_parts(lambda j: None, 5)
            tell(k + 1)
    assert "3/3" in capsys.readouterr().err


def test_progress_without_tqdm_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with (
        pytest.raises(ImportError, match=r"randla\[progress\]"),
        _parallel.showing_progress("parts", True),
    ):
        pass


def chain(a, b):
    return a * 10 + b, _parallel.thread_count()


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_map_on_executor(kind):
    import multiprocessing

    arguments = [(k, k + 1) for k in range(5)]
    expected = [k * 10 + k + 1 for k in range(5)]
    spawn = multiprocessing.get_context("spawn")
    executor = ThreadPoolExecutor(2) if kind == "threads" else ProcessPoolExecutor(2, spawn)
    with executor as pool:
        got = _parallel.map_on_executor(pool, chain, arguments)
    assert [value for value, _ in got] == expected
    assert {threads for _, threads in got} == {1}


def run_python(code, **environment):
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        check=True,
        timeout=120,
        env={**os.environ, **environment},
    )
