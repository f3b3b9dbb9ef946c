"""The package as a whole: light import, names, layout, and rules that grep can check."""

import ast
import graphlib
import importlib
import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import randla

PACKAGE = Path(randla.__file__).parent
MODULES = sorted(p for p in PACKAGE.rglob("*.py"))
KERNELS = [p for p in MODULES if "_kernels" in p.parts]
OTHERS = [p for p in MODULES if "_kernels" not in p.parts]
# Modules that need another package.
EXTRAS = {"sklearn": "sklearn", "formula": "formulaic", "jax": "jax", "torch": "torch"}
CODE_GENERATORS = ("vector_code.py",)  # write LLVM code, by Numba's intrinsics
FAMILIES = ("sketching", "sampling", "regression", "spectral", "transport", "smoothing")
# Of each family the others that it may use.
BELOW = {"sampling": FAMILIES[:1], "regression": FAMILIES[:2], "spectral": FAMILIES[:1]}
# A wing may import those on its left, not those on its right. Ground: randla/*.py and its kernels.
WINGS = (
    "ground < _tall < sketching < sampling < regression < _dask < formula < sklearn",
    "ground < _tall < sketching < spectral < sklearn",
    "ground < _tall < transport < jax < torch",
    "ground < smoothing",
    "sketching._kernels < sketching",
    "sampling._kernels < sampling._scores < sampling._samples",
    "regression._kernels < regression._panels < regression._solvers < regression._least_squares",
    "regression._panels < regression._quantile < regression._errors < regression._resampling"
    " < regression._inference < regression._lp",
    "regression._solvers < regression._errors < regression._resampling < regression._inference"
    " < regression._least_squares",
    "regression._fitted < regression._inference",
    "spectral._kernels < spectral._matrix < spectral._krylov < spectral._kernel_matrix"
    " < spectral._traces < spectral._quadrature < spectral",
    "transport._kernels < transport._clouds < transport._directions < transport._projections"
    " < transport._controls < transport",
    "smoothing._kernels < smoothing._model < smoothing._models < smoothing._exact"
    " < smoothing._particles < smoothing._likelihood < smoothing._posterior",
)


def name(path):
    return path.relative_to(PACKAGE).as_posix()


def loaded_after(code):
    out = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(out.stdout.split())


def test_import_is_light():
    loaded = loaded_after("import randla")
    heavy = {"numba", "scipy", "numpy", "matplotlib", "dask", "tqdm", "pandas", "jax", "torch"}
    assert not loaded & heavy
    assert not {m for m in loaded if m.startswith("randla.")}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_loads_no_heavy_module_and_no_other_family(family):
    loaded = loaded_after(f"import randla.{family}")
    heavy = {"scipy.stats", "scipy.optimize", "matplotlib", "dask", "tqdm", "pandas", "sklearn"}
    heavy |= {"jax", "torch"}
    assert not loaded & heavy
    others = {f"randla.{other}" for other in FAMILIES} - {f"randla.{family}"}
    allowed = {f"randla.{other}" for other in BELOW.get(family, ())}
    assert not loaded & others - allowed


def test_every_public_name_resolves():
    assert sorted(set(randla.__all__)) == sorted(randla.__all__)
    for public in randla.__all__:
        assert getattr(randla, public) is not None
    assert set(dir(randla)) == set(randla.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = randla.nothing


def test_estimators_load_when_they_are_named():
    pytest.importorskip("sklearn")
    assert "randla.sklearn" in loaded_after("import randla; randla.sklearn.QuantileRegressor()")


def test_families_and_top_level_agree():
    for family in FAMILIES:
        module = importlib.import_module(f"randla.{family}")
        there, top = set(module.__all__), set(randla._FAMILIES[family].split())
        assert top <= there, f"randla/{family}/__init__.py lacks {top - there}"
        for name in there - top:  # classes of results, which nobody constructs
            value = getattr(module, name)
            is_result = isinstance(value, type) and "Parameters\n" not in value.__doc__
            assert is_result, f"_FAMILIES of randla/__init__.py lacks {name}"
        assert module.__doc__


def test_stub_and_package_agree():
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    names = {"__version__"}
    for node in stub.body:
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname for alias in node.names}
            if node.module:
                family = node.module.split(".")[-1]
                there = {name for name, home in randla._FAMILY_OF.items() if home == family}
                listed = {a.name for a in node.names}
                assert listed == there, f"randla/__init__.pyi, {family}: {listed ^ there}"
    expected = set(randla.__all__) | set(EXTRAS)
    assert names == expected, f"randla/__init__.pyi: {names ^ expected}"


@pytest.mark.parametrize("path", KERNELS, ids=name)
def test_kernels_are_only_kernels(path):
    """No conversion, no error text; compiled through `_jit` only."""
    text = path.read_text()
    assert not re.search(r"np\.asarray|\braise\b|numba\.njit|prange", text)
    if path.name not in CODE_GENERATORS:
        assert "import numba" not in text


@pytest.mark.parametrize("path", OTHERS, ids=name)
def test_topics_hold_no_kernels(path):
    if path.name in ("_jit.py", "_random.py", "_elementary.py", "specialize.py"):
        return
    assert not re.search(r"^@(\w*kernel|\w*inline|expression|njit)\b", path.read_text(), re.M)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_says_what_it_is(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "no module docstring"
    assert len(path.read_text().splitlines()) <= 600


def module_of(path):
    return ".".join(["randla", *path.relative_to(PACKAGE).with_suffix("").parts])


def imports():
    """(module, imported module), of all modules but ``__init__``; lazy imports and types too."""
    modules = {module_of(path).removesuffix(".__init__") for path in MODULES}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if path.name == "__init__.py" or not isinstance(node, ast.ImportFrom):
                continue
            for alias in node.names:
                both = f"{node.module}.{alias.name}"
                imported = both if both in modules else node.module
                if imported in modules - {"randla"}:
                    yield module_of(path), imported


def level(module, wings):
    """Place of the wing of a module; None if it is in none."""
    inside = [w for w in wings if f"{module}.".startswith(f"randla.{w}.")]
    if inside:
        return wings.index(max(inside, key=len))
    ground = module.count(".") == 1 or module.startswith("randla._kernels.")
    return 0 if wings[0] == "ground" and ground else None


@pytest.mark.parametrize("order", WINGS)
def test_no_import_is_against_the_order_of_the_wings(order):
    levels = [(a, b, *(level(m, order.split(" < ")) for m in (a, b))) for a, b in imports()]
    against = sorted({f"{a} -> {b}" for a, b, i, j in levels if None not in (i, j) and i < j})
    assert not against, "\n".join(against)


def test_no_import_is_from_another_family():
    pairs = [(a, b, *(m.split(".")[1] for m in (a, b))) for a, b in imports()]
    assert not {
        f"{a} -> {b}"
        for a, b, family, other in pairs
        if family in FAMILIES
        and other in FAMILIES
        and other not in (family, *BELOW.get(family, ()))
    }


def test_no_imports_make_a_circle():
    graph = {}
    for a, b in imports():
        graph.setdefault(a, set()).add(b)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_no_folder_of_a_family_is_more_than_six_imports_deep():
    graph = {}
    for a, b in imports():
        same = a.rpartition(".")[0] == b.rpartition(".")[0]
        if same and a.split(".")[1] in FAMILIES:
            graph.setdefault(a, set()).add(b)
    chains = {}
    for module in graphlib.TopologicalSorter(graph).static_order():
        below = [chains[b] for b in graph.get(module, ())]
        chains[module] = (module, *max(below, key=len, default=()))
    deepest = max(chains.values(), key=len)
    assert len(deepest) <= 6, " -> ".join(deepest)


def identifiers(path):
    """The names in a file, and of it: of variables, attributes, arguments, functions, classes."""
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text())):
        for field in ("id", "attr", "arg", "name", "asname"):
            if isinstance(name := getattr(node, field, None), str):
                yield from name.split(".")


def words(identifier):
    """``_read_rows``, ``ReadRows`` -> {"read", "rows"}."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)
    return {part.lower() for part in parts}


# Words of no paper: (folders of the package, words); what is meant has a name in the field.
SLANG = (
    (("",), {"doubt", "borrow"}),
    (
        ("sketching", "sampling", "regression"),
        {"plane", "planes", "glob", "globs", "globbed", "globbing", "origin", "recipe", "turned"},
    ),
    (("smoothing",), {"forms", "heads", "comb"}),
)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_names_are_words_of_the_field(path):
    for folders, slang in SLANG:
        if name(path).startswith(folders):
            assert not {i for i in identifiers(path) if words(i) & slang}


def test_dask_is_asked_for_and_float_arrays_are_named_in_one_place():
    trees = {name(path): ast.parse(path.read_text()) for path in MODULES}
    asking = {
        file
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "is_dask"
    }
    aliases = [
        f"{file}: {ast.unparse(node)}"
        for file, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == "NDArray[np.float64]"
    ]
    assert len(asking) == 1, asking
    assert len(aliases) == 1, aliases


PUBLIC = [f"randla.{name}" for name in randla.__all__]
PUBLIC += [f"randla.datasets.{name}" for name in randla.datasets.__all__]


@pytest.mark.parametrize("public", PUBLIC)
def test_public_docstrings(public):
    """A summary, a section on parameters where there are any, and a runnable example."""
    module, name = public.rsplit(".", 1)
    value = getattr(importlib.import_module(module), name)
    if not callable(value):
        return
    doc = value.__doc__ or ""
    assert doc.strip(), f"{public} has no docstring"
    if isinstance(value, type) and (
        name.endswith(("Result", "Scores")) or issubclass(value, tuple)
    ):
        return  # results are documented by their attributes
    if name in ("Inference", "RowSample"):
        return
    if isinstance(value, type) and issubclass(value, Warning):
        return  # made by the library alone
    assert ">>> " in doc, f"{public} has no example"
    parameters = inspect.signature(value).parameters
    assert not parameters or "Parameters\n" in doc, f"{public} does not document its parameters"


def test_every_public_name_is_in_the_reference():
    modules = [*FAMILIES, "datasets"]
    modules += [
        module for module, needed in EXTRAS.items() if importlib.util.find_spec(needed) is not None
    ]
    names = {
        name if name in randla.__all__ else f"{module}.{name}"
        for module in modules
        for name in importlib.import_module(f"randla.{module}").__all__
    }
    reference = (PACKAGE.parent / "docs" / "api.rst").read_text()
    missing = names - set(re.findall(r"^   ([\w.]+)$", reference, re.M))
    assert not missing, f"docs/api.rst lacks {missing}"


def test_every_module_imports():
    needed = {"dask": "dask", **EXTRAS}
    missing = [name for name, other in needed.items() if importlib.util.find_spec(other) is None]
    for module in pkgutil.walk_packages(randla.__path__, "randla."):
        if not any(name in module.name for name in missing):
            importlib.import_module(module.name)


def test_what_contributing_names_exists():
    """Each file and each name in backticks of CONTRIBUTING.md, except placeholders in <>."""
    root = PACKAGE.parent
    files = [*MODULES, *(root / "tests").rglob("*.py"), *(root / "docs").rglob("*.rst")]
    words = set().union(*(re.findall(r"\w+", path.read_text("utf-8")) for path in files))
    paths = [path.relative_to(root).as_posix() for path in files]
    for quoted in re.findall(r"`([\w/.]+)(?:\(.*?\))?`", (root / "CONTRIBUTING.md").read_text()):
        if quoted.endswith((".py", ".rst")):
            assert any(f"/{path}".endswith(f"/{quoted}") for path in paths), quoted
        elif re.fullmatch(r"\w+", quoted):
            assert quoted in words, quoted


def test_the_version_is_the_same_everywhere():
    root = PACKAGE.parent
    (cited,) = re.findall(r"^version: (.*)$", (root / "CITATION.cff").read_text("utf-8"), re.M)
    newest = re.search(r"^## (\S+)", (root / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert cited == newest[1] == randla.__version__
