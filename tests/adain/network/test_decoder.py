import pytest
import torch
from torch.nn import functional as F

from adain.network.decoder import DECODER_TABLE, Decoder, DecoderTable, Maps, StyleModulation
from adain.network.encoder import Encoder, EncoderConfig

SMALL = (("start", "relu4_1"), *[("upsample", "nearest")] * 3, ("image", 4))

MODULATED = (
    ("start", "relu3_1"),
    ("residual", 4),
    ("conv", 4, 6),
    ("upsample", "nearest"),
    ("add", "relu2_1", 10, 6),
    ("conv", 6, 3),
    ("upsample", "bilinear"),
    ("image", 3),
)


def unchanged(features: dict[str, torch.Tensor]) -> dict[str, Maps]:
    """What normalizes features to themselves."""
    return {
        layer: (torch.ones(1, value.shape[1], 1, 1), torch.zeros(1, value.shape[1], 1, 1))
        for layer, value in features.items()
    }


def test_the_shipped_table_reads_the_shipped_encoder() -> None:
    decoder = Decoder(DECODER_TABLE)
    features = Encoder(EncoderConfig(embed_widths=()))(torch.rand(1, 3, 32, 40), decoder.layers)
    assert decoder(features, unchanged(features)).shape == (1, 3, 32, 40)


@pytest.mark.parametrize("gain", [0.5, float("nan"), float("inf")])
def test_a_limit_that_limits_nothing_or_everything_is_refused(gain: float) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Decoder(SMALL, gain)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_a_decoder_starts_from_features_normalized_to_a_degree(strength: float) -> None:
    decoder = Decoder((("start", "relu4_1", strength), *SMALL[1:]))
    photo = torch.rand(1, 4, 3, 3)
    scale, shift = torch.rand(2, 1, 4, 1, 1)
    expected = Decoder(SMALL)
    expected.load_state_dict(decoder.state_dict())
    mixture = {"relu4_1": (1 - strength) * photo + strength * (photo * scale + shift)}
    torch.testing.assert_close(
        decoder({"relu4_1": photo}, {"relu4_1": (scale, shift)}),
        expected(mixture, unchanged(mixture)),
    )


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_start_normalized_beyond_its_range_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        Decoder((("start", "relu4_1", strength), *SMALL[1:]))


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(ValueError, match="'sharpen' in row 1"):
        Decoder((("start", "relu4_1"), ("sharpen",)))


def modulated(table: DecoderTable = MODULATED, inputs: int = 7) -> Decoder:
    """A decoder with random weights that a style modulates strongly."""
    torch.manual_seed(0)
    modulation = StyleModulation(inputs, 5, 2 * (4 + 4 + 6 + 3))
    torch.nn.init.normal_(modulation.out.weight, std=3)
    return Decoder(table, modulation=modulation)


def features(n: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    return {
        "relu3_1": torch.rand(n, 4, 6, 5, generator=generator),
        "relu2_1": torch.rand(n, 5, 12, 10, generator=generator),
    }


def test_a_decoder_says_what_is_modulated_and_at_which_size() -> None:
    expected = [(4, "relu3_1"), (4, "relu3_1"), (6, "relu3_1"), (3, "relu2_1")]
    assert modulated().modulated() == expected
    assert Decoder(MODULATED).modulated() == [] == Decoder(MODULATED).maps(torch.rand(1, 7))


@pytest.mark.parametrize(("count", "place"), [(1, False), (1, True), (2, False)])
def test_rows_do_what_the_table_says(count: int, place: bool) -> None:
    """Scales are 1 plus, shifts are what the modulation says, convolution by convolution."""
    decoder, style = modulated(), torch.randn(count, 7)
    photo = features(count)
    normalization = {
        layer: (torch.rand(shape), torch.rand(shape))
        for layer, value in photo.items()
        for shape in [value.shape if place else (*value.shape[:2], 1, 1)]
    }
    normalized = {
        layer: value * normalization[layer][0] + normalization[layer][1]
        for layer, value in photo.items()
    }
    assert decoder.modulation is not None
    changes = decoder.modulation(style)[:, :, None, None]
    convolutions = {
        name: module
        for name, module in decoder.named_modules()
        if isinstance(module, torch.nn.Conv2d)
    }
    parts = iter(changes.split([4, 4, 4, 4, 6, 6, 3, 3], dim=1))

    def convolve(name: str, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = convolutions[name](x) * (1 + next(parts)) + next(parts)
        return y

    x = normalized["relu3_1"]
    x = x + convolve("1.b", F.relu(convolve("1.a", x)))
    x = F.interpolate(F.relu(convolve("2", x)), scale_factor=2, mode="nearest")
    x = x + convolutions["4"](torch.cat((normalized["relu2_1"], photo["relu2_1"]), 1))
    x = F.interpolate(F.relu(convolve("5", x)), scale_factor=2, mode="bilinear")
    result = decoder(photo, normalization, decoder.maps(style))
    torch.testing.assert_close(result, convolutions["7"](x), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(result, decoder(photo, normalization, decoder.maps(-style)))


def test_maps_may_differ_from_place_to_place() -> None:
    decoder, photo = modulated(), features()
    maps = decoder.maps(torch.randn(1, 7))
    sizes = {"relu3_1": (6, 5), "relu2_1": (12, 10)}
    spread = [
        (scale.expand(-1, -1, *sizes[layer]), shift.expand(-1, -1, *sizes[layer]))
        for (scale, shift), (_, layer) in zip(maps, decoder.modulated(), strict=True)
    ]
    everywhere = decoder(photo, unchanged(photo), maps)
    torch.testing.assert_close(decoder(photo, unchanged(photo), spread), everywhere)


def test_maps_are_for_modulated_decoders_only_and_complete() -> None:
    decoder = modulated()
    maps = decoder.maps(torch.randn(1, 7))
    for wrong, some in ((Decoder(MODULATED), maps), (decoder, maps[1:]), (decoder, [])):
        with pytest.raises(ValueError, match="maps"):
            wrong(features(), unchanged(features()), some)


def test_a_modulation_for_another_table_is_refused() -> None:
    with pytest.raises(ValueError, match="34 outputs, not 0"):
        modulated(SMALL)


def test_what_a_decoder_is_given_stays_as_it_is() -> None:
    given = features()
    before = {layer: value.clone() for layer, value in given.items()}
    decoder = modulated()
    decoder(given, unchanged(given), decoder.maps(torch.randn(1, 7)))
    assert all(torch.equal(given[layer], before[layer]) for layer in before)
