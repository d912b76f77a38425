"""Pillow images of any mode, orientation and colour profile to upright sRGB."""

from collections.abc import Callable
from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from adain.errors import ImageError

MAX_PROFILE_BYTES = 4 * 2**20
"""Larger colour profiles are ignored; those of printers take 2 MB at most."""

SRGB_ROUNDING = 2
"""Levels of 256 by which the profiles that programs have for sRGB differ."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The turn that puts a picture upright, by its EXIF orientation."""


def turn_upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation, as far as there is one that can be read."""
    method = _upright(image)
    return image if method is None else image.transpose(method)


def turn_levels_upright(levels: NDArray[np.uint16], image: Image.Image) -> NDArray[np.uint16]:
    """Apply the EXIF orientation of an image to levels `(H, W, C)` of its file."""
    method = _upright(image)
    if method is None:
        return levels
    channels = (Image.fromarray(channel) for channel in np.moveaxis(levels, 2, 0))
    return np.dstack([np.asarray(channel.transpose(method)) for channel in channels])


def _upright(image: Image.Image) -> Image.Transpose | None:
    try:
        return _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # The pixels are good even when the EXIF block is not.
        return None


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours, in L if they are grey, and the alpha channel if there is one."""
    if not image.has_transparency_data:
        return image, None
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    grey_modes = ("1", "L", "LA", "La")
    colors = rgba.getchannel("R") if image.mode in grey_modes else rgba.convert("RGB")
    return colors, rgba.getchannel("A")


def scale_grey(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """Scale 16-bit, 32-bit and floating-point grey to 8 bits, as `from_image` says.

    Pillow would clip to 255 and turn a 16-bit scan white.

    Returns:
        An image in mode L, and its alpha channel if there is one.

    Raises:
        ImageError: If a value is not finite.
    """
    values = np.asarray(image).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(values).all():
        raise ImageError(f"{name}: holds values that are not finite numbers; export it again")
    if image.mode.startswith("I;16"):
        low, high = 0, 65535
    elif low >= 0 and high <= 65535:
        whites = (1, 255, 65535) if image.mode == "F" else (255, 65535)
        low, high = 0, next(white for white in whites if high <= white)
    scaled = (values - low) * (255 / max(high - low, 1e-12))
    grey = Image.fromarray(np.rint(scaled).astype(np.uint8))
    if (clear := image.info.get("transparency")) is None:
        return grey, None
    return grey, Image.fromarray((np.asarray(image) != clear).astype(np.uint8) * 255)


def fill_clear(levels: NDArray[np.integer], opacity: NDArray[np.integer]) -> None:
    """Give fully clear pixels the mean visible colour, in place.

    Their hidden colour, often black, would otherwise count in the statistics of the style and
    shine through at the edges. The mean shifts the statistics least.

    Args:
        levels: Colours `(H, W, 3)`.
        opacity: Alpha channel `(H, W)`.
    """
    total, weight = np.zeros(3), 0.0
    for colors, alpha in zip(levels, opacity, strict=True):
        total += alpha.astype(np.float64) @ colors
        weight += alpha.sum()
    middle = np.iinfo(levels.dtype).max // 2 + 1
    mean = np.rint(total / weight) if weight else np.full(3, middle)
    levels[opacity == 0] = mean.astype(levels.dtype)


def srgb_conversion(mode: str, profile: bytes | None) -> Callable[[Image.Image], Image.Image]:
    """Return what converts images of a mode, and the embedded profile, to RGB.

    A profile that is broken or unfit is ignored.
    """
    if profile and len(profile) <= MAX_PROFILE_BYTES:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            space = source.profile.xcolor_space.strip()
            # Grey files often carry the RGB profile of the program that wrote them.
            given = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}[space]
            if mode == given or (given == "RGB" and mode != "CMYK"):
                transform = ImageCms.buildTransform(
                    source,
                    ImageCms.createProfile("sRGB"),
                    given,
                    "RGB",
                    renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                    flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
                )
                return lambda image: transform.apply(image.convert(given))
        except (ImageCms.PyCMSError, OSError, KeyError, TypeError, ValueError):
            pass
    return lambda image: image.convert("RGB")


def is_srgb(mode: str, profile: bytes | None) -> bool:
    """Return whether a profile leaves the colours of sRGB as they are, but for rounding."""
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(len(steps), -1, 3)
    colors = Image.fromarray(grid[..., 0] if mode == "L" else grid)
    converted = np.asarray(srgb_conversion(mode, profile)(colors))
    change = converted.astype(int) - np.asarray(colors.convert("RGB"))
    return bool(np.abs(change).max() <= SRGB_ROUNDING)


@cache
def srgb_profile() -> bytes:
    """Return the ICC profile of sRGB."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Without the date of creation, equal pictures make equal files.
    return profile[:24] + bytes(12) + profile[36:]
