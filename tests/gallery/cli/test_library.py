"""The library gives what the command gives."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import adain
import gallery
from gallery.cli import app

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed, (name, size) in enumerate({"photo": (90, 60), "painting": (64, 64)}.items()):
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(f"{name}.jpg")
    coarse = np.random.default_rng(2).integers(0, 256, (6, 9), dtype=np.uint8)
    Image.fromarray(coarse).resize((90, 60)).save("mask.png")
    return tmp_path


def command(*options: str) -> None:
    arguments = ["stylize", "photo.jpg", "--style", "painting.jpg", *options]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr


def test_the_example_of_the_docs_equals_the_command() -> None:
    example = 'adain.stylize("photo.jpg", "painting.jpg", alpha=0.8).save("painted.png")'
    assert example in (adain.__doc__ or "")
    exec(example, {"adain": adain})
    command("--alpha", "0.8", "-o", "with.png")
    command("--alpha", "0.8", "-o", "command.png", "--no-provenance")
    assert Path("painted.png").read_bytes() == Path("command.png").read_bytes()
    with Image.open("painted.png") as ours, Image.open("with.png") as theirs:
        assert ours.tobytes() == theirs.tobytes()


def test_a_style_of_the_gallery_equals_the_command() -> None:
    style = gallery.style("irises=0.7", "melancholy=0.3")
    painted = adain.stylize("photo.jpg", style)
    arguments = ["photo.jpg", "--style", "irises=0.7", "--style", "melancholy=0.3"]
    result = CliRunner().invoke(app, ["stylize", *arguments, "-o", "command.png"])
    assert result.exit_code == 0, result.stderr
    with Image.open("command.png") as theirs:
        assert np.array_equal(painted.to_array(), np.asarray(theirs))
    with pytest.raises(ValueError, match="at least one"):
        gallery.style()


def test_names_are_listed_and_notebooks_show_pictures() -> None:
    assert {"stylize", "measure_style", "__version__"} <= {*dir(adain)}
    shown = adain.load_image(Path("photo.jpg"))._repr_png_()
    with Image.open(BytesIO(shown)) as image:
        assert (image.format, image.size) == ("PNG", (90, 60))


def test_every_control_equals_its_option() -> None:
    look: dict[str, Any] = {"stroke": 2, "preserve_color": "linear", "smooth": 0.5, "sharpen": 1}
    picture = adain.stylize(
        Path("photo.jpg"), "painting.jpg", photorealistic=True, masks=["mask.png"],
        feather=3, max_side=60, **look,
    )  # fmt: skip
    options = [f"--{name.replace('_', '-')}={value}" for name, value in look.items()]
    options += ["--photorealistic", "--mask", "mask.png", "--feather", "3", "--max-side", "60"]
    command(*options, "-o", "command.png")
    with Image.open("command.png") as theirs:
        assert np.array_equal(picture.to_array(), np.asarray(theirs))


def test_every_kind_of_input_gives_the_same() -> None:
    data = Path("photo.jpg").read_bytes()
    with Image.open("photo.jpg") as image:
        image.load()
    array = np.asarray(image)
    style = adain.measure_style("painting.jpg")
    expected = adain.stylize("photo.jpg", style).to_array()
    assert expected.shape == (60, 90, 3) and expected.dtype == np.uint8
    loaded = adain.load_image("photo.jpg")
    deep, real = array.astype(np.uint16) * 257, array.astype(np.float64) / 255
    with open("photo.jpg", "rb") as file:
        for photo in (Path("photo.jpg"), data, file, image, array, deep, real, loaded):
            result = adain.stylize(photo, style)
            assert np.abs(result.to_array().astype(int) - expected).max() <= 1
    assert np.array_equal(np.asarray(result.to_pil()), result.to_array())
    mask = np.full((60, 90, 3), 255, np.uint8)
    masked = adain.stylize(
        image, [style, style], masks=[mask, mask], strength=Image.new("L", (90, 60))
    )
    assert np.array_equal(masked.to_array(), array)


def test_transparency_of_an_array_stays() -> None:
    array = np.random.default_rng(0).integers(0, 256, (20, 24, 4), dtype=np.uint8)
    style = adain.measure_style("painting.jpg")
    for photo in (array, (array / 255).astype(np.float32)):
        result = adain.stylize(photo, style)
        assert np.array_equal(result.to_array()[..., 3], array[..., 3])
        assert result.to_pil().mode == "RGBA"


@pytest.mark.parametrize(
    ("photo", "options", "error", "words"),
    [
        ("nowhere.jpg", {}, adain.ImageError, "nowhere.jpg"),
        (b"no picture", {}, adain.ImageError, "cannot be read"),
        (np.zeros((20, 20)), {}, adain.ImageError, "expected an array"),
        (np.zeros((20, 20, 3), int), {}, adain.ImageError, "expected uint8"),
        (np.full((20, 20, 3), 7.0), {}, adain.ImageError, "from 0 to 1"),
        (np.full((20, 20, 3), np.nan), {}, adain.ImageError, "from 0 to 1"),
        (np.zeros((2, 20, 3), np.uint8), {}, adain.ImageError, "too small"),
        (7, {}, TypeError, "expected a path"),
        ("photo.jpg", {"alpha": 9}, ValueError, "alpha must be"),
        ("photo.jpg", {"stroke": 90}, ValueError, "stroke must be"),
        ("photo.jpg", {"max_side": 1}, ValueError, "max-side must be"),
        ("photo.jpg", {"masks": ["painting.jpg"]}, adain.MaskError, "shape"),
        ("photo.jpg", {"model": "nobody"}, adain.WeightsError, "no model"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(
    photo: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        adain.stylize(photo, "painting.jpg", **options)


def test_the_name_of_a_painting_leads_to_the_gallery() -> None:
    with pytest.raises(adain.ImageError, match=r"no such file; .*gallery\.style\('irises'\)"):
        adain.stylize("photo.jpg", "irises")


def test_two_styles_need_masks() -> None:
    with pytest.raises(ValueError, match="one for each region"):
        adain.stylize("photo.jpg", ["painting.jpg", "painting.jpg"])
