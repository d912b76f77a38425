"""PNG files of 16 bits a channel, of which Pillow keeps 8 in colour and writes none."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adain.imaging.metadata import Notes
from adain.imaging.picture import Strips, row_ranges

SIGNATURE = b"\x89PNG\r\n\x1a\n"

PIECE = 2**20
"""Bytes that are decompressed at a time."""


def read_png(image: Image.Image, data: bytes) -> NDArray[np.uint16] | None:
    """Read a PNG file of 16 bits a channel: to what Pillow keeps add the lower bytes it drops.

    The filters of PNG look at each byte of a pixel alone, and the same byte of its neighbours. So
    the filtered lower bytes are a PNG file of 8 bits a channel, which Pillow reads.

    Args:
        image: The file as Pillow has opened it.
        data: The file.

    Returns:
        Levels `(H, W, C)`, C from 2 to 4; None if the file is interlaced.
    """
    header = bytearray(data[16:29])
    width, height, _, color_type, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if interlaced:
        return None
    header[8] = 8
    channels = {2: 3, 4: 2, 6: 4}[color_type]
    line = 1 + 2 * channels * width
    lower = BytesIO()
    lower.write(SIGNATURE)
    _write_chunk(lower, b"IHDR", bytes(header))
    for part in _compressed(_lower_bytes(data, line, height), zlib.Z_NO_COMPRESSION):
        _write_chunk(lower, b"IDAT", part)
    _write_chunk(lower, b"IEND", b"")
    levels = np.empty((height, width, channels), np.uint16)
    for top, strip in _image_strips(Image.open(lower)):
        levels[top : top + len(strip)] = strip
    lower.close()  # Before the upper bytes are decoded.
    for top, strip in _image_strips(image):
        # Of grey with transparency, some versions of Pillow make colours.
        upper = strip[..., [0, -1]] if channels == 2 else strip
        levels[top : top + len(strip)] += upper.astype(np.uint16) * 256
    return levels


def _lower_bytes(data: bytes, line: int, height: int) -> Iterator[bytes]:
    """Yield the rows of a PNG file of 16 bits with the filter and each second byte of a level."""
    inflate, rest, at = zlib.decompressobj(), b"", len(SIGNATURE)
    while at < len(data) and height > 0:
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        part = data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += length + 12
        while part and height > 0:
            rest += inflate.decompress(part, PIECE)
            part = inflate.unconsumed_tail
            rows = min(len(rest) // line, height)
            lines = np.frombuffer(rest, np.uint8, rows * line).reshape(rows, line)
            rest, height = rest[rows * line :], height - rows
            yield np.concatenate((lines[:, :1], lines[:, 2::2]), axis=1).tobytes()


def _image_strips(image: Image.Image) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the rows of an image and the number of the first of them."""
    for top, bottom in row_ranges(image.height, image.width):
        yield top, np.asarray(image.crop((0, top, image.width, bottom)))


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
    for part in _compressed(_filtered(strips)):
        _write_chunk(file, b"IDAT", part)
    _write_chunk(file, b"IEND", b"")


def _filtered(strips: Strips) -> Iterator[bytes]:
    """Yield the rows of a picture as PNG stores them.

    They are big-endian, and of each byte the one above it is taken away.
    """
    above: NDArray[np.uint8] | None = None
    for strip in strips:
        data = strip.astype(">u2").view(np.uint8).reshape(len(strip), -1)
        stacked = np.concatenate((np.zeros_like(data[:1]) if above is None else above, data))
        filtered = np.full((len(data), data.shape[1] + 1), 2, np.uint8)  # Filter type 2: "Up".
        np.subtract(stacked[1:], stacked[:-1], out=filtered[:, 1:])
        yield filtered.tobytes()
        above = data[-1:]


def _compressed(parts: Iterable[bytes], level: int = zlib.Z_DEFAULT_COMPRESSION) -> Iterator[bytes]:
    compressor = zlib.compressobj(level)
    for part in parts:
        if packed := compressor.compress(part):
            yield packed
    yield compressor.flush()


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    check = zlib.crc32(data, zlib.crc32(kind))
    file.write(struct.pack(">I", len(data)) + kind)
    file.write(data)
    file.write(struct.pack(">I", check))
