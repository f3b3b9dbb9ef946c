"""What the pages need beyond Sphinx: bars of measured times, formulas without a network, links.

``speed-bars``       a directive that draws rows of ``benchmarks/ratios.csv``
``copy_mathjax``     puts MathJax and its fonts into the site
``inventories``      links to other projects also where their inventories cannot be fetched
``signature``        the constructor of a class whose base has a ``__new__``; none of results
``skip``             members that are not for users, or are among the listed attributes
``plain_parameters`` no link from a parameter to the function of the same name
``from_the_top``     links to ``randla.name`` on the pages of the modules below
"""

import html
import inspect
import shutil
import zlib
from collections import defaultdict
from importlib import import_module
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from numpydoc.docscrape import NumpyDocString
from sphinx import addnodes

from benchmarks import ratios
from randla._results import Result
from randla.smoothing import OnlineFilter

DOCS = Path(__file__).resolve().parent.parent
#: Classes that functions construct, not users; the tuples are those of `randla.datasets`.
CONSTRUCTED = Result, OnlineFilter, tuple
#: Public members of classes that only other modules use.
INTERNAL = {"of", "of_one", "of_several", "of_sketch", "described", "labeled"}


def measured(benchmark):
    """The row of one of our benchmarks beside its fastest peer, at its headline size."""
    rows = [row for row in ratios.headlines(ratios.read()) if row.benchmark == benchmark]
    if len(rows) != 1:
        raise ValueError(f"{ratios.TABLE.name} has {len(rows)} tasks of {benchmark}, not one")
    return rows[0]


def shown_time(milliseconds):
    digits = ratios.duration(milliseconds)
    return digits if milliseconds >= 10 else f"{milliseconds:.2g} ms"


class SpeedBars(Directive):
    """Lines ``benchmark | task`` as pairs of bars: ours and the fastest peer."""

    has_content = True

    def run(self):
        tasks = []
        for line in filter(str.strip, self.content):
            benchmark, task = (part.strip() for part in line.split("|"))
            row = measured(benchmark)
            ours, theirs = row.milliseconds, row.milliseconds * row.ratio
            bars = [("randla", "ours", ours), (row.other, "peer", theirs)]
            rows = "".join(
                f'<dt>{html.escape(who)}</dt><dd><span class="{kind}" '
                f'style="width:{100 * time / max(ours, theirs):.2f}%"></span>'
                f"<b>{shown_time(time)}</b></dd>"
                for who, kind, time in bars
            )
            tasks.append(
                f'<section><p class="ratio">{row.ratio:.0f}&times;</p>'
                f"<p>{html.escape(task)}</p><dl>{rows}</dl></section>"
            )
        markup = f'<div class="speed-bars">{"".join(tasks)}</div>'
        return [nodes.raw("", markup, format="html")]


def copy_mathjax(app, error):
    """The script and the fonts it loads, 1.6 MB of the package's 24."""
    if error is not None or app.builder.format != "html":
        return
    package = Path(find_spec("sphinx-mathjax-offline").submodule_search_locations[0])
    source, target = package / "static" / "mathjax", Path(app.outdir) / "_static" / "mathjax"
    fonts = Path("output", "chtml", "fonts", "woff-v2")
    shutil.copytree(source / fonts, target / fonts, dirs_exist_ok=True)
    shutil.copy(source / "tex-chtml.js", target)


def inventories(app, config):
    """Set ``intersphinx_mapping``: each project's inventory, else its names in ``external.txt``.

    The latter are written in the format that intersphinx reads.
    """
    addresses, names = {}, defaultdict(list)
    for line in (DOCS / "external.txt").read_text().splitlines():
        project, *entry = line.split()
        if len(entry) == 1:
            addresses[project] = entry[0]
        elif entry:
            role, name, place = entry
            names[project].append(f"{name} {role} 1 {place} -\n")
    folder = Path(app.doctreedir) / "inventories"
    folder.mkdir(parents=True, exist_ok=True)
    for project, address in addresses.items():
        head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
        head += "# The remainder of this file is compressed using zlib.\n"
        file = folder / f"{project}.inv"
        file.write_bytes(head.encode() + zlib.compress("".join(names[project]).encode()))
        config.intersphinx_mapping[project] = (address, (None, str(file)))


def signature(app, what, name, obj, options, shown, returned):
    """``(m, n, *, rng=None)`` instead of the ``(*args, **kwargs)`` of SciPy's LinearOperator."""
    if what == "class" and issubclass(obj, CONSTRUCTED):
        return "", None
    if what != "class" or shown != "(*args, **kwargs)" or not inspect.isfunction(obj.__init__):
        return None
    full = inspect.signature(obj.__init__)
    without_self = list(full.parameters.values())[1:]
    parameters = [p.replace(annotation=p.empty) for p in without_self]
    return str(inspect.Signature(parameters)), returned


def skip(app, what, name, member, skipped, options):
    """Whether a member of a class is internal, or listed in the attributes of the class."""
    module, owner = (app.env.temp_data.get(f"autodoc:{part}") for part in ("module", "class"))
    if what != "class" or not owner:
        return None
    text = inspect.getdoc(attrgetter(owner)(import_module(module)))
    attributes = NumpyDocString(text)["Attributes"]
    listed = {name for attribute in attributes for name in attribute.name.split(", ")}
    return True if name in INTERNAL | listed else None


def plain_parameters(app, doctree):
    """In a description, names of its parameters and attributes are not names of functions."""
    for description in doctree.findall(addnodes.desc):
        own = {
            name.astext()
            for parameter in description.findall(addnodes.desc_parameter)
            for name in list(parameter.findall(addnodes.desc_sig_name))[:1]
        }
        own |= {
            name.lstrip("*")
            for field in description.findall(nodes.field)
            for term in field.findall(nodes.term)
            for name in term.astext().split(" : ")[0].split(", ")
        }
        for link in list(description.findall(addnodes.pending_xref)):
            if link.get("reftype") == "obj" and link["reftarget"] in own:
                kind = nodes.strong if isinstance(link.parent, nodes.term) else nodes.emphasis
                link.replace_self(kind("", link.astext()))


def from_the_top(app, env, node, content):
    """On the page of ``randla.smoothing.OnlineFilter``, `ppg` means ``randla.ppg``."""
    if node.get("refdomain") != "py":
        return None
    place, target = node["refdoc"], f"randla.{node['reftarget']}"
    return env.domains["py"].resolve_xref(
        env, place, app.builder, node["reftype"], target, node, content
    )


def setup(app):
    app.add_directive("speed-bars", SpeedBars)
    app.connect("config-inited", inventories)
    app.connect("build-finished", copy_mathjax)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-skip-member", skip)
    app.connect("doctree-read", plain_parameters)
    app.connect("missing-reference", from_the_top)
    return {"parallel_read_safe": True}
