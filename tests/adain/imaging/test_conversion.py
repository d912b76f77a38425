from io import BytesIO
from typing import Any

import numpy as np
import pytest
from drawings import (
    ADOBE_RGB_TO_XYZ,
    ALPHA,
    COLORS,
    GREY,
    HEIGHT,
    SMOOTH,
    SRGB_TO_XYZ,
    STORED,
    WIDTH,
    alpha_levels,
    converted,
    encoded,
    icc_profile,
    levels,
    srgb_levels,
    with_alpha,
)
from numpy.typing import NDArray
from PIL import Image

from adain.imaging.metadata import Notes
from adain.imaging.pillow import from_image, to_image
from adain.imaging.png import write_png
from adain.imaging.reading import load_image
from adain.imaging.resizing import resize_image
from adain.imaging.writing import encode_image


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
@pytest.mark.parametrize("orientation", STORED)
def test_pictures_are_upright(orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(STORED[orientation](COLORS)))
    options = {"lossless": True} if format == "WEBP" else {"quality": 95}
    picture = load_image(encoded(image, format, exif=exif, **(options if format != "TIFF" else {})))
    assert picture.pixels.shape == (HEIGHT, WIDTH, 3)
    assert abs(levels(picture) - COLORS).mean() < 4


@pytest.mark.parametrize("block", [b"nonsense", b"MM\0\x2a\0\0\0\x08\xff\xff" + bytes(9)])
def test_a_broken_exif_block_leaves_the_picture_as_it_is(block: bytes) -> None:
    data = encoded(SMOOTH, "PNG", exif=b"Exif\0\0" + block)
    assert np.array_equal(levels(load_image(data)).round(), COLORS)


DISPLAY_P3_TO_XYZ = np.array(
    [[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]]
)


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
    assert picture.pixels.shape == (height, width, 3)
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
    assert abs(levels(photo) - np.array(color)).max() < 3.01


@pytest.mark.parametrize(
    ("side", "expected"), [(None, 640), (700, 640), (640, 640), (321, 640), (320, 320), (90, 160)]
)
def test_of_a_jpeg_no_more_is_decoded_than_needed(side: int | None, expected: int) -> None:
    image = SMOOTH.resize((480, 640), Image.Resampling.BICUBIC)
    photo = load_image(encoded(image, "JPEG", quality=95), side=side)
    assert (photo.width, photo.height) == (expected * 3 // 4, expected)
    whole = load_image(encoded(image, "PNG"))
    scaled = resize_image(whole, expected).pixels
    assert abs(photo.pixels - scaled).max() < 6 / 255
    assert load_image(encoded(image, "PNG"), side=side).height == 640


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
