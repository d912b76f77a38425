import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from adain.imaging import filters
from adain.imaging.filters import GuidedMap, gaussian_blur, guided_filter, sharpen, smooth

Array = NDArray[np.float32]

FLAT = np.full((8, 8, 3), 0.4, np.float32)


def noise(height: int, width: int, seed: int = 0, channels: int = 3) -> Array:
    return np.random.default_rng(seed).random((height, width, channels), np.float32)


def guided_by_hand(guide: Array, image: Array, radius: int, eps: float) -> Array:
    """The filter as the paper writes it, window by window."""
    height, width, channels = image.shape
    slopes = np.zeros((height, width, 3, channels))
    offsets = np.zeros((height, width, channels))
    result = np.zeros((height, width, channels))

    def window(values: NDArray[Any], y: int, x: int) -> NDArray[Any]:
        rows = slice(max(0, y - radius), y + radius + 1)
        part = values[rows, max(0, x - radius) : x + radius + 1].astype(np.float64)
        return part.reshape(-1, *values.shape[2:])

    places = [(y, x) for y in range(height) for x in range(width)]
    for y, x in places:
        colors, values = window(guide, y, x), window(image, y, x)
        mean, target = colors.mean(0), values.mean(0)
        covariance = (colors - mean).T @ (colors - mean) / len(colors)
        cross = (colors - mean).T @ (values - target) / len(colors)
        slopes[y, x] = np.linalg.solve(covariance + eps * np.eye(3), cross)
        offsets[y, x] = target - mean @ slopes[y, x]
    for y, x in places:
        slope, offset = window(slopes, y, x).mean(0), window(offsets, y, x).mean(0)
        result[y, x] = guide[y, x] @ slope + offset
    return result.astype(np.float32)


@pytest.mark.parametrize("radius", [1, 3, 20])
def test_the_guided_filter_is_that_of_the_paper_up_to_the_border(radius: int) -> None:
    guide, image = noise(11, 14), noise(11, 14, 1, channels=2)
    expected = guided_by_hand(guide, image, radius, 0.01)
    assert_allclose(guided_filter(guide, image, radius, 0.01), expected, atol=1e-5)


def test_filtering_in_strips_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    guide, image = noise(70, 20), noise(70, 20, 1)
    whole = guided_filter(guide, image, 3, 1e-3)
    monkeypatch.setattr(filters, "STRIP_PIXELS", 20 * 26)
    assert_allclose(guided_filter(guide, image, 3, 1e-3), whole, atol=1e-5)


def test_what_is_affine_in_the_guide_passes_and_strokes_that_it_lacks_do_not() -> None:
    guide = np.zeros((32, 40, 3), np.float32)
    guide[:, 20:] = 0.8
    recolored = np.float32(0.2) + np.float32(0.5) * guide[..., ::-1]
    strokes = 0.1 * np.sign(np.sin(np.arange(32) * 2))[:, None, None]
    filtered = guided_filter(guide, recolored + strokes.astype(np.float32), 8, 1e-4)
    assert abs(filtered - recolored).max() < 0.03
    assert_allclose(filtered[:, 20] - filtered[:, 19], 0.4, atol=0.01)


@pytest.mark.parametrize(("radius", "eps"), [(0, 0.1), (1, 0), (1, float("nan"))])
def test_wrong_settings_of_the_filter_are_value_errors(radius: int, eps: float) -> None:
    with pytest.raises(ValueError, match="radius"):
        guided_filter(FLAT, FLAT, radius, eps)
    with pytest.raises(ValueError, match="sizes"):
        guided_filter(FLAT, FLAT[1:], 1, 0.1)


@pytest.mark.parametrize("change", [smooth, sharpen], ids=["smooth", "sharpen"])
def test_smoothing_and_sharpening_start_at_nothing_and_leave_flat_areas(
    change: Callable[[Array, float], Array],
) -> None:
    picture = noise(20, 24)
    assert_allclose(change(picture, 0.0), picture)
    assert_allclose(change(FLAT, 1.0), FLAT, rtol=1e-6)


def test_smoothing_takes_noise_and_keeps_edges() -> None:
    step = np.full((32, 40, 3), 0.1, np.float32)
    step[:, 20:] = 0.9
    grain = np.float32(0.05) * (noise(32, 40) - 0.5)
    smoothed = smooth(step + grain, 1.0)
    assert (smoothed - step).std() < 0.5 * grain.std()
    assert (smoothed[:, 20] - smoothed[:, 19]).mean() > 0.7


def test_sharpening_adds_what_the_blur_takes() -> None:
    picture = np.float32(0.3) + np.float32(0.4) * noise(20, 24)
    expected = picture + 0.5 * (picture - gaussian_blur(picture, 1.0))
    assert_allclose(sharpen(picture, 0.5), expected.clip(0, 1), atol=1e-6)
    assert sharpen(picture, 0.5).std() > picture.std()


@pytest.mark.parametrize("sigma", [0.6, 2.0])
def test_the_blur_is_gaussian(sigma: float) -> None:
    reference = pytest.importorskip("skimage.filters")
    picture = noise(40, 44)
    expected = reference.gaussian(picture, sigma, channel_axis=2, truncate=3)
    inner = slice(8, -8)
    blurred = gaussian_blur(picture, sigma)
    assert_allclose(blurred[inner, inner], expected[inner, inner], atol=2e-3)
    assert_allclose(gaussian_blur(picture[..., 0], sigma), blurred[..., 0], atol=1e-6)
    assert_allclose(gaussian_blur(FLAT, sigma), FLAT, rtol=1e-6)


@pytest.mark.parametrize(("radius", "limit"), [(5, 1e-4), (64, 0.01), (100, 0.01)])
def test_a_map_filters_rows_as_the_filter_does_the_whole(radius: int, limit: float) -> None:
    guide = smooth(noise(6, 9).repeat(50, axis=0).repeat(50, axis=1), 1.0)
    guide = (guide + np.float32(0.05) * noise(300, 450)).clip(0, 1)
    image = (1 - guide) ** 2 + np.float32(0.1) * noise(300, 450, 1)
    whole = guided_filter(guide, image, radius, 1e-4)
    edges = GuidedMap.measure(
        lambda *rows: guide[slice(*rows)],
        lambda *rows: image[slice(*rows)],
        300,
        450,
        radius,
        1e-4,
    )
    rows = [edges(top, guide[top : top + 70]) for top in range(0, 300, 70)]
    assert abs(np.concatenate(rows) - whole).max() <= limit
    assert edges.functions.size <= 12 * 300 * 450 // math.ceil(radius / 32) ** 2 + 12 * 500
