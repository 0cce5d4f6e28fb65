"""The form of the register tiles of a region."""

from __future__ import annotations

from dataclasses import dataclass

from elman.compiler.schedule import Region


@dataclass(frozen=True)
class Shape:
    """The form of a region's tiles.

    Attributes:
        lanes: units of a vector register.
        vectors: vectors of units in a tile, for each accumulator; a power of two.
        heights: rows of a tile, the largest first; the last is 1.
        double: float64 instead of float32.
    """

    lanes: int
    vectors: int
    heights: tuple[int, ...]
    double: bool

    @property
    def bytes(self) -> int:
        """The size of a number."""
        return 8 if self.double else 4

    @property
    def width(self) -> int:
        """Units of a panel."""
        return self.lanes * self.vectors

    def panels(self, size: int) -> int:
        """Panels that cover so many units."""
        return -(-size // self.width)


def tile_shape(region: Region, *, lanes: int, registers: int, double: bool) -> Shape:
    """The largest tile whose accumulators fit the registers beside the weights."""
    count = len(region.accumulators)
    if count == 0:
        return Shape(lanes, 2 if region.size > lanes else 1, (1,), double)
    vectors = max(1, 4 // count)
    while vectors > 1 and vectors > -(-region.size // lanes):
        vectors //= 2
    room = registers * 3 // 4
    height = next(h for h in (4, 2, 1) if h * count * vectors <= room or h == 1)
    # Few heights: what is left of a block of rows is done one by one, for the compiler's sake.
    heights = (height, 1) if height > 1 else (1,)
    return Shape(lanes, vectors, heights, double)
