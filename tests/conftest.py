import os
import signal

import numba
import pytest
import scipy.linalg  # noqa: F401, loads its BLAS
from threadpoolctl import threadpool_info

from randla import _parallel
from tests.statistical import SUITE_FALSE_ALARM, make_trial

LONGEST_WITHOUT_COMPILER = 15.0  # CPU seconds
SLOW_PAGES = {"bring_your_model.rst", "smoothing.rst", "particles.rst"}  # which compile many models


def pytest_addoption(parser):
    parser.addoption(
        "--statistical",
        choices=("quick", "long"),
        default="quick",
        help="long: fresh seeds and ten times the replicates for every statistical claim",
    )


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "claim(claim): a statistical claim, see tests/statistical.py"
    )
    config.addinivalue_line(
        "markers", "slow: of about ten CPU seconds or more; CI runs these by themselves"
    )
    config.addinivalue_line(
        "markers", "compiled: of the compiler (messages, types, caches, memory of its code)"
    )
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in the background of a shell,
        signal.signal(signal.SIGINT, signal.default_int_handler)  # where tests of Ctrl-C would hang
    if n_workers := getattr(config.option, "numprocesses", None):  # of pytest-xdist, which share
        n_threads = max((os.cpu_count() or 1) // n_workers, 1)  # the cores: threads of OpenBLAS
        os.environ.setdefault("OPENBLAS_NUM_THREADS", str(n_threads))  # wait by spinning


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Without the compiler, skip what is made for compiled kernels: claims and long tests."""
    if not numba.config.DISABLE_JIT:
        return (yield)
    if item.get_closest_marker("claim"):
        pytest.skip("too many replicates without the compiler")
    if item.get_closest_marker("compiled"):
        pytest.skip("a test of the compiler")

    def stop(*_):
        pytest.skip("too long without the compiler")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LONGEST_WITHOUT_COMPILER)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.name in SLOW_PAGES:
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish(session):
    alarms = [
        marker.args[0].false_alarm
        for item in session.items
        if (marker := item.get_closest_marker("claim"))
    ]
    session.config.false_alarms = alarms
    getattr(session.config, "workeroutput", {})["false_alarms"] = alarms


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Each worker of pytest-xdist collects all tests, so that any one knows all claims."""
    node.config.false_alarms = getattr(node, "workeroutput", {}).get("false_alarms", [])


def pytest_terminal_summary(terminalreporter, config):
    kernels = sorted(
        f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
        for library in threadpool_info()
        if library["user_api"] == "blas"
    )
    terminalreporter.write_line(f"BLAS: {', '.join(kernels) or 'not known to threadpoolctl'}")
    alarms = getattr(config, "false_alarms", [])
    terminalreporter.write_line(
        f"{len(alarms)} statistical claims, false-alarm probability of the suite {sum(alarms):.1e} "
        f"(limit {SUITE_FALSE_ALARM:.0e})"
    )


@pytest.fixture
def trial(request):
    """The replicates and seeds of a test that is decorated with @claim."""
    return make_trial(request)


@pytest.fixture
def each_thread_count(monkeypatch):
    """Call a function with 1, 2 and 4 threads, however small the work is; return the results."""

    def call(function):
        results = []
        with monkeypatch.context() as patch:
            patch.setattr(_parallel, "WORTH_THE_POOL", 0.0)
            for n_threads in (1, 2, 4):
                patch.setattr(_parallel, "_configured_threads", lambda n=n_threads: n)
                results.append(function())
        return results

    return call


@pytest.fixture(autouse=True, scope="session")
def _pool_of_four():
    """Let the pool have four threads on any machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_parallel, "_configured_threads", lambda: 4)
        _parallel._get_pool()
