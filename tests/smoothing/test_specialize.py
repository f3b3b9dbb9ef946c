"""The cache of specialized kernels: found again by content, never stale, never confused."""

import os
import subprocess
import sys
import textwrap

import numba
import numpy as np
import pytest

from randla._jit import unsaved_kernel
from randla.smoothing._model import specialize as specialize_module
from randla.smoothing._model.content import UnhashableError, content_key
from randla.smoothing._model.specialize import specialize

pytestmark = pytest.mark.compiled

MODEL = """
import math
import numba
import numpy as np
import settings

SCALE = {scale}
TABLE = np.array([0.0, {entry}])
{comment}

@numba.njit
def deep(z):
    return {deep} * z

@numba.njit
def middle(z):
    return deep(z) * SCALE + settings.SHIFT + TABLE[1]

@numba.njit({option})
def density(x):
    return middle(x)

def make(c):
    @numba.njit
    def density(x):
        return c * x{long}
    return density
"""

RUN = """
import sys, time
sys.path.insert(0, {folder!r})
import numpy as np
import model
from randla.smoothing._model.specialize import specialize

def summing(density):
    def kernel(values):
        total = 0.0
        for i in range(values.size):
            total += density(values[i])
        return total
    return kernel

for constant in {constants!r}:
    function = model.density if constant is None else model.make(constant)
    kernel = specialize(summing, function)
    value = kernel(np.ones(10))
    print(value, sum(kernel.stats.cache_hits.values()))
"""


class Workshop:
    """A folder with a user's module, and processes that use it."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, scale=1.0, entry=0.0, comment="", deep=1.0, option="", long="", shift=0.0):
        text = MODEL.format(
            scale=scale, entry=entry, comment=comment, deep=deep, option=option, long=long
        )
        (self.folder / "model.py").write_text(text)
        (self.folder / "settings.py").write_text(f"SHIFT = {shift}\n")

    def run(self, *constants, program=RUN):
        (self.folder / "run.py").write_text(
            program.format(folder=str(self.folder), constants=constants or (None,))
        )
        environment = dict(
            os.environ,
            NUMBA_CACHE_DIR=str(self.folder / "cache"),
            PYTHONDONTWRITEBYTECODE="1",
            PYTHONHASHSEED=str(np.random.default_rng().integers(1000)),
            PYTHONPATH=os.pathsep.join(sys.path),
        )
        output = subprocess.run(
            [sys.executable, str(self.folder / "run.py")],
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        return [tuple(float(word) for word in line.split()) for line in output.splitlines()]


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path)


@pytest.mark.slow
def test_a_second_process_loads_and_a_changed_function_recompiles(workshop):
    steps = [
        ({}, (10.0, 0)),
        ({"comment": "\n# a comment, and blank lines\n"}, (10.0, 1)),
        ({"deep": 2.0, "entry": 0.5}, (25.0, 0)),
        ({"shift": 1.0}, (20.0, 0)),
        ({}, (10.0, 1)),
    ]
    for changes, expected in steps:
        workshop.write(**changes)
        assert workshop.run() == [expected], changes


@pytest.mark.slow
def test_two_cached_models_in_one_process_keep_their_own_code(workshop):
    # Long functions: short ones are inlined, which hides a confusion of names.
    long = "".join(f" + (math.exp(x) * math.tanh(x + {i}.0) if x > {i + 9}.0 else 0.0)"
                   for i in range(40))  # fmt: skip
    workshop.write(long=long)
    assert workshop.run(1.0) == [(10.0, 0)]
    assert workshop.run(5.0) == [(50.0, 0)]
    assert workshop.run(1.0, 5.0) == [(10.0, 1), (50.0, 1)]


@pytest.mark.slow
def test_a_damaged_file_is_compiled_again(workshop):
    """Cut off at the start, in the middle and near the end, one kernel for each."""
    workshop.write()
    constants = [float(k) for k in range(1, 7)]
    values = [10.0 * c for c in constants]
    assert workshop.run(*constants) == [(v, 0) for v in values]
    folder = workshop.folder / "cache"
    kernels = sorted({path.name.split("-")[0] for path in folder.rglob("*summing_*.nbi")})
    damages = [(ending, share) for ending in ("nbc", "nbi") for share in (0.0, 0.5, 0.9)]
    for kernel, (ending, share) in zip(kernels, damages, strict=True):
        paths = list(folder.rglob(f"{kernel}*.{ending}"))
        assert paths
        for path in paths:
            path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert workshop.run(*constants) == [(v, 0) for v in values]
    assert workshop.run(*constants) == [(v, 1) for v in values]


def test_equal_functions_of_two_modules_are_two(workshop):
    """A cached kernel imports the module of its functions, which another process may lack."""
    workshop.write()
    workshop.run()
    text = (workshop.folder / "model.py").read_text()
    (workshop.folder / "model.py").unlink()
    (workshop.folder / "elsewhere.py").write_text(text)
    program = RUN.replace("import model", "import elsewhere as model")
    assert workshop.run(program=program) == [(10.0, 0)]


def template(function, number):
    def kernel(x):
        return function(x) + number

    return kernel


def key_of(source, **scope):
    names = dict(scope)
    exec(textwrap.dedent(source), names)
    return content_key(names["f"])


def test_key_follows_content():
    plain = key_of("def f(x):\n    return x + 1.0")
    assert key_of("def f(x):\n\n    # more\n    return x + 1.0") == plain
    others = [
        key_of("def f(x):\n    return x + 2.0"),
        key_of("def f(x):\n    return x + 1"),
        key_of("def f(x, y=1):\n    return x + 1.0"),
        key_of("def f(x):\n    return x + c", c=1.0),
        key_of("def f(x):\n    return x + c", c=2.0),
        key_of("def f(x):\n    return x + c", c=np.ones(1)),
        key_of("def f(x):\n    return x + c", c=np.ones(1, np.float32)),
        key_of("def f(x):\n    return x + c[0]", c=(1.0, 2)),
        key_of("def f(x):\n    return x in {1.0, 2.0}"),
        key_of("def f(x):\n    return [i + x for i in range(3)]"),
        key_of("def f(x):\n    return [i - x for i in range(3)]"),
        content_key(numba.njit(lambda x: x + 1.0)),
        content_key(numba.njit(lambda x: x + 1.0, error_model="numpy")),
    ]
    assert len({plain, *others}) == len(others) + 1
    # An attribute of an array with the name of a global that cannot be hashed does not matter.
    source = "def f(x):\n    return x.size"
    assert key_of(source, size=object()) == key_of(source)


def test_key_of_recursion_and_unknown_objects():
    @numba.njit
    def factorial(n):
        return 1 if n < 2 else n * factorial(n - 1)

    assert content_key(factorial) == content_key(factorial)
    kernel = specialize(template, factorial, 0.5)
    assert kernel(4) == 24.5
    unknown = object()
    with pytest.raises(UnhashableError):
        content_key(lambda x: unknown)


def test_what_cannot_be_hashed_runs_uncached():
    class Box:
        value = 3.0

    box = Box()

    def odd_template(function):
        constant = 2.0 if box is None else 1.0  # the template itself refers to the box

        def kernel(x):
            return function(x) + constant

        return kernel

    kernel = specialize(odd_template, unsaved_kernel(lambda x: 2.0 * x))
    assert kernel(1.0) == 3.0
    assert type(kernel._cache).__name__ == "NullCache"


def test_kernels_are_shared_by_content():
    make = lambda c: numba.njit(lambda x: x * c)  # noqa: E731
    assert specialize(template, make(2.0), 1.0) is specialize(template, make(2.0), 1.0)
    other = specialize(template, make(3.0), 1.0)
    assert other(2.0) == 7.0
    assert specialize(template, make(2.0), 1.0)(2.0) == 5.0
    assert specialize(template, make(2.0), 4.0)(2.0) == 8.0


def test_old_files_are_evicted(tmp_path):
    digests = ["0123456789abcdef", "1123456789abcdef", "2123456789abcdef"]
    for age, digest in enumerate(digests):
        for suffix in (".py311.nbi", ".py311.1.nbc"):
            path = tmp_path / f"sweep.sweep_template_{digest}-12{suffix}"
            path.write_bytes(b"x" * 100)
            os.utime(path, (1000 - age, 1000 - age))
    other = tmp_path / "something.else-3.py311.nbi"
    other.write_bytes(b"y" * 1000)
    specialize_module._evict(str(tmp_path), limit=450)
    left = {path.name for path in tmp_path.iterdir()}
    assert not any(digests[2] in name for name in left)
    assert sum(digest in name for digest in digests[:2] for name in left) == 4
    assert other.name in left
    specialize_module._evict(str(tmp_path / "missing"))


COMPILED = """
import numpy as np
import randla
from numba.core.event import RecordingListener, install_listener
from tests.smoothing import models

recorder = RecordingListener()
with install_listener("numba:compile", recorder):
    randla.ppg(models.walk, np.zeros(10), models.SUMS, n_particles=30, n_iterations=20,
               burn_in=15, rng=0)
print(sum(event.is_start for _, event in recorder.buffer))
"""


@pytest.mark.slow
def test_a_second_process_compiles_nothing_of_a_users_model(tmp_path):
    environment = dict(os.environ, NUMBA_CACHE_DIR=str(tmp_path), PYTHONWARNINGS="ignore")
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    compiled = [
        int(
            subprocess.run(
                [sys.executable, "-c", COMPILED],
                env=environment,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout
        )
        for _ in range(2)
    ]
    assert compiled[0] > 10
    assert compiled[1] == 0


def test_a_copy_keeps_the_entries_of_its_table():
    """Later a function with equal entries, in an array of its own, gets the same copy."""

    def first(read):
        return lambda: read(0)

    def second(read):
        return lambda: read(1)

    def reader(table):
        return numba.njit(lambda k: table[k])

    table = np.array([3.5, 4.5])
    assert specialize(first, reader(table))() == 3.5
    table[:] = 0.0
    assert specialize(second, reader(np.array([3.5, 4.5])))() == 4.5
