"""Repaint a photo: working size, masks, the network, its colours, filters, full size."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adain.config import Controls
from adain.engine.device import is_out_of_memory, release_memory
from adain.engine.model import Model
from adain.errors import ImageTooLargeError
from adain.imaging.enlarging import Enlarged
from adain.imaging.picture import (
    STRIP_PIXELS,
    Picture,
    result_type,
    row_ranges,
    to_levels,
    to_unit,
)
from adain.imaging.reading import load_image
from adain.imaging.resizing import resize_image, resize_to, scale_image, scaled_size
from adain.painting.finishing import finishing_steps
from adain.painting.masks import region_weights, share_bytes, strength_map
from adain.painting.matching import blend_colors, gather_matched, measure_photo
from adain.painting.strokes import working_side
from adain.painting.tiling import paint_tiles
from adain.styles.field import StyleField
from adain.styles.recoloring import style_colors
from adain.styles.statistics import StyleStatistics

Painter = Callable[[Picture, StyleStatistics | StyleField, float], NDArray[np.generic]]
"""What repaints a picture in a style to a degree: levels `(H, W, 3)` of the result."""

UNTOUCHED = 0.1
"""Strength below which the photo itself fades in, to be whole at 0."""


def stylize_picture(
    model: Model,
    photo: Picture,
    style: StyleStatistics,
    *,
    alpha: float = 1.0,
    max_side: int | None = None,
    controls: Controls = Controls(),
    memory: int | None = None,
    progress: Callable[[float], None] | None = None,
    painter: Painter | None = None,
) -> Picture:
    """Repaint a loaded photo in a style.

    Preview and print look alike: the size at which the network sees the photo depends on the
    photo, not on `max_side` (see `adain.painting.strokes`).

    Args:
        model: The network.
        photo: From `load_image`.
        style: One style, or one for each mask of `controls`.
        alpha: Strength: 0 keeps the photo, 1 is the full style; values beyond extrapolate.
        max_side: Longest side of the result in pixels; None keeps the photo's size.
        controls: How to repaint it.
        memory: Bytes that may be used beside the network and the photo; by default up to half of
            what is free. The result does not depend on it.
        progress: Told the share of the work that is done, in [0, 1].
        painter: What repaints the photo at its working size; by default the network, in one
            pass, which alone heeds `memory` and `progress`.

    Returns:
        A picture of the photo's size, with its transparency, name and facts.

    Raises:
        ImageError: If a mask cannot be read.
        ImageTooLargeError: If the memory does not suffice.
        MaskError: If a mask does not fit.
    """
    photo_side = max(photo.width, photo.height)
    side = min(photo_side, max_side or photo_side)
    try:
        working = scale_image(photo, working_side(photo_side, side, controls.stroke))
        styles = style.split()
        if memory is not None:
            size = (working.height, working.width)
            maps = len(styles) * bool(controls.masks) + (controls.strength is not None)
            pixel = 3 * result_type(*size).itemsize + maps * share_bytes(size)
            memory -= pixel * working.height * working.width
        paint = painter or partial(_paint_matched, model, memory, progress)
        painted = _repaint(paint, photo, working, styles, alpha, controls)
        if side > max(working.width, working.height):
            result = resize_image(photo, side)
            change = to_unit(painted) - working.pixels
            return replace(result, change=Enlarged(change, result.height, result.width))
        return resize_to(replace(working, levels=painted), scaled_size(photo, side))
    except ImageTooLargeError as error:
        raise ImageTooLargeError(f"{photo.name}: {error}") from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ImageTooLargeError(
            f"{photo.name}: not enough memory for {photo.width}x{photo.height} pixels; "
            "give a smaller max-side"
        ) from error


def _paint_matched(
    model: Model,
    memory: int | None,
    progress: Callable[[float], None] | None,
    picture: Picture,
    style: StyleStatistics | StyleField,
    alpha: float,
) -> NDArray[np.generic]:
    """Paint a picture in one pass, and give the result the colours of its styles."""
    tiles = paint_tiles(model, picture, style, alpha, memory=memory, progress=progress)
    size = (picture.height, picture.width)
    if model.colors is None:  # A network that does not recolor knows nothing of colours.
        return gather_matched(tiles, size, [])
    field = style if isinstance(style, StyleField) else None
    styles = [style] if isinstance(style, StyleStatistics) else style.styles
    shares = None if field is None else field.shares
    opacity = picture.opacity

    def visible(top: int, bottom: int, left: int, right: int) -> NDArray[np.float32]:
        assert opacity is not None
        seen = to_unit(opacity[top:bottom, left:right])[None]
        return seen if shares is None else seen * shares(top, bottom, left, right)

    weights = shares if opacity is None else visible
    wanted = [style_colors(each, model.colors) for each in styles]
    if alpha < 1:  # Else nothing of the photo's colours is left.
        found = measure_photo(picture, len(styles), weights)
        pairs = zip(found, wanted, strict=True)
        wanted = [blend_colors(before, each, alpha) for before, each in pairs]
    return gather_matched(tiles, size, wanted, shares, weights)


def _repaint(
    paint: Painter,
    photo: Picture,
    working: Picture,
    styles: Sequence[StyleStatistics],
    alpha: float,
    controls: Controls,
) -> NDArray[Any]:
    """Return `working`, the photo at another size, stylized: the network and what follows it.

    Args:
        paint: Runs the network on a picture, for a style and a strength.
        photo: The photo.
        working: What is stylized.
        styles: One, or one for each region.
        alpha: Strength.
        controls: How to repaint it.
    """
    size = (working.height, working.width)
    field = _style_field(photo, size, styles, controls)
    if working.is_large:
        release_memory()  # What decoding and masks have freed.
    painted: NDArray[Any] = paint(working, styles[0] if field is None else field, alpha)
    extent = None if field is None else field.extent
    if working.is_large:
        release_memory()  # What the network has freed is in many small pieces.
    steps, margin = finishing_steps(working, painted, extent, controls)
    faded = extent is not None or abs(alpha) < UNTOUCHED
    before = painted[:0]
    for top, bottom in row_ranges(*size, max(STRIP_PIXELS, 4 * margin * size[1])):
        if not steps and not faded:
            break
        first, last = max(0, top - margin), min(bottom + margin, size[0])
        original = working.rows(first, last)
        strip = to_unit(np.concatenate((before, painted[top:last])))
        before = painted[max(0, bottom - margin) : bottom].copy()
        for step in steps:
            strip = step(first, original, strip)
        original, strip = (each[top - first : bottom - first] for each in (original, strip))
        if faded:
            # The network gives a photo back nearly, not exactly.
            applied = abs(alpha) if extent is None else abs(alpha) * extent(top, bottom)[..., None]
            share = np.minimum(applied / UNTOUCHED, 1).astype(np.float32)
            strip = original + share * (strip - original)
        painted[top:bottom] = to_levels(strip, painted.dtype)
    return painted


def _style_field(
    photo: Picture,
    size: tuple[int, int],
    styles: Sequence[StyleStatistics],
    controls: Controls,
) -> StyleField | None:
    """Return what holds where at a size of the photo; None if one style holds everywhere."""
    strength, regions = None, None
    if controls.strength is not None:
        strength = strength_map(load_image(controls.strength), photo, size)
    if controls.masks:
        masks = [load_image(mask) for mask in controls.masks]
        feather = controls.feather * size[1] / photo.width
        regions = region_weights(masks, len(styles), photo, size, feather)
    if strength is None and regions is None:
        return None
    return StyleField(tuple(styles), regions, strength)
