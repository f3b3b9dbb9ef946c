"""Small real data sets, and generators of instances on which careless methods fail.

The real data are files of this package; their sources and terms are in
``randla/datasets/data/SOURCES.md`` and in the docstrings.
"""

from randla.datasets._hard_instances import (
    aligned_pairs,
    collision_attack,
    gaussian_blocks,
    gaussian_clouds,
    heavy_tailed_rows,
    ill_conditioned,
    mixture_clouds,
    stacked_identities,
    torus_and_box,
    unequal_groups,
)
from randla.datasets._real import CrudeOil, Digits, Engel, crude_oil, digits, engel, nile

__all__ = [
    "CrudeOil",
    "Digits",
    "Engel",
    "aligned_pairs",
    "collision_attack",
    "crude_oil",
    "digits",
    "engel",
    "gaussian_blocks",
    "gaussian_clouds",
    "heavy_tailed_rows",
    "ill_conditioned",
    "mixture_clouds",
    "nile",
    "stacked_identities",
    "torus_and_box",
    "unequal_groups",
]
