import inspect
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from adain.errors import how_to_install
from adain.network.encoder import Encoder
from adain.network.loading import load_decoder, load_encoder, save_decoder, save_encoder
from adain.training.config import DecoderLosses
from adain.training.decoder import initial_decoder
from gallery.cli import app
from gallery.cli.train import decoder as train_decoder

TRAIN = ["--batch-size", "2", "--crop", "64", "--precision", "float32"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        noise = torch.randint(0, 256, (80, 100, 3), dtype=torch.uint8)
        Image.fromarray(noise.numpy()).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def decoder_command(pictures: Path, tmp_path: Path) -> list[str]:
    torch.manual_seed(0)
    save_encoder(Encoder(), tmp_path / "encoder.safetensors")
    return [
        "train", "decoder", "--photos", str(pictures), "--paintings", str(pictures),
        "--encoder", str(tmp_path / "encoder.safetensors"), "-o", str(tmp_path / "run"), *TRAIN,
    ]  # fmt: skip


def test_the_decoder_trains_and_resumes(decoder_command: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*decoder_command, "--steps", "2", "--every", "1"])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "run")
    assert "step 2: validation_content" in result.stderr
    decoder, facts = load_decoder(tmp_path / "run" / "decoder.safetensors")
    assert facts["steps"] == "2" and decoder.layers == ("relu4_1", "relu3_1", "relu2_1", "relu1_1")


def test_the_default_weights_are_those_of_the_library() -> None:
    options = inspect.signature(train_decoder).parameters
    for field in fields(DecoderLosses):
        if field.name in options:
            assert options[field.name].default == field.default, field.name


def test_a_decoder_is_trained_further(decoder_command: list[str], tmp_path: Path) -> None:
    save_decoder(initial_decoder(), tmp_path / "first.safetensors", "")
    start = ["--start", str(tmp_path / "first.safetensors"), "--steps", "1"]
    still = ["--learning-rate", "0", "--matrix-learning-rate", "0"]
    result = CliRunner().invoke(app, [*decoder_command, *start, *still])
    assert result.exit_code == 0, result.output
    first, _ = load_decoder(tmp_path / "first.safetensors")
    last, _ = load_decoder(tmp_path / "run" / "decoder.safetensors")
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, last.state_dict()[name]), name


def test_a_run_is_never_overwritten(decoder_command: list[str], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"precious")
    result = CliRunner().invoke(app, [*decoder_command, "--steps", "2"])
    assert result.exit_code == 2 and "add --resume" in result.stderr
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == b"precious"


def test_unreadable_pictures_are_named_and_skipped(
    decoder_command: list[str], pictures: Path
) -> None:
    (pictures / "zz.png").write_bytes(b"broken")
    result = CliRunner().invoke(app, [*decoder_command, "--steps", "6"])
    assert result.exit_code == 0, result.output
    assert "zz.png" in result.stderr


def test_the_encoder_trains(pictures: Path, tmp_path: Path) -> None:
    teacher = Encoder().state_dict()
    teacher["preprocess.weight"] = torch.eye(3)[:, :, None, None]
    teacher["preprocess.bias"] = torch.zeros(3)
    save_file(teacher, tmp_path / "teacher.safetensors")
    result = CliRunner().invoke(
        app,
        ["train", "encoder", "--photos", str(pictures), "--paintings", str(pictures),
         "--teacher", str(tmp_path / "teacher.safetensors"), "-o", str(tmp_path / "run"),
         "--steps", "2", *TRAIN],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert load_encoder(tmp_path / "run" / "encoder.safetensors").config.widths[0] == 16


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--photos", "missing", "missing"),
        ("--encoder", "missing.safetensors", "no such weights file"),
        ("--crop", "65", "multiple of 8"),
        ("--precision", "float8", "float8"),
        ("--device", "quantum", "quantum"),
    ],
)
def test_mistakes_give_one_line(
    decoder_command: list[str], option: str, value: str, says: str
) -> None:
    result = CliRunner().invoke(app, [*decoder_command, option, value])
    assert result.exit_code not in (0, 1), result.output
    assert says in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize("what", ["encoder", "decoder"])
def test_without_torch_one_line_says_what_to_do(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    folders = ["--photos", "p", "--paintings", "q", "-o", str(tmp_path / "run")]
    teacher = ["--teacher", "t.safetensors"] if what == "encoder" else []
    result = CliRunner().invoke(app, ["train", what, *folders, *teacher])
    assert result.exit_code == 4
    assert result.stderr == f"adain: training needs PyTorch; run: {how_to_install('torch')}\n"
    assert not (tmp_path / "run").exists()


def test_an_interrupt_leaves_a_checkpoint_to_resume(
    decoder_command: list[str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "gallery", *decoder_command, "--every", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()
    assert b"go on with --resume" in errors and b"Traceback" not in errors
    step = torch.load(checkpoint, weights_only=True)["step"]
    assert 0 < step < 20000
