import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from adain.styles.colors import ColorDistribution, ColorMoments
from adain.styles.statistics import (
    EPS,
    ChannelMoments,
    ChannelStatistics,
    StyleStatistics,
    interpolate_styles,
    pool_styles,
    stack_styles,
)

WIDTHS = {"relu1_1": 4, "relu2_1": 6}


def moments_of(features: NDArray[np.float64]) -> ChannelMoments:
    """Measure features `(C, h, W)`."""
    flat = features.reshape(1, len(features), -1)
    return ChannelMoments(flat.shape[2], flat.mean(2), flat.var(2) * flat.shape[2])


def random_features(width: int, seed: int = 0) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    return random.uniform(-1, 3, (width, 1, 1)) + random.normal(0, 1, (width, 7, 9))


def random_picture(seed: int = 0) -> NDArray[np.float32]:
    """Return a picture whose colours go together in a way of its own."""
    random = np.random.default_rng(seed)
    mixed = random.random((10, 12, 3)) @ random.random((3, 3)) / 3
    colors: NDArray[np.float64] = mixed + random.random(3) * (1 - mixed.max())
    return colors.astype(np.float32)


def random_style(seed: int = 0, colors: bool = True) -> StyleStatistics:
    layers = {
        layer: moments_of(random_features(width, seed)).statistics()
        for layer, width in WIDTHS.items()
    }
    measured = ColorMoments.of(random_picture(seed)).distribution()
    return StyleStatistics(layers, measured if colors else None)


def assert_same(one: StyleStatistics, other: StyleStatistics) -> None:
    np.testing.assert_array_equal(one.to_vector(), other.to_vector())
    assert (one.colors is None) == (other.colors is None)
    if one.colors and other.colors:
        np.testing.assert_array_equal(one.colors.mean, other.colors.mean)
        np.testing.assert_array_equal(one.colors.covariance, other.colors.covariance)


def test_moments_make_mean_and_deviation() -> None:
    features = random_features(5)
    measured = moments_of(features).statistics()
    assert measured.mean.dtype == measured.std.dtype == np.float32
    np.testing.assert_allclose(measured.mean[0], features.mean((1, 2)), atol=1e-6)
    expected = np.sqrt(features.var((1, 2)) + EPS)
    np.testing.assert_allclose(measured.std[0], expected, rtol=1e-6)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_moments_of_pieces_make_those_of_the_whole(heights: list[int]) -> None:
    # Far from zero, where sums of squares would cancel.
    features = np.random.default_rng(0).normal(1000, 1, (5, sum(heights) + 1, 9))
    first, *others = np.split(features, np.cumsum(heights), axis=1)
    merged = moments_of(first)
    for piece in others:
        merged = merged.merge(moments_of(piece))
    whole = moments_of(features)
    assert merged.count == whole.count
    np.testing.assert_allclose(merged.mean, whole.mean)
    np.testing.assert_allclose(merged.squares, whole.squares)


@given(seeds=st.lists(st.integers(0, 99), min_size=1, max_size=4), colors=st.booleans())
def test_vectors_round_trip_to_the_bit(seeds: list[int], colors: bool) -> None:
    styles = [random_style(seed, colors) for seed in seeds]
    stacked = stack_styles(styles)
    vector = stacked.to_vector()
    assert vector.shape == (len(seeds), 20 + 9 * colors) and vector.dtype == np.float32
    assert_same(StyleStatistics.from_vector(vector, WIDTHS), stacked)
    for style, part, row in zip(styles, stacked.split(), vector, strict=True):
        assert_same(part, style)
        assert_same(StyleStatistics.from_vector(row[None], WIDTHS), style)


@pytest.mark.parametrize("shape", [(1, 19), (1, 28), (1, 30), (20,)])
def test_a_vector_of_another_length_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(N, 20\) or \(N, 29\)"):
        StyleStatistics.from_vector(np.zeros(shape), WIDTHS)


def test_broken_colours_are_refused() -> None:
    vector = stack_styles([random_style(0), random_style(1)]).to_vector()
    vector[1, -1] = np.nan
    with pytest.raises(ValueError, match="broken colours of style 2 of 2: not finite"):
        StyleStatistics.from_vector(vector, WIDTHS)
    with pytest.raises(ValueError, match="variance is negative"):
        StyleStatistics({}, ColorDistribution(np.full((1, 3), 0.5), -np.eye(3)[None]))


@given(seed=st.integers(0, 99), weight=st.floats(0.01, 100))
def test_blend_of_one_style_is_that_style(seed: int, weight: float) -> None:
    style = random_style(seed)
    np.testing.assert_allclose(
        interpolate_styles([style], [weight]).to_vector(), style.to_vector(), rtol=1e-6
    )


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=5))
def test_a_blend_has_the_average_of_statistics_and_colours(weights: list[float]) -> None:
    styles = [random_style(seed) for seed in range(len(weights))]
    blend = interpolate_styles(styles, weights)

    def average(values: list[NDArray[np.floating]]) -> NDArray[np.float64]:
        return np.average(np.stack(values), axis=0, weights=weights)

    for layer in WIDTHS:
        for name in ("mean", "std"):
            expected = average([getattr(style[layer], name) for style in styles])
            np.testing.assert_allclose(getattr(blend[layer], name), expected, rtol=1e-6, atol=1e-6)
    for name in ("mean", "covariance"):
        expected = average([getattr(style.colors, name) for style in styles])
        np.testing.assert_allclose(getattr(blend.colors, name), expected, atol=1e-6)


@given(st.floats(-20, 20).filter(lambda weight: abs(weight - 1) > 0.01), st.integers(0, 99))
def test_extrapolated_deviations_and_colours_stay_possible(weight: float, seed: int) -> None:
    blend = interpolate_styles([random_style(seed), random_style(seed + 1)], [weight, 1 - weight])
    assert all((channels.std > 0).all() for channels in blend.layers.values())
    assert blend.colors is not None
    assert blend.colors.mean.min() >= 0 and blend.colors.mean.max() <= 1
    assert np.linalg.eigvalsh(blend.colors.covariance).min() > -1e-5
    assert_same(StyleStatistics.from_vector(blend.to_vector(), WIDTHS), blend)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_impossible_blends_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        interpolate_styles([random_style(0), random_style(1)], weights)


def test_what_joins_styles_has_colours_only_if_all_have_them() -> None:
    styles = [random_style(0), random_style(1, colors=False)]
    assert interpolate_styles(styles, [1, 1]).colors is None
    assert stack_styles(styles).to_vector().shape == (2, 20)
    assert pool_styles(stack_styles(styles)).colors is None


@given(st.lists(st.integers(0, 99), min_size=1, max_size=5))
def test_pooled_styles_are_those_of_the_paintings_side_by_side(seeds: list[int]) -> None:
    pooled = pool_styles(stack_styles([random_style(seed) for seed in seeds]))
    for layer, width in WIDTHS.items():
        features = np.concatenate([random_features(width, seed) for seed in seeds], axis=2)
        together = moments_of(features).statistics()
        assert pooled[layer].mean.shape == (1, width)
        np.testing.assert_allclose(pooled[layer].mean, together.mean, atol=1e-6)
        np.testing.assert_allclose(pooled[layer].std, together.std, rtol=1e-5)
    pictures = np.concatenate([random_picture(seed) for seed in seeds])
    colors = ColorMoments.of(pictures).distribution()
    assert pooled.colors is not None
    np.testing.assert_allclose(pooled.colors.mean, colors.mean, atol=3e-7)
    np.testing.assert_allclose(pooled.colors.covariance, colors.covariance, atol=6e-7)


def test_a_style_pooled_with_itself_stays_the_same() -> None:
    flat = ChannelStatistics(np.full((2, 3), 7, np.float32), np.full((2, 3), EPS**0.5, np.float32))
    pooled = pool_styles(StyleStatistics({"relu1_1": flat}))["relu1_1"]
    np.testing.assert_allclose(pooled.mean, flat.mean[:1])
    np.testing.assert_allclose(pooled.std, flat.std[:1], rtol=1e-6)
