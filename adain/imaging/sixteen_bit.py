"""Files that Pillow cannot hold: 16 bits a channel in colour, compressed TIFF with notes."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import TiffImageFile

from adain.imaging.metadata import KEPT, Notes

FORMATS = ("png", "tiff")

PIECE = 2**20
"""Bytes that are decompressed at a time."""

STRIP_ROWS = 64
"""Rows that are joined at a time."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"

Strips = Iterable[NDArray[Any]]
"""Rows of a picture, shape `(h, W, 3)` or `(h, W, 4)`, of uint8 or uint16."""


DEFLATE = (8, 32946)
"""What TIFF calls the compression of zlib, now and formerly."""

TILE_WIDTH, EXTRA_SAMPLES, SAMPLE_FORMAT = 322, 338, 339
"""Tags of TIFF that Pillow has no names for."""


def read_levels(image: Image.Image, data: bytes) -> NDArray[np.uint16] | None:
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
        return _read_png(image, data)
    return _read_tiff(image, data) if isinstance(image, TiffImageFile) else None


def _read_png(image: Image.Image, data: bytes) -> NDArray[np.uint16] | None:
    """Add the lower bytes, which Pillow drops.

    The filters of PNG look at each byte of a pixel alone, and the same byte of its neighbours. So
    the filtered lower bytes are a PNG file of 8 bits a channel, which Pillow reads.
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
    for top, strip in _strips(Image.open(lower)):
        levels[top : top + len(strip)] = strip
    lower.close()  # Before the upper bytes are decoded.
    for top, strip in _strips(image):
        # Of grey with transparency, some versions of Pillow make colours.
        upper = strip[..., [0, -1]] if channels == 2 else strip
        levels[top : top + len(strip)] += upper.astype(np.uint16) * 256
    return levels


def _strips(image: Image.Image) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the rows of an image and the number of the first of them."""
    for top in range(0, image.height, STRIP_ROWS):
        box = (0, top, image.width, min(top + STRIP_ROWS, image.height))
        yield top, np.asarray(image.crop(box))


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


def _read_tiff(image: TiffImageFile, data: bytes) -> NDArray[np.uint16] | None:
    tags = image.tag_v2
    bits, extra = tags.get(Base.BitsPerSample, ()), tags.get(EXTRA_SAMPLES, ())
    rgb = tags.get(Base.PhotometricInterpretation) == 2
    channels = {(3, ()): 3, (4, (2,)): 4}.get((len(bits), extra)) if rgb else None
    planar = tags.get(Base.PlanarConfiguration, 1) == 2
    packing, predictor = tags.get(Base.Compression, 1), tags.get(Base.Predictor, 1)
    if (
        channels is None
        or set(bits) != {16}
        or set(tags.get(SAMPLE_FORMAT, (1,))) != {1}  # Unsigned numbers.
        or packing not in (1, *DEFLATE)
        or predictor not in (1, 2)
        or TILE_WIDTH in tags
    ):
        return None
    levels = np.empty((image.height, image.width, channels), np.uint16)
    planes = np.split(levels, channels, 2) if planar else [levels]
    rows = min(tags.get(Base.RowsPerStrip, image.height), image.height)
    strips = [each[top : top + rows] for each in planes for top in range(0, image.height, rows)]
    places = (tags.get(Base.StripOffsets, ()), tags.get(Base.StripByteCounts, ()))
    if not len(strips) == len(places[0]) == len(places[1]):
        return None
    for strip, offset, count in zip(strips, *places, strict=True):
        packed = memoryview(data)[offset : offset + count]
        # No more than belongs there: a few bytes can hold gigabytes.
        raw = zlib.decompressobj().decompress(packed, strip.nbytes) if packing != 1 else packed
        if len(raw) < strip.nbytes:
            return None
        given = np.frombuffer(raw, f"{'>' if tags.prefix == b'MM' else '<'}u2", strip.size)
        strip[:] = given.reshape(strip.shape)
        if predictor == 2:
            np.cumsum(strip, axis=1, dtype=np.uint16, out=strip)
    return levels


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
