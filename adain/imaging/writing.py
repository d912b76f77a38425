"""Pictures to picture files."""

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import Image, PngImagePlugin

from adain.config import JPEG_QUALITY
from adain.errors import ImageError, ImageExistsError
from adain.files import new_file, one_line, reason
from adain.imaging.conversion import srgb_profile
from adain.imaging.metadata import Notes
from adain.imaging.picture import Picture, level_strips
from adain.imaging.pillow import draw_image, from_image, plain_image
from adain.imaging.png import write_png
from adain.imaging.tiff import write_tiff

_ENCODER_OPTIONS: dict[str, dict[str, Any]] = {
    "jpeg": {"subsampling": "4:4:4"},  # Chroma at full size: brush strokes are coloured edges.
    "png": {},
    "webp": {},
    "tiff": {},
    "bmp": {},
    "avif": {"subsampling": "4:4:4"},
}

OUTPUT_FORMATS = tuple(_ENCODER_OPTIONS)

DEEP_FORMATS = ("png", "tiff")
"""Formats that hold 16 bits a channel."""

_ALIASES = {"jpg": "jpeg", "jpe": "jpeg", "jfif": "jpeg", "tif": "tiff"}

WRITABLE = frozenset(f".{name}" for name in (*OUTPUT_FORMATS, *_ALIASES))
"""Suffixes that name an output format, in lower case."""


def save_image(
    image: Image.Image | Picture,
    destination: Path,
    *,
    format: str | None = None,
    jpeg_quality: int = JPEG_QUALITY,
    overwrite: bool = False,
    bits: int = 8,
    notes: Notes = Notes(),
    name: str | None = None,
) -> None:
    """Write an image file, whole or not at all.

    Args:
        image: What to write; see `encode_image`.
        destination: The file. Its folder must exist.
        format: One of `OUTPUT_FORMATS`; by default the suffix of the file decides.
        jpeg_quality: From 1 to 100; see `encode_image`.
        overwrite: Replace a file that exists.
        bits: 8 or 16; see `encode_image`.
        notes: What the file shall say; see `encode_image`.
        name: What error messages call the file; by default its path.

    Raises:
        ImageExistsError: If the file exists and `overwrite` is false.
        ImageError: If it cannot be encoded or written; nothing is left behind then.

    Example:
        >>> save_image(adain.load_image("photo.jpg"), Path("copy.png"), bits=16)
    """
    name = one_line(name or str(destination))
    exists = f"{name}: exists already; choose another name, or give overwrite=True"
    if not overwrite and os.path.lexists(destination):
        raise ImageExistsError(exists)
    # Replacing a device such as /dev/null would remove it.
    if os.path.exists(destination) and not os.path.isfile(destination):
        raise ImageError(f"{name}: not a regular file; choose another name")
    try:
        kind = output_format(format or destination.suffix[1:], bits)
        with new_file(destination, overwrite) as file:
            _write_image(file, image, kind, jpeg_quality, bits, notes)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    except FileExistsError as error:
        raise ImageExistsError(exists) from error
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{name}: cannot be written ({reason(error)}); check that its folder exists, its "
            "permissions and the free space"
        ) from error


def encode_image(
    image: Image.Image | Picture,
    format: str,
    jpeg_quality: int = JPEG_QUALITY,
    bits: int = 8,
    notes: Notes = Notes(),
) -> bytes:
    """Encode an image, tagged as sRGB and with no other metadata than `notes`.

    Args:
        image: sRGB; modes other than RGB and RGBA are converted.
        format: One of `OUTPUT_FORMATS`, or a usual suffix such as `jpg`. JPEG and BMP have no
            transparency: the image is laid on white.
        jpeg_quality: From 1 to 100, for the lossy formats JPEG, WebP and AVIF.
        bits: Bits of a channel: 8, or 16 in PNG and TIFF. 16 are of use for a `Picture`.
        notes: What the file shall say. BMP has no place for it, TIFF none for facts of capture.

    Raises:
        ImageError: If there is no such format, or it cannot hold an image of this size or depth.
    """
    buffer = BytesIO()
    _write_image(buffer, image, output_format(format, bits), jpeg_quality, bits, notes)
    return buffer.getvalue()


def output_format(format: str, bits: int = 8) -> str:
    """Return the one of `OUTPUT_FORMATS` that a name or a usual suffix means.

    Raises:
        ImageError: If there is none, or it cannot hold `bits` bits a channel.
    """
    kind = _ALIASES.get(format.lower(), format.lower())
    if kind not in OUTPUT_FORMATS:
        raise ImageError(f"no output format {format!r}; use one of {', '.join(OUTPUT_FORMATS)}")
    if bits == 16 and kind not in DEEP_FORMATS:
        raise ImageError(f"{kind} has 8 bits a channel; use png or tiff for 16")
    return kind


def _write_image(
    file: BinaryIO,
    image: Image.Image | Picture,
    kind: str,
    jpeg_quality: int,
    bits: int,
    notes: Notes,
) -> None:
    """Write what `encode_image` returns, without having all of it in memory.

    Raises:
        ImageError: As `encode_image`.
        OSError: If the file cannot be written.
    """
    if not 1 <= jpeg_quality <= 100:
        raise ValueError(f"jpeg_quality must be from 1 to 100, got {jpeg_quality}")
    try:
        if bits == 16 or kind == "tiff":
            picture = image if isinstance(image, Picture) else from_image(plain_image(image, False))
            _write_levels(file, picture, kind, bits, notes)
            return
        opaque = kind in ("jpeg", "bmp")
        image = (
            draw_image(image, opaque) if isinstance(image, Picture) else plain_image(image, opaque)
        )
        image.save(cast(BinaryIO, _Sink(file)), kind, **_encoder_options(kind, jpeg_quality, notes))
    except ImageError:
        raise
    except Exception as error:  # Every encoder has its own exceptions.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        size = f"{image.width}x{image.height}"
        raise ImageError(f"cannot encode {size} pixels as {kind}; use png or shrink it") from error


def _write_levels(file: BinaryIO, picture: Picture, kind: str, bits: int, notes: Notes) -> None:
    """Write what Pillow cannot."""
    strips = level_strips(picture, np.uint16 if bits == 16 else np.uint8)
    shape = (picture.height, picture.width, 3 if picture.opacity is None else 4)
    write = write_png if kind == "png" else write_tiff
    write(file, strips, shape, srgb_profile(), notes)


def _encoder_options(kind: str, jpeg_quality: int, notes: Notes) -> dict[str, Any]:
    options = _ENCODER_OPTIONS[kind] | {"icc_profile": srgb_profile()}
    if kind in ("jpeg", "webp", "avif"):
        options["quality"] = jpeg_quality
    if kind == "png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        for key, text in notes.to_text().items():
            options["pnginfo"].add_text(key, text)
    # PNG has texts of its own for the rest.
    if exif := notes.to_exif() if kind != "png" or notes.facts else b"":
        options["exif"] = exif
    return options


@dataclass(frozen=True)
class _Sink:
    """A file that Pillow does not write past Python, where errors would lose their reason."""

    file: BinaryIO

    def write(self, data: bytes) -> int:
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()
