"""Pictures of states over time."""

from typing import Any

from numpy.typing import NDArray

from randla._results import axes_or_new


def plot_band(ax: Any, mean: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> Any:
    """Plot means (T, d) with bands, one color a component; needs matplotlib."""
    ax, times = axes_or_new(ax), range(len(mean))
    for k in range(mean.shape[1]):
        (line,) = ax.plot(times, mean[:, k], label=f"component {k}" if mean.shape[1] > 1 else "")
        # The color of the line, at a quarter of its strength.
        ax.fill_between(times, low[:, k], high[:, k], color=line.get_color(), alpha=0.25, lw=0)
    if mean.shape[1] > 1:
        ax.legend()
    ax.set_xlabel("t")
    ax.set_ylabel("state")
    return ax


def plot_shares(ax: Any, probs: NDArray[Any]) -> Any:
    """Plot stacked probabilities (T, K); needs matplotlib."""
    ax = axes_or_new(ax)
    ax.stackplot(range(len(probs)), probs.T, labels=[f"state {k}" for k in range(probs.shape[1])])
    ax.legend()
    ax.set(xlabel="t", ylabel="probability", ylim=(0.0, 1.0))
    return ax
