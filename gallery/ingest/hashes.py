"""Fingerprints of pictures: digests for equal ones, a hash for similar ones."""

import hashlib
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adain.imaging.picture import Picture, to_unit

HASH_SIDE = 8
"""Frequencies a side that the perceptual hash looks at: 64 bits."""

SAMPLED_SIDE = 32
"""Side in pixels of the small grey picture that it looks at."""

NEAR = 4
"""Bits in which the hashes of two versions of one picture may differ."""

STRIP_ROWS = 64


def pixel_digest(picture: Picture) -> str:
    """Return the SHA-256 of the size and the 8-bit pixels: equal for equal pictures.

    The same picture in another lossless file, or with other metadata, has the same digest.
    """
    digest = hashlib.sha256(f"{picture.width}x{picture.height}".encode())
    colors = picture.levels if picture.change is None else picture.pixels
    planes = [colors[..., channel] for channel in range(3)]
    if picture.opacity is not None:
        planes.append(picture.opacity)
    for plane in planes:
        for top in range(0, picture.height, STRIP_ROWS):  # Small enough for the cache.
            rows = plane[top : top + STRIP_ROWS]
            if rows.dtype != np.uint8:
                rows = np.rint(to_unit(rows) * 255).astype(np.uint8)
            digest.update(np.ascontiguousarray(rows).data)
    return digest.hexdigest()


def perceptual_hash(picture: Picture) -> int:
    """Return 64 bits, as a signed number, that hardly change when a picture is scaled or saved.

    They say which of the 8x8 lowest frequencies of the small grey picture exceed their median
    (the "pHash" of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions",
    2010). Ingest takes the picture as it is measured, which is smaller: of 80 paintings enlarged
    two to four times 78 had the very hash of the whole picture, and two differed in two bits.
    """
    red, green, blue = np.moveaxis(picture.pixels, 2, 0)
    grey = red + green + blue  # Only which frequencies are stronger counts, not how strong.
    side = (SAMPLED_SIDE, SAMPLED_SIDE)
    small = np.asarray(Image.fromarray(grey).resize(side, Image.Resampling.BILINEAR))
    cosines = _cosines()
    low = cosines @ small.astype(np.float64) @ cosines.T
    bits = np.packbits(low > np.median(low)).tobytes()
    return int.from_bytes(bits, "big", signed=True)


def near(phash: int, others: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return where `others` holds the hashes of pictures that look the same."""
    difference = np.bitwise_xor(others, np.int64(phash)).view(np.uint64)
    return np.flatnonzero(np.bitwise_count(difference) <= NEAR)


@cache
def _cosines() -> NDArray[np.float64]:
    """Return the rows of the discrete cosine transform for the lowest frequencies."""
    frequency = np.arange(HASH_SIDE)[:, None]
    position = np.arange(SAMPLED_SIDE) + 0.5
    return np.cos(np.pi / SAMPLED_SIDE * frequency * position)
