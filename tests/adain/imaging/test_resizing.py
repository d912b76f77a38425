from collections.abc import Callable

import numpy as np
import pytest
from drawings import levels, picture_of
from PIL import Image

from adain.imaging.picture import Picture, to_levels
from adain.imaging.pillow import from_image
from adain.imaging.resizing import (
    resize_image,
    resize_pixels,
    resize_shorter_side,
    scale_rows,
)


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
    assert resize_image(picture, side).pixels.shape[:2] == longer
    assert resize_shorter_side(picture, side).pixels.shape[:2] == shorter


@pytest.mark.parametrize("size", [(70, 90), (70, 31), (200, 20), (16, 200), (300, 300)], ids=str)
def test_sizes_are_scaled_as_by_pillow(size: tuple[int, int]) -> None:
    pixels = picture_of(70, 90).pixels
    expected = [
        np.asarray(
            Image.fromarray(pixels[..., channel]).resize(size[::-1], Image.Resampling.BICUBIC)
        )
        for channel in range(3)
    ]
    np.testing.assert_allclose(resize_pixels(pixels, size), np.dstack(expected), atol=1e-5)
    grey = scale_rows(lambda top, bottom: pixels[top:bottom, :, 0], (70, 90), size)
    np.testing.assert_allclose(grey, expected[0], atol=1e-5)


def test_any_height_is_scaled_to_any_smaller_one() -> None:
    """Rows are read in parts, some of which may not count at all."""
    flat = np.full((200, 16), 0.5, np.float32)
    for old in (*range(16, 80), 199, 200):
        for new in range(16, old, 3):
            np.testing.assert_allclose(resize_pixels(flat[:old], (new, 16)), 0.5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_picture_of_another_size_has_levels_of_the_same_type(dtype: type) -> None:
    picture = Picture(to_levels(picture_of(70, 90).pixels, dtype))
    small = resize_image(picture, 40)
    assert small.levels.dtype == dtype
    expected = resize_pixels(picture.pixels, (31, 40)).clip(0, 1)
    np.testing.assert_allclose(small.pixels, expected, atol=0.51 / 255)


def test_large_pictures_are_scaled_in_strips_as_in_one_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = picture_of(300, 40).pixels
    whole = resize_pixels(pixels, (120, 33))
    monkeypatch.setattr("adain.imaging.picture.STRIP_PIXELS", 40 * 7)
    np.testing.assert_allclose(resize_pixels(pixels, (120, 33)), whole, atol=1e-6)


def test_resizing_averages_instead_of_skipping_pixels() -> None:
    stripes = np.tile((np.arange(256) % 4 == 0).astype(np.float32)[:, None], (64, 1, 3))
    small = resize_image(Picture(stripes), 64).pixels
    assert abs(small[:, 2:-2] - 0.25).max() < 0.05  # The border sees fewer pixels.


def test_resizing_stays_in_range_and_keeps_the_name() -> None:
    checks = np.kron(np.tile(np.eye(2, dtype=np.float32), (4, 4)), np.ones((16, 16), np.float32))
    checks = np.dstack([checks] * 3)
    small = resize_image(Picture(checks, None, "checks.png"), 61)
    assert (small.pixels.min(), small.pixels.max()) == (0, 1)
    assert small.name == "checks.png"


def test_resizing_keeps_the_fill_of_clear_pixels_out_of_the_edges() -> None:
    colors = np.zeros((64, 64, 4), np.uint8)
    colors[:, :31] = (255, 0, 0, 255)
    colors[:16, 40:] = (0, 0, 255, 255)
    small = resize_image(from_image(Image.fromarray(colors)), 32)
    assert small.transparency is not None
    visible = small.transparency > 0.02
    visible[:, 18:] = False  # The blue part.
    assert abs(levels(small)[visible] - [255, 0, 0]).max() < 1
    assert small.transparency.shape == (32, 32)


@pytest.mark.parametrize("resize", [resize_image, resize_shorter_side])
def test_a_side_below_what_the_network_takes_is_a_value_error(
    resize: Callable[[Picture, int], Picture],
) -> None:
    with pytest.raises(ValueError, match="at least 16 pixels, got 15"):
        resize(picture_of(20, 20), 15)
