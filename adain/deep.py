"""Files that Pillow cannot write: 16 bits a channel in colour, compressed TIFF with notes."""

import struct
import zlib
from collections.abc import Iterable
from io import BytesIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL.ExifTags import Base

from adain.metadata import KEPT, Notes

FORMATS = ("png", "tiff")

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode_png(strips: Iterable[NDArray[np.uint16]], profile: bytes, notes: Notes) -> bytes:
    """Encode a PNG file of 16 bits a channel (W3C, "PNG Specification", third edition).

    Args:
        strips: Rows of the picture, shape `(h, W, 3)` or `(h, W, 4)`.
        profile: ICC profile.
        notes: What else to write.
    """
    (height, width, channels), data = _compress(strips)
    color_type = {3: 2, 4: 6}[channels]
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)),
        (b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)),
        *(
            (b"tEXt", f"{key}\0{text}".encode("latin-1", "replace"))
            for key, text in notes.to_text().items()
        ),
    ]
    if notes.facts:
        chunks.append((b"eXIf", notes.to_exif().removeprefix(b"Exif\0\0")))
    chunks += [*((b"IDAT", part) for part in data), (b"IEND", b"")]
    return b"".join([SIGNATURE, *(part for chunk in chunks for part in _chunk(*chunk))])


def encode_tiff(
    levels: NDArray[np.uint8] | NDArray[np.uint16], profile: bytes, notes: Notes
) -> bytes:
    """Encode a TIFF file of 8 or 16 bits a channel, compressed without loss.

    Of the facts it holds those of the picture, not those of its capture.

    Args:
        levels: Shape `(H, W, 3)` or `(H, W, 4)`.
        profile: ICC profile.
        notes: What else to write.
    """
    texts = {tag: str(notes.facts[tag]) for tag in sorted(KEPT & notes.facts.keys())}
    caption = texts.pop(Base.ImageDescription, "")
    buffer = BytesIO()
    tifffile.imwrite(
        buffer,
        levels,
        photometric="rgb",
        extrasamples=["unassalpha"] if levels.shape[2] == 4 else None,
        compression="zlib",
        predictor=True,
        iccprofile=profile,
        software=notes.software or False,
        description=_ascii(notes.comment or caption) or None,
        metadata=None,
        extratags=[(int(tag), 2, None, _ascii(text), True) for tag, text in texts.items()],
    )
    return buffer.getvalue()


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "replace")


def _chunk(kind: bytes, data: bytes) -> tuple[bytes, ...]:
    check = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", check)


def _compress(
    strips: Iterable[NDArray[np.uint16]],
) -> tuple[tuple[int, int, int], list[bytes]]:
    """Return the shape of a picture, and its rows as PNG stores them.

    They are big-endian, and of each byte the one above it is taken away.
    """
    compressor = zlib.compressobj()
    parts = []
    above: NDArray[np.uint8] | None = None
    height = width = channels = 0
    for strip in strips:
        height, width, channels = height + len(strip), *strip.shape[1:]
        data = strip.astype(">u2").view(np.uint8).reshape(len(strip), -1)
        stacked = np.concatenate((np.zeros_like(data[:1]) if above is None else above, data))
        filtered = np.full((len(data), data.shape[1] + 1), 2, np.uint8)  # Filter type 2: "Up".
        np.subtract(stacked[1:], stacked[:-1], out=filtered[:, 1:])
        parts.append(compressor.compress(filtered.tobytes()))
        above = data[-1:]
    return (height, width, channels), [*parts, compressor.flush()]
