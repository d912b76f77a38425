"""Final colour match: the result takes exactly the mean and covariance of the style's colours.

Normalization and decoder come near them; what they miss shows as tints of the photo that the
painting does not have. Everything is measured over the whole result, so no tile or strip shows.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adain.imaging.color import transport
from adain.imaging.picture import Picture, result_type, row_ranges, to_levels, to_unit
from adain.painting.tiling import PaintedTile
from adain.styles.colors import ColorDistribution, ColorMoments

Pixels = NDArray[np.float32]

RIDGE = 1e-5
"""Added to the variance of each colour, of result and style: a flat picture has no colours."""

GAINS = (0.0, 3.0)
"""Least and largest gain along any direction of colour: a drawing takes all colour away."""

LOW, HIGH = -0.5, 1.5
"""Colours of the decoder beyond these count as these."""

Shares = Callable[[int, int, int, int], Pixels]
"""A function that gives the shares `(K, h, w)` of the styles, or what counts of them, between
`top`, `bottom`, `left` and `right`."""


class Match(NamedTuple):
    """The map that gives results the colours of a style: matrix `(3, 3)` and shift `(3,)`."""

    matrix: Pixels
    shift: Pixels


def gather_matched(
    tiles: Iterable[PaintedTile],
    size: tuple[int, int],
    wanted: Sequence[ColorDistribution],
    shares: Shares | None = None,
    weights: Shares | None = None,
) -> NDArray[Any]:
    """Return the levels of a result that comes in tiles, with the colours of its styles.

    Args:
        tiles: As the decoder gives them, of any range.
        size: Height and width.
        wanted: Colours that each style shall have in it.
        shares: Where each style holds; None for one style everywhere.
        weights: How much each pixel counts for the colours of each style; None for all alike.

    Returns:
        Shape `(H, W, 3)`, of `result_type`.
    """
    levels = np.empty((*size, 3), result_type(*size))
    moments: list[list[ColorMoments]] = [[] for _ in wanted]
    for top, left, tile in tiles:
        bottom, right = top + tile.shape[0], left + tile.shape[1]
        tile = tile.clip(LOW, HIGH)
        _count(moments, tile, None if weights is None else weights(top, bottom, left, right))
        tile -= LOW
        tile /= HIGH - LOW
        levels[top:bottom, left:right] = to_levels(tile, levels.dtype)
    matches = color_matches([sum(parts[1:], parts[0]) for parts in moments], wanted)
    for top, bottom in row_ranges(*size):
        raw = (HIGH - LOW) * to_unit(levels[top:bottom])
        raw += LOW
        places = None if shares is None else shares(top, bottom, 0, size[1])
        levels[top:bottom] = to_levels(_matched(raw, matches, places), levels.dtype)
    return levels


def gather_by_matches(
    tiles: Iterable[PaintedTile],
    size: tuple[int, int],
    matches: Sequence[Match],
    shares: Shares | None = None,
) -> NDArray[Any]:
    """Return the levels of a result by matches that are known, as `gather_matched` otherwise."""
    levels = np.empty((*size, 3), result_type(*size))
    for top, left, tile in tiles:
        bottom, right = top + tile.shape[0], left + tile.shape[1]
        places = None if shares is None else shares(top, bottom, left, right)
        matched = _matched(tile.clip(LOW, HIGH), matches, places)
        levels[top:bottom, left:right] = to_levels(matched, levels.dtype)
    return levels


def measure_tiles(
    tiles: Iterable[PaintedTile], count: int, weights: Shares | None
) -> list[ColorMoments]:
    """Return the colours of a result for each of `count` styles."""
    moments: list[list[ColorMoments]] = [[] for _ in range(count)]
    for top, left, tile in tiles:
        bottom, right = top + tile.shape[0], left + tile.shape[1]
        counted = None if weights is None else weights(top, bottom, left, right)
        _count(moments, tile.clip(LOW, HIGH), counted)
    return [sum(parts[1:], parts[0]) for parts in moments]


def color_matches(
    found: Sequence[ColorMoments], wanted: Sequence[ColorDistribution]
) -> list[Match]:
    """Return what gives results of each style the colours that are wanted of it."""
    return list(map(_match, found, wanted))


def measure_photo(
    photo: Picture, count: int, weights: Shares | None
) -> list[ColorDistribution | None]:
    """Return the colours of a photo where each of `count` styles goes, None where none does."""
    return list(map(seen_colors, count_photo(photo, count, weights)))


def count_photo(photo: Picture, count: int, weights: Shares | None) -> list[ColorMoments]:
    """Return the same as sums, to which those of other photos can be added."""
    moments: list[list[ColorMoments]] = [[] for _ in range(count)]
    for top, bottom in row_ranges(photo.height, photo.width):
        counted = None if weights is None else weights(top, bottom, 0, photo.width)
        _count(moments, photo.rows(top, bottom), counted)
    return [sum(parts[1:], parts[0]) for parts in moments]


def seen_colors(moments: ColorMoments) -> ColorDistribution | None:
    """Return the colours of some pixels, None of none."""
    return moments.distribution() if moments.count > 0 else None


def blend_colors(
    photo: ColorDistribution | None, style: ColorDistribution, alpha: float
) -> ColorDistribution:
    """Return colours between those of a photo, at 0, and of a style, at 1 and beyond."""
    share = min(max(alpha, 0.0), 1.0)
    if photo is None or share == 1:
        return style
    return ColorDistribution(
        photo.mean + share * (style.mean - photo.mean),
        photo.covariance + share * (style.covariance - photo.covariance),
    )


def _count(moments: Sequence[list[ColorMoments]], pixels: Pixels, weights: Pixels | None) -> None:
    """Add pixels to the moments of each style."""
    for i, parts in enumerate(moments):
        parts.append(ColorMoments.of(pixels, None if weights is None else weights[i]))


def _match(moments: ColorMoments, wanted: ColorDistribution) -> Match:
    if moments.count <= 0:  # A style that has no place.
        return Match(np.eye(3, dtype=np.float32), np.zeros(3, np.float32))
    found = moments.distribution()
    source, target = (each.covariance[0] + RIDGE * np.eye(3) for each in (found, wanted))
    matrix = transport(source, target, GAINS)
    shift = wanted.mean[0] - matrix @ found.mean[0]
    return Match(matrix.astype(np.float32), shift.astype(np.float32))


def _matched(raw: Pixels, matches: Sequence[Match], places: Pixels | None) -> Pixels:
    """Return pixels in [0, 1], in `raw` perhaps.

    With places `(K, h, w)` each style changes its share of them.
    """
    if places is None or not matches:
        for matrix, shift in matches:
            raw = raw @ matrix.T
            raw += shift
        return raw.clip(0, 1, out=raw)
    matched = raw.copy()
    for (matrix, shift), share in zip(matches, places, strict=True):
        matched += share[..., None] * (raw @ matrix.T + shift - raw)
    return matched.clip(0, 1, out=matched)
