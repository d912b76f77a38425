"""A decoded picture, in as little memory as its file needs, worked on strip by strip."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from adain.errors import ImageError
from adain.imaging.enlarging import Enlarged
from adain.imaging.metadata import Facts

STRIP_PIXELS = 2**18
"""Pixels that are converted at a time."""

LARGE_PIXELS = 2**24
"""A result of more pixels is kept in 16 bits a channel: half the memory, and as good as exact."""

RowReader = Callable[[int, int], Tensor]
"""What gives rows `(N, C, bottom - top, W)` of a picture for `top` and `bottom`."""

Strips = Iterable[NDArray[Any]]
"""Rows of a picture, shape `(h, W, 3)` or `(h, W, 4)`, of uint8 or uint16."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, in as little memory as its file needs.

    Attributes:
        levels: Colours, shape `(1, 3, H, W)`, sRGB, not multiplied by transparency: floating
            point in [0, 1], or uint8 or uint16, where the largest number is white.
        opacity: Alpha channel `(1, 1, H, W)` of any of these types: 0 is clear, the largest is
            opaque. None when the whole picture is opaque.
        name: What error messages call it.
        facts: What its file says about the photo; never its place.
        change: What is added to the colours, kept small until they are read.
    """

    levels: Tensor
    opacity: Tensor | None = None
    name: str = "picture"
    facts: Facts = field(default_factory=dict)
    change: Enlarged | None = None

    @property
    def width(self) -> int:
        """Return the width in pixels."""
        return self.levels.shape[3]

    @property
    def height(self) -> int:
        """Return the height in pixels."""
        return self.levels.shape[2]

    @property
    def is_large(self) -> bool:
        """Return whether it takes much memory; see `LARGE_PIXELS`."""
        return self.height * self.width > LARGE_PIXELS

    @property
    def shape(self) -> tuple[int, ...]:
        """Return `(H, W, 3)`."""
        return (self.height, self.width, 3)

    @property
    def pixels(self) -> Tensor:
        """Return all colours, shape `(1, 3, H, W)`, floating point in [0, 1]."""
        return self.rows(0, self.height)

    @property
    def transparency(self) -> Tensor | None:
        """Return the alpha channel, shape `(1, 1, H, W)`, floating point in [0, 1]."""
        return None if self.opacity is None else to_unit(self.opacity)

    def to_pil(self) -> Image.Image:
        """Return an image in RGB, or in RGBA if it is not opaque."""
        from adain.imaging.pillow import to_image

        return to_image(self)

    def to_array(self, bits: int = 8) -> NDArray[Any]:
        """Return the levels as uint8, or uint16 for 16 bits: `(H, W, 3)`, or 4 if not opaque."""
        if bits not in (8, 16):
            raise ValueError(f"bits must be 8 or 16, got {bits}")
        return np.concatenate([*level_strips(self, torch.uint8 if bits == 8 else torch.uint16)])

    def save(self, path: str | Path, **options: Any) -> None:
        """Write an image file, whole or not at all; `options` are those of `save_image`.

        Raises:
            ImageExistsError: If the file exists, unless `overwrite=True` is given.
            ImageError: If it cannot be encoded or written.
        """
        from adain.imaging.writing import save_image

        save_image(self, Path(path), **options)

    def rows(self, top: int, bottom: int) -> Tensor:
        """Return the colours of some rows, shape `(1, 3, bottom - top, W)`, in [0, 1]."""
        strip = to_unit(self.levels[:, :, top:bottom])
        if self.change is None:
            return strip
        change = self.change[top:bottom].permute(2, 0, 1)[None].to(strip)
        return change.add_(strip).clamp_(0, 1)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return the levels of some rows, shape `(h, W, 3)`."""
        levels = self.levels[:, :, rows]
        if self.change is not None:
            levels = self.rows(*rows.indices(self.height)[:2])
        return levels[0].permute(1, 2, 0).numpy()


def to_unit(levels: Tensor) -> Tensor:
    """Return levels of any type as floating point in [0, 1]."""
    if levels.is_floating_point():
        return levels
    return levels.float().div_(torch.iinfo(levels.dtype).max)


def to_levels(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Return colours in [0, 1] as levels of a type, clamped and rounded; see `Picture`.

    Raises:
        ImageError: If a value is not finite.
    """
    if dtype.is_floating_point:
        return pixels.to(dtype)
    pixels = _finite(pixels.float().cpu())
    # Truncation would darken the whole picture by half a level.
    return pixels.clamp(0, 1).mul_(torch.iinfo(dtype).max).round_().to(dtype)


def _finite(pixels: Tensor) -> Tensor:
    # The sum is finite if all values are, and much faster to look at.
    if not pixels.sum().isfinite() and not pixels.isfinite().all():
        raise ImageError("the pixels are not finite numbers; check the weights and the strength")
    return pixels


def row_ranges(height: int, width: int, pixels: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield the first row of each strip of a picture, and the one behind its last."""
    rows = max(1, (pixels or STRIP_PIXELS) // width)
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def result_type(height: int, width: int) -> torch.dtype:
    """Return the type of the levels of a result that is not read from a file."""
    return torch.float32 if height * width <= LARGE_PIXELS else torch.uint16


def gather_rows(strips: Iterable[Tensor], height: int, width: int) -> Tensor:
    """Return the levels `(1, 3, H, W)` of a result that comes in strips `(1, 3, h, W)`."""
    dtype = result_type(height, width)
    levels = torch.empty((height, width, 3), dtype=dtype).permute(2, 0, 1)[None]
    top = 0
    for strip in strips:
        levels[:, :, top : top + strip.shape[2]] = to_levels(strip, dtype)
        top += strip.shape[2]
    return levels


def level_strips(picture: Picture, dtype: torch.dtype) -> Iterator[NDArray[Any]]:
    """Yield a picture as levels of `dtype`, shape `(h, W, 3)` or `(h, W, 4)`."""
    for top, bottom in row_ranges(picture.height, picture.width):
        strip = _colors(picture, top, bottom, dtype)
        if picture.opacity is not None:
            opacity = to_levels(to_unit(picture.opacity[0, 0, top:bottom]), dtype)
            strip = torch.cat((strip, opacity[..., None]), 2)
        yield strip.contiguous().numpy()


def _colors(picture: Picture, top: int, bottom: int, dtype: torch.dtype) -> Tensor:
    """Return some rows of a picture as levels of `dtype`, shape `(h, W, 3)`."""
    if picture.change is None or {dtype, picture.levels.dtype} != {torch.uint8}:
        return to_levels(picture.rows(top, bottom), dtype)[0].permute(1, 2, 0)
    # The same, but for rounding, in half the time.
    levels = picture.levels[0, :, top:bottom].permute(1, 2, 0)
    colors = _finite(picture.change[top:bottom].cpu()).mul_(255).add_(levels)
    return colors.clamp_(0, 255).round_().byte()
