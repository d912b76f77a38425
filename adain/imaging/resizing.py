"""Pictures at other sizes."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from adain.config import MIN_SIDE
from adain.imaging.interpolation import Interpolation
from adain.imaging.picture import (
    STRIP_PIXELS,
    Picture,
    RowReader,
    gather_rows,
    row_ranges,
    to_unit,
)


def resize_image(picture: Picture, max_side: int) -> Picture:
    """Shrink a picture so that its longer side is `max_side` pixels; never enlarge it.

    The shorter side keeps at least 16 pixels, if need be at the cost of the aspect ratio.
    """
    return scale_image(picture, min(max_side, max(picture.width, picture.height)))


def resize_shorter_side(picture: Picture, side: int) -> Picture:
    """Shrink a picture so that its shorter side is `side` pixels; never enlarge it."""
    shorter = min(picture.width, picture.height)
    return resize_to(picture, scaled_size(picture, min(side, shorter), shorter))


def scale_image(picture: Picture, side: int) -> Picture:
    """Shrink or enlarge a picture so that its longer side is `side` pixels."""
    return resize_to(picture, scaled_size(picture, side))


def scaled_size(picture: Picture, side: int, old: int | None = None) -> tuple[int, int]:
    """Return the height and width of a picture whose longer side becomes `side` pixels.

    Args:
        picture: The picture as it is.
        side: At least 16 pixels. So has the shorter side then, if need be at the cost of the
            aspect ratio.
        old: The side that becomes `side`; by default the longer one.
    """
    old = old or max(picture.width, picture.height)
    if side < MIN_SIDE and side != old:
        raise ValueError(f"the side must be at least {MIN_SIDE} pixels, got {side}")
    height, width = (
        max(min(MIN_SIDE, each), round(each * side / old))
        for each in (picture.height, picture.width)
    )
    return height, width


def resize_to(picture: Picture, size: tuple[int, int]) -> Picture:
    """Scale a picture to a height and width, by bicubic interpolation without aliases."""
    old = (picture.height, picture.width)
    if size == old:
        return picture

    def scaled(rows: RowReader) -> Iterator[NDArray[np.float32]]:
        return (strip.clip(0, 1, out=strip) for strip in _scaled_strips(rows, old, size))

    kind = (
        picture.levels.dtype if picture.opacity is None and picture.change is None else np.float32
    )
    levels = gather_rows(scaled(picture.rows), *size, kind)
    if picture.opacity is None:
        return replace(picture, levels=levels, change=None)
    opacity = picture.opacity

    def alpha(top: int, bottom: int) -> NDArray[np.float32]:
        return to_unit(opacity[top:bottom])

    # Weighing by transparency keeps the fill of clear pixels out of the edges.
    transparency = np.concatenate([*scaled(alpha)])
    weighted = scaled(lambda *rows: picture.rows(*rows) * alpha(*rows)[..., None])
    top = 0
    for strip in weighted:
        rows = slice(top, top + len(strip))
        visible = transparency[rows] > 0.5 / 255
        shown = strip[visible] / transparency[rows][visible, None]
        levels[rows][visible] = shown.clip(0, 1)
        top += len(strip)
    return replace(picture, levels=levels, opacity=transparency, change=None)


def resize_pixels(pixels: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Scale pixels `(H, W)` or `(H, W, C)` to a height and width, as `scale_rows` does."""
    return scale_rows(lambda top, bottom: pixels[top:bottom], pixels.shape[:2], size)


def scale_rows(rows: RowReader, old: tuple[int, int], new: tuple[int, int]) -> NDArray[np.float32]:
    """Scale what is read row by row, without aliases; at edges it is beyond its range by a little.

    Args:
        rows: Gives the rows, `(h, W)` or `(h, W, C)`; some are read twice.
        old: Height and width.
        new: Height and width of the result.
    """
    return np.concatenate([*_scaled_strips(rows, old, new)])


def _scaled_strips(
    rows: RowReader, old: tuple[int, int], new: tuple[int, int]
) -> Iterator[NDArray[np.float32]]:
    """Yield what `scale_rows` returns: first heights are scaled, of rows that lie in one piece."""
    vertical = Interpolation.antialiased(old[0], new[0])
    horizontal = Interpolation.antialiased(old[1], new[1])
    # Columns are made in many steps, which take time for a few rows, too.
    for top, bottom in row_ranges(new[0], old[1], max(STRIP_PIXELS, 64 * old[1])):
        yield horizontal.columns(vertical.rows(rows, top, bottom))
