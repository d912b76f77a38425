from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from adain.errors import MaskError
from adain.imaging.picture import Picture
from adain.imaging.pillow import from_image
from adain.imaging.reading import load_image
from adain.painting import masks
from adain.painting.masks import region_weights, strength_map

PHOTO = Picture(np.zeros((60, 80, 3), np.float32), name="photo.jpg")
SIZE = (60, 80)

THIRDS = np.repeat(np.array([0, 1, 2]), [20, 30, 30])[None].repeat(60, 0)
"""Three upright bands of 20, 30 and 30 pixels."""


def bands(colors: list[tuple[int, int, int]]) -> NDArray[np.uint8]:
    painted: NDArray[np.uint8] = np.array(colors, np.uint8)[THIRDS]
    return painted


def mask(levels: NDArray[np.uint8]) -> Picture:
    return from_image(Image.fromarray(levels), "mask.png")


def regions(masks: list[Picture], styles: int, feather: float = 0) -> NDArray[Any]:
    return region_weights(masks, styles, PHOTO, SIZE, feather)


def test_a_label_picture_gives_its_colors_to_the_styles_from_dark_to_bright() -> None:
    weights = regions([mask(bands([(255, 255, 0), (0, 0, 90), (200, 0, 0)]))], 3)
    assert weights.shape == (3, 60, 80)
    for style, band in enumerate([1, 2, 0]):
        np.testing.assert_array_equal(weights[style], band == THIRDS)
    assert weights.sum(0).min() == 1


def test_the_numbers_of_an_index_picture_are_labels_too() -> None:
    image = Image.fromarray(THIRDS.astype(np.uint8))
    weights = regions([from_image(image, "labels.png")], 3)
    np.testing.assert_array_equal(weights.argmax(0), THIRDS)


@pytest.mark.parametrize("quality", [50, 90])
def test_a_label_picture_may_be_a_jpeg(quality: int) -> None:
    buffer = BytesIO()
    levels = bands([(0, 0, 0), (200, 30, 30), (250, 250, 250)])
    Image.fromarray(levels).save(buffer, "JPEG", quality=quality)
    weights = regions([load_image(buffer.getvalue())], 3)
    assert (weights.argmax(0) == THIRDS).mean() > 0.97


def test_a_grey_ramp_leads_from_one_style_to_the_other() -> None:
    ramp = np.linspace(0, 255, 80).astype(np.uint8)[None].repeat(60, 0)
    weights = regions([mask(ramp)], 2)
    np.testing.assert_allclose(weights[1], ramp / 255, atol=1e-6)
    np.testing.assert_allclose(weights[0], 1 - ramp / 255, atol=1e-6)
    np.testing.assert_allclose(weights.sum(0), 1, rtol=1e-6)


def test_one_mask_for_each_style_and_the_photo_where_none_is_white() -> None:
    first, second = (np.equal(THIRDS, band).astype(np.uint8) * 255 for band in (0, 2))
    weights = regions([mask(first), mask(second)], 2)
    np.testing.assert_array_equal(weights * 255, [first, second])


def test_masks_that_overlap_share_the_place() -> None:
    white, half = np.full((60, 80), 255, np.uint8), np.full((60, 80), 85, np.uint8)
    weights = regions([mask(white), mask(half)], 2)
    np.testing.assert_allclose(weights[:, 0, 0], [0.75, 0.25], atol=1e-6)


def test_clear_parts_of_a_mask_are_black() -> None:
    cutout = np.full((60, 80, 4), 255, np.uint8)
    cutout[..., 3] = (THIRDS == 0) * 255
    np.testing.assert_array_equal(strength_map(mask(cutout), PHOTO, SIZE), THIRDS == 0)


@settings(max_examples=30)
@given(
    styles=st.integers(1, 5),
    height=st.integers(16, 50),
    width=st.integers(16, 50),
    feather=st.sampled_from([0.0, 0.5, 3.0, 40.0]),
    seed=st.integers(0, 9),
)
def test_weights_sum_to_one_at_most_at_any_size(
    styles: int, height: int, width: int, feather: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    masks = [mask((generator.random((6, 8)) > 0.5).astype(np.uint8) * 255) for _ in range(styles)]
    weights = region_weights(masks, styles, PHOTO, (height, width), feather)
    assert weights.shape == (styles, height, width) and weights.min() >= 0
    assert weights.sum(0).max() <= 1 + 1e-6


def test_feathering_blends_over_that_many_pixels() -> None:
    halves = np.repeat(np.array([0, 255], np.uint8), 40)[None].repeat(60, 0)
    for feather in (4, 16):
        weights = regions([mask(halves)], 2, feather)
        row = weights[1, 30]
        blending = ((row > 0.16) & (row < 0.84)).sum()  # One sigma to each side.
        assert abs(blending - feather) <= 1
        assert row[:2].max() < 0.01 and row[-2:].min() > 0.99


@pytest.mark.parametrize("size", [(60, 60), (80, 60), (30, 45), (240, 400)])
def test_a_mask_of_another_shape_is_named_with_both_sizes(size: tuple[int, int]) -> None:
    wrong = mask(np.zeros(size, np.uint8))
    message = rf"^mask\.png: {size[1]}x{size[0]} has not the shape of photo\.jpg, 80x60; "
    with pytest.raises(MaskError, match=message):
        strength_map(wrong, PHOTO, SIZE)
    with pytest.raises(MaskError, match=message):
        regions([wrong], 2)


@pytest.mark.parametrize("size", [(60, 80), (120, 160), (15, 20), (601, 800)])
def test_a_mask_of_the_same_shape_may_have_any_size(size: tuple[int, int]) -> None:
    assert strength_map(mask(np.full(size, 255, np.uint8)), PHOTO, SIZE).shape == SIZE


def test_missing_and_superfluous_styles_are_named() -> None:
    labels = mask(bands([(0, 0, 0), (255, 0, 0), (255, 255, 255)]))
    with pytest.raises(MaskError, match=r"has 3 colours \(.*#ff0000.*\) for 2 styles"):
        regions([labels], 2)
    with pytest.raises(MaskError, match=r"has 3 colours .* for 4 styles; .* one mask for each"):
        regions([labels], 4)
    with pytest.raises(MaskError, match="2 masks for 3 styles"):
        regions([labels, labels], 3)


@given(
    old=st.tuples(st.integers(2, 90), st.integers(2, 90)),
    new=st.tuples(st.integers(2, 90), st.integers(2, 90)),
    rows=st.integers(1, 90),
)
def test_rows_of_a_scaled_mask_are_those_of_the_whole(
    old: tuple[int, int], new: tuple[int, int], rows: int
) -> None:
    grey = np.random.default_rng(0).random(old, np.float32)
    whole = Image.fromarray(grey).resize(new[::-1], Image.Resampling.BILINEAR)
    picture = Picture(np.repeat(grey[..., None], 3, axis=2))
    read = masks._scaled(lambda top, bottom: grey[top:bottom], picture, new)
    strips = [read(top, min(top + rows, new[0])) for top in range(0, new[0], rows)]
    np.testing.assert_allclose(np.concatenate(strips), np.asarray(whole), atol=1e-5)
