"""Weighted means of neighbours along one side of an image: interpolation, shrinking, blur."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

BLOCK = 16
"""Rows or columns that are made at a time: few sources make them, so few zeros count."""

LINES = 32
"""Old rows that are read at a time: those of a wide picture still fit the cache."""

Kernel = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""A function that gives weights for distances."""

Rows = Callable[[int, int], NDArray[np.float32]]
"""A function that gives the rows of an image from one to before another."""


@dataclass(frozen=True, eq=False)
class Interpolation:
    """A map to the new positions along a side of an image: each is a weighted sum of old ones.

    It is computed as matrix products of few positions each, several times faster than position by
    position.

    Attributes:
        taps: The old positions that each new one is made of, shape `(new, taps)`, ascending.
        weights: How much each of them counts, shape `(new, taps)`.
    """

    taps: NDArray[np.intp]
    weights: NDArray[np.float32]

    @classmethod
    def bicubic(cls, old: int, new: int) -> "Interpolation":
        """Return bicubic interpolation by Keys' kernel of parameter -0.75, for enlarging."""
        return cls._repeating(_centers(old, new), 2, old, lambda x: _cubic(x, -0.75))

    @classmethod
    def antialiased(cls, old: int, new: int) -> "Interpolation":
        """Return bicubic interpolation without aliases, for any size, as Pillow does it."""
        scale = max(old / new, 1)
        return cls._cut(_centers(old, new), 2 * scale, old, lambda x: _cubic(x / scale, -0.5))

    @classmethod
    def gaussian(cls, size: int, sigma: float, radius: int) -> "Interpolation":
        """Return a Gaussian of `sigma` positions, cut after `radius` of them."""
        places = np.arange(size, dtype=np.float64)
        return cls._cut(places, radius, size, lambda x: np.exp(-0.5 * (x / sigma) ** 2))

    @classmethod
    def mean(cls, places: NDArray[np.float64], reach: float, old: int) -> "Interpolation":
        """Return the means of the positions within `reach` of ascending places."""
        return cls._cut(places, reach, old, np.ones_like)

    @classmethod
    def linear(cls, places: NDArray[np.float64], old: int) -> "Interpolation":
        """Return linear interpolation at ascending places among `old` positions."""
        return cls._repeating(places, 1, old, lambda x: (1 - np.abs(x)).clip(0))

    @classmethod
    def _repeating(
        cls, places: NDArray[np.float64], reach: float, old: int, kernel: Kernel
    ) -> "Interpolation":
        """Return the weights of a kernel; beyond the ends, the positions there repeat."""
        taps, distances = _neighbours(places, reach)
        return cls(taps.clip(0, old - 1), kernel(distances).astype(np.float32))

    @classmethod
    def _cut(
        cls, places: NDArray[np.float64], reach: float, old: int, kernel: Kernel
    ) -> "Interpolation":
        """Return the weights of a kernel that is cut at the ends; they add up to 1."""
        taps, distances = _neighbours(places, reach)
        inside = (taps >= 0) & (taps < old) & (np.abs(distances) <= reach)
        weights = np.where(inside, kernel(distances), 0)
        weights /= weights.sum(1, keepdims=True)
        return cls(taps.clip(0, old - 1), weights.astype(np.float32))

    def rows(self, read: Rows, start: int, stop: int) -> NDArray[np.float32]:
        """Return new rows `(stop - start, ...)` made of old ones, some of which are read twice."""
        result = np.empty(0, np.float32)
        for first, last, low, high, matrix in self._blocks(start, stop):
            for top in range(low, high, LINES):
                lines = read(top, min(top + LINES, high))
                if not result.size:
                    result = np.empty((stop - start, *lines.shape[1:]), np.float32)
                made = result[first - start : last - start].reshape(last - first, -1)
                flat, weights = lines.reshape(len(lines), -1), matrix[:, top - low :][:, :LINES]
                if top == low:
                    np.matmul(weights, flat, out=made)
                else:
                    used = np.flatnonzero(weights.any(axis=1))
                    place = slice(used.min(initial=BLOCK), used.max(initial=-1) + 1)
                    made[place] += weights[place] @ flat
        return result

    def columns(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return an image `(h, new)` or `(h, new, C)` made of the columns of one."""
        height, width, *channels = image.shape
        result = np.empty((height, len(self.taps), *channels), np.float32)
        if channels and len(self.taps) > width:
            # Few old positions make a block: zeros cost less than to take channels apart.
            flat, wide, apart = image.reshape(height, -1), result.reshape(height, -1), channels[0]
            for left, right, low, high, matrix in self._all:
                weights = np.kron(matrix.T, np.eye(apart, dtype=np.float32))
                made = wide[:, apart * left : apart * right]
                np.matmul(flat[:, apart * low : apart * high], weights, out=made)
            return result
        for channel in np.ndindex(*channels):
            plane = np.ascontiguousarray(image[..., *channel])
            made = np.empty((height, len(self.taps)), np.float32)
            for left, right, low, high, matrix in self._all:
                made[:, left:right] = plane[:, low:high] @ np.ascontiguousarray(matrix.T)
            result[..., *channel] = made
        return result

    @cached_property
    def _all(self) -> list[tuple[int, int, int, int, NDArray[np.float32]]]:
        return [*self._blocks(0, len(self.taps))]

    def _blocks(
        self, start: int, stop: int
    ) -> Iterator[tuple[int, int, int, int, NDArray[np.float32]]]:
        """Yield some new positions at a time, those that they are made of, and the matrix.

        Positions are given by the first and that behind the last.
        """
        for first in range(start, stop, BLOCK):
            last = min(first + BLOCK, stop)
            taps = self.taps[first:last]
            low, high = int(taps[0, 0]), int(taps[-1, -1]) + 1
            matrix = np.zeros((last - first, high - low), np.float32)
            places = (np.arange(last - first)[:, None], taps - low)
            np.add.at(matrix, places, self.weights[first:last])
            yield first, last, low, high, matrix


def _centers(old: int, new: int) -> NDArray[np.float64]:
    """Return where among `old` positions the middles of as many as `new` lie."""
    return (np.arange(new, dtype=np.float64) + 0.5) * (old / new) - 0.5


def _neighbours(
    places: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the positions around places, `(places, positions)`, and their signed distances."""
    first = np.ceil(places - reach).astype(np.intp)
    taps = first[:, None] + np.arange(math.floor(2 * reach) + 1)
    return taps, taps - places[:, None]


def _cubic(distance: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """Return Keys' kernel with the parameter `a`."""
    x = np.abs(distance)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))
