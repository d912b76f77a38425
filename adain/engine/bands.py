"""Bands of rows, in which a stage of a pass works, and what it reads for each."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from adain.engine.model import Array


@dataclass(frozen=True)
class Band:
    """Rows that a stage makes, at its own size.

    Attributes:
        top: Its first row.
        bottom: The row behind its last one.
        height: Rows of the whole tile.
        halo: How many rows beyond the band are read, as far as the tile goes.
    """

    top: int
    bottom: int
    height: int
    halo: int

    @property
    def pads(self) -> NDArray[np.int64]:
        """Return how far features are mirrored beyond what was read: at the tile's border only."""
        at_top, at_bottom = self.top == 0, self.bottom == self.height
        return np.array([0, 0, at_top, 1, 0, 0, at_bottom, 1], np.int64)

    def rows(self, convolutions: int = 0) -> range:
        """Return the rows that are left of those read, after some convolutions without padding.

        A negative number adds rows, for what comes before.
        """
        first = max(0, self.top - self.halo + convolutions) if self.top else 0
        last = self.bottom + self.halo - convolutions
        return range(first, min(self.height, last) if self.bottom < self.height else self.height)

    def counted(self, rows: Array) -> Array:
        """Return weights of the rows that one convolution leaves: those of the tile, or 0."""
        seen = self.rows(1)
        weights = np.zeros(len(seen), np.float32)
        weights[self.top - seen.start : self.bottom - seen.start] = rows[self.top : self.bottom]
        return weights

    def read(self, values: Array, scale: int = 1, before: int = 0) -> Array:
        """Return what the stage reads of features `(1, C, h, w)` or of shares `(K, h, w)`.

        Args:
            values: Of the whole tile; shares of one position are the same for every band.
            scale: How much smaller they are than the stage.
            before: Convolutions that come before those of the stage.
        """
        if values.shape[-2] == 1:
            return values
        rows = self.rows(-before)
        return np.ascontiguousarray(values[..., rows.start // scale : rows.stop // scale, :])

    def core(self, features: Array, convolutions: int) -> Array:
        """Return the band of features `(..., h, w)` that some convolutions have made."""
        first = self.rows(convolutions).start
        return features[..., self.top - first : self.bottom - first, :]


def cut_bands(height: int, rows: float, halo: int) -> Iterator[Band]:
    """Cut a tile into bands of an even number of rows, about as many as given.

    Their number is a power of two, so that no core waits for another at the end of a stage. None
    is lower than the halo: beyond a band there is as much to read, or the border.
    """
    count = 2 ** max(
        0, min(max(1, round(math.log2(height / rows))), int(math.log2(height / (halo + 2))))
    )
    cuts = [*(2 * round(height * i / count / 2) for i in range(count)), height]
    for top, bottom in pairwise(cuts):
        yield Band(top, bottom, height, halo)
