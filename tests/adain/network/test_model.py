from typing import Any

import pytest
import torch
from conftest import TINY_DECODER
from hypothesis import given, settings
from hypothesis import strategies as st

from adain.config import LOSS_LAYERS, STYLE_LAYERS
from adain.network.decoder import DECODER_TABLE, Decoder
from adain.network.encoder import Convolution, Encoder, EncoderConfig
from adain.network.model import StyleTransferModel, normalize_features
from adain.styles.statistics import style_statistics


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


def test_the_shipped_table_reads_the_shipped_encoder() -> None:
    decoder = Decoder(DECODER_TABLE)
    features = Encoder(EncoderConfig(embed_widths=()))(image(), decoder.layers)
    assert decoder(features, features).shape == (1, 3, 32, 40)


@given(height=st.integers(2, 9), width=st.integers(2, 9), channels_last=st.booleans())
def test_the_border_without_a_padded_copy_is_that_with_one(
    height: int, width: int, channels_last: bool
) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.rand(2, 4, height, width).contiguous(memory_format=layout)
    convolution = Convolution(4, 5).to(memory_format=layout)
    padded = convolution(x)
    with torch.no_grad():
        torch.testing.assert_close(convolution(x), padded, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0, 1.5])
@pytest.mark.parametrize("styles", [1, 2])
@pytest.mark.parametrize(
    ("skip", "start"),
    [(8, ("start", "relu4_1")), (16, ("start", "relu4_1", 0.3))],
    ids=["normalized", "and the photo's own"],
)
def test_one_pass_equals_its_stages(
    tiny_model: StyleTransferModel, alpha: float, styles: int, skip: int, start: tuple[Any, ...]
) -> None:
    rows = [(*row[:2], skip, 8) if row[0] == "add" else row for row in TINY_DECODER[1:]]
    table = (start, *rows)
    tiny_model.decoder = Decoder(table, tiny_model.decoder.max_gain).requires_grad_(False)
    photos = image(48, 32, n=2)
    style = tiny_model.measure_style(image(n=styles, seed=1))
    features = tiny_model.encode(photos)
    stages = tiny_model.decode(features, normalize_features(features, style, alpha, max_gain=1.2))
    unlimited = tiny_model.decode(features, normalize_features(features, style, alpha))
    result = tiny_model.stylize(photos, style, alpha)
    torch.testing.assert_close(result, stages, atol=1e-5, rtol=1e-4)
    assert alpha == 0 or not torch.allclose(result, unlimited, atol=1e-4)


@pytest.mark.parametrize("gain", [0.5, float("nan"), float("inf")])
def test_a_limit_that_limits_nothing_or_everything_is_refused(gain: float) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Decoder(SMALL, gain)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_a_decoder_starts_from_features_normalized_to_a_degree(strength: float) -> None:
    decoder = Decoder((("start", "relu4_1", strength), *SMALL[1:]))
    photo, normalized = torch.rand(2, 1, 4, 3, 3)
    expected = Decoder(SMALL)
    expected.load_state_dict(decoder.state_dict())
    mixture = {"relu4_1": (1 - strength) * photo + strength * normalized}
    torch.testing.assert_close(
        decoder({"relu4_1": photo}, {"relu4_1": normalized}), expected(mixture, mixture)
    )


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_start_normalized_beyond_its_range_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        Decoder((("start", "relu4_1", strength), *SMALL[1:]))


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(ValueError, match="'sharpen' in row 1"):
        Decoder((("start", "relu4_1"), ("sharpen",)))


@settings(max_examples=25)
@given(height=st.integers(16, 90), width=st.integers(16, 90))
def test_the_result_has_exactly_the_size_of_the_photo(height: int, width: int) -> None:
    torch.manual_seed(0)
    model = StyleTransferModel(Encoder(EncoderConfig((2, 2, 4, 4), ())), Decoder(SMALL)).eval()
    style = model.measure_style(image(16, 24, seed=1))
    result = model.stylize(image(height, width), style)
    assert result.shape == (1, 3, height, width)
    assert result.min() >= 0 and result.max() <= 1


SMALL = (("start", "relu4_1"), *[("upsample", "nearest")] * 3, ("image", 4))


def test_a_batch_equals_its_pictures_one_by_one(tiny_model: StyleTransferModel) -> None:
    photos = image(n=3)
    styles = tiny_model.measure_style(image(48, 32, n=3, seed=1))
    together = tiny_model.stylize(photos, styles)
    for i in range(3):
        alone = tiny_model.measure_style(image(48, 32, n=3, seed=1)[i : i + 1])
        torch.testing.assert_close(
            together[i : i + 1], tiny_model.stylize(photos[i : i + 1], alone), atol=1e-5, rtol=1e-4
        )


def test_one_style_serves_a_batch(tiny_model: StyleTransferModel) -> None:
    style = tiny_model.measure_style(image(seed=1))
    together = tiny_model.stylize(image(n=2), style)
    alone = tiny_model.stylize(image(n=2)[1:], style)
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)


def test_alpha_zero_does_not_depend_on_the_style(tiny_model: StyleTransferModel) -> None:
    one, other = (tiny_model.measure_style(image(seed=seed)) for seed in (1, 2))
    assert torch.equal(
        tiny_model.stylize(image(), one, alpha=0), tiny_model.stylize(image(), other, alpha=0)
    )


def test_alpha_moves_features_in_a_straight_line_and_beyond(tiny_encoder: Encoder) -> None:
    features = tiny_encoder(image())
    style = style_statistics(tiny_encoder(image(seed=1) * 0.5))
    at = {alpha: normalize_features(features, style, alpha)["relu3_1"] for alpha in (0, 0.5, 1, 2)}
    torch.testing.assert_close(at[0], features["relu3_1"])
    torch.testing.assert_close(at[0.5], (at[0] + at[1]) / 2)
    torch.testing.assert_close(at[2], 2 * at[1] - at[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("alpha", [float("nan"), float("inf"), 1e6])
def test_alpha_must_be_finite(tiny_model: StyleTransferModel, alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        tiny_model.stylize(image(), tiny_model.measure_style(image()), alpha)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 15, 32), (1, 3, 32, 8)])
def test_impossible_shapes_are_refused(
    tiny_model: StyleTransferModel, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"shape|at least 16"):
        tiny_model.measure_style(torch.zeros(shape))


def test_stylizing_changes_neither_photo_nor_style(tiny_model: StyleTransferModel) -> None:
    photo, style = image(), tiny_model.measure_style(image(seed=1))
    before = photo.clone(), style.to_vector()
    tiny_model.stylize(photo, style, 0.5)
    assert torch.equal(photo, before[0]) and torch.equal(style.to_vector(), before[1])


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(tiny_model: StyleTransferModel) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    expected = tiny_model.stylize(image(), tiny_model.measure_style(image(seed=1)))
    tiny_model.cuda()
    result = tiny_model.stylize(image(), tiny_model.measure_style(image(seed=1)))
    assert (result.cpu() - expected).abs().max() <= 2 / 255
