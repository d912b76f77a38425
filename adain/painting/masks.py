"""Pictures that say where: strengths and regions of styles."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adain.config import Controls
from adain.errors import MaskError
from adain.imaging.color import LUMA, luma
from adain.imaging.filters import blur_radius, gaussian_blur
from adain.imaging.picture import LARGE_PIXELS, Picture, RowReader, row_ranges, to_levels, to_unit
from adain.imaging.reading import load_image
from adain.styles.field import StyleField
from adain.styles.statistics import StyleStatistics

SHAPE_TOLERANCE = 0.01
"""Share by which the aspect ratio of a mask may differ from that of its photo, by rounding."""

LABEL_DISTANCE = 40
"""Levels by which a channel may differ from the colour of its label: what JPEG does to it."""

STRIP_PIXELS = 2**20
"""Pixels that are worked on at a time."""

LABEL_SHARE = 0.005
"""Part of a picture that a colour takes at least to be a label, not the soft edge of one."""


def strength_map(
    mask: Picture, photo: Picture, size: tuple[int, int]
) -> NDArray[np.float32 | np.uint8]:
    """Return the grey values of a mask, shape `size`, in [0, 1] or, if large, uint8.

    Args:
        mask: White is 1; where it is transparent, it counts as black.
        photo: What the mask belongs to.
        size: Height and width in pixels.

    Raises:
        MaskError: If the mask has not the shape of the photo.
    """
    _check_shape(mask, photo)
    rows, result = _scaled(_grey(mask), mask, size), np.empty(size, _share_type(size))
    for top, bottom in row_ranges(*size, STRIP_PIXELS):
        result[top:bottom] = to_levels(rows(top, bottom).clip(0, 1), result.dtype)
    return result


def region_weights(
    masks: Sequence[Picture], styles: int, photo: Picture, size: tuple[int, int], feather: float
) -> NDArray[np.float32 | np.uint8]:
    """Return how much each style counts at each pixel.

    Args:
        masks: One grey picture for each style, or one picture with a colour for each.
        styles: Number of styles.
        photo: What the masks belong to.
        size: Height and width in pixels.
        feather: Pixels of this size over which regions fade into one another.

    Returns:
        Shape `(styles, *size)`, in [0, 1] or, if large, uint8. Where the masks add up to more
        than 1, the styles share the place in their proportion; where to less, the photo keeps
        the rest.

    Raises:
        MaskError: If a mask has not the shape of the photo, or the masks do not fit the styles.
    """
    for mask in masks:
        _check_shape(mask, photo)
    if len(masks) == styles:
        readers = [_scaled(_grey(mask), mask, size) for mask in masks]
    elif len(masks) == 1:
        readers = [_scaled(region, masks[0], size) for region in _labels(masks[0], styles)]
    else:
        raise MaskError(
            f"{len(masks)} masks for {styles} styles; give one mask for each style, or one with "
            "a colour for each"
        )
    result = np.empty((styles, *size), _share_type(size))
    margin = blur_radius(feather / 2) if feather else 0
    for top, bottom in row_ranges(*size, max(STRIP_PIXELS, 2 * margin * size[1])):
        strips = np.empty((styles, bottom - top, size[1]), np.float32)
        for strip, rows in zip(strips, readers, strict=True):
            first = max(0, top - margin)
            window = rows(first, min(bottom + margin, size[0])).clip(0, 1)
            if feather:
                window = gaussian_blur(window, feather / 2)
            strip[:] = window[top - first : bottom - first]
        strips /= strips.sum(0).clip(1)
        result[:, top:bottom] = to_levels(strips, result.dtype)
    return result


def share_bytes(size: tuple[int, int]) -> int:
    """Return the bytes that the share of a style takes at each pixel, at a height and width."""
    return _share_type(size).itemsize


def _share_type(size: tuple[int, int]) -> np.dtype[np.float32 | np.uint8]:
    # Prints take a fourth of the memory in 8 bits, which masks have anyway.
    return np.dtype(np.uint8 if size[0] * size[1] > LARGE_PIXELS else np.float32)


def style_field(
    photo: Picture,
    size: tuple[int, int],
    styles: Sequence[StyleStatistics],
    controls: Controls,
    notice: Callable[[str], None] | None = None,
) -> StyleField | None:
    """Return what holds where at a size of the photo; None if one style holds everywhere.

    `notice` is told of faces and people that were asked for and not found.
    """
    strength, regions = None, None
    if controls.finds_regions:
        strength, regions = _found(photo, size, controls, notice)
    if controls.strength is not None:
        strength = strength_map(load_image(controls.strength), photo, size)
    if controls.masks:
        masks = [load_image(mask) for mask in controls.masks]
        feather = controls.feather * size[1] / photo.width
        regions = region_weights(masks, len(styles), photo, size, feather)
    if strength is None and regions is None:
        return None
    return StyleField(tuple(styles), regions, strength)


def _found(
    photo: Picture,
    size: tuple[int, int],
    controls: Controls,
    notice: Callable[[str], None] | None,
) -> tuple[NDArray[np.float32 | np.uint8] | None, NDArray[np.float32 | np.uint8] | None]:
    """Return the strength and the shares of styles by what is found in the photo."""
    # Most photos need no networks for it.
    from adain.painting.regions import Sighting, kept_strength, sought, style_shares

    sighting, dtype = Sighting.of(photo, sought(controls)), _share_type(size)
    strength = kept_strength(sighting, size, controls, dtype, notice)
    if not controls.regions:
        return strength, None
    return strength, style_shares(sighting, size, controls.regions, dtype, notice)


def _check_shape(mask: Picture, photo: Picture) -> None:
    expected = mask.height * photo.width / photo.height
    if abs(mask.width - expected) > max(1, SHAPE_TOLERANCE * expected):
        raise MaskError(
            f"{mask.name}: {mask.width}x{mask.height} has not the shape of {photo.name}, "
            f"{photo.width}x{photo.height}; make a mask of that size"
        )


def _grey(mask: Picture) -> RowReader:
    def rows(top: int, bottom: int) -> NDArray[np.float32]:
        grey = luma(mask.rows(top, bottom))[..., 0]
        return grey if mask.opacity is None else grey * to_unit(mask.opacity[top:bottom])

    return rows


def _scaled(rows: RowReader, mask: Picture, size: tuple[int, int]) -> RowReader:
    """Return what reads rows scaled to a size, bilinear and without aliases."""
    scale = mask.height / size[0]
    reach = max(1.0, scale)

    def scaled(top: int, bottom: int) -> NDArray[np.float32]:
        first, last = top * scale, min(bottom * scale, mask.height)
        low, high = max(0, math.floor(first - reach)), min(mask.height, math.ceil(last + reach))
        window = Image.fromarray(rows(low, high))
        new, box = (size[1], bottom - top), (0, first - low, mask.width, last - low)
        return np.asarray(window.resize(new, Image.Resampling.BILINEAR, box))

    return rows if (mask.height, mask.width) == size else scaled


def _labels(mask: Picture, styles: int) -> list[RowReader]:
    """Return where each colour of a label picture is, from dark to bright, each `(h, W)`."""
    strips = list(row_ranges(mask.height, mask.width, STRIP_PIXELS))
    codes, counts = _count_colors(_codes(mask, *strip) for strip in strips)
    colors = _colors(codes)
    labels = np.arange(len(codes))
    if len(colors) != styles:
        chosen = _frequent_colors(colors, counts)
        if len(chosen) != styles:
            if styles == 2 and np.ptp(colors.astype(int), axis=1).max() <= LABEL_DISTANCE:
                # No labels: a smooth way from one style to the other.
                grey = _grey(mask)
                return [lambda *rows: 1 - grey(*rows), grey]
            names = ", ".join("#" + bytes(color).hex() for color in chosen[:9])
            raise MaskError(
                f"{mask.name}: has {len(chosen)} colours ({names}) for {styles} styles; give as "
                "many styles as colours, or one mask for each style"
            )
        nearest = [np.abs(colors.astype(int) - color).max(1) for color in chosen.astype(int)]
        labels = np.argmin(nearest, axis=0)
        colors = chosen

    def region(label: int, top: int, bottom: int) -> NDArray[np.float32]:
        places = labels[np.searchsorted(codes, _codes(mask, top, bottom))]
        there: NDArray[np.float32] = (places == label).astype(np.float32)
        return there

    order = np.argsort(colors @ np.array(LUMA), kind="stable")
    return [partial(region, int(label)) for label in order]


def _codes(mask: Picture, top: int, bottom: int) -> NDArray[np.int32]:
    """Return the colours of some rows as 24-bit numbers, red first, shape `(h, W)`."""
    levels = np.rint(mask.rows(top, bottom) * 255).astype(np.int32)
    red, green, blue = np.moveaxis(levels, 2, 0)
    codes: NDArray[np.int32] = red << 16 | green << 8 | blue
    return codes


def _colors(codes: NDArray[np.int32]) -> NDArray[np.uint8]:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8)


def _count_colors(
    strips: Iterable[NDArray[np.int32]],
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the colours of a picture, sorted, and how often each is there."""
    parts = [np.unique(strip, return_counts=True) for strip in strips]
    codes, places = np.unique(np.concatenate([part[0] for part in parts]), return_inverse=True)
    counts = np.zeros(len(codes), np.int64)
    np.add.at(counts, places, np.concatenate([part[1] for part in parts]))
    return codes, counts


def _frequent_colors(colors: NDArray[np.uint8], counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the colours that are labels: often there, and unlike one another."""
    chosen: list[NDArray[np.uint8]] = []
    left = np.ones(len(colors), bool)
    total = counts.sum()
    while left.any():
        most = np.argmax(np.where(left, counts, 0))
        near = left & (np.abs(colors.astype(int) - colors[most]).max(1) <= LABEL_DISTANCE)
        if counts[near].sum() < LABEL_SHARE * total:
            break
        chosen.append(colors[most])
        left &= ~near
    return np.array(chosen)
