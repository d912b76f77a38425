import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from adain.styles.colors import STRIP_PIXELS, VECTOR_SIZE, ColorDistribution, ColorMoments

LEVELS = arrays(
    np.uint8,
    st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3)),
    elements=st.sampled_from([0, 1, 60, 128, 254, 255]),
)
"""Pictures, among them flat and grey ones."""


def moments_of(levels: NDArray[np.uint8]) -> ColorMoments:
    pixels: NDArray[np.float32] = np.divide(levels, 255, dtype=np.float32)
    return ColorMoments.of(pixels)


def colors_of(levels: NDArray[np.uint8]) -> ColorDistribution:
    return moments_of(levels).distribution()


@given(levels=LEVELS, cut=st.integers(0, 12))
def test_moments_are_mean_and_covariance_also_in_pieces(
    levels: NDArray[np.uint8], cut: int
) -> None:
    flat = levels.reshape(-1, 3) / 255
    together = moments_of(levels[:cut]) + moments_of(levels[cut:])
    for measured in (colors_of(levels), together.distribution()):
        np.testing.assert_allclose(measured.mean[0], flat.mean(0), atol=1e-6)
        covariance = np.cov(flat.T, bias=True)
        np.testing.assert_allclose(measured.covariance[0], covariance, atol=1e-6)


def test_sums_over_many_pixels_stay_exact() -> None:
    pixels = np.random.default_rng(0).random((300, 900, 3)).astype(np.float32)
    pixels[..., 1] = 0.9 + 0.02 * pixels[..., 0]
    assert pixels[..., 0].size > 10 * STRIP_PIXELS
    measured, exact = ColorMoments.of(pixels).distribution(), pixels.astype(np.float64)
    np.testing.assert_allclose(measured.mean[0], exact.mean((0, 1)), atol=1e-8)
    expected = np.cov(exact.reshape(-1, 3).T, bias=True)
    np.testing.assert_allclose(measured.covariance[0], expected, atol=1e-8)


@given(LEVELS)
def test_a_vector_tells_the_colours(levels: NDArray[np.uint8]) -> None:
    colors = colors_of(levels)
    vector = colors.to_vector()
    assert vector.shape == (1, VECTOR_SIZE) and vector.dtype == np.float32
    red, green, blue = (levels.astype(np.float64) / 255).reshape(-1, 3).T
    pairs = [red * red, red * green, red * blue, green * green, green * blue, blue * blue]
    expected = [each.mean() for each in (red, green, blue, *pairs)]
    np.testing.assert_allclose(vector[0], expected, atol=1e-6)
    again = ColorDistribution.from_vector(vector)
    np.testing.assert_array_equal(again.to_vector(), vector)
    np.testing.assert_allclose(again.covariance, colors.covariance, atol=1e-6)


@given(levels=LEVELS, kept=st.sampled_from([np.float16, np.float32, np.float64]))
def test_what_rounding_made_negative_passes_and_is_cut(
    levels: NDArray[np.uint8], kept: type[np.floating]
) -> None:
    again = ColorDistribution.from_vector(colors_of(levels).to_vector().astype(kept))
    positive = again.positive()
    assert np.linalg.eigvalsh(positive.covariance).min() > -1e-15
    np.testing.assert_allclose(positive.covariance, again.covariance, atol=2.5e-3)


FINE = colors_of(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)).to_vector()


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (0, np.nan, "not finite"),
        (8, np.inf, "not finite"),
        (1, 1.2, r"mean is outside \[0, 1\]"),
        (2, -0.1, r"mean is outside \[0, 1\]"),
        (3, 0.01, "variance is negative"),
        (4, 0.9, "variance is negative"),
    ],
)
def test_colours_that_no_picture_has_are_refused(place: int, value: float, words: str) -> None:
    vectors = np.repeat(FINE, 3, axis=0)
    vectors[1, place] = value
    with pytest.raises(ValueError, match=f"broken colours of style 2 of 3: .*{words}"):
        ColorDistribution.from_vector(vectors)
    with pytest.raises(ValueError, match=f"broken colours: .*{words}"):
        ColorDistribution.from_vector(vectors[1:2])


@pytest.mark.parametrize("shape", [(9,), (1, 8), (1, 3, 3)])
def test_vectors_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape \(N, 9\)"):
        ColorDistribution.from_vector(np.zeros(shape))


@given(levels=LEVELS)
def test_a_palette_has_the_mean_and_covariance_of_the_colors(levels: NDArray[np.uint8]) -> None:
    colors = colors_of(levels // 4 + 96)  # Far from what [0, 1] cuts off.
    palette = colors.palette()[0]
    assert palette.shape == (8, 3) and 0 <= palette.min() <= palette.max() <= 1
    np.testing.assert_allclose(palette.mean(0), colors.mean[0], atol=1e-6)
    np.testing.assert_allclose(np.cov(palette.T, bias=True), colors.covariance[0], atol=1e-6)
    assert (np.diff(palette @ (0.2126, 0.7152, 0.0722)) >= -1e-12).all()
