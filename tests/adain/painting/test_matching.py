import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from adain.imaging.picture import Picture
from adain.painting.matching import blend_colors, gather_matched, measure_photo
from adain.painting.tiling import PaintedTile
from adain.styles.colors import ColorDistribution


def colors(mean: float, spread: float) -> ColorDistribution:
    return ColorDistribution(np.full((1, 3), mean), spread**2 * np.eye(3)[None])


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """Of a narrow range around grey, with a tint."""
    rng = np.random.default_rng(seed)
    tinted = 0.5 + 0.1 * rng.standard_normal((height, width, 3)) * (1, 0.7, 0.5)
    return tinted.astype(np.float32)


def measured(pixels: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    flat = pixels.reshape(-1, 3).astype(np.float64)
    return flat.mean(0), np.cov(flat.T, bias=True)


def cut(
    shares: NDArray[np.float32], top: int, bottom: int, left: int, right: int
) -> NDArray[np.float32]:
    return shares[:, top:bottom, left:right]


def whole(image: NDArray[np.float32]) -> list[PaintedTile]:
    return [PaintedTile(0, 0, image)]


def test_the_result_has_the_mean_and_covariance_of_the_style() -> None:
    result = gather_matched(whole(noise(40, 50)), (40, 50), [colors(0.45, 0.1)])
    mean, covariance = measured(result)
    assert np.allclose(mean, 0.45, atol=2e-3)
    assert np.allclose(covariance, 0.01 * np.eye(3), atol=3e-4)


def test_a_grey_style_leaves_no_tint() -> None:
    grey = ColorDistribution(np.full((1, 3), 0.5), np.full((1, 3, 3), 0.01))
    result = gather_matched(whole(noise(40, 50)), (40, 50), [grey])
    assert np.abs(result - result.mean(2, keepdims=True)).max() < 0.01


@settings(max_examples=20)
@given(st.integers(1, 39), st.integers(1, 49))
def test_tiles_equal_the_whole(row: int, column: int) -> None:
    image, wanted = noise(40, 50), [colors(0.4, 0.15)]
    tiles = [
        PaintedTile(top, left, image[top:bottom, left:right])
        for top, bottom in ((0, row), (row, 40))
        for left, right in ((0, column), (column, 50))
    ]
    expected = gather_matched(whole(image), (40, 50), wanted)
    assert np.abs(gather_matched(tiles, (40, 50), wanted) - expected).max() < 1e-4


def test_alpha_blends_the_colours_of_photo_and_style() -> None:
    photo, style = colors(0.2, 0.2), colors(0.6, 0.1)
    half = blend_colors(photo, style, 0.5)
    assert np.allclose(half.mean, 0.4) and np.allclose(half.covariance[0], 0.025 * np.eye(3))
    for alpha, expected in ((-1, photo), (0, photo), (1, style), (2, style)):
        blended = blend_colors(photo, style, alpha)
        assert np.allclose(blended.mean, expected.mean)
        assert np.allclose(blended.covariance, expected.covariance)


def test_a_photo_is_measured_where_each_style_goes() -> None:
    image = np.zeros((40, 50, 3), np.float32)
    image[:, 25:] = 1
    masks = np.zeros((3, 40, 50), np.float32)
    masks[0, :, :25] = masks[1, :, 25:] = 1
    dark, light, nowhere = measure_photo(Picture(image), 3, lambda *box: cut(masks, *box))
    assert dark is not None and light is not None and nowhere is None
    assert np.allclose(dark.mean, 0) and np.allclose(light.mean, 1)


def test_each_region_takes_the_colours_of_its_style() -> None:
    masks = np.zeros((2, 40, 50), np.float32)
    masks[0, :, :25] = masks[1, :, 25:] = 1

    def shares(top: int, bottom: int, left: int, right: int) -> NDArray[np.float32]:
        return masks[:, top:bottom, left:right]

    wanted = [colors(0.3, 0.05), colors(0.7, 0.1)]
    result = gather_matched(whole(noise(40, 50)), (40, 50), wanted, shares, shares)
    assert np.allclose(measured(result[:, :25])[0], 0.3, atol=2e-3)
    assert np.allclose(measured(result[:, 25:])[0], 0.7, atol=2e-3)


def test_what_is_not_visible_does_not_count() -> None:
    image, seen = noise(40, 50), np.zeros((1, 40, 50), np.float32)
    image[:, 25:], seen[:, :, :25] = 5, 1
    result = gather_matched(
        whole(image), (40, 50), [colors(0.4, 0.1)], weights=lambda *box: cut(seen, *box)
    )
    assert np.allclose(measured(result[:, :25])[0], 0.4, atol=2e-3)


@pytest.mark.parametrize("value", [0.5, 3.0])
def test_a_flat_result_stays_flat_and_finite(value: float) -> None:
    flat = np.full((20, 20, 3), value, np.float32)
    result = gather_matched(whole(flat), (20, 20), [colors(0.4, 0.2)])
    assert np.allclose(result, 0.4, atol=1e-3)


def test_a_style_that_has_no_place_changes_nothing() -> None:
    nowhere = np.zeros((1, 20, 20), np.float32)

    def shares(top: int, bottom: int, left: int, right: int) -> NDArray[np.float32]:
        return nowhere[:, top:bottom, left:right]

    image = noise(20, 20)
    result = gather_matched(whole(image), (20, 20), [colors(0.9, 0.2)], shares, shares)
    assert np.abs(result - image.clip(0, 1)).max() < 1e-6
