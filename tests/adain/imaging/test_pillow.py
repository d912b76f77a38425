import numpy as np
import pytest
from drawings import ALPHA, COLORS, SRGB_TO_XYZ, icc_profile, picture_of, with_alpha
from PIL import Image

from adain.errors import ImageError
from adain.imaging.picture import STRIP_PIXELS
from adain.imaging.pillow import from_image, to_image


def test_pixels_are_clamped_and_rounded() -> None:
    values = np.array([-1, 0, 0.4 / 255, 0.6 / 255, 127.5 / 255 + 1e-4, 254.6 / 255, 1, 7])
    pixels = np.tile(values[:, None], (2, 1, 3))
    image = to_image(pixels)
    assert pixels.max() == 7, "the pixels of the caller are another thing"
    assert np.asarray(image)[0, :, 1].tolist() == [0, 0, 0, 1, 128, 255, 255, 255]
    assert image.mode == "RGB"


def test_pixels_are_converted_in_strips_as_in_one_piece() -> None:
    pixels = picture_of(2 * STRIP_PIXELS // 17 + 3, 17).pixels
    expected = (pixels * 255).round().astype(np.uint8)
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
    visible = slice(None) if part.transparency is None else part.transparency > 0
    rows = picture.rows(box[1], box[3])
    np.testing.assert_array_equal(rows[visible], part.pixels[visible])


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_pixels_of_any_precision_make_the_same_image(dtype: type[np.floating]) -> None:
    pixels = from_image(with_alpha(ALPHA)).pixels.astype(dtype)
    image = to_image(pixels, ALPHA / 255)
    assert image.mode == "RGBA"
    assert np.array_equal(np.asarray(image)[..., 3], ALPHA)
    assert np.array_equal(np.asarray(image)[:, 1:, :3], COLORS[:, 1:])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["pixels", "transparency"])
def test_pixels_that_are_not_finite_make_no_image(value: float, place: str) -> None:
    arguments = {"pixels": np.zeros((8, 8, 3)), "transparency": np.ones((8, 8))}
    arguments[place][3, 3] = value
    with pytest.raises(ImageError, match="not finite"):
        to_image(**arguments)


@pytest.mark.parametrize(
    ("pixels", "transparency"),
    [
        ((1, 8, 8, 3), None),
        ((8, 8, 1), None),
        ((8, 8), None),
        ((3, 8, 8), None),
        ((8, 8, 3), (8, 9)),
        ((8, 8, 3), (8, 8, 1)),
    ],
)
def test_other_shapes_make_a_value_error(
    pixels: tuple[int, ...], transparency: tuple[int, ...] | None
) -> None:
    with pytest.raises(ValueError, match="shape"):
        to_image(np.zeros(pixels), None if transparency is None else np.zeros(transparency))
