"""Pillow images to pictures and back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adain.imaging.conversion import (
    fill_clear,
    scale_grey,
    split_alpha,
    srgb_conversion,
    turn_upright,
)
from adain.imaging.decoding import decoding
from adain.imaging.metadata import read_facts
from adain.imaging.picture import Picture, level_strips, row_ranges


def from_image(image: Image.Image, name: str = "picture") -> Picture:
    """Convert a Pillow image of any mode: upright, in sRGB, transparency apart.

    16-bit grey is divided by 257. Modes I and F do not say what white is, so it is the smallest
    of 1 (F alone), 255 and 65535 that no value exceeds; if there is none, or a value is negative,
    the range of the values is stretched to [0, 1]. Pillow has 16-bit colour as 8-bit.

    Raises:
        ImageError: If it cannot be decoded, or holds values that are not finite.
    """
    with decoding(name):
        return decoded_picture(*_decode(image, name), image, name)


def decoded_picture(
    colors: NDArray[Any], alpha: NDArray[Any] | None, image: Image.Image, name: str
) -> Picture:
    """Return what was decoded of an image: colours `(H, W, 3)`, alpha `(H, W)` and facts."""
    return Picture(colors, alpha, name, read_facts(image))


def _decode(image: Image.Image, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Return upright sRGB colours `(H, W, 3)`, and the alpha channel `(H, W)` unless opaque."""
    image.load()
    profile = image.info.get("icc_profile")
    image = turn_upright(image)
    clear = None
    if image.mode.startswith(("I", "F")):
        # What is white depends on the whole picture.
        image, clear = scale_grey(image, name)
    levels = np.empty((image.height, image.width, 3), np.uint8)
    transparent = clear is not None or image.has_transparency_data
    opacity = np.empty(levels.shape[:2], np.uint8) if transparent else None
    convert = None
    for top, bottom in row_ranges(image.height, image.width):
        box = (0, top, image.width, bottom)
        colors, alpha = split_alpha(image.crop(box))
        convert = convert or srgb_conversion(colors.mode, profile)
        levels[top:bottom] = np.asarray(convert(colors))
        if opacity is not None:
            opacity[top:bottom] = np.asarray(clear.crop(box) if clear is not None else alpha)
    if opacity is None or opacity.min() == 255:
        return levels, None
    fill_clear(levels, opacity)
    return levels, opacity


def to_image(
    pixels: NDArray[Any] | Picture, transparency: NDArray[Any] | None = None
) -> Image.Image:
    """Convert a picture or its pixels to an RGB image, or to RGBA if it is not opaque.

    Args:
        pixels: A picture, or shape `(H, W, 3)`; floating point beyond [0, 1] is clamped.
        transparency: Alpha channel `(H, W)`, unless a picture is given.

    Raises:
        ValueError: If the shapes are others.
        ImageError: If a value is not finite.

    Example:
        >>> to_image(adain.stylize("photo.jpg", "painting.jpg")).size
        (60, 45)
    """
    if not isinstance(pixels, Picture):
        if pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(f"expected pixels of shape (H, W, 3), got {pixels.shape}")
        if transparency is not None and transparency.shape != pixels.shape[:2]:
            raise ValueError(
                f"transparency of shape {transparency.shape} does not fit pixels of shape "
                f"{pixels.shape}"
            )
        pixels = Picture(pixels, transparency)
    return draw_image(pixels, opaque=False)


def plain_image(image: Image.Image, opaque: bool) -> Image.Image:
    """Return an image in RGB or RGBA without metadata, laid on white if it shall be opaque."""
    if image.mode not in ("RGB", "RGBA"):
        return draw_image(from_image(image), opaque)
    if opaque and image.mode == "RGBA":
        return _on_white(image)
    if not image.info:
        return image
    plain = image.copy()
    plain.info = {}
    return plain


def draw_image(picture: Picture, opaque: bool) -> Image.Image:
    """Return an image in RGB or RGBA, laid on white if it shall be opaque."""
    mode = "RGB" if opaque or picture.opacity is None else "RGBA"
    image, top = Image.new(mode, (picture.width, picture.height)), 0
    for levels in level_strips(picture, np.uint8):
        strip = Image.fromarray(levels)
        image.paste(_on_white(strip) if strip.mode != mode else strip, (0, top))
        top += strip.height
    return image


def _on_white(image: Image.Image) -> Image.Image:
    opaque = Image.new("RGB", image.size, "white")
    opaque.paste(image, mask=image.getchannel("A"))
    return opaque
