"""Recoloring: before it is encoded, a photo takes the mean and covariance of a style's colours.

Normalization scales each channel of features by itself, and a decoder of a few channels turns no
colour into another: what is brown and yellow stays so, and missing colours come as blots. A linear
map of the pixels does that part exactly. A style's vector holds no colours, but its statistics at
the shallow layers tell them; so styles measured long ago can be used.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.imaging.color import transport
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


@dataclass(frozen=True)
class ColorDistribution:
    """Mean `(N, 3)` and covariance `(N, 3, 3)` of the colours of pictures, RGB in [0, 1]."""

    mean: Tensor
    covariance: Tensor


@dataclass(frozen=True)
class ColorMoments:
    """Sums over pixels, float64, that of several pieces of a picture can be added.

    Attributes:
        count: Number of pixels.
        total: Sums of the colours less 0.5, `(N, 3)`: small numbers lose less.
        products: Sums of their products, `(N, 3, 3)`.
    """

    count: int
    total: Tensor
    products: Tensor

    @staticmethod
    def of(image: Tensor) -> "ColorMoments":
        """Measure pictures `(N, 3, H, W)`."""
        values = image.float().flatten(2) - 0.5
        total, products = values.sum(2), values @ values.mT
        return ColorMoments(values.shape[2], total.double().cpu(), products.double().cpu())

    def __add__(self, other: "ColorMoments") -> "ColorMoments":
        return ColorMoments(
            self.count + other.count, self.total + other.total, self.products + other.products
        )

    def distribution(self) -> ColorDistribution:
        """Return mean and covariance."""
        mean = self.total / self.count
        covariance = self.products / self.count - mean[:, :, None] * mean[:, None]
        return ColorDistribution(mean + 0.5, covariance)


@dataclass(frozen=True)
class ColorAffine:
    """An affine map of colours: `matrix` `(N, 3, 3)` and `shift` `(N, 3)`, float32.

    Attributes:
        alpha: Strength: 0 is the identity.
    """

    matrix: Tensor
    shift: Tensor
    alpha: float = 1.0

    def apply(self, image: Tensor) -> Tensor:
        """Return pictures `(N, 3, H, W)` with other colours, in [0, 1]."""
        mapped = self.mapped(image)
        if self.alpha == 1:
            return mapped
        return torch.lerp(image, mapped, self.alpha).clamp_(0, 1)

    def mapped(self, image: Tensor) -> Tensor:
        """Return what `apply` does at full strength."""
        mapped = torch.baddbmm(
            self.shift.to(image)[:, :, None], self.matrix.to(image), image.flatten(2)
        )
        return soften(mapped.unflatten(2, image.shape[2:]))


def soften(image: Tensor) -> Tensor:
    """Return colours of any range in [0, 1]: lights keep their shades where a clip burns them."""
    inner = image.clamp(KNEE, 1 - KNEE)
    return inner.add_(F.softsign((image - inner).div_(KNEE)), alpha=KNEE)


@dataclass(frozen=True)
class BlendedColorAffine:
    """Maps that blend from pixel to pixel."""

    maps: tuple[ColorAffine, ...]

    def apply(self, image: Tensor, shares: Tensor) -> Tensor:
        """Return a picture, each pixel mapped by its share of each map.

        Args:
            image: Shape `(1, 3, H, W)`.
            shares: Shape `(1, K, H, W)`; what they lack to 1 keeps its colours.
        """
        result = image.clone()
        for i, each in enumerate(self.maps):
            result += each.alpha * shares[:, i : i + 1] * (each.mapped(image) - image)
        return result.clamp_(0, 1)


def color_transfer(
    photo: ColorDistribution, style: ColorDistribution, alpha: float = 1.0
) -> ColorAffine:
    """Return the map that gives a photo the mean and covariance of a style's colours.

    That of `transport`, with gains held to `GAINS`.

    Args:
        photo: Colours of photos.
        style: Colours of a style for each photo, or of one for all.
        alpha: Strength: 0 is the identity.
    """
    ridge = RIDGE * torch.eye(3, dtype=torch.double)
    source, target = (each.covariance.double().cpu() + ridge for each in (photo, style))
    matrix = transport(source, target, GAINS)
    mean = photo.mean.double().cpu()
    shift = style.mean.double().cpu() - (matrix @ mean[:, :, None])[:, :, 0]
    return ColorAffine(matrix.float(), shift.float(), alpha)


class StyleColors(nn.Module):
    """Tells the colours of a style from its statistics, by a linear map that `fit` finds.

    Attributes:
        weight: Shape `(F, 9)`: to means and covariances from the means and standard deviations at
            `LAYERS`, and the products of those at the first, as variances are squares.
        bias: Shape `(9,)`.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(inputs, 9))
        self.register_buffer("bias", torch.zeros(9))

    def forward(self, style: StyleStatistics) -> ColorDistribution:
        """Return the colours of styles."""
        values = (_inputs(style).to(self.weight) @ self.weight + self.bias).double()
        covariance = values[:, [3, 4, 5, 4, 6, 7, 5, 7, 8]].unflatten(1, (3, 3))
        return ColorDistribution(values[:, :3], covariance)

    @staticmethod
    def fit(samples: Iterable[tuple[StyleStatistics, ColorDistribution]]) -> "StyleColors":
        """Return the map that tells the colours of some paintings best, by least squares.

        Errors count as parts of a painting's variance, so that pale paintings count as much.
        """
        rows, targets, weights = [], [], []
        for style, colors in samples:
            covariance = colors.covariance.flatten(1)[:, [0, 1, 2, 4, 5, 8]]
            rows.append(_inputs(style).double().cpu())
            targets.append(torch.cat((colors.mean, covariance), 1))
            weights.append(1 / (covariance.norm(dim=1, keepdim=True) + 10 * RIDGE))
        inputs, outputs, weight = (torch.cat(each) for each in (rows, targets, weights))
        mean, spread = inputs.mean(0), inputs.std(0).clamp_min(1e-6)
        ones = torch.ones(len(inputs), 1, dtype=torch.double)
        design = torch.cat(((inputs - mean) / spread, ones), 1)
        weighted = design * weight
        normal = weighted.mT @ weighted
        ridge = FIT_RIDGE * normal.diagonal().mean() * torch.eye(len(normal), dtype=torch.double)
        solution = torch.linalg.solve(normal + ridge, weighted.mT @ (outputs * weight))
        result = StyleColors(inputs.shape[1])
        result.weight = (solution[:-1] / spread[:, None]).float()
        result.bias = (solution[-1] - (mean / spread) @ solution[:-1]).float()
        return result


def _inputs(style: StyleStatistics) -> Tensor:
    first, second = (torch.cat((style[layer].mean, style[layer].std), 1) for layer in LAYERS)
    i, j = torch.triu_indices(first.shape[1], first.shape[1])
    return torch.cat((first, second, first[:, i] * first[:, j]), 1)
