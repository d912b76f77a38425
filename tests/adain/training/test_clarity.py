import torch

from adain.config import STYLE_LAYERS
from adain.network.decoder import Decoder
from adain.network.encoder import Encoder
from adain.network.statistics import layer_statistics, normalization_maps, style_vector
from adain.training.clarity import STRENGTHS, clear, temper
from adain.training.decoder import initial_decoder

TABLE = (
    ("start", "relu4_1", 0.4), ("conv", 8, 8), ("upsample", "nearest"), ("add", "relu3_1", 16, 8),
    ("upsample", "nearest"), ("add", "relu2_1", 4, 8), ("upsample", "nearest"), ("image", 8),
)  # fmt: skip


def test_what_is_even_stays_and_relief_on_flat_ground_is_calmed() -> None:
    photo = torch.full((1, 3, 64, 64), 0.4)
    even = torch.full((1, 3, 64, 64), 0.7)
    torch.testing.assert_close(clear(even, photo), even)
    coarse = torch.linspace(0, 12, 64).sin() * 0.1
    fine = 0.05 * (-1) ** torch.arange(64)
    relief = (0.5 + coarse[:, None] + fine).expand(1, 3, 64, 64)
    sharpened_only = clear(relief, relief)
    assert clear(relief, photo).std(-1).mean() < sharpened_only.std(-1).mean()


def test_contours_of_the_photo_are_drawn() -> None:
    step = (torch.arange(64) >= 32).float().expand(1, 3, 64, 64)
    soft = torch.sigmoid((torch.arange(64) - 31.5) / 2).expand(1, 3, 64, 64)
    before, after = (x.diff(dim=-1).abs().amax() for x in (soft, clear(soft, step)))
    assert after > 1.2 * before


def test_other_weights_do_what_less_normalization_would(tiny_encoder: Encoder) -> None:
    torch.manual_seed(0)
    decoder: Decoder = initial_decoder(TABLE).eval()
    photo, painting = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    features = tiny_encoder(photo, STYLE_LAYERS)
    style = layer_statistics(tiny_encoder(painting, STYLE_LAYERS))
    maps = normalization_maps(features, style)
    tempered = {
        layer: (1 + STRENGTHS[layer] * (scale - 1), STRENGTHS[layer] * shift)
        if layer in ("relu3_1", "relu4_1")  # relu2_1 is projected without the photo's own.
        else (scale, shift)
        for layer, (scale, shift) in maps.items()
    }
    with torch.no_grad():
        wanted = decoder(features, tempered, decoder.maps(style_vector(style)))
        temper(decoder, tiny_encoder)
        found = decoder(features, maps, decoder.maps(style_vector(style)))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert decoder.table[0][2] == decoder.start_strength == 0.3
