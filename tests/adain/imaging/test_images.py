import errno
import faulthandler
import os
import struct
import sys
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from adain.errors import ImageError, ImageExistsError, ImageTooLargeError
from adain.imaging.conversion import srgb_profile
from adain.imaging.decoding import FORMATS
from adain.imaging.metadata import Notes
from adain.imaging.picture import STRIP_PIXELS, Picture
from adain.imaging.pillow import from_image, to_image
from adain.imaging.png import write_png
from adain.imaging.reading import SUFFIXES, ImageLimits, load_image
from adain.imaging.resizing import resize_image, resize_shorter_side
from adain.imaging.writing import OUTPUT_FORMATS, WRITABLE, encode_image, save_image

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
    result: NDArray[np.float32] = picture.pixels[0].permute(1, 2, 0).mul(255).numpy()
    return result


def alpha_levels(picture: Picture) -> NDArray[np.float32]:
    assert picture.transparency is not None
    result: NDArray[np.float32] = picture.transparency[0, 0].mul(255).numpy()
    return result


# Reading: formats, modes, depths


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_recognized_by_its_content_alone(format: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.psd"
    path.write_bytes(encoded(SMOOTH.quantize(64) if format == "GIF" else SMOOTH, format))
    picture = load_image(path)
    assert picture.pixels.shape == (1, 3, HEIGHT, WIDTH)
    assert picture.pixels.dtype == torch.float32
    assert picture.pixels.is_contiguous(memory_format=torch.channels_last)
    assert (picture.width, picture.height) == (WIDTH, HEIGHT)
    assert picture.transparency is None
    assert abs(levels(picture) - COLORS).mean() < 8
    assert picture.name == str(path)


def test_path_text_bytes_and_stream_give_the_same_picture(tmp_path: Path) -> None:
    data = encoded(SMOOTH, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with path.open("rb") as stream:
        pictures = [load_image(source) for source in (path, str(path), data, stream)]
        assert not stream.closed
    assert all(torch.equal(picture.pixels, pictures[0].pixels) for picture in pictures)


def test_suffixes_cover_usual_names_in_lower_case() -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif"} <= SUFFIXES
    assert {suffix.lower() for suffix in SUFFIXES} == SUFFIXES


def converted(mode: str) -> Image.Image:
    between = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}.get(mode)
    return (SMOOTH.convert(between) if between else SMOOTH).convert(mode)


@pytest.mark.parametrize(
    ("mode", "tolerance"),
    [
        *((mode, 0.01) for mode in ("L", "LA", "La", "I", "F")),
        *((mode, 0.01) for mode in ("RGB", "RGBA", "RGBa", "RGBX", "CMYK")),
        *((mode, 3) for mode in ("YCbCr", "LAB", "HSV", "PA")),
        ("P", 30),
    ],
)
def test_every_mode_keeps_its_colors(mode: str, tolerance: float) -> None:
    picture = from_image(converted(mode))
    grey = mode in ("L", "LA", "La", "I", "F")
    expected = np.asarray(SMOOTH.convert("L").convert("RGB") if grey else SMOOTH)
    assert abs(levels(picture) - expected).mean() < tolerance
    assert picture.transparency is None


def test_one_bit_pictures_are_black_and_white() -> None:
    bilevel = load_image(encoded(SMOOTH.convert("1"), "PNG"))
    assert set(bilevel.pixels.flatten().tolist()) == {0, 1}


GREY = np.tile(np.arange(WIDTH), (HEIGHT, 1))


@pytest.mark.parametrize(
    ("values", "white"),
    [
        ((GREY * 3000).astype("<u2"), 65535),
        ((GREY * 3000).astype(">u2"), 65535),
        (GREY.astype("<u2"), 65535),
        (GREY.clip(0, 1).astype(np.int32), 255),
        ((GREY * 12).astype(np.int32), 255),
        ((GREY * 3000).astype(np.int32), 65535),
        ((GREY / 19).astype(np.float32), 1),
        ((GREY * 12.5).astype(np.float32), 255),
        ((GREY * 3000).astype(np.float32), 65535),
    ],
)
def test_deep_grey_is_scaled_and_not_clipped(values: NDArray[Any], white: int) -> None:
    image = Image.fromarray(values)
    expected = np.rint(values.astype(np.float64) / white * 255)
    assert abs(levels(from_image(image))[..., 0] - expected).max() < 0.6
    if image.mode != "I;16B":  # The one that no format of ours can hold as such.
        assert abs(levels(load_image(encoded(image, "TIFF")))[..., 0] - expected).max() < 0.6


@pytest.mark.parametrize("values", [(GREY - 10.0) * 1e6, GREY * 1e5, (GREY - 5).astype(np.int32)])
def test_grey_beyond_any_usual_range_is_stretched(values: NDArray[Any]) -> None:
    kind = np.int32 if values.dtype == np.int32 else np.float32
    pixels = levels(from_image(Image.fromarray(values.astype(kind))))[0, :, 0]
    assert abs(pixels - np.linspace(0, 255, WIDTH)).max() < 0.6


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    values = np.zeros((HEIGHT, WIDTH), np.float32)
    values[3, 4] = value
    with pytest.raises(ImageError, match=r"^scan: .* not finite"):
        from_image(Image.fromarray(values), "scan")


@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_16_bits_are_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH)
    data = encoded(Image.fromarray(stored), "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data))))
    np.testing.assert_array_equal(load_image(data)[:][..., 1], expected)


def test_16_bits_of_another_profile_are_converted_in_8() -> None:
    colors = np.full((HEIGHT, WIDTH, 3), (40000, 20000, 9001), np.uint16)
    found = []
    for primaries in (SRGB_TO_XYZ, ADOBE_RGB_TO_XYZ):
        buffer = BytesIO()
        profile = icc_profile(b"RGB ", 2.2, primaries)
        write_png(buffer, [colors], colors.shape, profile, Notes())
        found.append(load_image(buffer.getvalue()).levels.dtype)
    write_png(buffer := BytesIO(), [colors], colors.shape, srgb_profile(), Notes())
    assert load_image(buffer.getvalue()).levels.dtype == torch.uint16
    assert found == [torch.uint8, torch.uint8]


def test_adobe_cmyk_jpeg_is_not_inverted() -> None:
    picture = load_image(encoded(SMOOTH.convert("CMYK"), "JPEG", quality=100, subsampling=0))
    assert abs(levels(picture) - COLORS).mean() < 3


def test_only_the_first_frame_of_an_animation_is_read() -> None:
    first, second = (SMOOTH.quantize(32), SMOOTH.rotate(180).quantize(32))
    data = encoded(first, "GIF", save_all=True, append_images=[second])
    assert torch.equal(load_image(data).pixels, load_image(encoded(first, "GIF")).pixels)


# Orientation and colour


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


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
@pytest.mark.parametrize("orientation", STORED)
def test_pictures_are_upright(orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(STORED[orientation](COLORS)))
    options = {"lossless": True} if format == "WEBP" else {"quality": 95}
    picture = load_image(encoded(image, format, exif=exif, **(options if format != "TIFF" else {})))
    assert picture.pixels.shape == (1, 3, HEIGHT, WIDTH)
    assert abs(levels(picture) - COLORS).mean() < 4


@pytest.mark.parametrize("block", [b"nonsense", b"MM\0\x2a\0\0\0\x08\xff\xff" + bytes(9)])
def test_a_broken_exif_block_leaves_the_picture_as_it_is(block: bytes) -> None:
    data = encoded(SMOOTH, "PNG", exif=b"Exif\0\0" + block)
    assert np.array_equal(levels(load_image(data)).round(), COLORS)


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
DISPLAY_P3_TO_XYZ = np.array(
    [[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]]
)


def srgb_levels(linear: NDArray[Any]) -> NDArray[Any]:
    bent = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return bent * 255


@pytest.mark.parametrize("primaries", [ADOBE_RGB_TO_XYZ, DISPLAY_P3_TO_XYZ])
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_an_embedded_profile_is_converted_to_srgb(format: str, primaries: NDArray[Any]) -> None:
    color = np.array([110, 140, 90], np.uint8)
    image = Image.fromarray(np.broadcast_to(color, (HEIGHT, WIDTH, 3)).copy())
    options: dict[str, Any] = {"lossless": True} if format == "WEBP" else {}
    data = encoded(image, format, icc_profile=icc_profile(b"RGB ", 2.2, primaries), **options)
    linear = np.linalg.inv(SRGB_TO_XYZ) @ primaries @ (color / 255) ** 2.2
    assert abs(levels(load_image(data))[0, 0] - srgb_levels(linear)).max() < 2
    assert abs(srgb_levels(linear) - color).max() > 8


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_grey_profile_is_converted_to_srgb(mode: str) -> None:
    image = Image.new("L", (20, 20), 55).convert(mode)
    data = encoded(image, "PNG", icc_profile=icc_profile(b"GRAY", 1.0))
    assert abs(levels(load_image(data)) - srgb_levels(np.array(55 / 255))).max() < 2


@pytest.mark.parametrize(
    "profile",
    [
        b"nonsense",
        icc_profile(b"GRAY", 1.0),
        icc_profile(b"CMYK", 1.0),
        icc_profile(b"RGB ", 1.0, SRGB_TO_XYZ) + bytes(5 * 2**20),
    ],
    ids=["nonsense", "grey", "cmyk", "huge"],
)
def test_a_broken_or_unfit_profile_is_ignored(profile: bytes) -> None:
    image = SMOOTH.copy()
    image.info["icc_profile"] = profile
    assert np.array_equal(levels(from_image(image)).round(), COLORS)


MATRIX_PROFILES = {"no profile": None, "sRGB": SRGB_TO_XYZ, "Adobe RGB": ADOBE_RGB_TO_XYZ}


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (64, 200)], ids=str)
@pytest.mark.parametrize("profile", MATRIX_PROFILES)
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "RGB16"])
def test_the_matrix_of_modes_orientations_profiles_and_sizes(
    mode: str, orientation: int, profile: str, size: tuple[int, int]
) -> None:
    """One colour, so that each way of storing it must give back the very same."""
    height, width = size
    color = {"1": 255, "L": 90, "LA": (90, 255), "P": 90, "I;16": 90 * 257}.get(mode, (200, 90, 40))
    grey = mode in ("1", "L", "LA", "P", "I;16")
    primaries = MATRIX_PROFILES[profile]
    options: dict[str, Any] = {}
    if primaries is not None:
        options["icc_profile"] = icc_profile(b"RGB ", 2.2, primaries)
    if mode == "RGB16":
        deep = np.full((height, width, 3), color, np.uint16) * 257
        buffer = BytesIO()
        write_png(buffer, [deep], deep.shape, options.get("icc_profile", b"none"), Notes())
        data = buffer.getvalue()
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        kind = "L" if mode == "P" else mode
        image = Image.new(kind, (width, height), color)  # type: ignore[arg-type]
        image = image.convert("P") if mode == "P" else image
        data = encoded(image, "PNG", exif=exif, **options)
        if orientation == 6:
            height, width = width, height
    picture = load_image(data)
    assert picture.pixels.shape == (1, 3, height, width)
    assert picture.transparency is None
    expected = np.array([{"1": 255}.get(mode, 90)] * 3 if grey else (200, 90, 40))
    if primaries is not None:
        matrix = np.linalg.inv(SRGB_TO_XYZ) @ primaries
        expected = srgb_levels((matrix @ (expected / 255) ** 2.2).clip(0, 1))
    assert abs(levels(picture) - expected).max() < 3


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "AVIF"])
@pytest.mark.parametrize("size", [(16, 16), (31, 17), (200, 64)], ids=str)
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_matrix_of_formats(
    format: str, size: tuple[int, int], orientation: int, mode: str
) -> None:
    color = 90 if mode == "L" else (200, 90, 40)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {} if format == "BMP" else {"exif": exif}
    data = encoded(Image.new(mode, size, color), format, **options)
    photo = load_image(data)
    turned = orientation == 6 and format != "BMP"
    assert (photo.width, photo.height) == (size[::-1] if turned else size)
    assert photo.transparency is None
    expected = torch.tensor(color).view(1, -1, 1, 1) / 255
    assert (photo.pixels - expected).abs().max() <= 3 / 255


@pytest.mark.parametrize(
    ("side", "expected"), [(None, 640), (700, 640), (640, 640), (321, 640), (320, 320), (90, 160)]
)
def test_of_a_jpeg_no_more_is_decoded_than_needed(side: int | None, expected: int) -> None:
    image = SMOOTH.resize((480, 640), Image.Resampling.BICUBIC)
    photo = load_image(encoded(image, "JPEG", quality=95), side=side)
    assert (photo.width, photo.height) == (expected * 3 // 4, expected)
    whole = load_image(encoded(image, "PNG"))
    scaled = resize_image(whole, expected).pixels
    assert (photo.pixels - scaled).abs().max() < 6 / 255
    assert load_image(encoded(image, "PNG"), side=side).height == 640


# Transparency


@pytest.mark.parametrize("format", ["png", "webp", "tiff", "avif"])
def test_transparency_survives_a_round_trip(format: str) -> None:
    original = from_image(with_alpha(ALPHA))
    assert np.array_equal(alpha_levels(original), ALPHA)
    again = load_image(encode_image(to_image(original.pixels, original.transparency), format))
    assert np.array_equal(alpha_levels(again).round(), ALPHA)
    error = abs(levels(again) - COLORS)[ALPHA > 100]
    assert error.max() < (0.5 if format in ("png", "tiff") else 12)


@pytest.mark.parametrize("key", [3, bytes(range(0, 240, 15)), bytes([0, 128])])
def test_transparent_palette_entries_become_transparency(key: int | bytes) -> None:
    image = SMOOTH.quantize(16)
    picture = load_image(encoded(image, "PNG", transparency=key))
    table = [0 if i == key else 255 for i in range(16)]
    if isinstance(key, bytes):
        table = list(key.ljust(16, b"\xff"))
    assert np.array_equal(alpha_levels(picture).round(), np.array(table)[np.asarray(image)])


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "I;16"])
def test_a_transparent_color_becomes_transparency(mode: str) -> None:
    image = Image.fromarray((GREY * 3000).astype(np.uint16)) if mode == "I;16" else converted(mode)
    key = image.getpixel((7, 5))
    values = np.asarray(image)
    clear = (values == (key != 0 if mode == "1" else key)).reshape(HEIGHT, WIDTH, -1).all(axis=2)
    picture = load_image(encoded(image, "PNG", transparency=key))
    assert np.array_equal(alpha_levels(picture) == 0, clear)


def test_an_opaque_alpha_channel_is_no_transparency() -> None:
    assert load_image(encoded(with_alpha(np.full_like(ALPHA, 255)), "PNG")).transparency is None


@pytest.mark.parametrize("hidden", [(0, 0, 0), (255, 0, 255)])
def test_the_hidden_color_of_clear_pixels_is_replaced_by_the_mean(hidden: tuple[int, ...]) -> None:
    colors = np.full((HEIGHT, WIDTH, 4), (*hidden, 0), np.uint8)
    colors[:, :10] = (200, 100, 0, 255)
    colors[:, 10:12] = (0, 0, 200, 51)
    pixels = levels(from_image(Image.fromarray(colors)))
    mean = (10 * np.array([200, 100, 0]) + 0.2 * 2 * np.array([0, 0, 200])) / 10.4
    assert abs(pixels[:, 12:] - mean).max() < 0.51
    assert abs(pixels[:, 10:12] - [0, 0, 200]).max() < 0.01


def test_the_fill_of_clear_pixels_stays_in_range() -> None:
    for side in range(20, 60):
        white = Image.new("RGBA", (side, side), "white")
        white.putalpha(Image.effect_noise((side, side), 200))
        white.putpixel((0, 0), (0, 0, 0, 0))
        assert from_image(white).pixels.max() <= 1


def test_a_wholly_clear_picture_is_grey() -> None:
    picture = from_image(Image.new("RGBA", (20, 20)))
    assert set(levels(picture).flatten().tolist()) == {128}
    assert alpha_levels(picture).max() == 0


# Limits and errors


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


@pytest.mark.parametrize(
    ("side", "depth", "limits"),
    [(13_000, 8, ImageLimits(max_pixels=50_000_000)), (50_000, 1, ImageLimits())],
)
def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    side: int, depth: int, limits: ImageLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = png(side, side, depth, kind=0)
    assert len(bomb) < 500_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(
        ImageTooLargeError, match=r"^bomb\.png: .*pixels.*; give a smaller version$"
    ):
        load_image(bomb, limits, "bomb.png")


@pytest.mark.parametrize(
    ("size", "limits", "error"),
    [
        ((40, 30), ImageLimits(max_pixels=1199), ImageTooLargeError),
        ((40, 30), ImageLimits(max_pixels=1200), None),
        ((40, 30), ImageLimits(max_side=39), ImageTooLargeError),
        ((30, 40), ImageLimits(max_side=39), ImageTooLargeError),
        ((30, 40), ImageLimits(max_side=40), None),
        ((15, 40), ImageLimits(), ImageError),
        ((16, 16), ImageLimits(), None),
        ((801, 16), ImageLimits(), ImageError),
        ((16, 800), ImageLimits(), None),
        ((40, 30), ImageLimits(max_bytes=50), ImageTooLargeError),
    ],
)
def test_limits_are_exact(
    size: tuple[int, int], limits: ImageLimits, error: type[ImageError] | None
) -> None:
    data = encoded(Image.new("RGB", size), "PNG")
    if error is None:
        assert load_image(data, limits).pixels.shape == (1, 3, size[1], size[0])
    else:
        with pytest.raises(error) as caught:
            load_image(data, limits, "photo.png")
        assert type(caught.value) is error
        assert str(caught.value).startswith("photo.png: ")


def test_pillow_never_warns_and_its_settings_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    before = list(warnings.filters)
    data = encoded(SMOOTH, "PNG")
    threads = [
        threading.Thread(target=lambda: [load_image(data) for _ in range(50)]) for _ in range(8)
    ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inside = list(warnings.filters)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert warnings.filters == inside
    assert not caught
    assert warnings.filters == before
    assert Image.MAX_IMAGE_PIXELS == HEIGHT * WIDTH - 1
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; get the file again"),
        (b"hello", "cannot be read as JPEG, PNG, "),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "; convert it to one of them"),
        (b"8BPS\0\1" + bytes(100), "; convert it to one of them"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n", "; convert it to one of them"),
        (encoded(SMOOTH, "PPM"), "; convert it to one of them"),
        (encoded(SMOOTH, "JPEG")[:-30], "damaged or incomplete; get the file again"),
        (encoded(SMOOTH, "PNG")[:-30], "damaged or incomplete; get the file again"),
    ],
)
@pytest.mark.parametrize("name", ["photo.jpg", "two\nlines\x1b[2J.png"])
def test_unreadable_content_is_one_line_with_the_name_and_a_remedy(
    content: bytes, reason: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    with pytest.raises(ImageError) as caught:
        load_image(Path(name))
    text = str(caught.value)
    assert text.startswith(name if name.isprintable() else ascii(name))
    assert reason in text
    assert text.isprintable()
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("nothing.png", "No such file or directory"),
        ("folder", "Is a directory"),
        ("file/below.png", "Not a directory"),
        ("x" * 400, "File name too long"),
        ("null\0.png", "not a valid path"),
        ("", "No such file or directory"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="the texts are those of Linux")
def test_a_path_without_a_readable_file_is_one_line_with_a_remedy(
    source: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    with pytest.raises(ImageError) as caught:
        load_image(source)
    name = source if source.isprintable() and source else ascii(source)
    assert str(caught.value) == (
        f"{name}: cannot be read ({reason}); check the path and its permissions"
    )


def test_a_file_without_permission_is_an_image_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ImageError, match="Permission denied"):
        load_image(tmp_path / "secret.png")


def test_a_stream_that_fails_is_an_image_error() -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(ImageError, match=r"^upload: cannot be read \(Input/output error\)"):
        load_image(Broken(), name="upload")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "not enough memory to decode it; shrink it first"),
        (KeyError("x"), "damaged or incomplete; get the file again"),
        (struct.error(), "damaged or incomplete; get the file again"),
        (RecursionError(), "damaged or incomplete; get the file again"),
    ],
)
def test_whatever_a_decoder_raises_is_an_image_error(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    data = encoded(SMOOTH, "PNG")
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(ImageError, match=f"^picture: {reason}$") as caught:
        load_image(data)
    assert caught.value.__cause__ is error


def heic(image: Image.Image, **options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    return encoded(image, "HEIF", **options)


@pytest.mark.parametrize("orientation", STORED)
def test_heic_is_read_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](COLORS)))
    picture = load_image(heic(stored, exif=exif.tobytes(), quality=95))
    assert picture.pixels.shape == (1, 3, HEIGHT, WIDTH)
    assert abs(levels(picture) - COLORS).mean() < 4


def test_heic_keeps_its_transparency_and_its_profile() -> None:
    picture = load_image(heic(with_alpha(ALPHA), quality=-1))
    assert abs(alpha_levels(picture) - ALPHA).max() < 3
    profile = icc_profile(b"RGB ", 1.0, SRGB_TO_XYZ)
    linear = load_image(heic(SMOOTH, quality=95, icc_profile=profile))
    assert abs(levels(linear) - srgb_levels(COLORS / 255)).mean() < 4


def test_heic_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic(SMOOTH)
    monkeypatch.setattr("adain.imaging.reading._reads_heif", lambda: False)
    with pytest.raises(ImageError, match=r"is HEIC; install the extra: .*adain\[heic\]"):
        load_image(data)


def test_heic_is_found_in_folders_and_not_written() -> None:
    assert {".heic", ".heif"} <= SUFFIXES - WRITABLE


@contextmanager
def time_limit(seconds: float = 60) -> Iterator[None]:
    """End the tests, with a traceback, if a decoder hangs: no signal reaches Python then."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@settings(max_examples=60)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    kept=st.floats(0.3, 1),
)
def test_damaged_heic_gives_a_picture_or_an_image_error(
    changes: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(heic(SMOOTH))
    for place, value in changes:
        data[int(place * len(data))] = value
    try:
        with time_limit():
            picture = load_image(bytes(data[: int(kept * len(data))]))
    except ImageError as error:
        assert str(error).isprintable()
        return
    assert picture.pixels.min() >= 0 and picture.pixels.max() <= 1


SEEDS = {
    "jpeg": encoded(SMOOTH, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
    "progressive": encoded(SMOOTH, "JPEG", progressive=True),
    "cmyk": encoded(SMOOTH.convert("CMYK"), "JPEG"),
    "png": encoded(with_alpha(ALPHA), "PNG", icc_profile=icc_profile(b"RGB ", 2, SRGB_TO_XYZ)),
    "palette": encoded(SMOOTH.quantize(16), "PNG", transparency=bytes(range(16))),
    "grey16": encoded(Image.fromarray((GREY * 3000).astype(np.uint16)), "PNG", transparency=3000),
    "apng": encoded(SMOOTH, "PNG", save_all=True, append_images=[SMOOTH.rotate(180)]),
    "webp": encoded(with_alpha(ALPHA), "WEBP"),
    "lossless": encoded(SMOOTH, "WEBP", lossless=True),
    "tiff": encoded(with_alpha(ALPHA), "TIFF"),
    "lzw": encoded(SMOOTH, "TIFF", compression="tiff_lzw"),
    "float": encoded(SMOOTH.convert("F"), "TIFF"),
    "bmp": encoded(SMOOTH, "BMP"),
    "gif": encoded(SMOOTH.quantize(16), "GIF", transparency=2),
    "avif": encoded(with_alpha(ALPHA), "AVIF"),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_truncated_file_is_an_error_or_the_whole_picture(seed: str) -> None:
    whole = load_image(SEEDS[seed])
    for length in range(0, len(SEEDS[seed]), 3):
        try:
            with time_limit():
                picture = load_image(SEEDS[seed][:length])
        except ImageError:
            continue
        assert torch.equal(picture.pixels, whole.pixels)


@settings(max_examples=400)
@given(
    seed=st.sampled_from(sorted(SEEDS)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    kept=st.floats(0.3, 1),
)
def test_damaged_bytes_give_a_picture_or_an_image_error(
    seed: str, changes: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(SEEDS[seed])
    for place, value in changes:
        data[int(place * len(data))] = value
    try:
        with time_limit():
            picture = load_image(bytes(data[: int(kept * len(data))]))
    except ImageError as error:
        assert str(error).isprintable()
        return
    assert picture.pixels.dtype == torch.float32
    assert 0 <= picture.pixels.min() <= picture.pixels.max() <= 1


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_an_image_error(data: bytes) -> None:
    with time_limit(), pytest.raises(ImageError):
        load_image(data)


# Resizing


def picture_of(height: int, width: int) -> Picture:
    return Picture(torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(
    ("size", "side", "longer", "shorter"),
    [
        ((100, 200), 50, (25, 50), (50, 100)),
        ((200, 100), 50, (50, 25), (100, 50)),
        ((100, 200), 150, (75, 150), (100, 200)),
        ((100, 200), 200, (100, 200), (100, 200)),
        ((100, 200), 999, (100, 200), (100, 200)),
        ((20, 800), 100, (16, 100), (20, 800)),
        ((20, 800), 16, (16, 16), (16, 640)),
        ((8, 100), 50, (8, 50), (8, 100)),
        ((99, 301), 100, (33, 100), (99, 301)),
    ],
)
def test_resizing_shrinks_to_the_side_and_never_enlarges(
    size: tuple[int, int], side: int, longer: tuple[int, int], shorter: tuple[int, int]
) -> None:
    picture = picture_of(*size)
    assert resize_image(picture, side).pixels.shape[2:] == longer
    assert resize_shorter_side(picture, side).pixels.shape[2:] == shorter


def test_resizing_averages_instead_of_skipping_pixels() -> None:
    stripes = torch.arange(256).remainder(4).eq(0).float().expand(1, 3, 64, 256)
    small = resize_image(Picture(stripes), 64).pixels
    assert abs(small[..., 2:-2] - 0.25).max() < 0.05  # The border sees fewer pixels.


def test_resizing_stays_in_range_and_keeps_the_name() -> None:
    checks = torch.kron(torch.eye(2).repeat(4, 4), torch.ones(16, 16)).expand(1, 3, -1, -1)
    small = resize_image(Picture(checks, None, "checks.png"), 61)
    assert (small.pixels.min().item(), small.pixels.max().item()) == (0, 1)
    assert small.name == "checks.png"


def test_resizing_keeps_the_fill_of_clear_pixels_out_of_the_edges() -> None:
    colors = np.zeros((64, 64, 4), np.uint8)
    colors[:, :31] = (255, 0, 0, 255)
    colors[:16, 40:] = (0, 0, 255, 255)
    small = resize_image(from_image(Image.fromarray(colors)), 32)
    assert small.transparency is not None
    visible = (small.transparency > 0.02)[0, 0]
    visible[:, 18:] = False  # The blue part.
    assert abs(levels(small)[visible.numpy()] - [255, 0, 0]).max() < 1
    assert small.transparency.shape == (1, 1, 32, 32)


@pytest.mark.parametrize("resize", [resize_image, resize_shorter_side])
def test_a_side_below_what_the_network_takes_is_a_value_error(
    resize: Callable[[Picture, int], Picture],
) -> None:
    with pytest.raises(ValueError, match="at least 16 pixels, got 15"):
        resize(picture_of(20, 20), 15)


# Writing


def test_pixels_are_clamped_and_rounded() -> None:
    values = torch.tensor([-1, 0, 0.4 / 255, 0.6 / 255, 127.5 / 255 + 1e-4, 254.6 / 255, 1, 7])
    pixels = values.expand(1, 3, 2, 8).contiguous()
    image = to_image(pixels)
    assert pixels.max() == 7, "the pixels of the caller are another thing"
    assert np.asarray(image)[0, :, 1].tolist() == [0, 0, 0, 1, 128, 255, 255, 255]
    assert image.mode == "RGB"


def test_pixels_are_converted_in_strips_as_in_one_piece() -> None:
    pixels = picture_of(2 * STRIP_PIXELS // 17 + 3, 17).pixels
    expected = pixels[0].permute(1, 2, 0).mul(255).round().byte().numpy()
    np.testing.assert_array_equal(np.asarray(to_image(pixels)), expected)


@pytest.mark.parametrize("profile", [None, icc_profile(b"RGB ", 2.0, SRGB_TO_XYZ)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "I;16"])
def test_images_are_read_in_strips_as_in_one_piece(mode: str, profile: bytes | None) -> None:
    width, height = 700, 2 * STRIP_PIXELS // 700 + 3
    image = with_alpha(ALPHA).resize((width, height))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 200)
    whole = image.convert(mode)
    whole.info["icc_profile"] = profile
    picture = from_image(whole)
    box = (0, height // 2 - 100, width, height // 2 + 100)
    part = from_image(whole.crop(box))
    visible = slice(None) if part.transparency is None else (part.transparency > 0)[0, 0]
    rows = picture.rows(box[1], box[3])
    torch.testing.assert_close(rows[..., visible], part.pixels[..., visible], atol=0, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_pixels_of_any_precision_make_the_same_image(dtype: torch.dtype) -> None:
    pixels = from_image(with_alpha(ALPHA)).pixels.to(dtype).requires_grad_()
    image = to_image(pixels, torch.from_numpy(ALPHA / 255)[None, None])
    assert image.mode == "RGBA"
    assert np.array_equal(np.asarray(image)[..., 3], ALPHA)
    assert np.array_equal(np.asarray(image)[:, 1:, :3], COLORS[:, 1:])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["pixels", "transparency"])
def test_pixels_that_are_not_finite_make_no_image(value: float, place: str) -> None:
    arguments = {"pixels": torch.zeros(1, 3, 8, 8), "transparency": torch.ones(1, 1, 8, 8)}
    arguments[place][0, 0, 3, 3] = value
    with pytest.raises(ImageError, match="not finite"):
        to_image(**arguments)


@pytest.mark.parametrize(
    ("pixels", "transparency"),
    [
        ((2, 3, 8, 8), None),
        ((1, 1, 8, 8), None),
        ((8, 8), None),
        ((1, 3, 8, 8), (1, 1, 8, 9)),
        ((1, 3, 8, 8), (1, 3, 8, 8)),
    ],
)
def test_other_shapes_make_a_value_error(
    pixels: tuple[int, ...], transparency: tuple[int, ...] | None
) -> None:
    with pytest.raises(ValueError, match="shape"):
        to_image(torch.zeros(pixels), None if transparency is None else torch.zeros(transparency))


@pytest.mark.parametrize("format", OUTPUT_FORMATS)
def test_every_output_format_is_read_back(format: str) -> None:
    data = encode_image(SMOOTH, format.upper())
    with Image.open(BytesIO(data)) as image:
        assert image.format == format.upper()
        profile = image.info.get("icc_profile", bytes(128))
    assert (b"acsp" in profile) == (format != "bmp")
    assert profile[24:36] == bytes(12), "a date would make every file another one"
    tolerance = 0 if format in ("png", "tiff", "bmp") else 3
    assert abs(levels(load_image(data)).round() - COLORS).mean() <= tolerance
    assert encode_image(SMOOTH, format) == data


@pytest.mark.parametrize("format", ["jpeg", "avif"])
def test_lossy_formats_keep_chroma_at_full_size(format: str) -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = (255, 0, 0)
    stripes[:, 1::2] = (0, 0, 255)
    assert (
        abs(levels(load_image(encode_image(Image.fromarray(stripes), format))) - stripes).mean() < 9
    )


def test_quality_changes_the_size() -> None:
    noise = to_image(picture_of(64, 64).pixels)
    for format in ("jpeg", "webp", "avif"):
        assert len(encode_image(noise, format, 50)) < len(encode_image(noise, format, 95))


@pytest.mark.parametrize("format", ["jpg", "bmp"])
def test_formats_without_transparency_lay_the_image_on_white(format: str) -> None:
    pixels = levels(load_image(encode_image(with_alpha(ALPHA), format)))
    expected = 255 + (COLORS - 255.0) * ALPHA[..., None] / 255
    assert abs(pixels - expected).mean() < 2


@pytest.mark.parametrize("format", OUTPUT_FORMATS)
def test_metadata_of_the_source_is_not_written(format: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "SECRET"
    source = encoded(SMOOTH, "JPEG", exif=exif, comment="SECRET", xmp=b"<x>SECRET</x>")
    with Image.open(BytesIO(source)) as image:
        image.info["transparency"] = (1, 2, 3)
        data = encode_image(image, format)
        assert image.info["comment"] == b"SECRET"
    assert b"SECRET" not in data
    assert load_image(data).transparency is None


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "I;16", "F", "HSV"])
def test_images_of_other_modes_are_converted(mode: str) -> None:
    image = Image.new("I;16", (20, 20), 30000) if mode == "I;16" else converted(mode)
    again = load_image(encode_image(image, "png"))
    assert torch.equal(again.pixels, from_image(image).pixels)


@pytest.mark.parametrize("format", ["gif", "psd", "", "JPEG 2000"])
def test_an_unknown_output_format_names_the_known_ones(format: str) -> None:
    with pytest.raises(ImageError, match=r"no output format .*; use one of jpeg, png, webp"):
        encode_image(SMOOTH, format)


@pytest.mark.parametrize("quality", [0, 101])
def test_a_quality_out_of_range_is_a_value_error(quality: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 100"):
        encode_image(SMOOTH, "jpeg", quality)


def test_a_size_that_the_format_cannot_hold_is_an_image_error(tmp_path: Path) -> None:
    path = tmp_path / "wide.webp"
    with pytest.raises(ImageError, match=r"wide\.webp: cannot encode 16384x16 .* use png"):
        save_image(Image.new("RGB", (16384, 16)), path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", sorted(WRITABLE))
def test_the_suffix_decides_the_format(suffix: str, tmp_path: Path) -> None:
    save_image(SMOOTH, tmp_path / f"a{suffix.upper()}")
    assert os.listdir(tmp_path) == [f"a{suffix.upper()}"]
    assert load_image(tmp_path / f"a{suffix.upper()}").width == WIDTH


def test_the_format_may_differ_from_the_suffix(tmp_path: Path) -> None:
    save_image(SMOOTH, tmp_path / "a", format="png")
    assert (tmp_path / "a").read_bytes() == encode_image(SMOOTH, "png")


def no_hard_links(*_: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.fixture(params=["hard links", "no hard links"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on a file system that has hard links, and on one that has none."""
    if request.param == "no hard links":
        monkeypatch.setattr(os, "link", no_hard_links)
    return tmp_path


def test_an_existing_file_is_kept_unless_overwriting_is_allowed(folder: Path) -> None:
    path = folder / "a.png"
    save_image(SMOOTH, path)
    first = path.read_bytes()
    with pytest.raises(ImageExistsError, match=r"a\.png: exists already; choose another name"):
        save_image(Image.new("RGB", (20, 20)), path)
    assert path.read_bytes() == first
    save_image(Image.new("RGB", (20, 20)), path, overwrite=True)
    assert path.read_bytes() != first
    assert os.listdir(folder) == ["a.png"]


def test_a_file_that_appears_meanwhile_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "a.png"
    monkeypatch.setattr(os, "fsync", lambda _: path.write_bytes(b"other"))
    with pytest.raises(ImageExistsError):
        save_image(SMOOTH, path)
    assert path.read_bytes() == b"other"
    assert os.listdir(folder) == ["a.png"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), MemoryError(), KeyboardInterrupt()],
    ids=["disk full", "memory", "interrupt"],
)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_folder_as_it_was(
    call: str,
    error: BaseException,
    overwrite: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    path = tmp_path / "a.png"
    if overwrite:
        path.write_bytes(b"before")
    monkeypatch.setattr(os, "link", no_hard_links)
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(ImageError if isinstance(error, OSError) else type(error)) as caught:
        save_image(SMOOTH, path, overwrite=overwrite)
    if isinstance(error, OSError):
        assert "a.png: cannot be written (No space left on device); check" in str(caught.value)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"before"] * overwrite


def test_a_write_that_the_system_cuts_short_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = to_image(picture_of(200, 200).pixels)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        with pytest.raises(ImageError, match="File too large"):
            save_image(noise, tmp_path / "a.png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_read_only_folder_is_an_image_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ImageError, match="Permission denied"):
        save_image(SMOOTH, tmp_path / "a.png")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing/a.png", "No such file or directory"),
        ("file/a.png", "Not a directory"),
        ("x" * 400 + ".png", "File name too long"),
        ("null\0.png", "not a valid path"),
    ],
)
def test_a_path_that_cannot_be_written_is_one_line_with_a_remedy(
    path: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(ImageError) as caught:
        save_image(SMOOTH, Path(path))
    name = path if path.isprintable() else ascii(path)
    assert str(caught.value) == (
        f"{name}: cannot be written ({reason}); check that its folder exists, its permissions "
        "and the free space"
    )
    assert os.listdir() == ["file"]


def test_a_folder_or_device_is_never_replaced(tmp_path: Path) -> None:
    for path in (tmp_path, Path(os.devnull)):
        with pytest.raises(ImageError, match="not a regular file"):
            save_image(SMOOTH, path, format="png", overwrite=True)
    assert not Path(os.devnull).is_file()


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_permissions_follow_the_umask(mask: int, mode: int, folder: Path) -> None:
    before = os.umask(mask)
    try:
        save_image(SMOOTH, folder / "a.png")
    finally:
        os.umask(before)
    assert (folder / "a.png").stat().st_mode & 0o777 == mode
