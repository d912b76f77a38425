import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from adain.imaging import filters
from adain.imaging.filters import GuidedMap, gaussian_blur, guided_filter, sharpen, smooth

FLAT = torch.full((1, 3, 8, 8), 0.4)


def noise(height: int, width: int, seed: int = 0, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, channels, height, width, generator=generator)


def guided_by_hand(guide: Tensor, image: Tensor, radius: int, eps: float) -> Tensor:
    """The filter as the paper writes it, window by window."""
    _, _, height, width = guide.shape
    slopes = torch.zeros(height, width, 3, image.shape[1], dtype=torch.float64)
    offsets = torch.zeros(height, width, image.shape[1], dtype=torch.float64)
    result = torch.zeros(height, width, image.shape[1], dtype=torch.float64)

    def window(values: Tensor, y: int, x: int) -> Tensor:
        rows = slice(max(0, y - radius), y + radius + 1)
        return values[..., rows, max(0, x - radius) : x + radius + 1].flatten(-2).double()

    places = [(y, x) for y in range(height) for x in range(width)]
    for y, x in places:
        colors, values = window(guide[0], y, x), window(image[0], y, x)
        mean, target = colors.mean(1), values.mean(1)
        covariance = (colors - mean[:, None]) @ (colors - mean[:, None]).T / colors.shape[1]
        cross = (colors - mean[:, None]) @ (values - target[:, None]).T / colors.shape[1]
        slopes[y, x] = torch.linalg.solve(covariance + eps * torch.eye(3), cross)
        offsets[y, x] = target - mean @ slopes[y, x]
    for y, x in places:
        slope = window(slopes.permute(2, 3, 0, 1), y, x).mean(-1)
        offset = window(offsets.permute(2, 0, 1), y, x).mean(-1)
        result[y, x] = guide[0, :, y, x].double() @ slope + offset
    return result.permute(2, 0, 1)[None].float()


@pytest.mark.parametrize("radius", [1, 3, 20])
def test_the_guided_filter_is_that_of_the_paper_up_to_the_border(radius: int) -> None:
    guide, image = noise(11, 14), noise(11, 14, 1, channels=2)
    expected = guided_by_hand(guide, image, radius, 0.01)
    torch.testing.assert_close(guided_filter(guide, image, radius, 0.01), expected)


def test_filtering_in_strips_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    guide, image = noise(70, 20), noise(70, 20, 1)
    whole = guided_filter(guide, image, 3, 1e-3)
    monkeypatch.setattr(filters, "STRIP_PIXELS", 20 * 13 // 4)
    torch.testing.assert_close(guided_filter(guide, image, 3, 1e-3), whole)


def test_what_is_affine_in_the_guide_passes_and_strokes_that_it_lacks_do_not() -> None:
    guide = torch.zeros(1, 3, 32, 40)
    guide[..., 20:] = 0.8
    recolored = 0.2 + 0.5 * guide.flip(1)
    strokes = 0.1 * torch.sign(torch.sin(torch.arange(32.0) * 2))[:, None]
    filtered = guided_filter(guide, recolored + strokes, 8, 1e-4)
    assert (filtered - recolored).abs().max() < 0.03
    edge = filtered[..., 20] - filtered[..., 19]
    torch.testing.assert_close(edge, torch.full_like(edge, 0.4), atol=0.01, rtol=0)


@pytest.mark.parametrize(("radius", "eps"), [(0, 0.1), (1, 0), (1, float("nan"))])
def test_wrong_settings_of_the_filter_are_value_errors(radius: int, eps: float) -> None:
    with pytest.raises(ValueError, match="radius"):
        guided_filter(FLAT, FLAT, radius, eps)
    with pytest.raises(ValueError, match="sizes"):
        guided_filter(FLAT, FLAT[..., 1:], 1, 0.1)


@pytest.mark.parametrize("change", [smooth, sharpen], ids=["smooth", "sharpen"])
def test_smoothing_and_sharpening_start_at_nothing_and_leave_flat_areas(
    change: Callable[[Tensor, float], Tensor],
) -> None:
    picture = noise(20, 24)
    torch.testing.assert_close(change(picture, 0.0), picture)
    torch.testing.assert_close(change(FLAT, 1.0), FLAT)


def test_smoothing_takes_noise_and_keeps_edges() -> None:
    step = torch.full((1, 3, 32, 40), 0.1)
    step[..., 20:] = 0.9
    grain = 0.05 * (noise(32, 40) - 0.5)
    smoothed = smooth(step + grain, 1.0)
    assert (smoothed - step).std() < 0.5 * grain.std()
    assert (smoothed[..., 20] - smoothed[..., 19]).mean() > 0.7


def test_sharpening_adds_what_the_blur_takes() -> None:
    picture = 0.3 + 0.4 * noise(20, 24)
    expected = picture + 0.5 * (picture - gaussian_blur(picture, 1.0))
    torch.testing.assert_close(sharpen(picture, 0.5), expected.clamp(0, 1))
    assert sharpen(picture, 0.5).std() > picture.std()


@pytest.mark.parametrize("sigma", [0.6, 2.0])
def test_the_blur_is_gaussian(sigma: float) -> None:
    reference = pytest.importorskip("skimage.filters")
    picture = noise(40, 44)
    expected = reference.gaussian(picture[0].numpy(), sigma, channel_axis=0, truncate=3)
    inner = slice(8, -8)
    blurred = gaussian_blur(picture, sigma)[0].numpy()
    np.testing.assert_allclose(blurred[:, inner, inner], expected[:, inner, inner], atol=2e-3)
    torch.testing.assert_close(gaussian_blur(FLAT, sigma), FLAT)


@pytest.mark.parametrize(("radius", "limit"), [(5, 1e-4), (64, 0.01), (100, 0.01)])
def test_a_map_filters_rows_as_the_filter_does_the_whole(radius: int, limit: float) -> None:
    guide = smooth(noise(6, 9).repeat_interleave(50, 2).repeat_interleave(50, 3), 1.0)
    guide = (guide + 0.05 * noise(300, 450)).clamp(0, 1)
    image = (1 - guide).pow(2) + 0.1 * noise(300, 450, 1)
    whole = guided_filter(guide, image, radius, 1e-4)
    edges = GuidedMap.measure(
        lambda *rows: guide[:, :, slice(*rows)],
        lambda *rows: image[:, :, slice(*rows)],
        300,
        450,
        radius,
        1e-4,
    )
    rows = [edges(top, guide[:, :, top : top + 70]) for top in range(0, 300, 70)]
    assert (torch.cat(rows, 2) - whole).abs().max() <= limit
    assert edges.functions[0].numel() <= 12 * 300 * 450 // math.ceil(radius / 32) ** 2 + 12 * 500
