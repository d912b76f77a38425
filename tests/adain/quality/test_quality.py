from dataclasses import astuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from adain.network.encoder import Encoder, EncoderConfig
from adain.network.statistics import to_pixels
from adain.quality.metrics import (
    coarse_similarity,
    judge_features,
    measure_quality,
    measure_reference,
    structural_similarity,
)


@pytest.fixture
def judge(tiny_encoder: Encoder) -> Encoder:
    """An encoder whose every layer tells pictures apart."""
    torch.manual_seed(0)
    for parameter in tiny_encoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    return tiny_encoder.requires_grad_(False)


def noise(seed: int, size: int = 48) -> Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed))


def pixels(seed: int, size: int = 48) -> NDArray[np.float32]:
    """The same noise as an array."""
    return to_pixels(noise(seed, size))


def waves() -> tuple[Tensor, Tensor]:
    """Two pictures by formula, so that their similarity can be pinned."""
    y, x = torch.meshgrid(
        torch.arange(48, dtype=torch.float64), torch.arange(64, dtype=torch.float64), indexing="ij"
    )
    one = [0.5 + 0.5 * (x / 5 + c).sin() * (y / 7 - c).cos() for c in range(3)]
    other = [0.5 + 0.4 * (x / 5 + c + 0.3).sin() * (y / 6 - c).cos() for c in range(3)]
    return torch.stack(one).float()[None], torch.stack(other).float()[None]


def test_similarity_agrees_with_scikit_image() -> None:
    # skimage.metrics.structural_similarity 0.26 of the luminance, with gaussian_weights=True,
    # sigma=1.5, use_sample_covariance=False, data_range=1.
    one, other = waves()
    darker = (one * 0.5 + 0.2).clamp(0, 1)
    for target, expected in ((other, 0.5907357), (1 - one, -0.6146171), (darker, 0.8189125)):
        assert structural_similarity(one, target).item() == pytest.approx(expected, abs=1e-4)


def test_a_picture_is_wholly_similar_to_itself() -> None:
    assert structural_similarity(noise(0), noise(0)).item() == 1
    assert structural_similarity(torch.ones(1, 3, 11, 11), torch.ones(1, 3, 11, 11)).item() == 1


def test_similarity_is_symmetric_and_falls_with_noise() -> None:
    one, other = waves()
    torch.testing.assert_close(structural_similarity(one, other), structural_similarity(other, one))
    disturbance = torch.randn(one.shape, generator=torch.Generator().manual_seed(0))
    similarities = [
        structural_similarity(one, (one + strength * disturbance).clamp(0, 1)).item()
        for strength in (0, 0.05, 0.2, 0.8)
    ]
    assert similarities == sorted(similarities, reverse=True)


def test_coarse_similarity_sees_areas_and_neither_brightness_nor_fine_texture() -> None:
    # A dark square on a light ground; hollow, only its outline stays dark.
    photo, hollow = torch.full((2, 1, 3, 96, 96), 0.8)
    photo[..., 24:72, 24:72] = 0.2
    hollow[..., 24:72, 24:72] = 0.2
    hollow[..., 28:68, 28:68] = 0.8
    fine = torch.eye(2).repeat(48, 48) - 0.5
    assert coarse_similarity(photo, photo).item() == pytest.approx(1)
    assert coarse_similarity(photo + 0.2, photo).item() > 0.99
    assert coarse_similarity(photo + 0.4 * fine, photo).item() > 0.99
    assert structural_similarity(photo + 0.4 * fine, photo).item() < 0.3
    assert structural_similarity(hollow, photo).item() > 0.6
    assert coarse_similarity(hollow, photo).item() < 0.6


def test_coarse_similarity_leaves_out_sizes_that_hold_no_window() -> None:
    one, other = noise(0, size=32), noise(1, size=32)
    halves = [F.avg_pool2d(image, 2) for image in (one, other)]
    larger = [image.repeat_interleave(2, 2).repeat_interleave(2, 3) for image in halves]
    torch.testing.assert_close(coarse_similarity(one, other), coarse_similarity(*larger))


def test_each_picture_of_a_batch_is_compared_on_its_own() -> None:
    batch, target = torch.cat([noise(0), noise(1)]), torch.cat([noise(0), noise(2)])
    together = structural_similarity(batch, target)
    assert together.shape == (2,)
    torch.testing.assert_close(together[1:], structural_similarity(noise(1), noise(2)))


@pytest.mark.parametrize(
    ("shape", "other"),
    [
        ((1, 3, 32, 32), (1, 3, 32, 31)),
        ((3, 32, 32), (3, 32, 32)),
        ((1, 1, 32, 32), (1, 1, 32, 32)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        structural_similarity(torch.zeros(shape), torch.zeros(other))


def test_a_picture_smaller_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 11 pixels"):
        structural_similarity(torch.zeros(1, 3, 10, 32), torch.zeros(1, 3, 10, 32))


def test_the_photo_itself_keeps_all_of_its_content(judge: Encoder) -> None:
    quality = measure_quality(judge, pixels(0), measure_reference(judge, pixels(0), pixels(1)))
    assert quality.content_loss == 0 and quality.ssim == 1
    assert quality.style_loss > 0 and quality.gram_loss > 0


def test_the_painting_itself_has_all_of_its_style(judge: Encoder) -> None:
    quality = measure_quality(judge, pixels(1), measure_reference(judge, pixels(0), pixels(1)))
    assert quality.style_loss == 0 and quality.gram_loss == 0
    assert quality.content_loss > 0 and quality.ssim < 1


def test_the_painting_may_have_another_size(judge: Encoder) -> None:
    reference = measure_reference(judge, pixels(0), pixels(1, size=64))
    assert all(value == value for value in astuple(measure_quality(judge, pixels(2), reference)))


def test_measuring_changes_no_picture(judge: Encoder) -> None:
    photo, result = pixels(0), pixels(2)
    measure_quality(judge, result, measure_reference(judge, photo, pixels(1)))
    assert np.array_equal(photo, pixels(0)) and np.array_equal(result, pixels(2))


def test_a_judge_with_heads_judges_embedded_features(judge: Encoder) -> None:
    embedded = judge_features(judge, noise(0))
    raw = judge_features(Encoder(EncoderConfig((2, 2, 4, 4, 4), ())), noise(0))
    assert [value.shape[1] for value in embedded.values()] == [6, 6, 10, 10, 10]
    assert [value.shape[1] for value in raw.values()] == [2, 2, 4, 4, 4]


def test_a_judge_that_lacks_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="no layer relu4_1, relu5_1"):
        judge_features(Encoder(EncoderConfig((2, 2, 4), ())), noise(0))
    with pytest.raises(ValueError, match="embeds 2 of 5 layers"):
        judge_features(Encoder(EncoderConfig((2, 2, 4, 4, 4), (3, 3))), noise(0))
