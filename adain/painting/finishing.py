"""After the network: colours and edges of the photo kept, smoothing, sharpening."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from itertools import starmap

import numpy as np
from numpy.typing import NDArray

from adain.config import Controls
from adain.imaging.color import ColorStatistics, color_map, measure_colors
from adain.imaging.filters import SHARPEN_REACH, SMOOTH_REACH, GuidedMap, sharpen, smooth
from adain.imaging.picture import Picture, RowReader, row_ranges, to_unit

WINDOW_SHARE = 1 / 32
"""Radius of the photorealistic filter against the longer side of the picture."""

WINDOW_EPS = 1e-4
"""Variance below which it takes an area for flat: 1 % of contrast, about the noise of a photo."""

Pixels = NDArray[np.float32]

ColorPair = tuple[ColorStatistics, ColorStatistics]
"""Colours of a photo and of its result."""

Step = Callable[[int, Pixels, Pixels], Pixels]
"""A function of the number of a row, and of photo and result from it on, `(h, W, 3)`; it gives
the new result."""


def finishing_steps(
    photo: Picture,
    painted: NDArray[np.generic],
    extent: RowReader | None,
    controls: Controls,
    colors: ColorPair | None = None,
) -> tuple[list[Step], int]:
    """Return what works on the pixels of photo and result, and how many rows away that looks.

    Only what is visible, and painted by `extent`, counts for the colours.

    Args:
        photo: At the size of the result.
        painted: Levels of the result, `(H, W, 3)`.
        extent: Gives how far the pixels of some rows are painted, `(h, W)`; None for wholly.
        controls: How; what says where is not looked at.
        colors: Those from `measure_pair`, of other pictures perhaps; by default those of these.
    """
    steps: list[Step] = []
    margin = 0

    def result(top: int, bottom: int) -> Pixels:
        return to_unit(painted[top:bottom])

    rows: RowReader = result
    if controls.preserve_color != "none":
        pair = measure_pair(photo, painted, extent) if colors is None else colors
        recolor = color_map(controls.preserve_color, *pair)
        steps.append(lambda _, photo, painted: recolor(photo, painted))

        def recolored(top: int, bottom: int) -> Pixels:
            return recolor(photo.rows(top, bottom), result(top, bottom))

        rows = recolored
    if controls.photorealistic:
        size = (photo.height, photo.width)
        radius = max(1, round(max(size) * WINDOW_SHARE))
        edges = GuidedMap.measure(photo.rows, rows, *size, radius, WINDOW_EPS)
        steps.append(lambda top, photo, _: edges(top, photo).clip(0, 1))
    if controls.smooth:
        steps.append(lambda *strips: smooth(strips[-1], controls.smooth))
        margin += SMOOTH_REACH
    if controls.sharpen:
        steps.append(lambda *strips: sharpen(strips[-1], controls.sharpen))
        margin += SHARPEN_REACH
    return steps, margin


def measure_pair(
    photo: Picture, painted: NDArray[np.generic], extent: RowReader | None
) -> ColorPair:
    """Measure the colours of photo and result, by what of them counts; see `finishing_steps`."""

    def result(top: int, bottom: int) -> Pixels:
        return to_unit(painted[top:bottom])

    return _measure(photo, photo.rows, extent), _measure(photo, result, extent)


def finish_pixels(photo: Picture, painted: Pixels, controls: Controls) -> Pixels:
    """Apply what works on the pixels of a photo and its repainting: colours, edges, grain.

    Args:
        photo: At the size of the result.
        painted: Shape `(H, W, 3)`, in [0, 1].
        controls: How; what says where is not looked at.
    """
    original = photo.pixels
    read = replace(photo, levels=original, change=None)
    for step in finishing_steps(read, painted, None, controls)[0]:
        painted = step(0, original, painted)
    return painted


def _measure(photo: Picture, rows: RowReader, extent: RowReader | None) -> ColorStatistics:
    """Measure the colours of photo or result, by what of them counts."""

    def measure(top: int, bottom: int) -> ColorStatistics:
        weights = []
        if photo.opacity is not None:
            weights.append(to_unit(photo.opacity[top:bottom]))
        if extent is not None:
            weights.append(extent(top, bottom))
        return measure_colors(rows(top, bottom), reduce(np.multiply, weights) if weights else None)

    parts = starmap(measure, row_ranges(photo.height, photo.width))
    return sum(parts, start=next(parts))
