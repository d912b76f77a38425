"""The library in Python: any kind of picture in, what the command gives out."""

import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import adain
from adain.errors import ImageError, ImageExistsError, MaskError
from adain.network.model import StyleTransferModel
from gallery.cli import app

ROOT = Path(__file__).parents[3]


def levels(seed: int, width: int = 48, height: int = 32) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image).copy()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(levels(0)).save("harbour.jpg", quality=95)
    Image.fromarray(levels(1, 40, 40)).save("mosaic.png")
    return tmp_path


def test_the_example_of_the_readme_gives_the_bytes_of_the_command(folder: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(import adain\n.*?)```", readme, re.DOTALL)
    assert found
    example = found[1]
    exec(compile(example, "README.md", "exec"), {})
    command = ["stylize", "harbour.jpg", "--style", "mosaic.png", "--alpha", "0.8"]
    options = ["--no-provenance", "-o", "command.png", "-q"]
    result = CliRunner().invoke(app, [*command, *options])
    assert result.exit_code == 0, result.output
    assert Path("painted.png").read_bytes() == Path("command.png").read_bytes()


def test_settings_mean_what_they_mean_for_the_command(folder: Path) -> None:
    painted = adain.stylize(
        "harbour.jpg", "mosaic.png", stroke=2, preserve_color="linear", smooth=0.3, max_side=40
    )
    painted.save("painted.png")
    options = ["--stroke", "2", "--preserve-color", "linear", "--smooth", "0.3", "--max-side", "40"]
    command = ["stylize", "harbour.jpg", "--style", "mosaic.png", *options, "--no-provenance"]
    assert CliRunner().invoke(app, [*command, "-o", "command.png", "-q"]).exit_code == 0
    assert Path("painted.png").read_bytes() == Path("command.png").read_bytes()


def test_a_picture_may_come_in_any_form(folder: Path, tiny_model: StyleTransferModel) -> None:
    Image.fromarray(levels(0)).save("photo.png")
    data = Path("photo.png").read_bytes()
    image = Image.open("photo.png")
    forms: list[Any] = [
        "photo.png", Path("photo.png"), data, BytesIO(data), image, levels(0),
        levels(0) / np.float32(255), levels(0).astype(np.uint16) * 257,
        adain.load_image(Path("photo.png")),
    ]  # fmt: skip
    results = [adain.stylize(form, "mosaic.png", model=tiny_model).to_array() for form in forms]
    assert results[0].shape == (32, 48, 3)
    for result in results[1:]:
        assert np.abs(result - results[0]).max() < 1e-4


def test_a_style_is_measured_once_and_used_often(
    folder: Path, tiny_model: StyleTransferModel
) -> None:
    style = adain.measure_style(levels(1, 40, 40), tiny_model)
    again = adain.stylize(levels(0), style, model=tiny_model)
    direct = adain.stylize(levels(0), "mosaic.png", model=tiny_model)
    assert np.array_equal(again.to_array(), direct.to_array())


def test_each_mask_has_its_style(folder: Path, tiny_model: StyleTransferModel) -> None:
    mask = np.zeros((32, 48), np.uint8)
    mask[:, 24:] = 255
    Image.fromarray(mask).save("mask.png")
    styles: list[Any] = ["mosaic.png", levels(2)]
    result = adain.stylize(levels(0), styles, masks=[Path("mask.png")], feather=0, model=tiny_model)
    assert result.to_pil().size == (48, 32)
    with pytest.raises(ValueError, match="2 styles without masks"):
        adain.stylize(levels(0), styles, model=tiny_model)
    with pytest.raises(MaskError):
        adain.stylize(levels(0, 90, 32), styles, masks=[Path("mask.png")], model=tiny_model)


def test_transparency_and_files_are_kept(folder: Path, tiny_model: StyleTransferModel) -> None:
    alpha = np.full((32, 48, 1), 7, np.uint8)
    result = adain.stylize(np.concatenate([levels(0), alpha], 2), "mosaic.png", model=tiny_model)
    assert result.to_pil().mode == "RGBA"
    assert result.save("out.png") == Path("out.png")
    with Image.open("out.png") as image:
        assert image.getchannel("A").getextrema() == (7, 7)
    before = Path("out.png").read_bytes()
    with pytest.raises(ImageExistsError):
        result.save("out.png")
    assert Path("out.png").read_bytes() == before
    result.save("out.png", overwrite=True)


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (np.zeros((32, 32, 2), np.uint8), "expected"),
        (np.zeros((32,), np.uint8), "expected"),
        (np.zeros((32, 32, 3), np.int64), "expected uint8"),
        (np.full((32, 32, 3), np.nan), "must be in"),
        (np.full((32, 32, 3), 2.0), "must be in"),
    ],
)
def test_an_array_that_is_no_picture_is_refused(
    photo: NDArray[Any], message: str, tiny_model: StyleTransferModel
) -> None:
    with pytest.raises(ValueError, match=message):
        adain.stylize(photo, levels(1), model=tiny_model)


def test_what_is_wrong_is_said(folder: Path, tiny_model: StyleTransferModel) -> None:
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        adain.stylize("missing.jpg", "mosaic.png", model=tiny_model)
    with pytest.raises(ValueError, match="alpha must be a number from -1 to 3"):
        adain.stylize("harbour.jpg", "mosaic.png", alpha=9, model=tiny_model)
    with pytest.raises(ValueError, match="stroke must be"):
        adain.stylize("harbour.jpg", "mosaic.png", stroke=99, model=tiny_model)
    with pytest.raises(ImageError, match="pixels"):
        adain.stylize(np.zeros((4, 400, 3), np.uint8), "mosaic.png", model=tiny_model)


def test_importing_is_light() -> None:
    code = "import sys, adain; dir(adain); assert not {'torch', 'numpy', 'PIL'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
