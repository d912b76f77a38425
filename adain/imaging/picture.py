"""A decoded picture, in as little memory as its file needs, worked on strip by strip."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from adain.errors import ImageError
from adain.imaging.enlarging import Enlarged
from adain.imaging.metadata import Facts

SHOWN_SIDE = 1024
"""Longest side in pixels of what a notebook shows."""

STRIP_PIXELS = 2**18
"""Pixels that are converted at a time."""

LARGE_PIXELS = 2**24
"""A result of more pixels is kept in 16 bits a channel: half the memory, and as good as exact."""

RowReader = Callable[[int, int], NDArray[np.float32]]
"""A function that gives rows `(bottom - top, W, C)` of a picture for `top` and `bottom`, in [0, 1].

Masks and alpha channels have no last axis: `(bottom - top, W)`."""

Strips = Iterable[NDArray[Any]]
"""Rows of a picture, shape `(h, W, 3)` or `(h, W, 4)`, of uint8 or uint16."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, in as little memory as its file needs.

    Attributes:
        levels: Colours, shape `(H, W, 3)`, sRGB, not multiplied by transparency: floating point in
            [0, 1], or uint8 or uint16, where the largest number is white.
        opacity: Alpha channel `(H, W)` of any of these types: 0 is clear, the largest is opaque.
            None when the whole picture is opaque.
        name: What error messages call it.
        facts: What its file says about the photo; never its place.
        change: What is added to the colours, kept small until they are read.

    Example:
        >>> picture = adain.load_image("photo.jpg")
        >>> picture.to_array().dtype, picture.to_pil().mode
        (dtype('uint8'), 'RGB')
        >>> picture.save("picture.webp")
    """

    levels: NDArray[Any]
    opacity: NDArray[Any] | None = None
    name: str = "picture"
    facts: Facts = field(default_factory=dict)
    change: Enlarged | None = None

    @property
    def width(self) -> int:
        """Return the width in pixels."""
        return int(self.levels.shape[1])

    @property
    def height(self) -> int:
        """Return the height in pixels."""
        return int(self.levels.shape[0])

    @property
    def is_large(self) -> bool:
        """Return whether it takes much memory; see `LARGE_PIXELS`."""
        return self.height * self.width > LARGE_PIXELS

    @property
    def shape(self) -> tuple[int, ...]:
        """Return `(H, W, 3)`."""
        return (self.height, self.width, 3)

    @property
    def pixels(self) -> NDArray[np.float32]:
        """Return all colours, shape `(H, W, 3)`, in [0, 1]."""
        return self.rows(0, self.height)

    @property
    def transparency(self) -> NDArray[np.float32] | None:
        """Return the alpha channel, shape `(H, W)`, in [0, 1]."""
        return None if self.opacity is None else to_unit(self.opacity)

    def to_pil(self) -> Image.Image:
        """Return an image in RGB, or in RGBA if it is not opaque."""
        from adain.imaging.pillow import to_image

        return to_image(self)

    def _repr_png_(self) -> bytes:
        """Return it as a notebook shows it."""
        from adain.imaging.resizing import resize_image
        from adain.imaging.writing import encode_image

        return encode_image(resize_image(self, SHOWN_SIDE), "png")

    def to_array(self, bits: int = 8) -> NDArray[Any]:
        """Return the levels as uint8, or uint16 for 16 bits: `(H, W, 3)`, or 4 if not opaque."""
        if bits not in (8, 16):
            raise ValueError(f"bits must be 8 or 16, got {bits}")
        return np.concatenate([*level_strips(self, np.uint8 if bits == 8 else np.uint16)])

    def save(self, path: str | Path, **options: Any) -> None:
        """Write an image file, whole or not at all; `options` are those of `save_image`.

        Raises:
            ImageExistsError: If the file exists, unless `overwrite=True` is given.
            ImageError: If it cannot be encoded or written.
        """
        from adain.imaging.writing import save_image

        save_image(self, Path(path), **options)

    def rows(self, top: int, bottom: int) -> NDArray[np.float32]:
        """Return the colours of some rows, shape `(bottom - top, W, 3)`, in [0, 1]."""
        strip = to_unit(self.levels[top:bottom])
        if self.change is None:
            return strip
        changed = self.change[top:bottom]
        changed += strip
        return changed.clip(0, 1, out=changed)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return the levels of some rows, shape `(h, W, 3)`."""
        if self.change is None:
            return self.levels[rows]
        return self.rows(*rows.indices(self.height)[:2])


def to_unit(levels: NDArray[Any]) -> NDArray[np.float32]:
    """Return levels of any type in [0, 1]; what is float32 is not copied."""
    unit = levels.astype(np.float32, copy=False)
    if levels.dtype.kind == "u":
        unit /= np.iinfo(levels.dtype).max
    return unit


def to_levels(pixels: NDArray[np.floating], dtype: DTypeLike) -> NDArray[Any]:
    """Return colours in [0, 1] as levels of a type, clamped and rounded; see `Picture`.

    Raises:
        ImageError: If a value is not finite.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return pixels.astype(dtype, copy=False)
    levels = _finite(pixels).clip(0, 1).astype(np.float32, copy=False)
    levels *= np.iinfo(dtype).max
    # Truncation would darken the whole picture by half a level.
    return np.rint(levels, out=levels).astype(dtype)


def _finite(pixels: NDArray[np.floating]) -> NDArray[np.floating]:
    if not np.isfinite(pixels).all():
        raise ImageError("the pixels are not finite numbers; check the weights and the strength")
    return pixels


def row_ranges(height: int, width: int, pixels: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield the first row of each strip of a picture, and the one behind its last."""
    rows = max(1, (pixels or STRIP_PIXELS) // width)
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def result_type(height: int, width: int) -> np.dtype[Any]:
    """Return the type of the levels of a result that is not read from a file."""
    return np.dtype(np.float32 if height * width <= LARGE_PIXELS else np.uint16)


def gather_rows(
    strips: Iterable[NDArray[np.float32]],
    height: int,
    width: int,
    dtype: DTypeLike | None = None,
) -> NDArray[Any]:
    """Return the levels `(H, W, 3)` of a result that comes in strips `(h, W, 3)`.

    They are of `dtype`, by default that of `result_type`.
    """
    levels, top = np.empty((height, width, 3), dtype or result_type(height, width)), 0
    for strip in strips:
        levels[top : top + len(strip)] = to_levels(strip, levels.dtype)
        top += len(strip)
    return levels


def level_strips(picture: Picture, dtype: DTypeLike) -> Iterator[NDArray[Any]]:
    """Yield a picture as levels of `dtype`, uint8 or uint16, shape `(h, W, 3)` or `(h, W, 4)`."""
    for top, bottom in row_ranges(picture.height, picture.width):
        strip = _colors(picture, top, bottom, np.dtype(dtype))
        if picture.opacity is not None:
            opacity = to_levels(to_unit(picture.opacity[top:bottom]), dtype)
            strip = np.dstack((strip, opacity))
        yield strip


def _colors(picture: Picture, top: int, bottom: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return some rows of a picture as levels of `dtype`, shape `(h, W, 3)`."""
    levels = picture.levels[top:bottom]
    if levels.dtype != dtype or (picture.change is not None and dtype != np.uint8):
        return to_levels(picture.rows(top, bottom), dtype)
    if picture.change is None:
        return levels
    # The same as by way of [0, 1], but for rounding, in less time.
    colors = _finite(picture.change[top:bottom])
    colors *= 255
    colors += levels
    np.rint(colors.clip(0, 255, out=colors), out=colors)
    return colors.astype(np.uint8)
