import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.network import moments
from adain.network.moments import Moments, blend_moments, measure_moments

FEATURES = torch.randn(1, 5, 7, 9, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def head() -> nn.Conv2d:
    torch.manual_seed(1)
    return nn.Conv2d(5, 8, kernel_size=1).requires_grad_(False)


def plain(features: Tensor) -> Moments:
    flat = features.flatten(2)[0]
    return Moments(flat.mean(1), flat @ flat.T / flat.shape[1])


def loss(measured: Moments) -> Tensor:
    return (measured.mean**3).sum() + measured.gram.square().sum() + measured.gram[0, 1]


def test_moments_are_those_of_the_features() -> None:
    measured, expected = measure_moments(FEATURES), plain(FEATURES)
    torch.testing.assert_close(measured.mean, expected.mean)
    torch.testing.assert_close(measured.gram, expected.gram)
    torch.testing.assert_close(measured.covariance, torch.cov(FEATURES.flatten(2)[0], correction=0))


@pytest.mark.parametrize("positions", [8, 4096])
def test_weights_repeat_positions(
    head: nn.Conv2d, positions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column that counts twice is one that is there twice; one of weight 0 is not there."""
    monkeypatch.setattr(moments, "POSITIONS", positions)
    x, y = (FEATURES.clone().requires_grad_() for _ in range(2))
    weights = torch.ones(1, 1, 7, 9)
    weights[..., 0], weights[..., 1] = 2, 0
    measured = measure_moments(x, head, weights=weights)
    expected = plain(F.relu(head(torch.cat((y[..., :1], y[..., :1], y[..., 2:]), dim=3))))
    torch.testing.assert_close(measured.gram, expected.gram)
    torch.testing.assert_close(measured.mean, expected.mean)
    (ours,), (theirs,) = (
        torch.autograd.grad(loss(value), image) for value, image in ((measured, x), (expected, y))
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("positions", [1, 8, 63, 4096])
def test_strips_change_neither_moments_nor_gradient(
    head: nn.Conv2d, positions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "POSITIONS", positions)
    x, y = (FEATURES.clone().requires_grad_() for _ in range(2))
    measured, expected = measure_moments(x, head), plain(F.relu(head(y)))
    torch.testing.assert_close(measured.mean, expected.mean)
    torch.testing.assert_close(measured.gram, expected.gram)
    (ours,), (theirs,) = (
        torch.autograd.grad(loss(value), image) for value, image in ((measured, x), (expected, y))
    )
    torch.testing.assert_close(ours, theirs)


def test_the_gradient_is_right_without_a_head() -> None:
    x, y = (FEATURES.clone().requires_grad_() for _ in range(2))
    (ours,) = torch.autograd.grad(loss(measure_moments(x)), x)
    (theirs,) = torch.autograd.grad(loss(plain(y)), y)
    torch.testing.assert_close(ours, theirs)


def test_half_precision_changes_little(head: nn.Conv2d) -> None:
    exact, rounded = (
        measure_moments(FEATURES, head),
        measure_moments(FEATURES, head, torch.bfloat16),
    )
    assert rounded.gram.dtype == torch.float32
    torch.testing.assert_close(rounded.gram, exact.gram, rtol=0.03, atol=0.01)


def test_moments_of_two_halves_blend_to_those_of_the_whole() -> None:
    halves = [measure_moments(half) for half in FEATURES[..., :8].split(4, dim=3)]
    whole = measure_moments(FEATURES[..., :8])
    blended = blend_moments(halves, [2.0, 2.0])
    torch.testing.assert_close(blended.covariance, whole.covariance)
    torch.testing.assert_close(blend_moments(halves, [1, 0]).gram, halves[0].gram)


def test_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, C, H, W\), got \(2, 3, 4, 4\)"):
        measure_moments(torch.zeros(2, 3, 4, 4))
