"""Colours of the photo in the result.

Everything works on the pixels of photo and result, so a stored style needs no picture. What
depends on the whole picture is measured first, in sums that strips of it can add up, and then
applied to each pixel on its own:

    measure_colors(photo)  ─┐
                            ├─ color_map(mode, ...) ── map(photo, result), strip by strip
    measure_colors(result) ─┘

The modes are those of Gatys, Bethge, Hertzmann and Shechtman, "Preserving Color in Neural
Artistic Style Transfer" (2016). They change the style before the transfer; here the result is
changed after it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from adain.config import COLOR_MODES
from adain.imaging.picture import STRIP_PIXELS

BINS = 4096
"""Steps of a histogram: sixteen for each level of an 8-bit picture, so that none shows."""

MAX_GAIN = 4.0
"""Colour that a result lacks is amplified by no more than this: it would be noise."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luminance Y of YIQ, the luma of ITU-R BT.601."""

ColorMap = Callable[[Tensor, Tensor], Tensor]
"""What takes photo and result, `(1, 3, H, W)` or a strip of both, and returns the new result."""


@dataclass(frozen=True, eq=False)
class ColorStatistics:
    """Sums over the pixels of a picture, in float64; `+` joins those of two parts of it.

    Attributes:
        count: Pixels, by their weight.
        total: Sum of the colours, shape `(3,)`.
        products: Sum of the products of two channels, shape `(3, 3)`.
        histograms: Pixels in each of `BINS` steps of [0, 1] for each channel, shape `(3, BINS)`.
    """

    count: float
    total: Tensor
    products: Tensor
    histograms: Tensor

    def __add__(self, other: "ColorStatistics") -> "ColorStatistics":
        return ColorStatistics(
            self.count + other.count,
            self.total + other.total,
            self.products + other.products,
            self.histograms + other.histograms,
        )

    @property
    def mean(self) -> Tensor:
        """Return the mean colour, shape `(3,)`."""
        return self.total / max(self.count, 1e-12)

    @property
    def covariance(self) -> Tensor:
        """Return the covariance of the channels, shape `(3, 3)`."""
        products = self.products / max(self.count, 1e-12)
        return products - torch.outer(self.mean, self.mean)


def measure_colors(pixels: Tensor, weight: Tensor | None = None) -> ColorStatistics:
    """Measure the colours of a picture or a part of it.

    Args:
        pixels: Shape `(1, 3, H, W)`, in [0, 1].
        weight: How much each pixel counts, shape `(1, 1, H, W)`, such as its transparency.
    """
    rows = max(1, 4 * STRIP_PIXELS // pixels.shape[3])
    strips = pixels.split(rows, dim=2)
    weights = [None] * len(strips) if weight is None else weight.split(rows, dim=2)
    parts = map(_measure_strip, strips, weights)
    return sum(parts, start=next(parts))


def _measure_strip(pixels: Tensor, weight: Tensor | None) -> ColorStatistics:
    colors = pixels[0].flatten(1).cpu().double()
    bins = (colors * BINS).long().clamp_(0, BINS - 1)
    weights = None if weight is None else weight[0, 0].flatten().cpu().double()
    histograms = [torch.bincount(channel, weights, BINS).double() for channel in bins]
    weighted = colors if weights is None else colors * weights
    count = float(colors.shape[1]) if weights is None else weights.sum().item()
    return ColorStatistics(count, weighted.sum(1), weighted @ colors.T, torch.stack(histograms))


def color_map(mode: str, photo: ColorStatistics, result: ColorStatistics) -> ColorMap:
    """Return what gives results the colours of their photo.

    Args:
        mode: `luminance` takes light and dark from the result, brought to the mean and contrast
            of the photo, and the colours from the photo, pixel by pixel. `linear` gives the
            result the mean and covariance of the photo's colours, `histogram` the distribution
            of each channel; both keep the shades that the style made. `none` changes nothing.
        photo: Colours of the whole photo.
        result: Colours of the whole result.

    Raises:
        ValueError: If there is no such mode.
    """
    if mode == "none":
        return lambda _, result: result
    if mode == "luminance":
        return partial(_keep_chroma, *_luminance_affine(photo, result))
    if mode == "linear":
        noise = 1e-8 * torch.eye(3, dtype=torch.float64)
        matrix = transport(result.covariance + noise, photo.covariance, (0, MAX_GAIN))
        return partial(_apply_affine, matrix, photo.mean - matrix @ result.mean)
    if mode == "histogram":
        return partial(_look_up, _quantile_tables(photo, result))
    raise ValueError(f"no colour mode {mode!r}; use one of {', '.join(COLOR_MODES)}")


def _luminance_affine(photo: ColorStatistics, result: ColorStatistics) -> tuple[float, float]:
    """Return the scale and shift that bring the result's luminance to that of the photo."""
    weights = torch.tensor(LUMA, dtype=torch.float64)
    photo_mean, result_mean = (float(weights @ each.mean) for each in (photo, result))
    photo_std, result_std = (
        float(weights @ each.covariance @ weights) ** 0.5 for each in (photo, result)
    )
    scale = min(photo_std / max(result_std, 1e-6), MAX_GAIN)
    return scale, photo_mean - scale * result_mean


def _keep_chroma(scale: float, shift: float, photo: Tensor, result: Tensor) -> Tensor:
    """Join the luminance of the result and the chroma of the photo.

    Chroma that does not fit between black and white at its new luminance loses saturation, not
    hue: clipping the channels would change both, and the luminance.
    """
    chroma = photo - luma(photo)
    light = (scale * luma(result) + shift).clamp_(0, 1)
    room = torch.where(chroma > 0, 1 - light, light)
    fits = (room / chroma.abs().clamp_min(1e-6)).amin(1, keepdim=True).clamp_max_(1)
    return (light + fits * chroma).clamp_(0, 1)


def luma(image: Tensor) -> Tensor:
    """Return the luminance `(N, 1, H, W)` of pictures `(N, 3, H, W)`."""
    weights = torch.tensor(LUMA, dtype=image.dtype, device=image.device)[:, None, None]
    return (weights * image).sum(1, keepdim=True)


def _apply_affine(matrix: Tensor, offset: Tensor, _: Tensor, result: Tensor) -> Tensor:
    matrix, offset = matrix.to(result), offset.to(result)
    mapped = torch.einsum("ij,njhw->nihw", matrix, result) + offset[:, None, None]
    return mapped.clamp_(0, 1)


def transport(source: Tensor, target: Tensor, gains: tuple[float, float]) -> Tensor:
    """Return the symmetric matrix T with T source T = target: least change of the colours.

    The linear Monge-Kantorovitch map (Pitié and Kokaram, "The Linear Monge-Kantorovitch Linear
    Colour Mapping for Example-Based Colour Transfer", CVMP 2007). Unlike the Cholesky and PCA
    maps that Gatys et al. compare, it does not turn hues and needs no order of the channels.

    Args:
        source: Covariance of colours, `(N, 3, 3)`, positive definite, float64.
        target: The same of what they shall become; what is not positive counts as nothing.
        gains: Limits of the gain along any direction of colour.
    """
    root = _power(source, 0.5)
    inverse = _power(source, -0.5)
    values, vectors = torch.linalg.eigh(inverse @ _power(root @ target @ root, 0.5) @ inverse)
    limited: Tensor = (vectors * values.clamp(*gains)[..., None, :]) @ vectors.mT
    return limited


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Return a power of symmetric matrices without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    power: Tensor = (vectors * values.clamp_min(1e-16).pow(exponent)[..., None, :]) @ vectors.mT
    return power


def _quantile_tables(photo: ColorStatistics, result: ColorStatistics) -> Tensor:
    """Return the photo's value of the same quantile for each step of the result, `(3, BINS)`."""
    edges = np.linspace(0, 1, BINS + 1)
    tables = []
    for wanted, given in zip(photo.histograms, result.histograms, strict=True):
        shares = (given / given.sum().clamp_min(1e-12)).numpy()
        reached = np.append(0, (wanted / wanted.sum().clamp_min(1e-12)).cumsum(0).numpy())
        # The quantile of the middle of a step: its ends can lie anywhere in a gap of the photo.
        tables.append(np.interp(shares.cumsum() - shares / 2, reached, edges))
    return torch.from_numpy(np.stack(tables))


def _look_up(tables: Tensor, _: Tensor, result: Tensor) -> Tensor:
    tables = tables.to(result)
    steps = (result[0] * BINS).long().clamp_(0, BINS - 1)
    channels = [table[step] for table, step in zip(tables, steps, strict=True)]
    return torch.stack(channels)[None]
