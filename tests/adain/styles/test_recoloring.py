import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adain.styles.recoloring import (
    KNEE,
    LAYERS,
    BlendedColorAffine,
    ColorDistribution,
    ColorMoments,
    StyleColors,
    color_transfer,
    soften,
)
from adain.styles.statistics import ChannelStatistics, StyleStatistics


def picture(seed: int, contrast: float = 0.3, height: int = 40, width: int = 56) -> torch.Tensor:
    """Return a picture whose colours go together in a way of its own."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.rand(3, 3, generator=generator) - 0.3
    base = torch.rand(3, height * width, generator=generator) - 0.5
    colors = contrast * (mix @ base) + 0.35 + 0.3 * torch.rand(3, 1, generator=generator)
    return colors.clamp(0, 1).view(1, 3, height, width)


def colors_of(image: torch.Tensor) -> ColorDistribution:
    return ColorMoments.of(image).distribution()


def test_moments_are_mean_and_covariance_also_in_pieces() -> None:
    image = picture(0)
    measured = colors_of(image)
    flat = image[0].flatten(1).double()
    torch.testing.assert_close(measured.mean[0], flat.mean(1), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(
        measured.covariance[0], torch.cov(flat, correction=0), atol=1e-7, rtol=1e-5
    )
    pieces = [ColorMoments.of(piece) for piece in image.split((3, 20, 17), dim=2)]
    together = sum(pieces[1:], start=pieces[0]).distribution()
    torch.testing.assert_close(together.covariance, measured.covariance, atol=1e-8, rtol=1e-6)


def test_a_photo_takes_the_mean_and_covariance_of_a_style() -> None:
    photo = picture(1, 0.3)
    painting = 0.1 + 0.8 * photo.flip(1)
    result = color_transfer(colors_of(photo), colors_of(painting)).apply(photo)
    measured, wanted = colors_of(result), colors_of(painting)
    torch.testing.assert_close(measured.mean, wanted.mean, atol=2e-3, rtol=0)
    torch.testing.assert_close(measured.covariance, wanted.covariance, atol=1e-3, rtol=0)
    own = color_transfer(colors_of(photo), colors_of(photo)).apply(photo)
    torch.testing.assert_close(own, photo, atol=1e-5, rtol=0)


def test_of_a_photo_in_an_etching_s_style_hardly_any_colour_stays() -> None:
    photo = picture(1, contrast=1)
    etching = photo.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    result = color_transfer(colors_of(photo), colors_of(etching)).apply(photo)
    before, after = ((image[:, 0] - image[:, 2]).std() for image in (photo, result))
    assert after < 0.15 * before


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_the_strength_goes_from_the_photo_to_the_style(alpha: float) -> None:
    photo, painting = picture(3, 0.1), picture(4, 0.1)
    full = color_transfer(colors_of(photo), colors_of(painting)).apply(photo)
    part = color_transfer(colors_of(photo), colors_of(painting), alpha).apply(photo)
    torch.testing.assert_close(part, torch.lerp(photo, full, alpha), atol=1e-5, rtol=0)


@given(seed=st.integers(0, 99), grey=st.booleans(), flat=st.booleans())
def test_any_colours_give_finite_ones_in_range(seed: int, grey: bool, flat: bool) -> None:
    photo, painting = picture(seed), picture(seed + 1)
    photo = photo.mean(1, keepdim=True).expand(-1, 3, -1, -1) if grey else photo
    painting = painting.mean((2, 3), keepdim=True).expand_as(painting) if flat else painting
    for one, other in ((photo, painting), (painting, photo)):
        result = color_transfer(colors_of(one), colors_of(other)).apply(one)
        assert result.isfinite().all() and result.min() >= 0 and result.max() <= 1


def test_lights_and_darks_out_of_range_keep_their_shades() -> None:
    ramp = torch.linspace(-1, 2, 301)
    result = soften(ramp)
    assert result.min() > 0 and result.max() < 1
    assert (result.diff() > 0).all() and (result.diff() <= ramp.diff() + 1e-6).all()
    middle = (ramp >= KNEE) & (ramp <= 1 - KNEE)
    assert torch.equal(result[middle], ramp[middle])
    torch.testing.assert_close(result.flip(0), 1 - result)


def test_shares_blend_maps_and_leave_the_rest() -> None:
    photo = picture(5, 0.1)
    maps = tuple(color_transfer(colors_of(photo), colors_of(picture(i, 0.1))) for i in (6, 7))
    shares = torch.zeros(1, 2, 40, 56)
    shares[:, 0, :10] = 1
    shares[:, 1, 10:20] = 1
    result = BlendedColorAffine(maps).apply(photo, shares)
    for i, rows in ((0, slice(0, 10)), (1, slice(10, 20))):
        torch.testing.assert_close(result[:, :, rows], maps[i].apply(photo)[:, :, rows])
    assert torch.equal(result[:, :, 20:], photo[:, :, 20:])


def test_colours_are_told_from_statistics() -> None:
    generator = torch.Generator().manual_seed(0)
    mixture = torch.rand(4, 3, generator=generator)

    def sample(count: int) -> tuple[StyleStatistics, ColorDistribution]:
        """Return statistics with colours that are linear in means and in products of spreads."""
        layers = {
            layer: ChannelStatistics(*torch.rand(2, count, 2, generator=generator))
            for layer in LAYERS
        }
        first = torch.cat((layers["relu1_1"].mean, layers["relu1_1"].std), 1)
        spread = (first[:, :, None] * mixture).double()
        covariance = spread.mT @ spread
        return StyleStatistics(layers), ColorDistribution(first[:, :3].double(), covariance)

    colors = StyleColors.fit(sample(8) for _ in range(20))
    style, truth = sample(30)
    guess = colors(style)
    torch.testing.assert_close(guess.mean, truth.mean, atol=5e-3, rtol=0)
    torch.testing.assert_close(guess.covariance, truth.covariance, atol=1e-2, rtol=0)
