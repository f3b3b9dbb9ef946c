"""The common part of the ready models: functions of the library with a packed array.

A particle algorithm evaluates densities millions of times at one value of the parameters, so the
functions do not compute logarithms, inverses and roots of covariances: they receive one array that
contains them all, with the parameters first (which a user's functional reads). The layouts are
described next to the functions, in `randla.smoothing._kernels.models`.
"""

import math
from collections.abc import Collection
from types import ModuleType
from typing import Any

from randla._typing import Array
from randla._validation import read_only
from randla.smoothing._model.functions import ARGUMENTS
from randla.smoothing._model.state_space import StateSpaceModel

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)  # in a log normalizer, for each component

# Functions that not all models of a kind have, for `functions`.
PROPOSAL = ("proposal", "log_proposal")
INITIAL_PROPOSAL = ("initial_proposal", "log_initial_proposal")


def functions(module: ModuleType, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the functions of a model in a module of kernels by their names."""
    names = [n for n in ARGUMENTS if hasattr(module, n) and n not in without]
    return {name: getattr(module, name) for name in names}


def entry_name(name: str, index: tuple[int, ...]) -> str:
    """Return the name of a parameter that is an entry of an argument."""
    return f"{name}[{','.join(map(str, index))}]"


class ReadyModel(StateSpaceModel):
    """A model whose functions receive, as `theta`, all that follows from the parameters.

    They get ``model._arguments``, which begins with the parameters.
    """

    _is_ready = True

    @property
    def _arguments(self) -> Array:
        """The packed array that the functions receive as `theta`; computed on first access."""
        packed = self.__dict__.get("_packed")
        if packed is None:
            packed = self.__dict__["_packed"] = read_only(self._pack())
        return packed

    def _at(self, theta: Array) -> "StateSpaceModel":
        other = super()._at(theta)
        assert isinstance(other, ReadyModel)
        other.__dict__.pop("_packed", None)  # of the old parameters
        other._derive()
        return other

    def _derive(self) -> None:
        """Set the attributes that follow from `theta`, or raise ValueError."""

    def _pack(self) -> Array:
        """Return the parameters, followed by what is computed once from them."""
        return self.theta
