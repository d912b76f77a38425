"""Pictures at other sizes."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from adain.config import MIN_SIDE
from adain.imaging.picture import STRIP_PIXELS, Picture, RowReader, row_ranges, to_unit


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
    if picture.levels.dtype == torch.uint8 and picture.opacity is None and picture.change is None:
        # Rounded to levels once more, which nobody sees, in a sixth of the time.
        levels = F.interpolate(picture.levels, size, mode="bicubic", antialias=True)
        return replace(picture, levels=levels)

    def scale(rows: RowReader) -> Tensor:
        return scale_rows(rows, old, size).clamp_(0, 1)

    if picture.opacity is None:
        return replace(picture, levels=scale(picture.rows), change=None)
    opacity = picture.opacity

    def alpha(top: int, bottom: int) -> Tensor:
        return to_unit(opacity[:, :, top:bottom])

    # Weighing by transparency keeps the fill of clear pixels out of the edges.
    transparency = scale(alpha)
    visible = scale(lambda *rows: picture.rows(*rows) * alpha(*rows)) / transparency
    pixels = torch.where(transparency > 0.5 / 255, visible, scale(picture.rows)).clamp_(0, 1)
    return replace(picture, levels=pixels, opacity=transparency, change=None)


def scale_rows(rows: RowReader, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Scale what is read row by row, without aliases; first all widths, then the heights.

    Args:
        rows: Gives the rows.
        old: Height and width.
        new: Height and width of the result.
    """
    scale = partial(F.interpolate, mode="bicubic", antialias=True)
    strips = []
    for top, bottom in row_ranges(*old, 4 * STRIP_PIXELS):
        strip, size = rows(top, bottom), (bottom - top, new[1])
        strips.append(strip if old[1] == new[1] else scale(strip, size))
    narrow = torch.cat(strips, 2)
    return narrow if old[0] == new[0] else scale(narrow, new)
