"""The README's snippet for Dask runs."""

import re
from pathlib import Path

from tests.dask.cases import dask


def test_snippet_of_the_readme():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(import dask.array.*?)```", readme, flags=re.DOTALL)
    names: dict = {}
    with dask.config.set(scheduler="threads"):
        exec(compile(snippet, "README.md", "exec"), names)
    assert (names["quick"].n_passes, names["exact"].n_passes) == (1, 2)
