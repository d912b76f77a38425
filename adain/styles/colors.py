"""Mean and covariance of the colours of pictures: measured in pieces, kept in nine numbers."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from adain.imaging.color import LUMA

VECTOR_SIZE = 9
"""Numbers of a vector of colours: three means and six second moments."""

ROUNDING = 2.5e-3
"""Greatest error of a variance along any direction of colour where a vector was kept in 16 bits:
three times the error of a covariance, that is of one second moment and of two means."""

VIVID, COLORFUL = 0.3, 0.12
"""How much chroma is added to what has none, and the root mean square of it where none is: with
the very colours of dull paintings results looked dull, and viewers chose others."""

STRIP_PIXELS = 2**13
"""Pixels that are measured at a time: the caches hold them, and sums in float32 stay exact."""

_PAIRS = np.triu_indices(3)
"""RR, RG, RB, GG, GB, BB."""

_CORNERS = np.array(list(product((-1.0, 1.0), repeat=3)))
"""Of a cube; their mean is 0, their covariance 1."""

_MATRIX = [0, 1, 2, 1, 3, 4, 2, 4, 5]
"""Which pair each entry of a symmetric matrix is."""


@dataclass(frozen=True, eq=False)
class ColorDistribution:
    """Mean `(N, 3)` and covariance `(N, 3, 3)` of the colours of pictures, RGB in [0, 1], float64.

    As a vector a covariance is kept as second moments, E[xy]: those of pictures of one size make
    those of all together by their plain average.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @staticmethod
    def from_moments(
        mean: NDArray[np.float64], products: NDArray[np.float64]
    ) -> "ColorDistribution":
        """Return what has a mean `(N, 3)` and second moments `(N, 3, 3)`."""
        return ColorDistribution(mean, products - _outer(mean))

    @property
    def products(self) -> NDArray[np.float64]:
        """Return the second moments `(N, 3, 3)`."""
        return self.covariance + _outer(self.mean)

    def to_vector(self) -> NDArray[np.float32]:
        """Return `(N, 9)`: mean of R, G, B, second moments of RR, RG, RB, GG, GB, BB."""
        products = self.products[:, *_PAIRS]
        return np.concatenate((self.mean, products), axis=1).astype(np.float32)

    @staticmethod
    def from_vector(vector: NDArray[np.floating]) -> "ColorDistribution":
        """Rebuild colours from `to_vector`, exactly: what rounding made slightly negative stays so.

        Args:
            vector: Shape `(N, 9)`.

        Raises:
            ValueError: If no picture has such colours: a number is not finite, a mean is outside
                [0, 1] or a variance negative by more than `ROUNDING`.
        """
        if vector.ndim != 2 or vector.shape[1] != VECTOR_SIZE:
            raise ValueError(f"expected colours of shape (N, {VECTOR_SIZE}), got {vector.shape}")
        _require(np.isfinite(vector).all(1), "not finite")
        values = vector.astype(np.float64)
        mean, products = values[:, :3], values[:, 3:][:, _MATRIX].reshape(-1, 3, 3)
        beyond = np.abs(mean - 0.5).max(1) - 0.5
        _require(beyond <= ROUNDING, "a mean is outside [0, 1]")
        colors = ColorDistribution.from_moments(mean, products)
        variances = np.linalg.eigvalsh(colors.covariance)
        _require(variances[:, 0] >= -ROUNDING, "a variance is negative")
        return colors

    def positive(self) -> "ColorDistribution":
        """Return the same colours; variances below zero, along any direction, become zero."""
        variances, directions = np.linalg.eigh(self.covariance)
        if variances.min() >= 0:
            return self
        covariance = (directions * variances.clip(0)[:, None, :]) @ directions.mT
        return ColorDistribution(self.mean, covariance)

    def vivid(self) -> "ColorDistribution":
        """Return the colours of results: the same luminance, and more chroma where it is little.

        What is grey stays grey.
        """
        chroma = np.eye(3) - LUMA  # Takes the luminance away from each channel.
        squares = np.trace(chroma @ self.products @ chroma.T, axis1=1, axis2=2) / 3
        gain = VIVID * (1 - np.sqrt(squares.clip(0)) / COLORFUL).clip(0)
        change = np.eye(3) + gain[:, None, None] * chroma
        mean = (change @ self.mean[:, :, None])[:, :, 0]
        return ColorDistribution(mean, change @ self.covariance @ change.mT)

    def palette(self) -> NDArray[np.float64]:
        """Return eight colours of each picture, `(N, 8, 3)` in [0, 1], from dark to bright.

        They lie one standard deviation to either side of the mean along each direction, so
        together they have this mean and covariance, but for what [0, 1] cuts off.
        """
        variances, directions = np.linalg.eigh(self.covariance)
        axes = directions * np.sqrt(variances.clip(0))[:, None, :]
        colors = (self.mean[:, None, :] + _CORNERS @ axes.mT).clip(0, 1)
        order = (colors @ (0.2126, 0.7152, 0.0722)).argsort(axis=1)
        return np.take_along_axis(colors, order[:, :, None], axis=1)


@dataclass(frozen=True, eq=False)
class ColorMoments:
    """Sums over pixels, float64, that of several pieces of a picture can be added.

    Attributes:
        count: Number of pixels, by their weight.
        total: Sums of the colours less 0.5, `(N, 3)`: small numbers lose less.
        products: Sums of their products, `(N, 3, 3)`.
    """

    count: float
    total: NDArray[np.float64]
    products: NDArray[np.float64]

    @staticmethod
    def of(
        pixels: NDArray[np.float32], weight: NDArray[np.float32] | None = None
    ) -> "ColorMoments":
        """Measure a picture or a part of it: N is 1.

        Args:
            pixels: Shape `(h, W, 3)`.
            weight: How much each pixel counts, `(h, W)`; None for all alike.
        """
        colors = pixels.reshape(-1, 3)
        weights = np.ones(len(colors), np.float32) if weight is None else weight.ravel()
        total, products = np.zeros(3), np.zeros((3, 3))
        for start in range(0, len(colors), STRIP_PIXELS):
            part = slice(start, start + STRIP_PIXELS)
            values = colors[part] - np.float32(0.5)
            weighted = values if weight is None else values * weights[part, None]
            total += weights[part] @ values
            products += weighted.T @ values
        count = float(weights.sum(dtype=np.float64))
        return ColorMoments(count, total[None], products[None])

    def __add__(self, other: "ColorMoments") -> "ColorMoments":
        return ColorMoments(
            self.count + other.count, self.total + other.total, self.products + other.products
        )

    def distribution(self) -> ColorDistribution:
        """Return mean and covariance."""
        centered = ColorDistribution.from_moments(
            self.total / self.count, self.products / self.count
        )
        return ColorDistribution(centered.mean + 0.5, centered.covariance)


def _outer(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors[:, :, None] * vectors[:, None, :]


def _require(fine: NDArray[np.bool_], what_else: str) -> None:
    if not fine.all():
        where = f" of style {fine.argmin() + 1} of {len(fine)}" if len(fine) > 1 else ""
        raise ValueError(f"broken colours{where}: {what_else}")
