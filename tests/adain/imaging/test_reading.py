from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawings import (
    ADOBE_RGB_TO_XYZ,
    COLORS,
    GREY,
    HEIGHT,
    SMOOTH,
    SRGB_TO_XYZ,
    WIDTH,
    converted,
    encoded,
    icc_profile,
    levels,
)
from numpy.typing import NDArray
from PIL import Image, ImageOps

from adain.errors import ImageError
from adain.imaging.conversion import srgb_profile
from adain.imaging.decoding import FORMATS
from adain.imaging.metadata import Notes
from adain.imaging.pillow import from_image
from adain.imaging.png import write_png
from adain.imaging.reading import SUFFIXES, load_image


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_recognized_by_its_content_alone(format: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.psd"
    path.write_bytes(encoded(SMOOTH.quantize(64) if format == "GIF" else SMOOTH, format))
    picture = load_image(path)
    assert picture.pixels.shape == (HEIGHT, WIDTH, 3)
    assert picture.pixels.dtype == np.float32
    assert picture.pixels.flags.c_contiguous
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
    assert all(np.array_equal(picture.pixels, pictures[0].pixels) for picture in pictures)


def test_suffixes_cover_usual_names_in_lower_case() -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif"} <= SUFFIXES
    assert {suffix.lower() for suffix in SUFFIXES} == SUFFIXES


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
    assert load_image(buffer.getvalue()).levels.dtype == np.uint16
    assert found == [np.uint8, np.uint8]


def test_adobe_cmyk_jpeg_is_not_inverted() -> None:
    picture = load_image(encoded(SMOOTH.convert("CMYK"), "JPEG", quality=100, subsampling=0))
    assert abs(levels(picture) - COLORS).mean() < 3


def test_only_the_first_frame_of_an_animation_is_read() -> None:
    first, second = (SMOOTH.quantize(32), SMOOTH.rotate(180).quantize(32))
    data = encoded(first, "GIF", save_all=True, append_images=[second])
    assert np.array_equal(load_image(data).pixels, load_image(encoded(first, "GIF")).pixels)
