"""Pictures of coefficients: with intervals, and of each coefficient against tau with a band."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from randla.regression._inference.table import title

Inference = Any  # it imports this module

_MAX_LABEL = 24  # characters of a name that are shown


def coefficients(inference: Inference, ax: Any) -> Any:
    """Each coefficient as a point with its interval, the first on top; a color for each fit."""
    if ax is None:
        import matplotlib.pyplot as plt

        height = 1.2 + 0.28 * inference.estimate.size
        ax = plt.figure(figsize=(6.0, min(height, 30.0)), layout="constrained").add_subplot()
    _require_axes(ax)
    d = len(inference.estimate)
    X, low, high = (
        np.reshape(v, (d, -1)) for v in (inference.estimate, *inference.confidence_interval())
    )
    k = X.shape[1]
    for j in range(k):
        place = np.arange(d) + (j - (k - 1) / 2) * 0.6 / k
        color = f"C{j % 10}"
        label = _shortened(title(inference, j)) if k > 1 else None
        ax.hlines(place, low[:, j], high[:, j], color=color, lw=2.0)
        ax.plot(X[:, j], place, "o", ms=5, color=color, label=label)
    ax.axvline(0.0, color="0.6", lw=0.8, zorder=0)
    ax.set_yticks(range(d), [_shortened(name) for name in inference.names])
    ax.set_ylim(d - 0.5, -0.5)
    ax.set_xlabel("coefficient, 95% interval")
    if k > 1:
        ax.legend()
    return ax


def against_tau(inference: Inference, axes: Any) -> Any:
    """A panel for each coefficient: estimates at all quantiles, and their band."""
    d = len(inference.estimate)
    if axes is None:
        import matplotlib.pyplot as plt

        n_columns = min(d, max(2, math.ceil(math.sqrt(d))))
        n_rows = -(-d // n_columns)
        figure = plt.figure(figsize=(3.0 * n_columns, 2.4 * n_rows), layout="constrained")
        grid = figure.subplots(n_rows, n_columns, sharex=True, squeeze=False)
        for ax in grid.flat[d:]:
            ax.remove()
        axes = np.array(grid.flat[:d])
        for ax in axes[-n_columns:]:  # above an empty panel too
            ax.set_xlabel("tau")
            ax.tick_params(labelbottom=True)
    panels = np.atleast_1d(np.asarray(axes, dtype=object)).reshape(-1)
    if len(panels) != d:
        raise ValueError(f"ax must have {d} axes, one for each coefficient, got {len(panels)}")
    for ax in panels:
        _require_axes(ax)
    order = np.argsort(inference._columns)
    tau = np.asarray(inference._columns)[order]
    low, high = inference.confidence_interval()
    for j, ax in enumerate(panels):
        ax.fill_between(tau, low[j, order], high[j, order], color="C0", alpha=0.25, lw=0.0)
        ax.plot(tau, inference.estimate[j, order], "o-", color="C0", ms=3, lw=1.2)
        bottom, top = ax.get_ylim()
        if bottom <= 0.0 <= top:
            ax.axhline(0.0, color="0.6", lw=0.8, zorder=0)
        ax.set_title(_shortened(inference.names[j]), fontsize="medium")
    return axes


def _require_axes(ax: Any) -> None:
    if not hasattr(ax, "set_yticks"):
        raise TypeError(f"ax must be matplotlib Axes, got {type(ax).__name__}")


def _shortened(name: str) -> str:
    """A name for a picture, in which a dollar sign does not begin a formula."""
    name = " ".join(name.split())
    name = name if len(name) <= _MAX_LABEL else name[: _MAX_LABEL - 3] + "..."
    return name.replace("$", r"\$")
