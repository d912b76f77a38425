"""Pillow images to pictures and back."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

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
    levels = torch.from_numpy(colors).permute(2, 0, 1)[None]
    opacity = None if alpha is None else torch.from_numpy(alpha)[None, None]
    return Picture(levels, opacity, name, read_facts(image))


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


def to_image(pixels: Tensor | Picture, transparency: Tensor | None = None) -> Image.Image:
    """Convert a picture or its pixels to an RGB image, or to RGBA if it is not opaque.

    Args:
        pixels: A picture, or shape `(1, 3, H, W)` or `(3, H, W)`; values beyond [0, 1] are
            clamped.
        transparency: Alpha channel of the same height and width, unless a picture is given.

    Raises:
        ValueError: If the shapes are others.
        ImageError: If a value is not finite.
    """
    if not isinstance(pixels, Picture):
        pixels = _checked_picture(pixels, transparency)
    return draw_image(pixels, opaque=False)


def _checked_picture(pixels: Tensor, transparency: Tensor | None) -> Picture:
    """Return pixels and transparency as a picture, if their shapes fit; see `to_image`."""
    if pixels.shape[:-2] not in ((1, 3), (3,)):
        raise ValueError(f"expected pixels of shape (1, 3, H, W), got {tuple(pixels.shape)}")
    size = pixels.shape[-2:]
    if transparency is not None:
        if transparency.shape[-2:] != size or transparency.shape[:-2].numel() != 1:
            raise ValueError(
                f"transparency of shape {tuple(transparency.shape)} does not fit pixels of shape "
                f"{tuple(pixels.shape)}"
            )
        transparency = transparency.detach().reshape(1, 1, *size)
    return Picture(pixels.detach().reshape(1, 3, *size), transparency)


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
    for levels in level_strips(picture, torch.uint8):
        strip = Image.fromarray(levels)
        image.paste(_on_white(strip) if strip.mode != mode else strip, (0, top))
        top += strip.height
    return image


def _on_white(image: Image.Image) -> Image.Image:
    opaque = Image.new("RGB", image.size, "white")
    opaque.paste(image, mask=image.getchannel("A"))
    return opaque
