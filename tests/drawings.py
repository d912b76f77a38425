"""Small pictures, profiles and files that the tests of pictures share."""

import faulthandler
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adain.imaging.picture import Picture

HEIGHT, WIDTH = 24, 20


COLORS = np.stack(
    [np.add.outer(5 * np.arange(HEIGHT), k * np.arange(WIDTH)) for k in (1, 3, 6)], axis=-1
).astype(np.uint8)
"""A smooth picture that no rotation or reflection maps to itself."""


SMOOTH = Image.fromarray(COLORS)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def with_alpha(alpha: NDArray[Any]) -> Image.Image:
    image = SMOOTH.copy()
    image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return image


ALPHA = np.broadcast_to(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, WIDTH))


def levels(picture: Picture) -> NDArray[np.float32]:
    """The pixels as `(H, W, 3)` in [0, 255]."""
    return picture.pixels * np.float32(255)


def alpha_levels(picture: Picture) -> NDArray[np.float32]:
    assert picture.transparency is not None
    return picture.transparency * np.float32(255)


def converted(mode: str) -> Image.Image:
    between = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}.get(mode)
    return (SMOOTH.convert(between) if between else SMOOTH).convert(mode)


GREY = np.tile(np.arange(WIDTH), (HEIGHT, 1))


STORED: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}
"""How a camera stores an upright picture, by the orientation that it notes."""


def icc_profile(space: bytes, gamma: float, primaries: NDArray[Any] | None = None) -> bytes:
    """A minimal display profile: a tone curve and, for RGB, primaries `(3, 3)` in XYZ (D50)."""

    def xyz(values: Any) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    white = (0.9642, 1.0, 0.8249)
    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(gamma * 256), 0)
    tags = {b"wtpt": xyz(white)}
    if primaries is None:
        tags[b"kTRC"] = curve
    else:
        for name, column in zip((b"r", b"g", b"b"), primaries.T, strict=True):
            tags[name + b"XYZ"], tags[name + b"TRC"] = xyz(column), curve
    table, data = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        offset = 128 + 4 + 12 * len(tags) + len(data)
        table += name + struct.pack(">II", offset, len(body))
        data += body
    size = 128 + len(table) + len(data)
    header = struct.pack(">I4sI4s4s4s", size, b"test", 0x02400000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + xyz(white)[8:]
    return header.ljust(128, b"\0") + table + data


SRGB_TO_XYZ = np.array(
    [[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]]
)


ADOBE_RGB_TO_XYZ = np.array(
    [[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]]
)


def srgb_levels(linear: NDArray[Any]) -> NDArray[Any]:
    bent = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return bent * 255


def png(width: int, height: int, depth: int, kind: int, rows: bytes | None = None) -> bytes:
    """A PNG of the given rows, by default all zero."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    if rows is None:
        compressor = zlib.compressobj(9)
        row = bytes((width * depth + 7) // 8 + 1)
        batch = row * 1000
        data = b"".join(compressor.compress(batch) for _ in range(height // 1000))
        data += compressor.compress(row * (height % 1000)) + compressor.flush()
    else:
        data = zlib.compress(rows)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@contextmanager
def time_limit(seconds: float = 60) -> Iterator[None]:
    """End the tests, with a traceback, if a decoder hangs: no signal reaches Python then."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def picture_of(height: int, width: int) -> Picture:
    return Picture(np.random.default_rng(0).random((height, width, 3), np.float32))
