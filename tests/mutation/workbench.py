"""A copy of the package in a work folder, where one file at a time is changed and tested.

The folder holds the copy (``tree``), the compiled kernels of the unchanged package (``warm``), and
what its tests use and how long they take (``baseline.json``). For a mutant, the kernels of the
changed module and of all modules that import it are left out of the cache; the others need not
be compiled again. Tests run in forks of one process that has imported Numba and SciPy.

The limits are in CPU time of one test, so that a busy machine makes no mutant look like a hang.
"""

import ast
import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import numba
import pytest
import scipy.linalg
import scipy.optimize
import scipy.sparse.linalg
import scipy.special
import scipy.stats  # noqa: F401  what forks need not import again

from tests.mutation.mutants import FAMILIES, ROOT, kernel_files, mutate

LONGEST_COMPILATION = 40.0  # CPU seconds
MEMORY = 8 << 30  # bytes of address space; what a mutant may ask for by mistake
LAST_FILES = ["tests/test_conformance.py"]


class Workbench:
    """Runs tests against the unchanged package, or with one file changed."""

    def __init__(self, folder):
        self.tree, self.warm, self.cache = folder / "tree", folder / "warm", folder / "cache"
        self.log, self.found = folder / "log", folder / "found.json"
        self.baseline_path = folder / "baseline.json"
        if not self.tree.exists():
            ignore = shutil.ignore_patterns("__pycache__", "*.nb[ci]")
            for name in ("randla", "tests", "benchmarks"):
                shutil.copytree(ROOT / name, self.tree / name, ignore=ignore)
            shutil.copy(ROOT / "setup.cfg", self.tree)
        self.baseline = {}
        if self.baseline_path.exists():
            self.baseline = json.loads(self.baseline_path.read_text())
        os.environ["NUMBA_CACHE_DIR"] = str(self.cache)
        numba.core.config.reload_config()
        numba.njit(lambda: 0)()  # starts the compiler, once for all forks

    def measure_baseline(self, files):
        """Run the test files once, unchanged: warm the cache, note times, kernels and failures."""
        todo = [file for file in files if file not in self.baseline]
        if todo and self.warm.exists():
            shutil.rmtree(self.cache, ignore_errors=True)
            shutil.copytree(self.warm, self.cache, copy_function=os.link)
        for file in todo:
            status = self._run([file], {}, stop=False)
            if os.waitstatus_to_exitcode(status) not in (0, 1, 5):  # 5: all skipped
                raise RuntimeError(f"{file} does not pass unchanged, see {self.log}")
            self.baseline[file] = json.loads(self.found.read_text())
            print(f"{file}: {sum(self.baseline[file]['seconds'].values()):.0f} s", flush=True)
            self.baseline_path.write_text(json.dumps(self.baseline, indent=1))
        if todo:
            shutil.rmtree(self.warm, ignore_errors=True)
            shutil.copytree(self.cache, self.warm, copy_function=os.link)

    def files_that_use(self, mutant):
        """Test files whose tests ran the function of a mutant; without any, those of its family."""
        name = f"{mutant['file']}:{mutant['function'].split('.')[0]}"
        using = [file for file, found in self.baseline.items() if name in found["kernels"]]
        return using or self.files_of_family(mutant["file"])

    def files_of_family(self, file):
        """Test files of the family of a file of the package; all of them for the ground floor."""
        family = Path(file).parts[1]
        return [test for test in self.baseline if family not in FAMILIES or family in test]

    def seconds(self, file):
        return sum(self.baseline[file]["seconds"].values())

    def test(self, mutant, stages):
        """Outcome, and the test that went red, of the stages (lists of tests) on a mutant."""
        path = self.tree / mutant["file"]
        shutil.rmtree(self.cache, ignore_errors=True)
        shutil.copytree(self.warm, self.cache, copy_function=os.link)
        for module in importers(self.tree, mutant["file"]):
            for compiled in self.cache.glob(f"*/{module}.*"):
                compiled.unlink()
        original, times = path.read_text(), path.stat()
        path.write_text(mutate(ROOT / mutant["file"], mutant["site"]))
        try:
            for tests in filter(None, stages):
                seconds = {}
                for found in self.baseline.values():
                    seconds |= found["seconds"]
                status = self._run(tests, seconds, stop=True)
                if status != 0:
                    return self._outcome(status)
        finally:
            path.write_text(original)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # so that its cache is valid
        return "survived", ""

    def _outcome(self, status):
        if os.WIFSIGNALED(status):
            how = "timeout" if os.WTERMSIG(status) == signal.SIGPROF else "caught"
            return how, self.found.read_text() if self.found.exists() else ""
        lines = self.log.read_text(errors="replace").splitlines()
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        return "caught", failed[0].split(" - ")[0].partition(" ")[2] if failed else lines[-1][:200]

    def _run(self, tests, seconds, stop):
        """Wait status of a fork that runs tests."""
        self.found.unlink(missing_ok=True)
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = self._in_fork(tests, seconds, stop)
            finally:
                os._exit(code)
        return os.waitpid(pid, 0)[1]

    def _in_fork(self, tests, seconds, stop):
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        for name in [n for n in sys.modules if n.split(".")[0] in ("tests", "randla")]:
            del sys.modules[name]
        os.chdir(self.tree)
        sys.path[0] = str(self.tree)
        sys.dont_write_bytecode = True
        options = ["-q", "-p", "no:cacheprovider", "--doctest-ignore-import-errors"]
        options += ["-x"] if stop else []
        failing = [t for found in self.baseline.values() for t in found["failed"]]
        options += [f"--deselect={test}" for test in failing]
        watch = _Watch(self.tree, self.found, seconds)
        code = pytest.main([*options, *tests], plugins=[watch])
        if not stop:
            watch.write_kernels()
        return int(code)


class _Watch:
    """Pytest plugin: a limit of CPU time on each test; what ran, and for how long."""

    def __init__(self, tree, found, seconds):
        self.tree, self.found, self.limits = tree, found, seconds
        self.seconds, self.failed = {}, []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.found.write_text(item.nodeid)
        limit = LONGEST_COMPILATION + 5.0 * self.limits.get(item.nodeid, 40.0)
        signal.setitimer(signal.ITIMER_PROF, limit)
        start = sum(os.times()[:2])
        outcome = yield
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        self.seconds[item.nodeid] = round(sum(os.times()[:2]) - start, 2)
        return outcome

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.append(report.nodeid)

    def write_kernels(self):
        kernels = sorted(compiled_functions(self.tree))
        record = {"seconds": self.seconds, "failed": self.failed, "kernels": kernels}
        self.found.write_text(json.dumps(record))


def compiled_functions(tree):
    """Names "file:function" of the kernels that this process has compiled or loaded."""
    from numba.core.dispatcher import Dispatcher

    def reach(function):
        code = function.__code__
        path = Path(code.co_filename)
        name = code.co_qualname.split(".")[0]
        if not path.is_relative_to(tree / "randla") or (path, name, code) in seen:
            return
        seen.add((path, name, code))
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        for value in [*(function.__globals__.get(n) for n in code.co_names), *cells]:
            if isinstance(value, Dispatcher):
                reach(value.py_func)

    seen = set()
    roots = []
    for name, module in list(sys.modules.items()):
        if name.startswith("randla"):
            roots += [v for v in vars(module).values() if isinstance(v, Dispatcher)]
    specialized = sys.modules.get("randla.smoothing._model.specialize")
    roots += specialized._kernels.values() if specialized else []
    for kernel in roots:
        if isinstance(kernel, Dispatcher) and kernel.signatures:
            reach(kernel.py_func)
    return {f"{path.relative_to(tree).as_posix()}:{name}" for path, name, _ in seen}


def importers(tree, file):
    """Last names of the module of a file and of all modules of kernels that import it."""
    imports = {}
    for path in kernel_files(tree):
        name = ".".join(path.relative_to(tree).with_suffix("").parts)
        nodes = ast.walk(ast.parse(path.read_text()))
        imports[name] = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    found = {".".join(Path(file).with_suffix("").parts)}
    while more := {name for name, used in imports.items() if used & found} - found:
        found |= more
    return {name.rpartition(".")[2] for name in found}
