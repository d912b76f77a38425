import pytest
import torch

from adain.config import LOSS_LAYERS, STYLE_LAYERS
from adain.network.encoder import Encoder


def image(height: int = 32, width: int = 40, n: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


def test_layers_have_vgg19_strides_and_the_configured_widths(tiny_encoder: Encoder) -> None:
    features = tiny_encoder(image(64, 96), LOSS_LAYERS)
    shapes = {layer: tuple(value.shape[1:]) for layer, value in features.items()}
    assert shapes == {
        "relu1_1": (4, 64, 96),
        "relu2_1": (4, 32, 48),
        "relu3_1": (8, 16, 24),
        "relu4_1": (8, 8, 12),
        "relu5_1": (8, 4, 6),
    }


def test_asking_for_fewer_layers_gives_the_same_features(tiny_encoder: Encoder) -> None:
    every = tiny_encoder(image(), LOSS_LAYERS)
    (shallow,) = tiny_encoder(image(), ("relu2_1",)).values()
    assert torch.equal(shallow, every["relu2_1"])


def test_nothing_beyond_the_last_layer_is_computed(tiny_encoder: Encoder) -> None:
    # relu5_1 of 16 pixels would be a single position, which reflection padding refuses.
    assert tiny_encoder(image(16, 16), STYLE_LAYERS)["relu4_1"].shape[2:] == (2, 2)


def test_an_unknown_layer_is_named(tiny_encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="relu9_1"):
        tiny_encoder(image(), ("relu1_1", "relu9_1"))


def test_embedding_has_the_width_of_its_heads(tiny_encoder: Encoder) -> None:
    embedded = tiny_encoder.embed(tiny_encoder(image(), LOSS_LAYERS))
    assert [value.shape[1] for value in embedded.values()] == [6, 6, 10, 10, 10]
