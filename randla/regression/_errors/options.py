"""The arguments of `inference`, checked, and the kinds available for each fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from randla._random import as_generator
from randla._results import RandlaWarning
from randla._validation import as_choice, as_count, as_flag

LEAST_SQUARES = (
    "iid", "robust", "HC0", "HC1", "HC2", "HC3", "cluster", "CR1", "CR2", "CR3", "bootstrap",
)  # fmt: skip
QUANTILES = ("iid", "robust", "nid", "powell", "rank", "cluster", "CR1", "bootstrap")
NORMS = ("robust", "bootstrap")
CLUSTERED = ("cluster", "CR1", "CR2", "CR3")


class InferenceWarning(RandlaWarning):
    """A statistical error may be misleading, or cannot be computed.

    Issued by `LstsqResult.inference`, `LpRegressionResult.inference` and `Inference.wald`. What
    cannot be computed is NaN.
    """


@dataclass(frozen=True)
class InferenceOptions:
    """The user's options, apart from the data."""

    kind: str
    repeats: bool  # frequency weights
    n_replicates: int
    rng: Any  # a Generator, or None
    progress: bool

    @classmethod
    def of(
        cls, kinds: tuple[str, ...], *, kind: Any, groups: Any, weights: Any, weights_are: Any,
        n_replicates: Any, rng: Any, progress: Any,
    ) -> InferenceOptions:  # fmt: skip
        """Check the arguments one by one and against each other."""
        if kind is None:
            kind = "robust" if groups is None else "cluster"
        if str(kind) in CLUSTERED and "cluster" not in kinds:
            raise ValueError(
                "groups must come with kind='bootstrap' for p > 1, as errors of clusters have "
                f"no formula there, got kind={kind!r}"
            )
        kind = as_choice(kind, "kind", kinds)
        if kind in CLUSTERED and groups is None:
            raise ValueError(f"groups must be given for kind={kind!r}")
        if groups is not None and kind not in (*CLUSTERED, "bootstrap"):
            raise ValueError(f"groups have no meaning for kind={kind!r}: leave kind out")
        if rng is not None and kind != "bootstrap":
            raise TypeError(f"rng must be left out for kind={kind!r}, which draws nothing")
        weights_are = as_choice(weights_are, "weights_are", ("analytic", "frequency"))
        if weights is None and weights_are != "analytic":
            raise ValueError(f"weights_are={weights_are!r} needs weights")
        return cls(
            kind,
            weights_are == "frequency",
            as_count(n_replicates, "n_replicates"),
            as_generator(rng) if kind == "bootstrap" else None,
            as_flag(progress, "progress"),
        )
