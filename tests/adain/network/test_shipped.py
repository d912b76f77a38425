"""The shipped weights, judged by what they do to a rendered picture."""

import pytest
import torch
from torch import Tensor

from adain.config import LOSS_LAYERS
from adain.network.model import StyleTransferModel
from adain.network.weights import load_model
from adain.quality.metrics import structural_similarity
from adain.styles.statistics import StyleStatistics
from gallery.database.gallery import starter_gallery
from gallery.use_cases.styles import stored_style

GOLDEN_MEANS = {"relu1_1": 0.7931, "relu2_1": 1.3414, "relu3_1": 1.0138, "relu4_1": 0.3188}
"""Mean of the channel means of the rendered photo."""

PAINTINGS = ("cafe-terrace-at-night", "naruto-whirlpools", "composition-viii", "senecio")


@pytest.fixture(scope="module")
def model() -> StyleTransferModel:
    return load_model()


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """A sunset: a sky that fades, a disc, hills, in [0, 1], shape `(1, 3, 160, 200)`."""
    y = torch.linspace(0, 1, 160)[:, None]
    x = torch.linspace(0, 1.25, 200)[None, :]
    sky = torch.stack([0.3 + 0.6 * y + 0 * x, 0.4 + 0.2 * y + 0 * x, 0.8 - 0.5 * y + 0 * x])
    sun = ((x - 0.8) ** 2 + (y - 0.5) ** 2 < 0.02).float()
    hills = (y > 0.7 + 0.1 * torch.sin(9 * x)).float()
    picture = sky * (1 - sun) + torch.tensor([1.0, 0.9, 0.5])[:, None, None] * sun
    green = torch.tensor([0.15, 0.3, 0.1])[:, None, None] * (1 + 0.5 * torch.sin(60 * x) * y)
    return (picture * (1 - hills) + green * hills).clamp(0, 1)[None]


def shipped(model: StyleTransferModel, slug: str) -> StyleStatistics:
    gallery = starter_gallery()
    return stored_style(model, gallery, gallery.find(slug))


def distance(one: StyleStatistics, other: StyleStatistics) -> float:
    return (one.to_vector() - other.to_vector()).square().mean().item()


def test_the_encoder_is_frozen(model: StyleTransferModel, photo: Tensor) -> None:
    """Stored styles depend on it: a change here makes every gallery measure again."""
    assert model.fingerprint == "129f537a477712c3"
    means = {layer: c.mean.mean().item() for layer, c in model.measure_style(photo).layers.items()}
    assert means == pytest.approx(GOLDEN_MEANS, rel=1e-3)


def test_the_embedded_features_have_the_level_of_the_normalized_vgg19(
    model: StyleTransferModel, photo: Tensor
) -> None:
    embedded = model.encoder.embed(model.encode(photo, LOSS_LAYERS))
    assert [value.shape[1] for value in embedded.values()] == [64, 128, 256, 512, 512]
    # Its filters are scaled to a mean activation of 1 over natural pictures.
    assert all(0.3 < value.mean().item() < 3 for value in embedded.values())


@pytest.mark.parametrize("slug", PAINTINGS)
def test_the_result_takes_the_style(model: StyleTransferModel, photo: Tensor, slug: str) -> None:
    style = shipped(model, slug)
    distances = [
        distance(model.measure_style(model.stylize(photo, style, alpha)), style)
        for alpha in (0.0, 0.5, 1.0)
    ]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.5 * distances[0]


@pytest.mark.parametrize("slug", PAINTINGS)
def test_the_photo_stays_recognisable(model: StyleTransferModel, photo: Tensor, slug: str) -> None:
    assert structural_similarity(model.stylize(photo, shipped(model, slug)), photo).item() > 0.3


def test_strength_zero_gives_the_photo_back(model: StyleTransferModel, photo: Tensor) -> None:
    result = model.stylize(photo, shipped(model, "irises"), alpha=0)
    assert structural_similarity(result, photo).item() > 0.8
    assert (result - photo).abs().mean() < 0.08


@pytest.mark.parametrize("slug", PAINTINGS)
def test_a_flat_photo_stays_flat_up_to_its_border(model: StyleTransferModel, slug: str) -> None:
    flat = torch.tensor([0.4, 0.5, 0.6])[None, :, None, None].expand(1, 3, 96, 96)
    result = model.stylize(flat, shipped(model, slug))
    assert (result - result.mean((2, 3), keepdim=True)).abs().max() < 0.02
