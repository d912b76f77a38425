from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from adain.deep import write_png, write_tiff
from adain.errors import ImageError
from adain.images import OUTPUT_FORMATS, Picture, encode_image, load_image
from adain.metadata import Notes


def levels(height: int, width: int, channels: int, seed: int = 0) -> NDArray[np.uint16]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 65536, (height, width, channels), dtype=np.uint16)


def read_png(data: bytes) -> NDArray[np.uint16]:
    """Decode by another reader: scikit-image's comes from imageio and drops to 8 bits."""
    import struct
    import zlib

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
    picture = Picture(torch.rand(1, 3, 20, 30), torch.rand(1, 1, 20, 30) if channels == 4 else None)
    notes = Notes("adain 1", "how")
    data = encode_image(picture, format, bits=16, notes=notes)
    with Image.open(BytesIO(data)) as image:
        assert image.mode == ("RGBA" if channels == 4 else "RGB")
        assert b"acsp" in image.info["icc_profile"]
        texts: dict[Any, Any] = dict(image.getexif()) if format == "tiff" else image.info
        assert {"adain 1", "how"} <= {value for value in texts.values() if isinstance(value, str)}
    again = load_image(data)
    difference = (again.pixels - picture.pixels).abs()
    if again.transparency is not None:
        difference = difference[:, :, (again.transparency > 0)[0, 0]]
    assert difference.max() <= 1.01 / 255  # Read with 8 bits.


def test_16_bits_hold_what_8_do_not() -> None:
    ramp = torch.linspace(0.5, 0.51, 400).expand(1, 3, 16, 400)
    deep = read_png(encode_image(Picture(ramp), "png", bits=16))
    assert len(np.unique(deep)) == 400
    np.testing.assert_array_equal(deep[0, :, 0], (ramp[0, 0, 0] * 65535).round())


@pytest.mark.parametrize("format", sorted(set(OUTPUT_FORMATS) - {"png", "tiff"}))
def test_other_formats_have_no_16_bits(format: str) -> None:
    with pytest.raises(ImageError, match=f"{format} has 8 bits a channel; use png or tiff"):
        encode_image(Picture(torch.rand(1, 3, 16, 16)), format, bits=16)


def test_an_image_of_pillow_can_be_written_with_16_bits() -> None:
    image = Image.linear_gradient("L").convert("RGB")
    deep = read_png(encode_image(image, "png", bits=16))
    np.testing.assert_array_equal(deep, np.asarray(image).astype(np.uint16) * 257)
