"""What is said of mutants is said of mutants that exist."""

from tests.mutation.explained import EXPLAINED
from tests.mutation.mutants import all_mutants


def test_explained_mutants_exist():
    mutants = {
        tuple(m[key] for key in ("file", "function", "code", "change")) for m in all_mutants()
    }
    assert not set(EXPLAINED) - mutants
