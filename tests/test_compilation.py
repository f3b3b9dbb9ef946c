"""``python -m randla compile`` and the cache of compiled kernels that several processes fill."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import config, types

import randla
from randla import __main__ as command_line, _first_calls, _jit
from randla._first_calls import FAMILIES, calls
from randla._jit import _NamedByKey, kernel, summing_kernel, unsaved_inline, unsaved_kernel
from randla._results import Result

pytestmark = pytest.mark.compiled
FAMILY = "spectral"  # the one with the fewest kernels


def compile_in(folder, *arguments):
    """Functions that the command compiled, and what it printed."""
    environment = dict(os.environ, NUMBA_CACHE_DIR=str(folder))
    command = [sys.executable, "-m", "randla", "compile", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(re.search(r"compiled (\d+) functions", done.stdout)[1]), done


@pytest.mark.slow
def test_a_second_process_compiles_nothing(tmp_path):
    n_compiled, first = compile_in(tmp_path, FAMILY, "--jobs", "2")
    assert n_compiled > 10
    assert re.search(rf"folder: \d+\.\d MB in {re.escape(str(tmp_path))}", first.stdout)
    assert "100%" in first.stderr or f"/{len(calls(FAMILY))}" in first.stderr  # tqdm, or lines
    again, _ = compile_in(tmp_path, FAMILY, "--jobs", "1")
    assert again == 0
    for path in tmp_path.rglob("*.nb?"):  # entry points are made anew for kernels that are there
        if ".linked" not in path.name:
            path.unlink()
    again, _ = compile_in(tmp_path, FAMILY, "--jobs", "1")
    assert 0 < again < 0.7 * n_compiled


def test_every_public_function_has_a_first_call():
    names = {name.split()[0] for family in FAMILIES for name in calls(family)}
    functions = {
        name
        for name in randla.__all__
        if callable(getattr(randla, name)) and not isinstance(getattr(randla, name), type)
    }
    assert functions - names == {"sketch_size", "components"}  # which have no kernels of their own


def test_every_class_with_kernels_is_in_a_first_call():
    source = Path(_first_calls.__file__).read_text()
    classes = {
        name
        for name in randla.__all__
        if isinstance(value := getattr(randla, name), type)
        and not issubclass(value, (Result, Warning))  # which functions make
        and not re.search(rf"randla\.{name}\b", source)
    }
    # One has no kernels of its own, and the others are compiled with the functions of a user.
    assert classes == {"KroneckerProduct", "StateSpaceModel", "AdditiveFunctional"}


def test_without_the_compiler_there_is_nothing_to_compile(monkeypatch, capsys):
    monkeypatch.setattr(config, "DISABLE_JIT", True)
    assert command_line.main(["compile", FAMILY]) == 1
    assert "NUMBA_DISABLE_JIT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compile", "sketchign"], "family must be one of sketching, .* got 'sketchign'"),
        (["compile", "--jobs", "0"], "jobs must be at least 1, got 0"),
        ([], "the following arguments are required: command"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line.main(arguments)
    assert stopped.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_help_names_the_families(capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["compile", "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert all(family in shown for family in FAMILIES)


def test_version_and_help_of_the_program(capsys):
    for option, text in (
        ("--version", f"randla {randla.__version__}\n"),
        ("--help", "compile now"),
    ):
        with pytest.raises(SystemExit) as stopped:
            command_line.main([option])
        assert stopped.value.code == 0
        assert text in capsys.readouterr().out


def test_calls_of_one_family_follow_one_another():
    tasks = [("a", "", "1"), ("a", "", "2"), ("b", "", "3"), ("b", "", "4"), ("b", "", "5")]
    running = {}
    for k in range(3):
        running[k] = command_line._take(tasks, running)
    assert [task[2] for task in running.values()] == ["3", "1", "4"]


@pytest.mark.parametrize("can_link", [True, False])
def test_a_kernel_that_kernels_call_has_no_machine_code_of_its_own(monkeypatch, can_link):
    monkeypatch.setattr(_jit, "_CAN_LINK", can_link)

    def inner(x):  # a loop that LLVM cannot remove
        while x > 1.0:
            x = math.log(x)
        return x

    inner = unsaved_kernel(inner)
    outer = unsaved_kernel(lambda x: inner(x) + inner(x + 1.0))
    assert outer(10.0) == outer.py_func(10.0)
    assert inner(10.0) == inner.py_func(10.0)
    for_python, for_kernels = inner, inner.get_overload.__self__
    has_code = [
        "log" in f.overloads[types.float64,].library.get_asm_str()
        for f in (for_python, for_kernels)
    ]
    assert has_code == [True, not can_link]


def test_the_first_caller_leaves_the_options_of_a_kernel_alone():
    @unsaved_kernel
    def total(a):
        s = 0.0
        for x in a:
            s += x
        return s

    outer = summing_kernel(lambda a: total(a) + total(a))
    middle = unsaved_inline(lambda a: outer(a))
    unsaved_kernel(lambda a: middle(a))(np.ones(3))
    (code,) = total.get_overload.__self__.overloads.values()
    text = str(code.library._get_module_for_linking())
    assert "fadd" in text
    assert not re.search("reassoc|alwaysinline", text)


def test_a_long_kernel_is_reached_through_an_inlined_one():
    lines = "".join(f"    x = math.sqrt(x + {k})\n    a[{k}] += x\n" for k in range(120))
    scope = {"math": math}
    exec(f"def long(x, a):\n{lines}    return x\n", scope)
    long = unsaved_kernel(scope["long"])
    short = unsaved_inline(lambda x, a: long(x, a) + 1.0)
    outer = unsaved_kernel(lambda x, a: short(x, a) + short(2.0 * x, a))
    a, b = np.zeros((2, 120))
    for_kernels = long.get_overload.__self__
    for_kernels.compile((types.float64, types.float64[::1]))  # with options of its own
    assert outer(10.0, a) == outer.py_func(10.0, b)
    np.testing.assert_array_equal(a, b)


def test_functions_of_no_module_can_be_compiled():
    scope = {}
    exec("def double(x): return 2 * x", scope)
    assert numba.njit(scope["double"])(3) == 6


def files(folder):
    return _NamedByKey(cache_path=str(folder), filename_base="kernel", source_stamp="1")


def test_two_processes_that_save_at_once_keep_their_own_code(tmp_path, monkeypatch):
    first, second = files(tmp_path), files(tmp_path)
    with monkeypatch.context() as patch:  # neither has seen the index of the other
        patch.setattr(_NamedByKey, "_load_index", lambda self: {})
        first.save("float64", b"code for float64")
        second.save("float32", b"code for float32")
    assert files(tmp_path).load("float32") == b"code for float32"
    assert files(tmp_path).load("float64") is None  # compiled once more
    first.save("float64", b"code for float64")
    for key in ("float32", "float64"):
        assert files(tmp_path).load(key) == f"code for {key}".encode()


def test_two_versions_of_a_source_file_keep_their_own_code(tmp_path, monkeypatch):
    """A process with the old file saves between the two files that one with the new file saves."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "cache"))
    old, new, again = (version_of(tmp_path, k, constant) for k, constant in enumerate("122"))
    save_data = _NamedByKey._save_data

    def old_saves_in_between(self, name, data):
        save_data(self, name, data)
        if self is new._cache._cache_file:
            assert old(1.0) == 2.0

    with monkeypatch.context() as patch:
        patch.setattr(_NamedByKey, "_save_data", old_saves_in_between)
        assert new(1.0) == 3.0
    assert again(1.0) == 3.0
    assert again.stats.cache_hits


def version_of(folder, k, constant):
    """A kernel of a module whose file holds another constant, so that its bytecode is the same."""
    path = folder / "module.py"
    path.write_text(f"def shift(x):\n    return x + {constant}.0\n")
    os.utime(path, (int(constant), int(constant)))
    module = {"__name__": "module", "__file__": str(path)}
    exec(compile(path.read_text(), path, "exec"), module)
    return kernel(module["shift"])


@pytest.mark.parametrize("version", ["source", "numba"])
def test_code_of_another_version_is_never_loaded(tmp_path, version):
    old, new = files(tmp_path), files(tmp_path)
    setattr(new, {"source": "_source_stamp", "numba": "_version"}[version], "2")
    old.save("float64", b"old code")
    assert new.load("float64") is None
    new.save("float64", b"new code")
    assert old.load("float64") is None
    assert new.load("float64") == b"new code"
    assert len(list(tmp_path.glob("*.nbc"))) == 2


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_a_file_that_was_cut_short_is_written_again(tmp_path, ending):
    files(tmp_path).save("float64", b"code")
    (path,) = tmp_path.glob(f"*.{ending}")
    path.write_bytes(path.read_bytes()[:-5])
    assert files(tmp_path).load("float64") is None
    files(tmp_path).save("float64", b"code")
    assert files(tmp_path).load("float64") == b"code"
