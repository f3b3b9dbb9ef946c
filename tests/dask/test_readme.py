"""The README's snippet for Dask runs."""

import contextlib
import io
import re
from pathlib import Path

from tests.dask.cases import dask


def test_snippet_of_the_readme():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(import dask.array.*?)```", readme, flags=re.DOTALL)
    printed = io.StringIO()
    with dask.config.set(scheduler="threads"), contextlib.redirect_stdout(printed):
        exec(compile(snippet, "README.md", "exec"), {})
    assert printed.getvalue() == "1 2\n"
