"""Recoloring: before it is encoded, a photo takes the mean and covariance of a style's colours.

Normalization scales each channel of features by itself, and a decoder of a few channels turns no
colour into another: what is brown and yellow stays so, and missing colours come as blots. A linear
map of the pixels does that part exactly. Where a style was measured long ago, without its colours,
its statistics at the shallow layers tell them nearly.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adain.imaging.color import transport
from adain.styles.colors import ColorDistribution
from adain.styles.statistics import StyleStatistics

RIDGE = 3e-4
"""Added to the variance of each colour: a grey photo has no colours that could be spread."""

GAINS = (0.1, 3.0)
"""Least and largest gain along any direction of colour: an etching takes nearly all colour from a
photo, and a colourful painting does not raise its noise."""

LAYERS = ("relu1_1", "relu2_1")
"""Layers whose statistics tell the colours."""

KNEE = 0.1
"""Colours this near to black or white, and those that the map puts beyond, are drawn together."""

FIT_RIDGE = 1e-4
"""Of the least squares, as a part of the mean square of the (standardized) inputs."""


@dataclass(frozen=True, eq=False)
class ColorAffine:
    """An affine map of colours: `matrix` `(N, 3, 3)` and `shift` `(N, 3)`, float32."""

    matrix: NDArray[np.float32]
    shift: NDArray[np.float32]


def color_transfer(photo: ColorDistribution, style: ColorDistribution) -> ColorAffine:
    """Return the map that gives a photo the mean and covariance of a style's colours.

    That of `transport`, with gains held to `GAINS`.

    Args:
        photo: Colours of photos.
        style: Colours of a style for each photo, or of one for all.
    """
    source, target = (each.covariance + RIDGE * np.eye(3) for each in (photo, style))
    matrix = transport(source, target, GAINS)
    shift = style.mean - (matrix @ photo.mean[:, :, None])[:, :, 0]
    return ColorAffine(matrix.astype(np.float32), shift.astype(np.float32))


@dataclass(frozen=True, eq=False)
class StyleColors:
    """Tells the colours of a style from its statistics, by a linear map that `fit` finds.

    Attributes:
        weight: Shape `(F, 9)`: to means and covariances from the means and standard deviations at
            `LAYERS`, and the products of those at the first, as variances are squares.
        bias: Shape `(9,)`.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @staticmethod
    def of(tensors: Mapping[str, NDArray[np.float32]]) -> "StyleColors | None":
        """Return the map that is among the tensors of a decoder; None if there is none."""
        if "colors.weight" not in tensors:
            return None
        return StyleColors(tensors["colors.weight"], tensors["colors.bias"])

    def __call__(self, style: StyleStatistics) -> ColorDistribution:
        """Return the colours of styles, nearly: a variance can be slightly negative."""
        values = (_inputs(style) @ self.weight + self.bias).astype(np.float64)
        covariance = values[:, [3, 4, 5, 4, 6, 7, 5, 7, 8]].reshape(-1, 3, 3)
        return ColorDistribution(values[:, :3], covariance)

    @staticmethod
    def fit(samples: Iterable[tuple[StyleStatistics, ColorDistribution]]) -> "StyleColors":
        """Return the map that tells the colours of some paintings best, by least squares.

        Errors count as parts of a painting's variance, so that pale paintings count as much.
        """
        rows, targets, weights = [], [], []
        for style, colors in samples:
            covariance = colors.covariance.reshape(-1, 9)[:, [0, 1, 2, 4, 5, 8]]
            rows.append(_inputs(style).astype(np.float64))
            targets.append(np.concatenate((colors.mean, covariance), axis=1))
            norm = np.linalg.norm(covariance, axis=1, keepdims=True)
            weights.append(1 / (norm + 10 * RIDGE))
        inputs, outputs, weight = (np.concatenate(each) for each in (rows, targets, weights))
        mean, spread = inputs.mean(0), inputs.std(0, ddof=1).clip(1e-6)
        design = np.column_stack(((inputs - mean) / spread, np.ones(len(inputs))))
        weighted = design * weight
        normal = weighted.T @ weighted
        ridge = FIT_RIDGE * normal.diagonal().mean() * np.eye(len(normal))
        solution = np.linalg.solve(normal + ridge, weighted.T @ (outputs * weight))
        bias = solution[-1] - (mean / spread) @ solution[:-1]
        return StyleColors(
            (solution[:-1] / spread[:, None]).astype(np.float32), bias.astype(np.float32)
        )


def style_colors(style: StyleStatistics, estimate: StyleColors | None) -> ColorDistribution:
    """Return the colours of styles: those that they carry, else an estimate.

    Raises:
        ValueError: If they carry none, and nothing estimates them.
    """
    if style.colors is not None:
        return style.colors.positive()
    if estimate is None:
        raise ValueError("the style carries no colours, and the network does not estimate any")
    return estimate(style)


def _inputs(style: StyleStatistics) -> NDArray[np.float32]:
    first, second = (np.hstack((style[layer].mean, style[layer].std)) for layer in LAYERS)
    i, j = np.triu_indices(first.shape[1])
    return np.hstack((first, second, first[:, i] * first[:, j]))
