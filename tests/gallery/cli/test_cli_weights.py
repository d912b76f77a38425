import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from adain.network.decoder import Decoder
from adain.network.loading import fingerprint, load_encoder, save_decoder
from adain.network.weights import MODELS_VARIABLE
from gallery.cli import app

run = CliRunner()


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    return tmp_path / "models"


def keep_model(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.decoder.safetensors"
    save_decoder(Decoder(), path, fingerprint(load_encoder()))
    return path


def test_list_says_what_is_here(models: Path) -> None:
    keep_model(models, "mine")
    result = run.invoke(app, ["weights", "list", "--json"])
    rows = {row["name"]: row["state"] for row in map(json.loads, result.stdout.splitlines())}
    assert rows["compact"] == "shipped"
    assert rows["mine"] == "imported"
    assert rows["vgg19"] == "not here"


def test_verify_finds_what_is_damaged(models: Path) -> None:
    path = keep_model(models, "mine")
    assert run.invoke(app, ["weights", "verify"]).stdout == "compact: ok\nmine: ok\n"
    path.write_bytes(path.read_bytes()[:-1])
    result = run.invoke(app, ["weights", "verify"])
    assert result.exit_code == 7
    assert result.stdout == "compact: ok\nmine: damaged\n"
    assert "mine.decoder.safetensors" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["download", "vgg20"], 2, "vgg19"),
        (["download", "vgg11", "--mirror", "http://127.0.0.1:9"], 7, "weights import vgg11 FILE"),
        (["download", "vgg11", "--mirror", "nowhere"], 7, "not a URL"),
        (["import", "vgg11", "one.pth", "two.pth"], 2, "one file"),
        (["import", "vgg11", "none.pth"], 7, "none.pth"),
        (["import", "mine", "none.pth"], 2, "two files"),
        (["import", "mine", "none.pth", "none.pth"], 7, "none.pth"),
        (["import", "../mine", "a.pth", "b.pth"], 2, "cannot name a model"),
        (["import", "compact", "a.pth", "b.pth"], 2, "cannot name a model"),
    ],
)
def test_mistakes_are_named(
    arguments: list[str], code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adain.network.download.time.sleep", lambda seconds: None)
    result = run.invoke(app, ["weights", *arguments])
    assert result.exit_code == code
    assert words in " ".join(result.stderr.replace("│", " ").split())


def test_all_but_the_import_of_models_works_without_torch(tmp_path: Path) -> None:
    keep_model(tmp_path / "models", "mine")
    code = (
        "import sys; sys.modules['torch'] = sys.modules['torchvision'] = None;"
        "from gallery.__main__ import main; main()"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, "weights", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    assert "vgg19" in run("list").stdout
    assert run("verify").stdout == "compact: ok\nmine: ok\n"
    assert "none.pth: cannot be read" in run("import", "vgg19", "none.pth").stderr
    done = run("import", "other", "a.pth", "b.pth")
    assert done.returncode == 4
    command = "pip install 'adain[torch]', in a clone '.[torch]'"
    assert done.stderr == f"adain: importing a model needs PyTorch; run: {command}\n"


def test_import_replaces_nothing_unasked(models: Path, tmp_path: Path) -> None:
    path = keep_model(models, "mine")
    before = path.read_bytes()
    torch.save({}, tmp_path / "a.pth")
    arguments = ["weights", "import", "mine", str(tmp_path / "a.pth"), str(tmp_path / "a.pth")]
    result = run.invoke(app, arguments)
    assert result.exit_code == 7
    assert "--overwrite" in result.stderr
    # Nor does a file that turns out to be no model.
    assert run.invoke(app, [*arguments, "--overwrite"]).exit_code == 7
    assert path.read_bytes() == before
