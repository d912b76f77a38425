import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from adain.config import COLOR_MODES
from adain.imaging import color
from adain.imaging.color import LUMA, MAX_GAIN, color_map, measure_colors

Array = NDArray[np.float32]

MODES = [mode for mode in COLOR_MODES if mode != "none"]


def noise(height: int, width: int, seed: int = 0, channels: int = 3) -> Array:
    return np.random.default_rng(seed).random((height, width, channels), np.float32)


def tinted(seed: int, low: float = 0.3, high: float = 0.7) -> Array:
    """Correlated colours away from black and white, where nothing is clipped."""
    mix = np.roll([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]], seed, 0)
    mixed: Array = noise(40, 50, seed) @ mix.T.astype(np.float32)
    return low + (high - low) * mixed


def luminance(pixels: Array) -> Array:
    weighted: Array = pixels * np.array(LUMA, np.float32)
    total: Array = weighted.sum(-1, keepdims=True)
    return total


def recolored(mode: str, photo: Array, result: Array) -> Array:
    return color_map(mode, measure_colors(photo), measure_colors(result))(photo, result)


# Measuring


@settings(max_examples=30)
@given(cut=st.integers(1, 39), weighted=st.booleans())
def test_the_sums_of_strips_are_those_of_the_picture(cut: int, weighted: bool) -> None:
    pixels, weight = noise(40, 7), noise(40, 7, seed=1)[..., 0] if weighted else None

    def measure(rows: slice) -> color.ColorStatistics:
        return measure_colors(pixels[rows], None if weight is None else weight[rows])

    whole, parts = measure(slice(None)), measure(slice(cut)) + measure(slice(cut, None))
    assert parts.count == pytest.approx(whole.count)
    assert_allclose(parts.mean, whole.mean)
    assert_allclose(parts.covariance, whole.covariance, atol=1e-12)
    assert_allclose(parts.histograms, whole.histograms)


def test_moments_are_those_of_numpy_and_clear_pixels_do_not_count() -> None:
    pixels = noise(8, 9)
    weight = np.ones((8, 9), np.float32)
    weight[:, 5:] = 0
    visible = pixels[:, :5].reshape(-1, 3).T.astype(np.float64)
    statistics = measure_colors(pixels, weight)
    assert statistics.count == 40 and statistics.histograms.sum() == 120
    assert_allclose(statistics.mean, visible.mean(1), rtol=1e-6)
    assert_allclose(statistics.covariance, np.cov(visible, bias=True), atol=1e-8)


# Colour modes


def test_golden_colors() -> None:
    """A bright and a dark half in blue and orange; a result that has only two greens."""
    photo, result = np.zeros((2, 4, 8, 3), np.float32)
    photo[:, :4], photo[:, 4:] = (0.3, 0.4, 0.9), (0.5, 0.25, 0.05)
    result[:, :4], result[:, 4:] = (0.1, 0.3, 0.1), (0.3, 0.7, 0.2)
    expected = {
        # Light and dark are swapped as in the result; the hues stay where they were.
        "luminance": ([0.1749, 0.2749, 0.7749], [0.6252, 0.3752, 0.1752]),
        # The dark green becomes the colour that the photo has more of when it is dark.
        "histogram": ([0.3, 0.25, 0.05], [0.5, 0.4, 0.9]),
    }
    for mode, colors in expected.items():
        painted = recolored(mode, photo, result)
        for x, wanted in zip((0, 7), colors, strict=True):
            assert_allclose(painted[0, x], wanted, atol=2e-3, err_msg=mode)
    assert recolored("none", photo, result) is result


def test_luminance_mode_takes_light_from_the_result_and_color_from_the_photo() -> None:
    photo, result = tinted(0), tinted(1, 0.2, 0.6)
    painted = recolored("luminance", photo, result)
    chroma = painted - luminance(painted)
    assert_allclose(chroma, photo - luminance(photo), atol=1e-5)
    scaled = luminance(painted)
    shape = (scaled - scaled.mean()) / scaled.std()
    light = luminance(result)
    assert_allclose(shape, (light - light.mean()) / light.std(), atol=1e-3)
    assert scaled.mean() == pytest.approx(luminance(photo).mean(), abs=1e-4)
    assert scaled.std() == pytest.approx(luminance(photo).std(), rel=1e-3)


def test_chroma_that_does_not_fit_loses_saturation_and_keeps_its_hue() -> None:
    photo = np.array([[[0.1, 0.2, 0.9]] * 2], np.float32)
    result = np.array([[[0.02] * 3, [0.98] * 3]], np.float32)
    painted = color._keep_chroma(1.0, 0.0, photo, result)
    assert painted.min() >= 0 and painted.max() <= 1
    assert_allclose(luminance(painted), luminance(result), atol=1e-5)
    hue = colorsys.rgb_to_hsv(0.1, 0.2, 0.9)[0]
    for x in range(2):
        assert colorsys.rgb_to_hsv(*painted[0, x].tolist())[0] == pytest.approx(hue, abs=1e-3)


def test_linear_mode_gives_the_mean_and_covariance_of_the_photo() -> None:
    photo, result = tinted(0), tinted(1, 0.1, 0.9)
    painted = measure_colors(recolored("linear", photo, result))
    wanted = measure_colors(photo)
    assert_allclose(painted.mean, wanted.mean, atol=1e-5)
    assert_allclose(painted.covariance, wanted.covariance, atol=1e-6)


def test_linear_mode_does_not_depend_on_the_order_of_the_channels() -> None:
    photo, result = tinted(0), tinted(1)
    order = [2, 0, 1]
    painted = recolored("linear", photo[..., order], result[..., order])
    assert_allclose(painted, recolored("linear", photo, result)[..., order], atol=1e-5)


def test_histogram_mode_agrees_with_scikit_image() -> None:
    exposure = pytest.importorskip("skimage.exposure")
    photo, result = np.float32(1 / 255) * (noise(60, 70, 0) ** 2 * 255).round(), noise(60, 70, 1)
    expected = exposure.match_histograms(result, photo, channel_axis=2)
    assert abs(recolored("histogram", photo, result) - expected).mean() < 1 / 255


@pytest.mark.parametrize("mode", MODES)
def test_a_photo_keeps_its_own_colors(mode: str) -> None:
    photo = noise(30, 40)
    assert_allclose(recolored(mode, photo, photo), photo, atol=1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_colors_are_matched_strip_by_strip_as_in_one_piece(mode: str) -> None:
    photo, result = noise(20, 30, 0), noise(20, 30, 1) ** 2
    apply = color_map(mode, measure_colors(photo), measure_colors(result))
    strips = [apply(photo[y : y + 7], result[y : y + 7]) for y in range(0, 20, 7)]
    assert_allclose(np.concatenate(strips), apply(photo, result), atol=1e-6)


FLAT = np.full((8, 8, 3), 0.4, np.float32)
GREY = noise(8, 8, channels=1).repeat(3, axis=2)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("photo", [FLAT, GREY, noise(8, 8)], ids=["flat", "grey", "noise"])
@pytest.mark.parametrize("result", [FLAT, GREY, noise(8, 8, 1)], ids=["flat", "grey", "noise"])
def test_pictures_without_color_or_contrast_are_no_problem(
    mode: str, photo: Array, result: Array
) -> None:
    painted = recolored(mode, photo, result)
    assert np.isfinite(painted).all()
    assert painted.min() >= 0 and painted.max() <= 1
    if mode == "luminance" and photo is not FLAT:
        chroma = abs(painted - luminance(painted)).max()
        assert chroma > 0.05 if photo is not GREY else chroma < 1e-5


def test_what_a_result_lacks_is_not_made_of_noise() -> None:
    faint = GREY + np.float32(0.001) * (noise(8, 8, 5) - 0.5)
    painted = recolored("linear", noise(8, 8, 2), faint)
    grey = recolored("linear", noise(8, 8, 2), GREY)
    assert abs(painted - grey).max() < 0.003 * MAX_GAIN


def test_a_wholly_clear_picture_is_no_problem() -> None:
    nothing = measure_colors(noise(8, 8), np.zeros((8, 8), np.float32))
    for mode in MODES:
        assert np.isfinite(color_map(mode, nothing, nothing)(noise(8, 8), noise(8, 8, 1))).all()


def test_an_unknown_mode_names_the_known_ones() -> None:
    statistics = measure_colors(FLAT)
    with pytest.raises(ValueError, match="'sepia'; use one of none, luminance, linear, histogram"):
        color_map("sepia", statistics, statistics)
