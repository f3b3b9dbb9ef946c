"""Configuration of the documentation: ``python -m sphinx -W -b html docs docs/_build/html``."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import randla

project = "randla"
author = "The randla developers"
copyright = "2026, the randla developers"
version = release = randla.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
default_role = "autolink"
autosummary_generate = True
# the adapters of these are documented without them
autodoc_mock_imports = [name for name in ("jax", "torch") if find_spec(name) is None]
autodoc_typehints = "none"  # numpydoc states types in words
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
nitpicky = False

html_theme = "pydata_sphinx_theme"
html_title = f"randla {version}"
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False
mathjax_path = "https://cdn.jsdelivr.net/npm/mathjax@3/es5/tex-mml-chtml.js"

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"quickstart",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("randla",),
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
    "remove_config_comments": True,
    "within_subsection_order": "FileNameSortKey",
    "matplotlib_animations": True,
}
