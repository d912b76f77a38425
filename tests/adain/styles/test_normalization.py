import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adain.styles.field import StyleField
from adain.styles.normalization import (
    BlendedAffine,
    adaptive_instance_normalization,
    limit_gain,
    normalization_affine,
)
from adain.styles.statistics import (
    EPS,
    ChannelMoments,
    ChannelStatistics,
    StyleStatistics,
    channel_statistics,
    interpolate_styles,
    pool_styles,
    style_statistics,
)


def random_features(n: int = 2, c: int = 5, h: int = 7, w: int = 9, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, c, h, w, generator=generator) * 3 + 2


def random_style(seed: int = 0, n: int = 1) -> StyleStatistics:
    return style_statistics(
        {
            "relu1_1": random_features(n, 4, seed=seed),
            "relu2_1": random_features(n, 6, seed=seed + 1),
        }
    )


def test_statistics_equal_the_definition_in_float64() -> None:
    features = random_features()
    exact = features.double().flatten(2)
    measured = channel_statistics(features)
    torch.testing.assert_close(measured.mean.double(), exact.mean(2), atol=1e-6, rtol=1e-6)
    expected = (exact.var(2, correction=0) + EPS).sqrt()
    torch.testing.assert_close(measured.std.double(), expected, atol=1e-6, rtol=1e-6)


def test_only_channels_that_would_be_amplified_far_more_than_the_layer_are_limited() -> None:
    content = ChannelStatistics(torch.zeros(1, 4), torch.tensor([[4.0, 2.0, 2.0, 0.1]]))
    style = ChannelStatistics(torch.ones(1, 4), torch.tensor([[2.0, 1.0, 2.0, 3.0]]))
    gain = style.std.norm() / content.std.norm()
    limited = limit_gain(style, content, 2.0)
    torch.testing.assert_close(limited.std[0, :3], style.std[0, :3])
    torch.testing.assert_close(limited.std[0, 3], 2 * gain * 0.1)
    assert torch.equal(limited.mean, style.mean)
    assert torch.equal(limit_gain(style, content, 1000.0).std, style.std)


def test_statistics_stay_exact_far_from_zero() -> None:
    features = random_features() + 1000
    expected = (features.double().flatten(2).var(2, correction=0) + EPS).sqrt()
    torch.testing.assert_close(
        channel_statistics(features).std.double(), expected, rtol=1e-4, atol=0
    )


def test_statistics_of_a_large_map_are_those_of_its_strips_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = channel_statistics(random_features(h=13))
    monkeypatch.setattr("adain.styles.statistics.STRIP_ELEMENTS", 200)
    strips = channel_statistics(random_features(h=13))
    torch.testing.assert_close(strips.std, whole.std, atol=1e-6, rtol=1e-6)


def test_statistics_of_a_batch_are_those_of_its_pictures() -> None:
    features = random_features(n=3)
    together = channel_statistics(features)
    for i in range(3):
        alone = channel_statistics(features[i : i + 1])
        torch.testing.assert_close(together.mean[i : i + 1], alone.mean)
        torch.testing.assert_close(together.std[i : i + 1], alone.std)


def test_half_precision_is_measured_in_float32() -> None:
    measured = channel_statistics(random_features().half())
    assert measured.mean.dtype == measured.std.dtype == torch.float32


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 3, 1, 1)])
def test_statistics_refuse_shapes_without_a_variance(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape|single"):
        channel_statistics(torch.zeros(shape))


def test_normalized_features_have_the_statistics_of_the_style() -> None:
    style = channel_statistics(random_features(seed=1))
    result = channel_statistics(adaptive_instance_normalization(random_features(), style))
    torch.testing.assert_close(result.mean, style.mean, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(result.std, style.std, atol=1e-4, rtol=1e-4)


def test_own_statistics_give_the_features_back() -> None:
    features = random_features()
    own = channel_statistics(features)
    torch.testing.assert_close(
        adaptive_instance_normalization(features, own), features, atol=1e-5, rtol=1e-5
    )


def test_statistics_of_the_whole_picture_serve_a_piece_of_it() -> None:
    features, style = random_features(), channel_statistics(random_features(seed=1))
    whole = adaptive_instance_normalization(features, style)
    content = channel_statistics(features)
    piece = adaptive_instance_normalization(features[..., :4], style, content=content)
    torch.testing.assert_close(piece, whole[..., :4])


def test_a_constant_channel_stays_finite() -> None:
    style = channel_statistics(random_features(1, 3))
    result = adaptive_instance_normalization(torch.full((1, 3, 8, 8), 0.5), style)
    assert torch.isfinite(result).all()


def test_vectors_round_trip_to_the_bit() -> None:
    style = random_style(n=2)
    vector = style.to_vector()
    assert vector.shape == (2, 20)
    again = StyleStatistics.from_vector(vector, {"relu1_1": 4, "relu2_1": 6})
    for layer in ("relu1_1", "relu2_1"):
        assert torch.equal(again[layer].mean, style[layer].mean)
        assert torch.equal(again[layer].std, style[layer].std)


def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(N, 20\)"):
        StyleStatistics.from_vector(torch.zeros(1, 19), {"relu1_1": 4, "relu2_1": 6})


def test_blend_of_one_style_is_that_style() -> None:
    style = random_style()
    blend = interpolate_styles([style], [7.0])
    torch.testing.assert_close(blend["relu1_1"].mean, style["relu1_1"].mean)
    torch.testing.assert_close(blend["relu1_1"].std, style["relu1_1"].std)


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=5))
def test_blending_styles_blends_normalized_features(weights: list[float]) -> None:
    features = random_features(1, 4)
    styles = [random_style(seed) for seed in range(len(weights))]
    blend = interpolate_styles(styles, weights)["relu1_1"]
    expected = sum(
        weight / sum(weights) * adaptive_instance_normalization(features, style["relu1_1"])
        for weight, style in zip(weights, styles, strict=True)
    )
    result = adaptive_instance_normalization(features, blend)
    torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_impossible_blends_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        interpolate_styles([random_style(0), random_style(1)], weights)


def test_extrapolated_deviations_stay_positive() -> None:
    flat = StyleStatistics(
        {"relu1_1": ChannelStatistics(torch.zeros(1, 2), torch.full((1, 2), 0.1))}
    )
    wild = StyleStatistics(
        {"relu1_1": ChannelStatistics(torch.zeros(1, 2), torch.full((1, 2), 9.0))}
    )
    assert (interpolate_styles([flat, wild], [2.0, -1.0])["relu1_1"].std > 0).all()


def test_pooled_styles_are_those_of_the_paintings_side_by_side() -> None:
    generator = torch.Generator().manual_seed(5)
    scales = torch.tensor([0.1, 1.0, 4.0])[:, None, None, None]
    features = torch.randn(3, 5, 8, 9, generator=generator) * scales + scales
    pooled = pool_styles(style_statistics({"relu1_1": features}))["relu1_1"]
    together = channel_statistics(torch.cat(list(features[:, None]), dim=3))
    assert pooled.mean.shape == (1, 5)
    torch.testing.assert_close(pooled.mean, together.mean)
    torch.testing.assert_close(pooled.std, together.std)


def test_a_style_pooled_with_itself_stays_the_same() -> None:
    flat = style_statistics({"relu1_1": torch.full((2, 3, 4, 4), 7.0)})
    pooled = pool_styles(flat)["relu1_1"]
    torch.testing.assert_close(pooled.mean, flat["relu1_1"].mean[:1])
    torch.testing.assert_close(pooled.std, flat["relu1_1"].std[:1])


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_moments_of_pieces_make_those_of_the_whole(heights: list[int]) -> None:
    # Far from zero, where sums of squares would cancel.
    features = random_features(h=sum(heights) + 1) + 1000
    pieces = [ChannelMoments.of(piece) for piece in features.split([*heights, 1], dim=2)]
    merged = pieces[0]
    for piece in pieces[1:]:
        merged = merged.merge(piece)
    whole = channel_statistics(features)
    torch.testing.assert_close(merged.statistics().mean, whole.mean)
    torch.testing.assert_close(merged.statistics().std, whole.std, rtol=1e-4, atol=0)


def test_blended_maps_are_the_weighted_sum_of_the_maps() -> None:
    features, shares = random_features(), torch.rand(1, 2, 7, 9) / 2
    content = channel_statistics(features)
    styles = [channel_statistics(random_features(1, seed=seed)) for seed in (1, 2)]
    affines = [normalization_affine(content, style, 0.7) for style in styles]
    result = BlendedAffine.of(affines).apply(features, shares)
    parts = [affine.apply(features) * shares[:, i : i + 1] for i, affine in enumerate(affines)]
    kept = features * (1 - shares.sum(1, keepdim=True))
    torch.testing.assert_close(result, sum(parts, start=kept), atol=1e-5, rtol=1e-5)


def test_masks_that_overlap_share_and_those_that_do_not_leave_the_photo() -> None:
    masks = torch.tensor([[1.0, 0.5, 0.2], [1.0, 0.5, 0.0]])[:, None]
    shares = StyleField((random_style(), random_style(1)), masks).shares(0, 1)
    torch.testing.assert_close(shares[0, :, 0], torch.tensor([[0.5, 0.5, 0.2], [0.5, 0.5, 0]]))


def test_a_strength_multiplies_every_mask() -> None:
    masks = torch.tensor([[[255, 51]], [[0, 204]]], dtype=torch.uint8)
    field = StyleField((random_style(), random_style(1)), masks, torch.tensor([[0.5, 1.0]]))
    torch.testing.assert_close(field.shares(0, 1)[0, :, 0], torch.tensor([[0.5, 0.2], [0, 0.8]]))


def test_rows_below_the_last_are_mirrored() -> None:
    strength = torch.arange(5.0)[:, None].expand(5, 3) / 4
    shares = StyleField((random_style(),), strength=strength).shares(2, 8)
    torch.testing.assert_close(shares[0, 0, :, 0] * 4, torch.tensor([2.0, 3, 4, 3, 2, 1]))


@pytest.mark.parametrize(
    "masks",
    [
        None,
        torch.ones(1, 4, 4),
        torch.ones(4, 4),
        torch.full((2, 4, 4), 1.5),
        torch.full((2, 4, 4), -0.5),
        torch.full((2, 4, 4), float("nan")),
        torch.ones(2, 4, 4, dtype=torch.int64),
    ],
)
def test_impossible_masks_are_refused(masks: torch.Tensor | None) -> None:
    with pytest.raises(ValueError, match="mask"):
        StyleField((random_style(), random_style(1)), masks)


def test_a_strength_of_another_size_than_the_masks_is_refused() -> None:
    with pytest.raises(ValueError, match="4x4 pixels, not 5x4"):
        StyleField((random_style(),), torch.ones(1, 4, 4), torch.ones(4, 5))
