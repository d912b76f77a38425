import struct
import tracemalloc
import zlib
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile
from drawings import picture_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from adain.errors import ImageError
from adain.imaging.metadata import Notes
from adain.imaging.picture import Picture
from adain.imaging.png import SIGNATURE, write_png
from adain.imaging.reading import load_image
from adain.imaging.tiff import write_tiff
from adain.imaging.writing import OUTPUT_FORMATS, encode_image


def levels(height: int, width: int, channels: int, seed: int = 0) -> NDArray[np.uint16]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 65536, (height, width, channels), dtype=np.uint16)


def read_png(data: bytes) -> NDArray[np.uint16]:
    """Decode by another reader: scikit-image's comes from imageio and drops to 8 bits."""
    chunks, at = [], 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        (check,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert check == zlib.crc32(kind + body)
        chunks.append((kind, body))
        at += 12 + length
    width, height, depth, color = struct.unpack(">IIBB", chunks[0][1][:10])
    assert (chunks[0][0], chunks[-1][0], depth) == (b"IHDR", b"IEND", 16)
    raw = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    rows = np.frombuffer(raw, np.uint8).reshape(height, -1)
    assert (rows[:, 0] == 2).all()
    pixels = rows[:, 1:].cumsum(0, dtype=np.uint8)
    return pixels.view(">u2").astype(np.uint16).reshape(height, width, {2: 3, 6: 4}[color])


def filtered(rows: NDArray[np.uint8], size: int, kinds: list[int]) -> bytes:
    """Filter rows of bytes as PNG says, each in its own way; a pixel has `size` bytes."""
    above, lines = np.zeros_like(rows[0]).astype(int), []
    for row, kind in zip(rows.astype(int), kinds, strict=True):
        left, corner = (
            np.concatenate((np.zeros(size, int), each[:-size])) for each in (row, above)
        )
        slope = left + above - corner
        distances = np.abs(np.stack((left, above, corner)) - slope)
        paeth = np.choose(distances.argmin(0), (left, above, corner))
        guess = (np.zeros_like(row), left, above, (left + above) // 2, paeth)[kind]
        lines.append(bytes([kind]) + (row - guess).astype(np.uint8).tobytes())
        above = row
    return b"".join(lines)


@settings(max_examples=25)
@given(st.data(), st.sampled_from([2, 4, 6]), st.integers(16, 20), st.integers(16, 40))
def test_png_is_read_in_full_whatever_its_filters(
    data: st.DataObject, kind: int, height: int, width: int
) -> None:
    channels = {2: 3, 4: 2, 6: 4}[kind]
    original = levels(height, width, channels, data.draw(st.integers(0, 9)))
    kinds = data.draw(st.lists(st.integers(0, 4), min_size=height, max_size=height))
    raw = original.astype(">u2").view(np.uint8).reshape(height, -1)
    packed = zlib.compress(filtered(raw, 2 * channels, kinds))
    half = len(packed) // 2
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    file = SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in [
            (b"IHDR", header),
            (b"IDAT", packed[:half]),
            (b"IDAT", packed[half:]),
            (b"IEND", b""),
        ]
    )
    picture = load_image(file)
    colors = original[..., :3] if channels > 2 else original[..., [0, 0, 0]]
    visible = np.full((height, width), True) if channels == 3 else original[..., -1] > 0
    np.testing.assert_array_equal(picture[:][visible], colors[visible])
    if channels != 3:
        assert picture.opacity is not None
        np.testing.assert_array_equal(picture.opacity, original[..., -1])


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib"}, {"compression": "zlib", "predictor": True}, {"byteorder": ">"}],
    ids=str,
)
def test_tiff_is_read_in_full(channels: int, options: dict[str, Any]) -> None:
    original = levels(50, 30, channels)
    file = BytesIO()
    kind: dict[str, Any] = {
        "photometric": "rgb" if channels > 1 else "minisblack",
        "rowsperstrip": 16,
    }
    extra: dict[str, Any] = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    stored = original if channels > 1 else original[..., 0]
    tifffile.imwrite(file, stored, **kind, **extra, **options)
    colors = original[..., :3] if channels > 1 else original[..., [0, 0, 0]]
    visible = original[..., -1] > 0
    np.testing.assert_array_equal(load_image(file.getvalue())[:][visible], colors[visible])


def test_tiff_in_tiles_is_read_with_8_bits() -> None:
    original = levels(32, 32, 3)
    file = BytesIO()
    tifffile.imwrite(file, original, photometric="rgb", tile=(16, 16))
    np.testing.assert_array_equal(load_image(file.getvalue())[:], original >> 8)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": True}], ids=str)
def test_tiff_in_planes_is_read_in_full(options: dict[str, Any]) -> None:
    original = levels(50, 30, 3)
    file = BytesIO()
    stored = np.moveaxis(original, 2, 0)
    tifffile.imwrite(
        file, stored, photometric="rgb", planarconfig="separate", rowsperstrip=16, **options
    )
    np.testing.assert_array_equal(load_image(file.getvalue())[:], original)


def test_tiff_that_unpacks_to_more_than_it_shows_takes_no_more_memory() -> None:
    file = BytesIO()
    bomb = zlib.compress(bytes(2**26), 1)
    tifffile.imwrite(
        file,
        iter([bomb]),
        shape=(16, 16, 3),
        dtype=np.uint16,
        photometric="rgb",
        compression="zlib",
    )
    tracemalloc.start()
    with suppress(ImageError):
        load_image(file.getvalue())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


@settings(max_examples=20)
@given(
    height=st.sampled_from([1, 2, 17, 100]),
    width=st.integers(1, 9),
    channels=st.sampled_from([3, 4]),
    rows=st.integers(1, 110),
)
def test_every_level_is_kept(height: int, width: int, channels: int, rows: int) -> None:
    original = levels(height, width, channels)
    strips = [original[top : top + rows] for top in range(0, height, rows)]
    png, tiff = BytesIO(), BytesIO()
    write_png(png, strips, original.shape, b"x" * 200, Notes())
    np.testing.assert_array_equal(read_png(png.getvalue()), original)
    write_tiff(tiff, strips, original.shape, b"x" * 200, Notes())
    np.testing.assert_array_equal(
        tifffile.imread(BytesIO(tiff.getvalue())).reshape(original.shape), original
    )


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("format", ["png", "tiff"])
def test_other_readers_see_the_picture_profile_and_notes(format: str, channels: int) -> None:
    values = np.random.default_rng(0).random((20, 30, 4), np.float32)
    picture = Picture(values[..., :3], values[..., 3] if channels == 4 else None)
    notes = Notes("adain 1", "how")
    data = encode_image(picture, format, bits=16, notes=notes)
    with Image.open(BytesIO(data)) as image:
        assert image.mode == ("RGBA" if channels == 4 else "RGB")
        assert b"acsp" in image.info["icc_profile"]
        texts: dict[Any, Any] = dict(image.getexif()) if format == "tiff" else image.info
        assert {"adain 1", "how"} <= {value for value in texts.values() if isinstance(value, str)}
    again = load_image(data)
    difference = abs(again.pixels - picture.pixels)
    if again.transparency is not None:
        difference = difference[again.transparency > 0]
    assert difference.max() <= 0.51 / 65535


def test_16_bits_hold_what_8_do_not() -> None:
    line = np.linspace(0.5, 0.51, 400, dtype=np.float32)
    ramp = np.broadcast_to(line[:, None], (16, 400, 3))
    deep = read_png(encode_image(Picture(ramp), "png", bits=16))
    assert len(np.unique(deep)) == 400
    np.testing.assert_array_equal(deep[0, :, 0], (line * 65535).round())


@pytest.mark.parametrize("format", sorted(set(OUTPUT_FORMATS) - {"png", "tiff"}))
def test_other_formats_have_no_16_bits(format: str) -> None:
    with pytest.raises(ImageError, match=f"{format} has 8 bits a channel; use png or tiff"):
        encode_image(picture_of(16, 16), format, bits=16)


def test_an_image_of_pillow_can_be_written_with_16_bits() -> None:
    image = Image.linear_gradient("L").convert("RGB")
    deep = read_png(encode_image(image, "png", bits=16))
    np.testing.assert_array_equal(deep, np.asarray(image).astype(np.uint16) * 257)
