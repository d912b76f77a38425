"""Pillow images of any mode, orientation and colour profile to upright sRGB of 8 bits."""

from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from adain.errors import ImageError

MAX_PROFILE_BYTES = 4 * 2**20
"""Larger colour profiles are ignored; those of printers take 2 MB at most."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture upright, by its EXIF orientation."""


def turn_upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation, as far as there is one that can be read."""
    try:
        method = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # The pixels are good even when the EXIF block is not.
        method = None
    return image if method is None else image.transpose(method)


def split_alpha(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours, in L if they are grey, and the alpha channel if there is one."""
    if image.mode.startswith(("I", "F")):
        # Pillow would clip to 255 and turn a 16-bit scan white.
        grey = _scale_grey(image, name)
        if (clear := image.info.get("transparency")) is None:
            return grey, None
        return grey, Image.fromarray((np.asarray(image) != clear).astype(np.uint8) * 255)
    if not image.has_transparency_data:
        return image, None
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    grey_modes = ("1", "L", "LA", "La")
    colors = rgba.getchannel("R") if image.mode in grey_modes else rgba.convert("RGB")
    return colors, rgba.getchannel("A")


def _scale_grey(image: Image.Image, name: str) -> Image.Image:
    """Scale 16-bit, 32-bit and floating-point grey to 8 bits, as `from_image` says."""
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
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def convert_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to RGB through the embedded profile; one that is broken or unfit is ignored."""
    if profile and len(profile) <= MAX_PROFILE_BYTES:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            space = source.profile.xcolor_space.strip()
            # Grey files often carry the RGB profile of the program that wrote them.
            mode = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}[space]
            if image.mode == mode or (mode == "RGB" and image.mode != "CMYK"):
                converted = ImageCms.profileToProfile(
                    image.convert(mode),
                    source,
                    ImageCms.createProfile("sRGB"),
                    renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                    outputMode="RGB",
                    flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
                )
                assert converted is not None
                return converted
        except (ImageCms.PyCMSError, OSError, KeyError, TypeError, ValueError):
            pass
    return image if image.mode == "RGB" else image.convert("RGB")


def fill_clear(pixels: NDArray[np.float32], transparency: NDArray[np.float32]) -> None:
    """Give fully clear pixels the mean visible colour, in place.

    Their hidden colour, often black, would otherwise count in the statistics of the style and
    shine through at the edges. The mean shifts the statistics least.
    """
    total = transparency.sum(dtype=np.float64)
    mean = np.tensordot(pixels[0], transparency[0, 0], 2) / total if total else np.full(3, 0.5)
    pixels[0][:, transparency[0, 0] == 0] = np.clip(mean, 0, 1)[:, None]


@cache
def srgb_profile() -> bytes:
    """Return the ICC profile of sRGB."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Without the date of creation, equal pictures make equal files.
    return profile[:24] + bytes(12) + profile[36:]
