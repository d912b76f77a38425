"""The shipped weights, judged by what they do to a rendered picture."""

import numpy as np
import pytest
from numpy.typing import NDArray

from adain.config import LOSS_LAYERS
from adain.engine.loading import load_model
from adain.engine.model import Model
from adain.network.loading import load_encoder
from adain.network.statistics import layer_statistics, to_tensor
from adain.painting.tiling import measure_pixels, paint_pixels
from adain.quality.metrics import structural_similarity
from adain.styles.statistics import StyleStatistics
from gallery.database.gallery import starter_gallery
from gallery.use_cases.styles import stored_style

Pixels = NDArray[np.float32]

GOLDEN_MEANS = {"relu1_1": 0.7931, "relu2_1": 1.3414, "relu3_1": 1.0138, "relu4_1": 0.3188}
"""Mean of the channel means of the rendered photo."""

PAINTINGS = ("cafe-terrace-at-night", "naruto-whirlpools", "composition-viii", "senecio")


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def photo() -> Pixels:
    """A sunset: a sky that fades, a disc, hills, in [0, 1], shape `(160, 200, 3)`."""
    y, x = np.meshgrid(np.linspace(0, 1, 160), np.linspace(0, 1.25, 200), indexing="ij")
    y, x = y[..., None], x[..., None]
    sky = np.array([0.3, 0.4, 0.8]) + np.array([0.6, 0.2, -0.5]) * y
    sun = (x - 0.8) ** 2 + (y - 0.5) ** 2 < 0.02
    picture = np.where(sun, [1.0, 0.9, 0.5], sky)
    green = np.array([0.15, 0.3, 0.1]) * (1 + 0.5 * np.sin(60 * x) * y)
    hills = y > 0.7 + 0.1 * np.sin(9 * x)
    return np.where(hills, green, picture).clip(0, 1).astype(np.float32)


def shipped(model: Model, slug: str) -> StyleStatistics:
    gallery = starter_gallery()
    return stored_style(model, gallery, gallery.find(slug)).statistics


def distance(one: StyleStatistics, other: StyleStatistics) -> float:
    """Return how far the statistics of features are apart; colours do not count."""
    vectors = (StyleStatistics(each.layers).to_vector() for each in (one, other))
    return float(np.square(np.subtract(*vectors)).mean())


def similarity(one: Pixels, other: Pixels) -> float:
    return structural_similarity(to_tensor(one), to_tensor(other)).item()


def test_the_encoder_is_frozen(model: Model, photo: Pixels) -> None:
    """Stored styles depend on it: a change here makes every gallery measure again."""
    assert model.fingerprint == "129f537a477712c3"
    measured = measure_pixels(model, photo)
    means = {layer: float(channels.mean.mean()) for layer, channels in measured.layers.items()}
    assert means == pytest.approx(GOLDEN_MEANS, rel=1e-3)


def test_the_embedded_features_have_the_level_of_the_normalized_vgg19(photo: Pixels) -> None:
    encoder = load_encoder()
    embedded = layer_statistics(encoder.embed(encoder(to_tensor(photo), LOSS_LAYERS)))
    assert [each.mean.shape[1] for each in embedded.values()] == [64, 128, 256, 512, 512]
    # Its filters are scaled to a mean activation of 1 over natural pictures.
    assert all(0.3 < each.mean.mean().item() < 3 for each in embedded.values())


@pytest.mark.parametrize("slug", PAINTINGS)
def test_the_result_takes_the_style(model: Model, photo: Pixels, slug: str) -> None:
    style = shipped(model, slug)
    distances = [
        distance(measure_pixels(model, paint_pixels(model, photo, style, alpha)), style)
        for alpha in (0.0, 0.5, 1.0)
    ]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.505 * distances[0]


@pytest.mark.parametrize("slug", PAINTINGS)
def test_the_photo_stays_recognisable(model: Model, photo: Pixels, slug: str) -> None:
    assert similarity(paint_pixels(model, photo, shipped(model, slug)), photo) > 0.3


def test_strength_zero_gives_the_photo_back(model: Model, photo: Pixels) -> None:
    result = paint_pixels(model, photo, shipped(model, "irises"), alpha=0)
    assert similarity(result, photo) > 0.8
    assert np.abs(result - photo).mean() < 0.08


@pytest.mark.parametrize("slug", PAINTINGS)
def test_a_flat_photo_stays_flat_up_to_its_border(model: Model, slug: str) -> None:
    flat = np.broadcast_to(np.array([0.4, 0.5, 0.6], np.float32), (96, 96, 3))
    result = paint_pixels(model, flat, shipped(model, slug))
    assert np.abs(result - result.mean((0, 1))).max() < 0.02
