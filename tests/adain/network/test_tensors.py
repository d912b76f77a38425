import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adain.config import STYLE_LAYERS
from adain.network import statistics
from adain.network.encoder import Encoder
from adain.network.statistics import (
    FeatureStatistics,
    channel_moments,
    color_moments,
    feature_statistics,
    layer_scale,
    layer_statistics,
    normalization_maps,
    style_tensors,
    style_vector,
    to_pixels,
    to_style,
    to_tensor,
)
from adain.styles import normalization
from adain.styles.colors import ColorMoments
from adain.styles.statistics import EPS


def random_features(n: int = 2, c: int = 5, h: int = 7, w: int = 9, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, c, h, w, generator=generator) * 3 + 2


def test_statistics_equal_the_definition_in_float64() -> None:
    exact = random_features().double().flatten(2)
    measured = feature_statistics(random_features())
    torch.testing.assert_close(measured.mean.double(), exact.mean(2), atol=1e-6, rtol=1e-6)
    expected = (exact.var(2, correction=0) + EPS).sqrt()
    torch.testing.assert_close(measured.std.double(), expected, atol=1e-6, rtol=1e-6)


def test_statistics_stay_exact_far_from_zero() -> None:
    features = random_features() + 1000
    expected = (features.double().flatten(2).var(2, correction=0) + EPS).sqrt()
    measured = feature_statistics(features).std.double()
    torch.testing.assert_close(measured, expected, rtol=1e-4, atol=0)


def test_statistics_of_a_large_map_are_those_of_its_strips_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = feature_statistics(random_features(h=13))
    monkeypatch.setattr(statistics, "STRIP_ELEMENTS", 200)
    strips = feature_statistics(random_features(h=13))
    torch.testing.assert_close(strips.std, whole.std, atol=1e-6, rtol=1e-6)


def test_statistics_of_a_batch_are_those_of_its_pictures() -> None:
    features = random_features(n=3)
    together = feature_statistics(features)
    for i in range(3):
        alone = feature_statistics(features[i : i + 1])
        torch.testing.assert_close(together.mean[i : i + 1], alone.mean)
        torch.testing.assert_close(together.std[i : i + 1], alone.std)


def test_half_precision_is_measured_in_float32() -> None:
    measured = feature_statistics(random_features().half())
    assert measured.mean.dtype == measured.std.dtype == torch.float32


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 3, 1, 1)])
def test_statistics_refuse_shapes_without_a_variance(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape|single"):
        feature_statistics(torch.zeros(shape))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_moments_of_pieces_make_those_of_the_whole(heights: list[int]) -> None:
    # Far from zero, where sums of squares would cancel.
    features = random_features(h=sum(heights) + 1) + 1000
    pieces = [channel_moments(piece) for piece in features.split([*heights, 1], dim=2)]
    merged = pieces[0]
    for piece in pieces[1:]:
        merged = merged.merge(piece)
    whole, found = feature_statistics(features), merged.statistics()
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-6)
    np.testing.assert_allclose(found.std, whole.std, rtol=1e-4)


def test_a_style_stays_the_same_as_tensors_and_back() -> None:
    measured = {"relu1_1": feature_statistics(random_features(2, 4)),
                "relu2_1": feature_statistics(random_features(2, 6))}  # fmt: skip
    style = to_style(measured)
    again = style_tensors(style)
    for layer, channels in measured.items():
        assert torch.equal(again[layer].mean, channels.mean)
        assert torch.equal(again[layer].std, channels.std)
    np.testing.assert_array_equal(style_vector(measured), style.to_vector())


def normalized(
    features: torch.Tensor,
    style: FeatureStatistics,
    alpha: float = 1.0,
    max_gain: float | None = None,
) -> torch.Tensor:
    ((scale, shift),) = normalization_maps({"x": features}, {"x": style}, alpha, max_gain).values()
    return features * scale + shift


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0, 1.5])
@pytest.mark.parametrize("styles", [1, 2])
@pytest.mark.parametrize("max_gain", [None, 1.1])
def test_features_are_normalized_as_the_arrays_of_a_pass_are(
    alpha: float, styles: int, max_gain: float | None
) -> None:
    features, style = random_features(), feature_statistics(random_features(styles, seed=1))
    content, target = (
        to_style({"relu1_1": each})["relu1_1"] for each in (feature_statistics(features), style)
    )
    if max_gain is not None:
        target = normalization.limit_gain(target, content, max_gain)
    affine = normalization.normalization_affine(content, target, alpha)
    scale, shift = (each[:, :, None, None] for each in (affine.scale, affine.shift))
    result = normalized(features, style, alpha, max_gain)
    expected = features.numpy() * scale + shift
    np.testing.assert_allclose(result, expected, atol=1e-4, rtol=1e-4)


def test_normalized_features_have_the_statistics_of_the_style() -> None:
    style = feature_statistics(random_features(seed=1))
    result = normalized(random_features(), style)
    found = feature_statistics(result)
    torch.testing.assert_close(found.mean, style.mean, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.std, style.std, atol=1e-4, rtol=1e-4)


def test_a_constant_channel_stays_finite() -> None:
    style = feature_statistics(random_features(1, 3))
    result = normalized(torch.full((1, 3, 8, 8), 0.5), style)
    assert torch.isfinite(result).all()


def test_alpha_moves_features_in_a_straight_line_and_beyond(tiny_encoder: Encoder) -> None:
    photo, painting = torch.rand(2, 1, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    features = tiny_encoder(photo)["relu3_1"]
    styles = layer_statistics(tiny_encoder(painting * 0.5))
    assert tuple(styles) == STYLE_LAYERS
    at = {alpha: normalized(features, styles["relu3_1"], alpha) for alpha in (0, 0.5, 1, 2)}
    torch.testing.assert_close(at[0], features)
    torch.testing.assert_close(at[0.5], (at[0] + at[1]) / 2)
    torch.testing.assert_close(at[2], 2 * at[1] - at[0], atol=1e-5, rtol=1e-4)


def pictures(n: int = 2) -> torch.Tensor:
    return torch.rand(n, 3, 24, 20, generator=torch.Generator().manual_seed(3))


def test_colours_of_a_batch_are_those_of_its_pictures() -> None:
    together = color_moments(pictures()).distribution()
    for i, image in enumerate(pictures().split(1)):
        alone = ColorMoments.of(to_pixels(image)).distribution()
        np.testing.assert_allclose(together.mean[i], alone.mean[0], atol=1e-6)
        np.testing.assert_allclose(together.covariance[i], alone.covariance[0], atol=1e-6)


def test_a_picture_stays_the_same_as_a_tensor_and_back() -> None:
    pixels = np.random.default_rng(0).random((5, 7, 3), np.float32)
    image = to_tensor(pixels)
    assert image.shape == (1, 3, 5, 7) and image[0, 2, 4, 6] == pixels[4, 6, 2]
    np.testing.assert_array_equal(to_pixels(image), pixels)


def test_a_layer_halves_the_one_before() -> None:
    assert [layer_scale(layer) for layer in STYLE_LAYERS] == [1, 2, 4, 8]
