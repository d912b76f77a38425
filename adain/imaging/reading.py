"""Picture files to pictures: what is accepted, what is refused, and in which words."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from adain.config import MIN_SIDE
from adain.errors import ImageError, ImageTooLargeError, how_to_install
from adain.files import one_line, reason
from adain.imaging.conversion import fill_clear, is_srgb, turn_levels_upright
from adain.imaging.decoding import FORMATS, decoding
from adain.imaging.picture import Picture
from adain.imaging.pillow import decoded_picture, from_image
from adain.imaging.png import read_png
from adain.imaging.tiff import read_tiff
from adain.imaging.writing import WRITABLE

SUFFIXES = WRITABLE | {".gif", ".heic", ".heif"}
"""Suffixes that pictures usually have, in lower case: for searching folders."""

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
"""Names of formats of phones, at byte 8 of a file."""


@dataclass(frozen=True)
class ImageLimits:
    """Limits of `load_image`; all but `max_bytes` are checked on the header.

    Attributes:
        max_bytes: Size of the file.
        max_pixels: Width times height. Pillow itself refuses everything above 178,956,970.
        max_side: Longer side in pixels; 65,535 is what a JPEG can hold.
        min_side: Shorter side in pixels; the network needs this much.
        max_aspect: Longer side over shorter side.
    """

    max_bytes: int = 512 * 2**20
    max_pixels: int = 178_000_000
    max_side: int = 65_535
    min_side: int = MIN_SIDE
    max_aspect: float = 50


def load_image(
    source: Path | str | bytes | BinaryIO,
    limits: ImageLimits = ImageLimits(),
    name: str | None = None,
    side: int | None = None,
) -> Picture:
    """Decode a picture: upright, in sRGB, transparency apart.

    PNG and TIFF of 16 bits a channel are read as such; as 8 bits if they have another profile
    than sRGB, a colour that is clear, or, in TIFF, LZW or tiles. HEIC needs the extra `heic`.

    Args:
        source: Path of a file, its bytes, or a stream, which is read but not closed.
        limits: What to refuse before any pixel is decoded.
        name: What error messages call the picture; by default the path as given.
        side: Pixels of the longer side that are needed. A JPEG of twice as many or more is decoded
            at a half, a quarter or an eighth of its size, in about half the time.

    Raises:
        ImageTooLargeError: If it exceeds a limit.
        ImageError: If it is missing, unreadable, empty, damaged, incomplete, in another format,
            too small or too thin.

    Example:
        >>> load_image("photo.jpg").shape
        (45, 60, 3)
    """
    name = picture_name(source, name)
    with _opened(source, limits, name) as (image, data):
        if side is not None and side < max(image.size):
            scale = side / max(image.size)
            image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))
        return _read_deep(image, data, name) or from_image(image, name)


def picture_name(source: Path | str | bytes | BinaryIO, name: str | None = None) -> str:
    """Return what messages call a picture: the name given, else its path."""
    return one_line(name or (str(source) if isinstance(source, str | Path) else "picture"))


@contextmanager
def _opened(
    source: Path | str | bytes | BinaryIO, limits: ImageLimits, name: str
) -> Iterator[tuple[Image.Image, bytes]]:
    """Open a picture whose format and size are allowed; what fails while it is open is typed."""
    data = _read(source, limits, name)
    formats = FORMATS + (("HEIF",) if _reads_heif() else ())
    if data[8:12] in _HEIC_BRANDS and "HEIF" not in formats:
        raise ImageError(f"{name}: is HEIC; run: {how_to_install('heic')}")
    with decoding(name), Image.open(BytesIO(data), formats=formats) as image:
        check_size(image.width, image.height, limits, name)
        yield image, data


def _read(source: Path | str | bytes | BinaryIO, limits: ImageLimits, name: str) -> bytes:
    """Return the whole file: at worst half the size of the pixels that it decodes to."""
    try:
        if isinstance(source, bytes):
            data = source
        elif isinstance(source, str | Path):
            with open(source, "rb") as file:
                data = file.read(limits.max_bytes + 1)
        else:
            data = source.read(limits.max_bytes + 1)
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{name}: cannot be read ({reason(error)}); check the path and its permissions"
        ) from error
    if not data:
        raise ImageError(f"{name}: is empty; get the file again")
    if len(data) > limits.max_bytes:
        raise ImageTooLargeError(
            f"{name}: larger than the limit of {limits.max_bytes:,} bytes; give a smaller file"
        )
    return data


def check_size(
    width: int, height: int, limits: ImageLimits = ImageLimits(), name: str = "picture"
) -> None:
    """Raise an `ImageError` if a size in pixels is beyond the limits."""
    longer, shorter = max(width, height), min(width, height)
    if width * height > limits.max_pixels or longer > limits.max_side:
        raise ImageTooLargeError(
            f"{name}: {width}x{height} exceeds the limit of {limits.max_pixels:,} pixels, "
            f"{limits.max_side:,} a side; give a smaller version"
        )
    if shorter < limits.min_side or longer > limits.max_aspect * shorter:
        raise ImageError(
            f"{name}: {width}x{height} is too small or too thin; give a picture with sides of at "
            f"least {limits.min_side} pixels, one at most {limits.max_aspect:g} times the other"
        )


@cache
def _reads_heif() -> bool:
    """Teach Pillow to read HEIF, if the extra is there; return whether it is."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    return True


def _read_deep(image: Image.Image, data: bytes, name: str) -> Picture | None:
    """Read a file of 16 bits a channel in full; None if that is not possible, see `load_image`."""
    levels = _read_levels(image, data)
    if levels is None:
        return None
    channels = levels.shape[2]
    if not is_srgb("L" if channels < 3 else "RGB", image.info.get("icc_profile")):
        return None
    levels = turn_levels_upright(levels, image)
    colors = levels[..., :3] if channels > 2 else levels[..., :1].repeat(3, axis=2)
    alpha = None if channels % 2 else levels[..., -1]
    if alpha is None or alpha.min() == np.iinfo(alpha.dtype).max:
        return decoded_picture(colors, None, image, name)
    fill_clear(colors, alpha)
    return decoded_picture(colors, alpha, image, name)


def _read_levels(image: Image.Image, data: bytes) -> NDArray[np.uint16] | None:
    """Read a PNG or TIFF file of 16 bits a channel, of which Pillow keeps 8 in colour.

    Args:
        image: The file as Pillow has opened it.
        data: The file.

    Returns:
        Grey or colours, and their alpha channel if there is one, `(H, W, C)` with C from 1 to 4,
        as the file holds them. None if it has other bits or is packed in a way that only Pillow
        reads, such as TIFF with LZW.
    """
    if "transparency" in image.info:  # A colour that is clear is compared in 8 bits, too.
        return None
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None]
    if image.format == "PNG" and data[24] == 16:
        return read_png(image, data)
    return read_tiff(image, data) if isinstance(image, TiffImageFile) else None
