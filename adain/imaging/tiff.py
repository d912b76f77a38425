"""TIFF files of 16 bits a channel, of which Pillow keeps 8, and compressed ones with notes."""

import zlib
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import EXTRASAMPLES, SAMPLEFORMAT, TILEWIDTH, TiffImageFile

from adain.imaging.metadata import KEPT, Notes
from adain.imaging.picture import Strips

PACKINGS = ("raw", "tiff_adobe_deflate", "tiff_deflate")
"""Pillow's names for no compression, and for that of zlib, now and formerly."""


def read_tiff(image: TiffImageFile, data: bytes) -> NDArray[np.uint16] | None:
    """Read a TIFF file of 16 bits a channel in colour, unpacked or of zlib.

    tifffile would unpack whatever a strip holds, gigabytes if need be, beside the whole picture
    and a copy of it. And it has neither LZW nor JPEG, so Pillow reads all other TIFF.

    Args:
        image: The file as Pillow has opened it.
        data: The file.

    Returns:
        Levels `(H, W, C)`, C 3 or 4; None if only Pillow reads it, or it is incomplete.
    """
    tags = image.tag_v2
    bits, extra = tags.get(Base.BitsPerSample, ()), tags.get(EXTRASAMPLES, ())
    rgb = tags.get(Base.PhotometricInterpretation) == 2
    channels = {(3, ()): 3, (4, (2,)): 4}.get((len(bits), extra)) if rgb else None
    planar = tags.get(Base.PlanarConfiguration, 1) == 2
    packing, predictor = image.info.get("compression"), tags.get(Base.Predictor, 1)
    if (
        channels is None
        or set(bits) != {16}
        or set(tags.get(SAMPLEFORMAT, (1,))) != {1}  # Unsigned numbers.
        or packing not in PACKINGS
        or predictor not in (1, 2)
        or TILEWIDTH in tags
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
        raw = zlib.decompressobj().decompress(packed, strip.nbytes) if packing != "raw" else packed
        if len(raw) < strip.nbytes:
            return None
        given = np.frombuffer(raw, f"{'>' if tags.prefix == b'MM' else '<'}u2", strip.size)
        strip[:] = given.reshape(strip.shape)
        if predictor == 2:
            np.cumsum(strip, axis=1, dtype=np.uint16, out=strip)
    return levels


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
    import tifffile  # Only here: most results are no TIFF.

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
