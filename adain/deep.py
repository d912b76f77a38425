"""Files that Pillow cannot write: 16 bits a channel in colour, compressed TIFF with notes."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL.ExifTags import Base

from adain.metadata import KEPT, Notes

FORMATS = ("png", "tiff")

SIGNATURE = b"\x89PNG\r\n\x1a\n"

Strips = Iterable[NDArray[Any]]
"""Rows of a picture, shape `(h, W, 3)` or `(h, W, 4)`, of uint8 or uint16."""


def write_png(
    file: BinaryIO, strips: Strips, shape: tuple[int, int, int], profile: bytes, notes: Notes
) -> None:
    """Write a PNG file of 16 bits a channel (W3C, "PNG Specification", third edition).

    Args:
        file: Where to.
        strips: Rows of the picture, uint16.
        shape: That of the whole: height, width, and 3 or 4 channels.
        profile: ICC profile.
        notes: What else to write.
    """
    height, width, channels = shape
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
    file.write(SIGNATURE)
    for chunk in chunks:
        _write_chunk(file, *chunk)
    for part in _compressed(strips):
        _write_chunk(file, b"IDAT", part)
    _write_chunk(file, b"IEND", b"")


def write_tiff(
    file: BinaryIO,
    strips: Strips,
    shape: tuple[int, int, int],
    profile: bytes,
    notes: Notes,
) -> None:
    """Write a TIFF file of 8 or 16 bits a channel, compressed without loss.

    Of the facts it holds those of the picture, not those of its capture.

    Args:
        file: Where to.
        strips: Rows of the picture, equally many in each strip but the last.
        shape: That of the whole: height, width, and 3 or 4 channels.
        profile: ICC profile.
        notes: What else to write.
    """
    texts = {tag: str(notes.facts[tag]) for tag in sorted(KEPT & notes.facts.keys())}
    caption = texts.pop(Base.ImageDescription, "")
    first = next(strips := iter(strips))
    tifffile.imwrite(
        file,
        map(_deflated, chain([first], strips)),
        shape=shape,
        dtype=first.dtype,
        byteorder="<",
        rowsperstrip=len(first),
        photometric="rgb",
        extrasamples=["unassalpha"] if shape[2] == 4 else None,
        compression="zlib",
        predictor=True,
        iccprofile=profile,
        software=notes.software or False,
        description=_ascii(notes.comment or caption) or None,
        metadata=None,
        extratags=[(int(tag), 2, None, _ascii(text), True) for tag, text in texts.items()],
    )


def _deflated(strip: NDArray[Any]) -> bytes:
    """Compress rows as TIFF stores them: of each level the one at its left is taken away."""
    difference = strip.astype(strip.dtype.newbyteorder("<"))
    difference[:, 1:] -= strip[:, :-1]
    return zlib.compress(difference.tobytes())


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "replace")


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    check = zlib.crc32(data, zlib.crc32(kind))
    file.write(struct.pack(">I", len(data)) + kind)
    file.write(data)
    file.write(struct.pack(">I", check))


def _compressed(strips: Strips) -> Iterator[bytes]:
    """Yield the rows of a picture as PNG stores them.

    They are big-endian, and of each byte the one above it is taken away.
    """
    compressor = zlib.compressobj()
    above: NDArray[np.uint8] | None = None
    for strip in strips:
        data = strip.astype(">u2").view(np.uint8).reshape(len(strip), -1)
        stacked = np.concatenate((np.zeros_like(data[:1]) if above is None else above, data))
        filtered = np.full((len(data), data.shape[1] + 1), 2, np.uint8)  # Filter type 2: "Up".
        np.subtract(stacked[1:], stacked[:-1], out=filtered[:, 1:])
        if part := compressor.compress(filtered.tobytes()):
            yield part
        above = data[-1:]
    yield compressor.flush()
