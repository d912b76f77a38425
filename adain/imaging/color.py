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
from numpy.typing import NDArray

from adain.config import COLOR_MODES
from adain.imaging.picture import row_ranges

BINS = 4096
"""Steps of a histogram: sixteen for each level of an 8-bit picture, so that none shows."""

MAX_GAIN = 4.0
"""Colour that a result lacks is amplified by no more than this: it would be noise."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luminance Y of YIQ, the luma of ITU-R BT.601."""

ColorMap = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""A function of photo and result, `(H, W, 3)` or a strip of both, that returns the new result."""


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
    total: NDArray[np.float64]
    products: NDArray[np.float64]
    histograms: NDArray[np.float64]

    def __add__(self, other: "ColorStatistics") -> "ColorStatistics":
        return ColorStatistics(
            self.count + other.count,
            self.total + other.total,
            self.products + other.products,
            self.histograms + other.histograms,
        )

    @property
    def mean(self) -> NDArray[np.float64]:
        """Return the mean colour, shape `(3,)`."""
        return self.total / max(self.count, 1e-12)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Return the covariance of the channels, shape `(3, 3)`."""
        products = self.products / max(self.count, 1e-12)
        return products - np.outer(self.mean, self.mean)


def measure_colors(
    pixels: NDArray[np.float32], weight: NDArray[np.float32] | None = None
) -> ColorStatistics:
    """Measure the colours of a picture or a part of it.

    Args:
        pixels: Shape `(H, W, 3)`, in [0, 1].
        weight: How much each pixel counts, shape `(H, W)`, such as its transparency.
    """
    parts = (
        _measure_strip(pixels[top:bottom], None if weight is None else weight[top:bottom])
        for top, bottom in row_ranges(*pixels.shape[:2])
    )
    return sum(parts, start=next(parts))


def _measure_strip(
    pixels: NDArray[np.float32], weight: NDArray[np.float32] | None
) -> ColorStatistics:
    colors = pixels.reshape(-1, 3).T.astype(np.float64, order="C")
    weights = None if weight is None else weight.ravel().astype(np.float64)
    counts = [np.bincount(_steps(channel), weights, BINS) for channel in colors]
    histograms = np.array(counts, np.float64)
    weighted = colors if weights is None else colors * weights
    count = float(colors.shape[1] if weights is None else weights.sum())
    return ColorStatistics(count, weighted.sum(1), weighted @ colors.T, histograms)


def _steps(values: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the step of a histogram that each value falls in."""
    steps = (values * BINS).astype(np.intp)
    return steps.clip(0, BINS - 1, out=steps)


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
        noise = 1e-8 * np.eye(3)
        matrix = transport(result.covariance + noise, photo.covariance, (0, MAX_GAIN))
        return partial(_apply_affine, matrix, photo.mean - matrix @ result.mean)
    if mode == "histogram":
        return partial(_look_up, _quantile_tables(photo, result))
    raise ValueError(f"no colour mode {mode!r}; use one of {', '.join(COLOR_MODES)}")


def _luminance_affine(photo: ColorStatistics, result: ColorStatistics) -> tuple[float, float]:
    """Return the scale and shift that bring the result's luminance to that of the photo."""
    weights = np.array(LUMA)
    photo_mean, result_mean = (float(weights @ each.mean) for each in (photo, result))
    photo_std, result_std = (
        max(0.0, float(weights @ each.covariance @ weights)) ** 0.5 for each in (photo, result)
    )
    scale = min(photo_std / max(result_std, 1e-6), MAX_GAIN)
    return scale, photo_mean - scale * result_mean


def _keep_chroma(
    scale: float, shift: float, photo: NDArray[np.float32], result: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Join the luminance of the result and the chroma of the photo.

    Chroma that does not fit between black and white at its new luminance loses saturation, not
    hue: clipping the channels would change both, and the luminance.
    """
    light = (scale * luma(result)[..., 0] + shift).clip(0, 1)
    # Channel by channel: arrays are slow along an axis of three.
    chroma = np.moveaxis(photo, -1, 0) - luma(photo)[..., 0]
    fits = np.ones_like(light)
    for channel in chroma:
        room = np.where(channel > 0, 1 - light, light)
        np.minimum(fits, room / np.abs(channel).clip(1e-6), out=fits)
    joined = np.empty_like(result)
    for index, channel in enumerate(chroma):
        joined[..., index] = light + fits * channel
    return joined.clip(0, 1, out=joined)


def luma(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the luminance `(..., 1)` of colours `(..., 3)`."""
    return image @ np.array(LUMA, image.dtype)[:, None]


def _apply_affine(
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    _: NDArray[np.float32],
    result: NDArray[np.float32],
) -> NDArray[np.float32]:
    mapped = result @ matrix.T.astype(np.float32)
    # A row at a time: arrays are slow along an axis of three.
    mapped.reshape(len(mapped), -1)[:] += np.tile(offset.astype(np.float32), mapped.shape[1])
    return mapped.clip(0, 1, out=mapped)


def transport(
    source: NDArray[np.float64], target: NDArray[np.float64], gains: tuple[float, float]
) -> NDArray[np.float64]:
    """Return the symmetric matrix T with T source T = target: least change of the colours.

    The linear Monge-Kantorovitch map (Pitié and Kokaram, "The Linear Monge-Kantorovitch Linear
    Colour Mapping for Example-Based Colour Transfer", CVMP 2007). Unlike the Cholesky and PCA
    maps that Gatys et al. compare, it does not turn hues and needs no order of the channels.

    Args:
        source: Covariance of colours, `(..., 3, 3)`, positive definite.
        target: The same of what they shall become; what is not positive counts as nothing.
        gains: Limits of the gain along any direction of colour.
    """
    root = _power(source, 0.5)
    inverse = _power(source, -0.5)
    values, vectors = np.linalg.eigh(inverse @ _power(root @ target @ root, 0.5) @ inverse)
    return _symmetric(values.clip(*gains), vectors)


def _power(matrix: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Return a power of symmetric matrices without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return _symmetric(values.clip(1e-16) ** exponent, vectors)


def _symmetric(values: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the symmetric matrices `(..., 3, 3)` of eigenvalues `(..., 3)` and eigenvectors."""
    result: NDArray[np.float64] = (vectors * values[..., None, :]) @ vectors.swapaxes(-1, -2)
    return result


def _quantile_tables(photo: ColorStatistics, result: ColorStatistics) -> NDArray[np.float32]:
    """Return the photo's value of the same quantile for each step of the result, `(3, BINS)`."""
    edges = np.linspace(0, 1, BINS + 1)
    tables = []
    for wanted, given in zip(photo.histograms, result.histograms, strict=True):
        shares = given / max(given.sum(), 1e-12)
        reached = np.append(0, (wanted / max(wanted.sum(), 1e-12)).cumsum())
        # The quantile of the middle of a step: its ends can lie anywhere in a gap of the photo.
        tables.append(np.interp(shares.cumsum() - shares / 2, reached, edges))
    return np.stack(tables).astype(np.float32)


def _look_up(
    tables: NDArray[np.float32], _: NDArray[np.float32], result: NDArray[np.float32]
) -> NDArray[np.float32]:
    mapped = np.empty_like(result)
    for index, table in enumerate(tables):
        mapped[..., index] = table[_steps(result[..., index])]
    return mapped
