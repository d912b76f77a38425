import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from adain.styles.normalization import limit_gain, normalization_affine
from adain.styles.statistics import EPS, ChannelStatistics, StyleStatistics, interpolate_styles


def random_features(seed: int = 0) -> NDArray[np.float64]:
    """Return features of five channels, `(5, 63)`."""
    return np.random.default_rng(seed).normal(2, 3, (5, 63))


def measured(features: NDArray[np.float64]) -> ChannelStatistics:
    mean, std = features.mean(1), np.sqrt(features.var(1) + EPS)
    return ChannelStatistics(mean[None].astype(np.float32), std[None].astype(np.float32))


def normalized(
    features: NDArray[np.float64], style: ChannelStatistics, alpha: float = 1
) -> NDArray[np.float64]:
    affine = normalization_affine(measured(features), style, alpha)
    return features * affine.scale.T + affine.shift.T


def test_normalized_features_have_the_statistics_of_the_style() -> None:
    style = measured(random_features(1))
    result = measured(normalized(random_features(), style))
    np.testing.assert_allclose(result.mean, style.mean, atol=1e-5)
    np.testing.assert_allclose(result.std, style.std, rtol=1e-4)


@pytest.mark.parametrize("alpha", [0, 0.3, 1.5])
def test_the_strength_blends_features_and_normalized_ones(alpha: float) -> None:
    features, style = random_features(), measured(random_features(1))
    blend = features + alpha * (normalized(features, style) - features)
    np.testing.assert_allclose(normalized(features, style, alpha), blend, atol=1e-5)


def test_own_statistics_give_the_features_back() -> None:
    features = random_features()
    np.testing.assert_allclose(normalized(features, measured(features)), features, atol=1e-5)


def test_a_constant_channel_stays_finite() -> None:
    affine = normalization_affine(measured(np.full((5, 9), 0.5)), measured(random_features()))
    assert np.isfinite(affine.scale).all() and np.isfinite(affine.shift).all()


def test_only_channels_that_would_be_amplified_far_more_than_the_layer_are_limited() -> None:
    content = ChannelStatistics(
        np.zeros((1, 4), np.float32), np.array([[4, 2, 2, 0.1]], np.float32)
    )
    style = ChannelStatistics(np.ones((1, 4), np.float32), np.array([[2, 1, 2, 3]], np.float32))
    gain = np.linalg.norm(style.std) / np.linalg.norm(content.std)
    limited = limit_gain(style, content, 2.0)
    np.testing.assert_allclose(limited.std[0], [2, 1, 2, 0.2 * float(gain)], rtol=1e-6)
    np.testing.assert_array_equal(limited.mean, style.mean)
    np.testing.assert_array_equal(limit_gain(style, content, 1000.0).std, style.std)
    assert limited.std.dtype == np.float32


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=5))
def test_blending_styles_blends_normalized_features(weights: list[float]) -> None:
    features = random_features()
    styles = [measured(random_features(1 + seed)) for seed in range(len(weights))]
    blend = interpolate_styles([StyleStatistics({"relu1_1": style}) for style in styles], weights)
    parts = [normalized(features, style) for style in styles]
    expected = np.average(parts, axis=0, weights=weights)
    np.testing.assert_allclose(normalized(features, blend["relu1_1"]), expected, atol=1e-4)
