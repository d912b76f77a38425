from pathlib import Path

import pytest
import torch

from adain.model import Decoder, Encoder, EncoderConfig, StyleTransferModel
from adain.weights import encoder_fingerprint

TINY_ENCODER = EncoderConfig(widths=(4, 4, 8, 8, 8), embed_widths=(6, 6, 10, 10, 10))
TINY_DECODER = (
    ("start", "relu4_1"),
    ("conv", 8, 8),
    ("upsample", "nearest"),
    ("add", "relu3_1", 8, 8),
    ("conv", 8, 4),
    ("upsample", "bilinear"),
    ("upsample", "nearest"),
    ("image", 4),
)


@pytest.fixture
def tiny_encoder() -> Encoder:
    torch.manual_seed(0)
    encoder = Encoder(TINY_ENCODER).eval()
    for parameter in encoder.parameters():
        if parameter.ndim == 4:  # The usual first weights would let the signal fade.
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    return encoder


@pytest.fixture
def tiny_model(tiny_encoder: Encoder) -> StyleTransferModel:
    """A model of a few thousand seeded random weights, for logic rather than looks."""
    torch.manual_seed(1)
    decoder = Decoder(TINY_DECODER)
    model = StyleTransferModel(tiny_encoder, decoder, encoder_fingerprint(tiny_encoder))
    return model.requires_grad_(False).eval()


@pytest.fixture
def shared_data() -> Path:
    """The research pictures beside the project; tests that use them skip without."""
    path = Path(__file__).parents[2] / "shared"
    if not path.is_dir():
        pytest.skip("no research data beside the project")
    return path
