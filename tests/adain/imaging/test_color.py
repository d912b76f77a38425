import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from adain.config import COLOR_MODES
from adain.imaging import color
from adain.imaging.color import LUMA, MAX_GAIN, color_map, measure_colors

MODES = [mode for mode in COLOR_MODES if mode != "none"]


def noise(height: int, width: int, seed: int = 0, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, channels, height, width, generator=generator)


def tinted(seed: int, low: float = 0.3, high: float = 0.7) -> Tensor:
    """Correlated colours away from black and white, where nothing is clipped."""
    mix = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]).roll(seed, 0)
    return low + (high - low) * torch.einsum("ij,njhw->nihw", mix, noise(40, 50, seed))


def luminance(pixels: Tensor) -> Tensor:
    return (torch.tensor(LUMA)[:, None, None] * pixels).sum(1, keepdim=True)


def recolored(mode: str, photo: Tensor, result: Tensor) -> Tensor:
    return color_map(mode, measure_colors(photo), measure_colors(result))(photo, result)


# Measuring


@settings(max_examples=30)
@given(cut=st.integers(1, 39), weighted=st.booleans())
def test_the_sums_of_strips_are_those_of_the_picture(cut: int, weighted: bool) -> None:
    pixels, weight = noise(40, 7), noise(40, 7, seed=1, channels=1) if weighted else None

    def measure(rows: slice) -> color.ColorStatistics:
        return measure_colors(pixels[:, :, rows], None if weight is None else weight[:, :, rows])

    whole, parts = measure(slice(None)), measure(slice(cut)) + measure(slice(cut, None))
    assert parts.count == pytest.approx(whole.count)
    torch.testing.assert_close(parts.mean, whole.mean)
    torch.testing.assert_close(parts.covariance, whole.covariance)
    torch.testing.assert_close(parts.histograms, whole.histograms)


def test_moments_are_those_of_numpy_and_clear_pixels_do_not_count() -> None:
    pixels = noise(8, 9)
    weight = torch.ones(1, 1, 8, 9)
    weight[..., 5:] = 0
    visible = pixels[..., :5].reshape(3, -1).double()
    statistics = measure_colors(pixels, weight)
    assert statistics.count == 40 and statistics.histograms.sum().item() == 120
    np.testing.assert_allclose(statistics.mean, visible.mean(1), rtol=1e-6)
    np.testing.assert_allclose(statistics.covariance, np.cov(visible, bias=True), atol=1e-8)


# Colour modes


def test_golden_colors() -> None:
    """A bright and a dark half in blue and orange; a result that has only two greens."""
    photo, result = torch.zeros(1, 3, 4, 8), torch.zeros(1, 3, 4, 8)
    photo[..., :4] = torch.tensor([0.3, 0.4, 0.9])[:, None, None]
    photo[..., 4:] = torch.tensor([0.5, 0.25, 0.05])[:, None, None]
    result[..., :4] = torch.tensor([0.1, 0.3, 0.1])[:, None, None]
    result[..., 4:] = torch.tensor([0.3, 0.7, 0.2])[:, None, None]
    expected = {
        # Light and dark are swapped as in the result; the hues stay where they were.
        "luminance": ([0.1749, 0.2749, 0.7749], [0.6252, 0.3752, 0.1752]),
        # The dark green becomes the colour that the photo has more of when it is dark.
        "histogram": ([0.3, 0.25, 0.05], [0.5, 0.4, 0.9]),
    }
    for mode, colors in expected.items():
        painted = recolored(mode, photo, result)
        for x, wanted in zip((0, 7), colors, strict=True):
            np.testing.assert_allclose(painted[0, :, 0, x], wanted, atol=2e-3, err_msg=mode)
    assert recolored("none", photo, result) is result


def test_luminance_mode_takes_light_from_the_result_and_color_from_the_photo() -> None:
    photo, result = tinted(0), tinted(1, 0.2, 0.6)
    painted = recolored("luminance", photo, result)
    chroma = painted - luminance(painted)
    torch.testing.assert_close(chroma, photo - luminance(photo), atol=1e-5, rtol=0)
    scaled = luminance(painted)
    shape = (scaled - scaled.mean()) / scaled.std()
    light = luminance(result)
    torch.testing.assert_close(shape, (light - light.mean()) / light.std(), atol=1e-3, rtol=0)
    assert scaled.mean().item() == pytest.approx(luminance(photo).mean().item(), abs=1e-4)
    assert scaled.std().item() == pytest.approx(luminance(photo).std().item(), rel=1e-3)


def test_chroma_that_does_not_fit_loses_saturation_and_keeps_its_hue() -> None:
    photo = torch.tensor([0.1, 0.2, 0.9])[None, :, None, None].repeat(1, 1, 1, 2)
    result = torch.tensor([0.02, 0.98]).expand(1, 3, 1, 2)
    painted = color._keep_chroma(1.0, 0.0, photo, result)
    assert painted.min() >= 0 and painted.max() <= 1
    torch.testing.assert_close(luminance(painted), luminance(result), atol=1e-5, rtol=0)
    hue = colorsys.rgb_to_hsv(0.1, 0.2, 0.9)[0]
    for x in range(2):
        assert colorsys.rgb_to_hsv(*painted[0, :, 0, x].tolist())[0] == pytest.approx(hue, abs=1e-3)


def test_linear_mode_gives_the_mean_and_covariance_of_the_photo() -> None:
    photo, result = tinted(0), tinted(1, 0.1, 0.9)
    painted = measure_colors(recolored("linear", photo, result))
    wanted = measure_colors(photo)
    torch.testing.assert_close(painted.mean, wanted.mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(painted.covariance, wanted.covariance, atol=1e-6, rtol=0)


def test_linear_mode_does_not_depend_on_the_order_of_the_channels() -> None:
    photo, result = tinted(0), tinted(1)
    order = [2, 0, 1]
    painted = recolored("linear", photo[:, order], result[:, order])
    torch.testing.assert_close(painted, recolored("linear", photo, result)[:, order])


def test_histogram_mode_agrees_with_scikit_image() -> None:
    exposure = pytest.importorskip("skimage.exposure")
    photo, result = (noise(60, 70, 0) ** 2).mul(255).round() / 255, noise(60, 70, 1)
    expected = exposure.match_histograms(
        result[0].permute(1, 2, 0).numpy(), photo[0].permute(1, 2, 0).numpy(), channel_axis=2
    )
    painted = recolored("histogram", photo, result)[0].permute(1, 2, 0).numpy()
    assert abs(painted - expected).mean() < 1 / 255


@pytest.mark.parametrize("mode", MODES)
def test_a_photo_keeps_its_own_colors(mode: str) -> None:
    photo = noise(30, 40)
    torch.testing.assert_close(recolored(mode, photo, photo), photo, atol=1e-3, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_colors_are_matched_strip_by_strip_as_in_one_piece(mode: str) -> None:
    photo, result = noise(20, 30, 0), noise(20, 30, 1) ** 2
    apply = color_map(mode, measure_colors(photo), measure_colors(result))
    strips = [apply(photo[:, :, y : y + 7], result[:, :, y : y + 7]) for y in range(0, 20, 7)]
    torch.testing.assert_close(torch.cat(strips, 2), apply(photo, result))


FLAT = torch.full((1, 3, 8, 8), 0.4)
GREY = noise(8, 8, channels=1).expand(1, 3, 8, 8)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("photo", [FLAT, GREY, noise(8, 8)], ids=["flat", "grey", "noise"])
@pytest.mark.parametrize("result", [FLAT, GREY, noise(8, 8, 1)], ids=["flat", "grey", "noise"])
def test_pictures_without_color_or_contrast_are_no_problem(
    mode: str, photo: Tensor, result: Tensor
) -> None:
    painted = recolored(mode, photo, result)
    assert torch.isfinite(painted).all()
    assert painted.min() >= 0 and painted.max() <= 1
    if mode == "luminance" and photo is not FLAT:
        chroma = (painted - luminance(painted)).abs().amax()
        assert chroma > 0.05 if photo is not GREY else chroma < 1e-5


def test_what_a_result_lacks_is_not_made_of_noise() -> None:
    faint = GREY + 0.001 * (noise(8, 8, 5) - 0.5)
    painted = recolored("linear", noise(8, 8, 2), faint)
    grey = recolored("linear", noise(8, 8, 2), GREY)
    assert (painted - grey).abs().max() < 0.003 * MAX_GAIN


def test_a_wholly_clear_picture_is_no_problem() -> None:
    nothing = measure_colors(noise(8, 8), torch.zeros(1, 1, 8, 8))
    for mode in MODES:
        assert torch.isfinite(color_map(mode, nothing, nothing)(noise(8, 8), noise(8, 8, 1))).all()


def test_an_unknown_mode_names_the_known_ones() -> None:
    statistics = measure_colors(FLAT)
    with pytest.raises(ValueError, match="'sepia'; use one of none, luminance, linear, histogram"):
        color_map("sepia", statistics, statistics)
