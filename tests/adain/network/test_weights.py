import json
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_DECODER
from safetensors.torch import save_file

from adain.engine.model import ModelWeights
from adain.errors import WeightsError
from adain.network.decoder import Decoder, StyleModulation
from adain.network.encoder import Encoder
from adain.network.loading import (
    fingerprint,
    load_decoder,
    load_encoder,
    load_network,
    save_decoder,
    save_encoder,
)
from adain.network.statistics import layer_statistics, normalization_maps
from adain.network.weights import (
    ASSETS,
    MODELS,
    MODELS_VARIABLE,
    SHA256,
    SHIPPED_ENCODER,
    ModelFiles,
    encoder_fingerprint,
    find_model,
    read_weights,
)
from adain.styles.modulation import Modulation
from adain.styles.recoloring import StyleColors
from adain.styles.statistics import EPS

TABLE = (TINY_DECODER[0], ("add", "relu4_1", 8, 8), ("residual", 8), *TINY_DECODER[2:])


@dataclass(frozen=True)
class Named:
    """What is known of a model before its networks are loaded."""

    files: ModelFiles
    fingerprint: str = "of the model"
    device: str = "cpu"


@pytest.fixture
def decoder() -> Decoder:
    """A decoder with all that one can have, of random weights."""
    torch.manual_seed(1)
    random = np.random.default_rng(0)
    colors = StyleColors(random.random((52, 9), np.float32), random.random(9, np.float32))
    modulation = StyleModulation(48, 5, 2 * (8 + 8 + 4))
    modulation.style_mean.add_(1 / 3)
    return Decoder(TABLE, 1.2, colors, modulation)


@pytest.fixture
def files(tiny_encoder: Encoder, decoder: Decoder, tmp_path: Path) -> ModelFiles:
    files = ModelFiles(tmp_path / "decoder.safetensors", tmp_path / "encoder.safetensors")
    save_encoder(tiny_encoder, files.encoder)
    owner = fingerprint(load_encoder(files.encoder))
    save_decoder(decoder, files.decoder, owner, {"seed": "7"})
    return files


def test_a_saved_model_loads_with_its_architecture(
    files: ModelFiles, tiny_encoder: Encoder, decoder: Decoder
) -> None:
    network = load_network(Named(files))
    assert network.fingerprint == "of the model"
    assert network.encoder.config == tiny_encoder.config
    assert network.decoder.table == decoder.table
    photo, style = torch.rand(1, 3, 32, 32), torch.rand(1, 48)

    def paint(encoder: Encoder, decoder: Decoder) -> torch.Tensor:
        features = encoder(photo, decoder.layers)
        normalization = normalization_maps(features, layer_statistics(features))
        image: torch.Tensor = decoder(features, normalization, decoder.maps(style))
        return image

    # Files are half precision.
    difference = paint(network.encoder, network.decoder) - paint(tiny_encoder, decoder)
    assert 0 < difference.abs().max() < 0.01
    assert not any(p.requires_grad for p in network.decoder.parameters())
    assert load_decoder(files.decoder)[1]["seed"] == "7"


def test_what_colours_and_styles_are_compared_with_is_kept_exactly(
    files: ModelFiles, decoder: Decoder
) -> None:
    tensors, _ = read_weights(files.decoder)
    loaded, _ = load_decoder(files.decoder)
    found = Modulation.of(tensors)
    assert decoder.colors and loaded.colors and found and decoder.modulation and loaded.modulation
    np.testing.assert_array_equal(loaded.colors.weight, decoder.colors.weight)
    np.testing.assert_array_equal(loaded.colors.bias, decoder.colors.bias)
    np.testing.assert_array_equal(found.style_mean, decoder.modulation.style_mean)
    style = torch.rand(3, 48)
    expected = loaded.modulation(style).detach()
    np.testing.assert_allclose(found(style.numpy()), expected, atol=1e-6)


def test_a_decoder_without_colours_and_modulation_has_none(tmp_path: Path) -> None:
    save_decoder(Decoder(TABLE), tmp_path / "d.safetensors", "")
    loaded, _ = load_decoder(tmp_path / "d.safetensors")
    assert loaded.colors is None and loaded.modulation is None and loaded.max_gain is None


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"out.bias": (3,)}, "do not fit together"),
        ({"hidden.bias": None}, r"lacks modulation\.hidden\.bias"),
        ({"out.bias": (6,), "out.weight": (6, 5)}, "6 outputs, not 40"),
    ],
)
def test_a_modulation_that_does_not_fit_gives_one_line(
    files: ModelFiles, shapes: dict[str, tuple[int, ...] | None], words: str
) -> None:
    tensors, metadata = read_weights(files.decoder)
    changed = {name: torch.tensor(value) for name, value in tensors.items()}
    for name, shape in shapes.items():
        del changed[f"modulation.{name}"]
        if shape is not None:
            changed[f"modulation.{name}"] = torch.zeros(shape)
    save_file(changed, files.decoder, metadata)
    with pytest.raises(WeightsError, match=rf"^decoder\.safetensors: .*{words}"):
        load_decoder(files.decoder)


def test_fingerprint_follows_the_features_and_not_the_loss_heads(tiny_encoder: Encoder) -> None:
    before = fingerprint(tiny_encoder)
    with torch.no_grad():
        tiny_encoder.get_parameter("embed1_1.weight").add_(1)
        assert fingerprint(tiny_encoder) == before
        tiny_encoder.get_parameter("conv1_1.weight").view(-1)[0] += EPS
    assert fingerprint(tiny_encoder) != before


def test_the_fingerprint_of_a_file_is_that_of_its_encoder(files: ModelFiles) -> None:
    tensors, _ = read_weights(files.encoder)
    encoder = load_encoder(files.encoder)
    assert encoder_fingerprint(tensors, encoder.config.widths) == fingerprint(encoder)


def test_weights_are_read_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from adain.network.pretrained import NETWORKS, network_path\n"
        "from adain.network.weights import find_model, read_weights\n"
        "from adain.styles.modulation import Modulation\n"
        "Modulation.of(read_weights(find_model().decoder)[0]); network_path(NETWORKS[0])"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def damage_header(data: bytes) -> bytes:
    return struct.pack("<Q", 1 << 60) + data[8:]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:5],
        lambda data: data[: len(data) // 2],
        lambda data: data + b"x",
        lambda data: b"not weights at all",
        damage_header,
    ],
    ids=["empty", "header cut", "truncated", "longer", "other", "huge header"],
)
def test_a_damaged_file_gives_one_line(files: ModelFiles, change) -> None:  # type: ignore[no-untyped-def]
    encoder = files.encoder
    encoder.write_bytes(change(encoder.read_bytes()))
    with pytest.raises(WeightsError, match=r"^encoder\.safetensors: ") as caught:
        load_encoder(encoder)
    assert "\n" not in str(caught.value)


def test_numbers_that_are_not_finite_are_refused(tiny_encoder: Encoder, tmp_path: Path) -> None:
    with torch.no_grad():
        tiny_encoder.get_parameter("conv2_1.bias")[0] = torch.nan
    save_encoder(tiny_encoder, tmp_path / "e.safetensors")
    with pytest.raises(WeightsError, match=r"conv2_1\.bias .* not finite"):
        load_encoder(tmp_path / "e.safetensors")


def test_numbers_of_another_kind_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1, dtype=torch.bfloat16)}, tmp_path / "b.safetensors")
    with pytest.raises(WeightsError, match=r"b\.safetensors: numbers of a kind"):
        read_weights(tmp_path / "b.safetensors")


def test_a_decoder_is_not_an_encoder(files: ModelFiles) -> None:
    with pytest.raises(WeightsError, match="expected adain-encoder/1, found adain-decoder/1"):
        load_encoder(files.decoder)


def test_a_decoder_of_another_encoder_is_refused(files: ModelFiles, tiny_encoder: Encoder) -> None:
    torch.nn.init.ones_(tiny_encoder.get_parameter("conv1_1.weight"))
    save_encoder(tiny_encoder, files.encoder)
    with pytest.raises(WeightsError, match="trained with encoder"):
        ModelWeights.read(files)


@pytest.mark.parametrize(
    "architecture",
    [
        None,
        "{",
        "3",
        '{"widths": "x"}',
        '{"depth": [1]}',
        '{"widths": [1000000, 1000000, 4, 4, 4], "embed_widths": []}',
        '{"widths": [-1, 4, 4, 4, 4], "embed_widths": []}',
    ],
)
def test_a_hostile_architecture_gives_one_line(tmp_path: Path, architecture: str | None) -> None:
    path = tmp_path / "e.safetensors"
    metadata = {"format": "adain-encoder/1"} | (
        {"architecture": architecture} if architecture else {}
    )
    save_file({"conv1_1.weight": torch.zeros(1)}, path, metadata)
    with pytest.raises(WeightsError) as caught:
        load_encoder(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "table",
    [
        [],
        [[]],
        ["conv"],
        [["conv", 1]],
        [["start"]],
        [["melt", 1]],
        [3],
        [["start", "relu1_1", "x"]],
        [["start", "relu4_1"], ["residual"]],
        [["start", "relu4_1"], ["residual", -1]],
    ],
)
def test_a_hostile_decoder_table_gives_one_line(tmp_path: Path, table: list[object]) -> None:
    path = tmp_path / "d.safetensors"
    metadata = {"format": "adain-decoder/1", "architecture": json.dumps(table)}
    save_file({"0.weight": torch.zeros(1)}, path, metadata)
    with pytest.raises(WeightsError) as caught:
        load_decoder(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("gain", ["", "nan", "0", "x"])
def test_a_hostile_limit_of_the_gain_gives_one_line(
    decoder: Decoder, tmp_path: Path, gain: str
) -> None:
    path = tmp_path / "d.safetensors"
    save_decoder(decoder, path, "0", {"max_gain": gain})
    with pytest.raises(WeightsError, match=r"^d\.safetensors: its architecture makes no decoder"):
        load_decoder(path)


def test_a_decoder_keeps_its_limit_of_the_gain(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    for gain in (1.2, None):
        decoder.max_gain = gain
        save_decoder(decoder, path, "0")
        assert load_decoder(path)[0].max_gain == gain


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there are: compact"):
        find_model("huge")
    with pytest.raises(WeightsError, match="no such weights file"):
        read_weights(find_model(tmp_path / "missing.safetensors").decoder)


def test_a_model_has_the_encoder_that_is_given_or_lies_beside_it_or_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    decoder, beside = (tmp_path / f"mine.{kind}.safetensors" for kind in ("decoder", "encoder"))
    decoder.touch()
    assert find_model("mine") == ModelFiles(decoder, ASSETS / SHIPPED_ENCODER)
    beside.touch()
    assert find_model("mine") == find_model(decoder) == ModelFiles(decoder, beside)
    other = tmp_path / "other.safetensors"
    assert find_model("mine", other).encoder == other
    assert find_model(other) == ModelFiles(other, ASSETS / SHIPPED_ENCODER)


def test_saving_leaves_no_partial_file(tiny_encoder: Encoder, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def fail(*arguments: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("adain.network.loading.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_encoder(tiny_encoder, tmp_path / "e.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_shipped_files_are_pinned_and_belong_together() -> None:
    assert set(SHA256) == {SHIPPED_ENCODER, *MODELS.values()}
    for name in SHA256:
        read_weights(ASSETS / name)
    for name in MODELS:
        assert ModelWeights.read(find_model(name)).fingerprint == fingerprint(load_encoder())


def test_an_altered_shipped_file_is_refused(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    data = bytearray((ASSETS / SHIPPED_ENCODER).read_bytes())
    data[-1] ^= 1
    (tmp_path / SHIPPED_ENCODER).write_bytes(data)
    monkeypatch.setattr("adain.network.weights.ASSETS", tmp_path)
    with pytest.raises(WeightsError, match="differs from the shipped file"):
        read_weights(tmp_path / SHIPPED_ENCODER)
