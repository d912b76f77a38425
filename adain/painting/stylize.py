"""Repaint a photo: working size, masks, the network, its colours, filters, full size."""

from collections.abc import Callable
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
from adain.imaging.resizing import resize_image, resize_to, scale_image, scaled_size
from adain.painting.finishing import ColorPair, finishing_steps
from adain.painting.looks import Look, paint_by_look, paint_matched
from adain.painting.masks import share_bytes, style_field
from adain.painting.strokes import working_side
from adain.styles.field import StyleField
from adain.styles.statistics import StyleStatistics

Painter = Callable[[Picture, StyleStatistics | StyleField, float], NDArray[np.generic]]
"""A function that repaints a picture in a style to a degree: levels `(H, W, 3)` of the result."""

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
    look: Look | None = None,
    notice: Callable[[str], None] | None = None,
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
        look: From `measure_look`, for a frame of a film: style, strength, masks and all that
            is else measured on the photo are those of the look.
        notice: Told, in a few words, of what was asked for and could not be done: a face to
            keep that was not found.

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
            masks = bool(controls.masks or controls.regions)
            maps = len(styles) * masks + _has_strengths(controls)
            pixel = 3 * result_type(*size).itemsize + maps * share_bytes(size)
            memory -= pixel * working.height * working.width
        if look is None:
            size = (working.height, working.width)
            field = style_field(photo, size, styles, controls, notice)
            paint = painter or partial(paint_matched, model, memory, progress)
            painted = _repaint(paint, working, field or styles[0], alpha, controls)
        else:
            paint = partial(paint_by_look, model, memory, progress, look)
            painted = _repaint(paint, working, look.style, look.alpha, controls, look.finish)
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


def _has_strengths(controls: Controls) -> bool:
    """Return whether there may be a strength for each pixel."""
    return controls.strength is not None or controls.finds_regions


def _repaint(
    paint: Painter,
    working: Picture,
    style: StyleStatistics | StyleField,
    alpha: float,
    controls: Controls,
    colors: ColorPair | None = None,
) -> NDArray[Any]:
    """Return a photo at its working size, stylized: the network and what follows it.

    Args:
        paint: Runs the network on a picture, for a style and a strength.
        working: What is stylized.
        style: One style, or what holds where.
        alpha: Strength.
        controls: How to repaint it.
        colors: As for `finishing_steps`.
    """
    size = (working.height, working.width)
    extent = style.extent if isinstance(style, StyleField) else None
    if working.is_large:
        release_memory()  # What decoding and masks have freed.
    painted: NDArray[Any] = paint(working, style, alpha)
    if working.is_large:
        release_memory()  # What the network has freed is in many small pieces.
    steps, margin = finishing_steps(working, painted, extent, controls, colors)
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
