"""Choice of the family of control variates, given the number of directions."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from numpy.typing import ArrayLike

from randla._typing import Array
from randla._validation import as_choice
from randla.transport._clouds import FEW_COORDINATES
from randla.transport._controls.control_variates import (
    FAMILIES,
    Controls,
    custom_controls,
    needed_projections,
)
from randla.transport._directions.designs import Design
from randla.transport._projections.projector import SECONDS_PROJECT

ControlVariate: TypeAlias = (
    Literal["lower", "upper", "quadratic", "quartic", "bures", "full", "harmonics", "auto"]
    | tuple[Callable[[Array], ArrayLike], ArrayLike]
    | None
)

_SMOOTH_POWER = 5.0  # costs of higher powers are too heavy-tailed for polynomials of degree 4
_FALLBACK = {"full": "quartic", "quartic": "quadratic", "bures": "quadratic"}
_FALLBACK["harmonics"] = "quadratic"

#: Error with the controls of "auto" over the plain error from which they do harm. Frames average
#: quadratic forms exactly, and evenly spread points almost, while coefficients are noisy.
HARMFUL = 2.0


def as_control(control_variate: Any) -> str | Controls | None:
    """Validate a name, None, or a pair of a function and means."""
    if control_variate is None or isinstance(control_variate, str):
        as_choice(control_variate, "control_variate", (None, *FAMILIES, "auto"))
        return control_variate
    return custom_controls(control_variate)


def affordable(name: str | None, d: int, n: int, p: float) -> str | None:
    """The family, or the largest smaller one for which n directions suffice."""
    while name is not None and n < needed_projections(name, d, p):
        name = _FALLBACK.get(name)  # the next smaller family; in the end none
    return name


def auto_family(
    design: Design, p: float, seconds: float, n_points: int, n_pairs: int = 1
) -> str | None:
    """The family for control_variate="auto", given the time of a projected cost of all pairs.

    The means of the products of q_1 and q_2 need the traces of products of covariances, from
    covariances or from inner products of all points: in many dimensions this is rarely cheap.
    """
    d, n = design.dim, design.n
    seconds *= n  # of all costs
    if design.kind == "array" or (design.kind == "rqmc" and d == 2) or p > _SMOOTH_POWER:
        return None
    quadrature = n_pairs * 25.0 * (4e-5 + 1.3e-7 * d**2 + 5e-10 * d**3)  # of sqrt(q_1 q_2); rough
    cheap = quadrature <= max(0.2 * seconds, 5e-3)
    moments = 0.5 * SECONDS_PROJECT * n_points * d * min(n_points, d)
    if d > FEW_COORDINATES and moments > 0.5 * seconds:
        name = "quadratic"  # their means need only sums
    elif design.kind == "rqmc" and d == 3:
        name = "bures" if cheap else "quadratic"
    elif n >= 60 and cheap:
        name = "full"
    else:
        name = "quartic" if n >= 40 else "quadratic"
    return affordable(name, d, n, p) if n >= 20 else None
