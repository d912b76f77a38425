import pytest
import torch

from adain.network.losses import (
    NormalDistribution,
    content_loss,
    covariance_loss,
    gram_loss,
    gram_matrix,
    style_loss,
    wasserstein_loss,
)
from adain.network.moments import Moments, measure_moments
from adain.network.pixel_losses import (
    chroma_curvature_loss,
    palette_loss,
    ragged_edge_loss,
    stray_color_loss,
    total_variation_loss,
)
from adain.network.statistics import FeatureStatistics, feature_statistics

FEATURES = torch.rand(2, 4, 6, 5, generator=torch.Generator().manual_seed(0))


def test_losses_vanish_on_their_target() -> None:
    assert content_loss(FEATURES, FEATURES) == 0
    assert style_loss(FEATURES, feature_statistics(FEATURES)) == 0
    assert gram_loss(FEATURES, gram_matrix(FEATURES)) == 0
    assert total_variation_loss(torch.ones(1, 3, 4, 4)) == 0


def test_style_loss_is_the_squared_distance_of_mean_and_deviation() -> None:
    own = feature_statistics(FEATURES)
    target = FeatureStatistics(own.mean + 2, own.std + 3)
    assert style_loss(FEATURES, target).item() == pytest.approx(4 + 9, rel=1e-5)


def test_style_and_gram_loss_ignore_where_things_are() -> None:
    shuffled = FEATURES.flatten(2)[:, :, torch.randperm(30)].view_as(FEATURES)
    assert style_loss(shuffled, feature_statistics(FEATURES)).item() == pytest.approx(0, abs=1e-9)
    assert gram_loss(shuffled, gram_matrix(FEATURES)).item() == pytest.approx(0, abs=1e-9)


def test_gram_matrix_does_not_depend_on_the_size() -> None:
    twice = torch.cat([FEATURES, FEATURES], dim=3)
    torch.testing.assert_close(gram_matrix(twice), gram_matrix(FEATURES))


def test_one_style_serves_a_whole_batch() -> None:
    target = feature_statistics(FEATURES[:1])
    expected = (style_loss(FEATURES[:1], target) + style_loss(FEATURES[1:], target)) / 2
    torch.testing.assert_close(style_loss(FEATURES, target), expected)


def test_total_variation_counts_both_directions() -> None:
    image = torch.zeros(1, 1, 2, 2)
    image[..., 1] = 1
    assert total_variation_loss(image).item() == 1
    assert total_variation_loss(image.transpose(2, 3)).item() == 1


def test_total_variation_spares_the_edges_of_the_guide() -> None:
    edge, flat = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    edge[..., 2:] = 1
    unguided = total_variation_loss(edge)
    assert total_variation_loss(edge, guide=flat) == unguided
    assert total_variation_loss(edge, guide=edge) < 1e-6 * unguided


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 90])
def test_ragged_edges_are_teeth_along_an_edge_that_runs_anywhere(degrees: float) -> None:
    y, x = torch.meshgrid(torch.arange(64.0) - 32, torch.arange(96.0) - 48, indexing="ij")
    turn = torch.tensor(degrees).deg2rad()
    across, along = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    edge = torch.sigmoid(across).expand(1, 3, -1, -1)
    teeth = edge + 0.15 * torch.sin(along) * torch.exp(-((across / 4) ** 2))
    ragged = ragged_edge_loss(teeth, edge).item()
    assert ragged > 100 * ragged_edge_loss(1 - 0.8 * edge, edge).item()
    flat = torch.full_like(edge, 0.5)
    assert ragged_edge_loss(teeth, flat).item() < 1e-6 * ragged


def test_chroma_curvature_sees_coloured_dots_and_no_grey_ones_or_gradients() -> None:
    grey = torch.full((1, 3, 9, 9), 0.5)
    dot = grey.clone()
    dot[..., 4, 4] = 0.7
    gradient = grey.clone()
    gradient[:, 0] += torch.linspace(0, 0.4, 9)
    colored = grey.clone()
    colored[:, 0, 4, 4] = 0.7
    assert chroma_curvature_loss(dot).item() == pytest.approx(0, abs=1e-9)
    assert chroma_curvature_loss(gradient).item() == pytest.approx(0, abs=1e-9)
    assert chroma_curvature_loss(colored).item() > 1e-4


def test_palette_loss_is_the_distance_of_colours_wherever_they_are() -> None:
    painting = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert palette_loss(painting.flip(2, 3), painting).item() == pytest.approx(0, abs=1e-5)
    assert palette_loss(painting + 0.1, painting).item() == pytest.approx(0.03, rel=1e-2)
    smaller = torch.nn.functional.interpolate(painting, (24, 40), mode="nearest")
    assert palette_loss(smaller, painting).item() < 0.01


def test_palette_loss_sees_colours_that_mean_and_spread_do_not() -> None:
    x = torch.linspace(-1, 1, 64)
    halves, ramp = x.sign(), x * 3**0.5  # of mean 0 and variance 1 both
    one, other = (0.5 + 0.2 * values.expand(1, 3, 64, 64) for values in (halves, ramp))
    gap = halves - ramp
    # Grey colours differ by the length of (1, 1, 1).
    expected = 0.04 * 3 * gap.square().mean().item()
    assert palette_loss(one, other).item() == pytest.approx(expected, rel=0.1)


def test_covariance_loss_sees_what_goes_together() -> None:
    generator = torch.Generator().manual_seed(0)
    base = torch.rand(2, 1, 16, 16, generator=generator)
    together = torch.cat((base, base), 1)
    apart = torch.cat((base, base.flip(2)), 1)
    assert covariance_loss(together.flip(2, 3), together).item() == pytest.approx(0, abs=1e-3)
    assert style_loss(apart, feature_statistics(together)).item() == pytest.approx(0, abs=1e-9)
    assert covariance_loss(apart, together).item() > 0.1
    flat = torch.zeros_like(together)
    flat[1] = together[1]
    assert covariance_loss(together, flat).isfinite()


def test_stray_colours_are_those_that_the_photo_does_not_explain() -> None:
    photo = torch.full((1, 3, 64, 96), 0.2)
    photo[:, 1, :, 30:] = 0.9
    recolored = 0.1 + 0.8 * photo.flip(1)
    recolored[:, 0] += 0.5 * photo[:, 1]
    blot = recolored.clone()
    blot[:, 0, 20:28, 60:68] += 0.3
    strokes = recolored + torch.rand(1, 1, 64, 96, generator=torch.Generator().manual_seed(0))
    change = stray_color_loss(recolored, photo).item()
    assert stray_color_loss(blot, photo).item() > 10 * change
    assert stray_color_loss(strokes, photo).item() == pytest.approx(change, abs=1e-7)


def test_losses_have_gradients() -> None:
    features = FEATURES.clone().requires_grad_()
    target = feature_statistics(FEATURES + 1)
    (style_loss(features, target) + gram_loss(features, gram_matrix(FEATURES + 1))).backward()
    assert features.grad is not None and features.grad.abs().sum() > 0


def spread(scale: float, shift: float = 0) -> Moments:
    return measure_moments(FEATURES[:1] * scale + shift)


def test_wasserstein_loss_vanishes_on_its_target() -> None:
    target = NormalDistribution.of(spread(1))
    assert wasserstein_loss(spread(1), target).item() == pytest.approx(0, abs=1e-5)


def test_wasserstein_loss_of_scaled_and_moved_features_is_known() -> None:
    # Of N(m, C) and N(m + d, s^2 C): |d|^2 + (s - 1)^2 trace(C).
    moments = spread(1)
    variance = moments.covariance.trace().item()
    moved = wasserstein_loss(spread(1, shift=0.5), NormalDistribution.of(moments))
    assert moved.item() == pytest.approx(4 * 0.5**2, rel=1e-3)
    mean = moments.mean.square().sum().item()
    scaled = wasserstein_loss(spread(3), NormalDistribution.of(moments))
    assert scaled.item() == pytest.approx(4 * mean + 4 * variance, rel=0.02)


def test_wasserstein_loss_has_a_finite_gradient_where_channels_are_alike() -> None:
    features = FEATURES[:1, :1].repeat(1, 4, 1, 1).requires_grad_()
    target = NormalDistribution.of(spread(1))
    wasserstein_loss(measure_moments(features), target).backward()
    assert features.grad is not None and torch.isfinite(features.grad).all()
