"""Configuration of the documentation: ``python -m sphinx -W -b html docs docs/_build/html``."""

import configparser
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "_ext")]

import randla

project = "randla"
author = "The randla developers"
copyright = "2026, the randla developers"
version = release = randla.__version__

FOLDERS = ["regression", "sketching", "sampling", "spectral", "transport", "smoothing"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "pictures",
    "randla_site",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
default_role = "autolink"
autosummary_generate = True
# the adapters of these are documented without them
autodoc_mock_imports = [name for name in ("jax", "torch") if find_spec(name) is None]
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # numpydoc states types in words
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # but these and numpydoc's own
numpydoc_xref_aliases = {
    "Generator": "numpy.random.Generator",
    "SeedSequence": "numpy.random.SeedSequence",
    "LinearOperator": "scipy.sparse.linalg.LinearOperator",
    "array": "array",  # mostly "Dask array"
}
for family in FOLDERS:
    for name in import_module(f"randla.{family}").__all__:
        if name[0].isupper():
            place = "randla" if name in randla.__all__ else f"randla.{family}"
            numpydoc_xref_aliases[name] = f"{place}.{name}"
nitpicky = False
intersphinx_timeout = 3
copybutton_exclude = ".linenos, .gp, .go"  # prompts and output are not copied

html_theme = "pydata_sphinx_theme"
html_title = f"randla {version}"
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_css_files = ["randla.css"]
html_js_files = ["randla.js"]
html_favicon = "_static/logo.svg"
html_sidebars = {"**": ["sidebar-nav-bs"], "index": [], "start": []}
html_theme_options = {
    "logo": {"text": "randla", "image_light": "_static/logo.svg", "image_dark": "_static/logo.svg"},
    "navbar_start": ["navbar-logo", "version"],
    "navbar_align": "left",
    "navigation_with_keys": False,
    "navigation_depth": 2,
    "show_toc_level": 2,
    "primary_sidebar_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_show_sourcelink = False
html_domain_indices = False  # of one module
# from the site itself (_ext/randla_site.py), without the menu, which loads more
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}}

metadata = configparser.ConfigParser()
metadata.read(DOCS.parent / "setup.cfg")
for line in metadata.get("metadata", "project_urls", fallback="").split("\n"):
    name, _, url = (part.strip() for part in line.partition("="))
    if name.lower() in ("source", "repository"):
        icon = {"name": "Repository", "url": url, "icon": "fa-solid fa-code-branch"}
        html_theme_options["icon_links"] = [icon]

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
    "subsection_order": [f"../examples/{folder}" for folder in (*FOLDERS, "out_of_core")],
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("pictures.scrape",),
    "reset_modules": ("matplotlib", "pictures.use_style"),
    "image_srcset": ["2x"],
    "thumbnail_size": (624, 420),
}
