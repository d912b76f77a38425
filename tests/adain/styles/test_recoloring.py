import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from adain.network.statistics import recolor, soften, to_pixels, to_tensor
from adain.styles.colors import ColorDistribution, ColorMoments
from adain.styles.recoloring import (
    KNEE,
    LAYERS,
    StyleColors,
    color_transfer,
    style_colors,
)
from adain.styles.statistics import ChannelStatistics, StyleStatistics

Pixels = NDArray[np.float32]


def picture(seed: int, contrast: float = 0.3) -> Pixels:
    """Return a picture whose colours go together in a way of its own."""
    random = np.random.default_rng(seed)
    base = (random.random((40, 56, 3)) - 0.5) @ (random.random((3, 3)) - 0.3)
    colors = contrast * base + 0.35 + 0.3 * random.random(3)
    return colors.clip(0, 1).astype(np.float32)


def grey(pixels: Pixels) -> Pixels:
    return np.repeat(pixels.mean(2, keepdims=True), 3, axis=2)


def colors_of(pixels: Pixels) -> ColorDistribution:
    return ColorMoments.of(pixels).distribution()


def recolored(photo: Pixels, painting: Pixels) -> Pixels:
    affine = color_transfer(colors_of(photo), colors_of(painting))
    matrix, shift = map(torch.from_numpy, (affine.matrix, affine.shift))
    return to_pixels(recolor(to_tensor(photo), matrix, shift))


def test_a_photo_takes_the_mean_and_covariance_of_a_style() -> None:
    photo = picture(1)
    painting = 0.1 + 0.8 * photo[..., ::-1]
    measured, wanted = colors_of(recolored(photo, painting)), colors_of(painting)
    np.testing.assert_allclose(measured.mean, wanted.mean, atol=2e-3)
    np.testing.assert_allclose(measured.covariance, wanted.covariance, atol=1e-3)
    np.testing.assert_allclose(recolored(photo, photo), photo, atol=1e-5)


def test_of_a_photo_in_an_etching_s_style_hardly_any_colour_stays() -> None:
    photo = picture(4, contrast=1)
    result = recolored(photo, grey(photo))
    before, after = ((image[..., 0] - image[..., 2]).std() for image in (photo, result))
    assert after < 0.15 * before


@given(seed=st.integers(0, 99), pale=st.booleans(), flat=st.booleans())
def test_any_colours_give_finite_ones_in_range(seed: int, pale: bool, flat: bool) -> None:
    photo, painting = picture(seed), picture(seed + 1)
    photo = grey(photo) if pale else photo
    painting = np.full_like(painting, painting.mean((0, 1))) if flat else painting
    for one, other in ((photo, painting), (painting, photo)):
        result = recolored(one, other)
        assert result.dtype == np.float32
        assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1


def test_lights_and_darks_out_of_range_keep_their_shades() -> None:
    ramp = np.linspace(-1, 2, 301, dtype=np.float32)
    result = soften(torch.from_numpy(ramp)).numpy()
    assert result.dtype == np.float32 and result.min() > 0 and result.max() < 1
    assert (np.diff(result) > 0).all() and (np.diff(result) <= np.diff(ramp) + 1e-6).all()
    middle = (ramp >= KNEE) & (ramp <= 1 - KNEE)
    np.testing.assert_array_equal(result[middle], ramp[middle])
    np.testing.assert_allclose(result[::-1], 1 - result, atol=1e-6)


def test_colours_are_told_from_statistics() -> None:
    random = np.random.default_rng(0)
    mixture = random.random((4, 3))

    def sample(count: int) -> tuple[StyleStatistics, ColorDistribution]:
        """Return statistics with colours that are linear in means and in products of spreads."""
        layers = {
            layer: ChannelStatistics(*random.random((2, count, 2)).astype(np.float32))
            for layer in LAYERS
        }
        first = np.hstack((layers["relu1_1"].mean, layers["relu1_1"].std)).astype(np.float64)
        spread = first[:, :, None] * mixture
        return StyleStatistics(layers), ColorDistribution(first[:, :3], spread.mT @ spread)

    colors = StyleColors.fit(sample(8) for _ in range(20))
    assert colors.weight.dtype == colors.bias.dtype == np.float32
    style, truth = sample(30)
    guess = style_colors(style, colors)
    np.testing.assert_allclose(guess.mean, truth.mean, atol=5e-3)
    np.testing.assert_allclose(guess.covariance, truth.covariance, atol=1e-2)


def test_colours_that_a_style_carries_need_no_estimate() -> None:
    # A flat painting: rounded, it has variances below zero.
    flat = colors_of(np.full((9, 9, 3), [0.3, 0.7, 0.123], np.float32))
    known = style_colors(StyleStatistics({}, flat), None)
    np.testing.assert_allclose(known.mean, flat.mean, atol=1e-7)
    assert np.linalg.eigvalsh(known.covariance).min() > -1e-15
    with pytest.raises(ValueError, match="carries no colours"):
        style_colors(StyleStatistics({}), None)


def test_a_decoder_may_tell_the_colours_or_not() -> None:
    weight, bias = np.ones((4, 9), np.float32), np.zeros(9, np.float32)
    found = StyleColors.of({"colors.weight": weight, "colors.bias": bias, "0.weight": weight})
    assert found is not None and found.weight is weight and found.bias is bias
    assert StyleColors.of({"0.weight": weight}) is None
