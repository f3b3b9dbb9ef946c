"""Sums over blocks of rows, with compensation where they may cancel."""

import numpy as np

from randla._typing import Array


class CarefulSum:
    """Running sums of several arrays, with compensation where they may cancel."""

    def __init__(self, compensated: bool) -> None:
        self.compensated = compensated
        self.sums: list[Array] = []
        self.carries: list[Array] = []

    def add(self, values: list[Array]) -> None:
        """Add arrays, which from now on belong to the total."""
        if not self.sums:
            self.sums = [value.astype(np.float64, copy=False) for value in values]
        elif not self.compensated:
            for total, value in zip(self.sums, values, strict=True):
                total += value
        else:
            if not self.carries:
                self.carries = [np.zeros_like(value) for value in values]  # of each array
            for k, value in enumerate(values):  # Knuth's two-sum
                total = self.sums[k] + value
                added = total - self.sums[k]  # what of the value arrived in the sum
                self.carries[k] += (self.sums[k] - (total - added)) + (value - added)
                self.sums[k] = total  # rounded; the carry has what is lost

    def value(self) -> list[Array]:
        """The sums."""
        if self.carries:
            return [total + carry for total, carry in zip(self.sums, self.carries, strict=True)]
        return self.sums
