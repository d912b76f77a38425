import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from adain.errors import WeightsError
from adain.network.encoder import Encoder
from adain.network.model import StyleTransferModel
from adain.network.weights import (
    ASSETS,
    MODELS,
    SHA256,
    SHIPPED_ENCODER,
    encoder_fingerprint,
    load_decoder,
    load_encoder,
    load_model,
    read_weights,
    save_decoder,
    save_encoder,
)
from adain.styles.statistics import EPS


@pytest.fixture
def files(tiny_model: StyleTransferModel, tmp_path: Path) -> tuple[Path, Path]:
    encoder, decoder = tmp_path / "encoder.safetensors", tmp_path / "decoder.safetensors"
    save_encoder(tiny_model.encoder, encoder)
    save_decoder(
        tiny_model.decoder, decoder, encoder_fingerprint(load_encoder(encoder)), {"seed": "7"}
    )
    return encoder, decoder


def test_a_saved_model_loads_with_its_architecture(
    files: tuple[Path, Path], tiny_model: StyleTransferModel
) -> None:
    encoder, decoder = files
    model = load_model(decoder, encoder=encoder)
    assert model.encoder.config == tiny_model.encoder.config
    assert model.decoder.table == tiny_model.decoder.table
    photo = torch.rand(1, 3, 32, 32)
    style = tiny_model.measure_style(photo)
    # Files are half precision.
    difference = model.stylize(photo, style) - tiny_model.stylize(photo, style)
    assert difference.abs().max() < 0.01
    assert load_decoder(decoder)[1]["seed"] == "7"


def test_loading_twice_gives_the_same_fingerprint(files: tuple[Path, Path]) -> None:
    first, second = (load_encoder(files[0]) for _ in range(2))
    assert encoder_fingerprint(first) == encoder_fingerprint(second)


def test_fingerprint_follows_the_features_and_not_the_loss_heads(tiny_encoder: Encoder) -> None:
    before = encoder_fingerprint(tiny_encoder)
    with torch.no_grad():
        tiny_encoder.get_parameter("embed1_1.weight").add_(1)
        assert encoder_fingerprint(tiny_encoder) == before
        tiny_encoder.get_parameter("conv1_1.weight").view(-1)[0] += EPS
    assert encoder_fingerprint(tiny_encoder) != before


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
def test_a_damaged_file_gives_one_line(files: tuple[Path, Path], change) -> None:  # type: ignore[no-untyped-def]
    encoder, _ = files
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


def test_a_decoder_is_not_an_encoder(files: tuple[Path, Path]) -> None:
    with pytest.raises(WeightsError, match="expected adain-encoder/1, found adain-decoder/1"):
        load_encoder(files[1])


def test_a_decoder_of_another_encoder_is_refused(
    files: tuple[Path, Path], tiny_encoder: Encoder
) -> None:
    torch.nn.init.ones_(tiny_encoder.get_parameter("conv1_1.weight"))
    save_encoder(tiny_encoder, files[0])
    with pytest.raises(WeightsError, match="trained with encoder"):
        load_model(files[1], encoder=files[0])


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
    tiny_model: StyleTransferModel, tmp_path: Path, gain: str
) -> None:
    path = tmp_path / "d.safetensors"
    save_decoder(tiny_model.decoder, path, "0", {"max_gain": gain})
    with pytest.raises(WeightsError, match=r"^d\.safetensors: its architecture makes no decoder"):
        load_decoder(path)


def test_a_decoder_keeps_its_limit_of_the_gain(
    tiny_model: StyleTransferModel, tmp_path: Path
) -> None:
    path = tmp_path / "d.safetensors"
    for gain in (1.2, None):
        tiny_model.decoder.max_gain = gain
        save_decoder(tiny_model.decoder, path, "0")
        assert load_decoder(path)[0].max_gain == gain


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there are: compact"):
        load_model("huge")
    with pytest.raises(WeightsError, match="no such weights file"):
        load_model(tmp_path / "missing.safetensors")


def test_saving_leaves_no_partial_file(tiny_encoder: Encoder, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def fail(*arguments: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("adain.network.weights.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_encoder(tiny_encoder, tmp_path / "e.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_shipped_files_are_pinned_and_belong_together() -> None:
    assert set(SHA256) == {SHIPPED_ENCODER, *MODELS.values()}
    for name in SHA256:
        read_weights(ASSETS / name)
    for name in MODELS:
        assert load_model(name).fingerprint == encoder_fingerprint(load_encoder())


def test_an_altered_shipped_file_is_refused(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    data = bytearray((ASSETS / SHIPPED_ENCODER).read_bytes())
    data[-1] ^= 1
    (tmp_path / SHIPPED_ENCODER).write_bytes(data)
    monkeypatch.setattr("adain.network.weights.ASSETS", tmp_path)
    with pytest.raises(WeightsError, match="differs from the shipped file"):
        load_encoder()
