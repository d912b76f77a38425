import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image
from safetensors.numpy import save_file
from shipping import ship
from typer.testing import CliRunner, Result

from adain.config import DEFAULT_MODEL, Controls
from adain.engine import loading, people
from adain.engine.model import Model
from adain.imaging.picture import Picture
from adain.network import weights
from adain.painting import stylize as pipeline
from adain.painting.measuring import measure_style
from gallery.cli import app
from gallery.config import StylizeConfig
from gallery.database.paintings import Painting
from gallery.database.style_files import StyleFile

Run = Callable[..., Result]

COMMAND = Path(sys.executable).with_name("adain")

PAINTINGS = (
    Painting("irises", "Irises", "Vincent van Gogh", 1889, ("Post-Impressionism",)),
    Painting("senecio", "Senecio", "Paul Klee", 1922, ("Abstract",)),
    Painting("melancholy", "Melancholy", "Edvard Munch", None, ("Expressionism",)),
)


def draw(path: Path, size: tuple[int, int] = (40, 30), channels: int = 3) -> Path:
    """Write a picture of noise, different for each name."""
    generator = np.random.default_rng(len(path.name))
    pixels = generator.integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(autouse=True)
def shipped(tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a tiny model and three styles in the place of the shipped ones."""
    assets = tmp_path / "assets"
    assets.mkdir()
    encoder, decoder = assets / weights.SHIPPED_ENCODER, assets / weights.MODELS["compact"]
    shutil.copy(tiny_model.files.encoder, encoder)
    shutil.copy(tiny_model.files.decoder, decoder)
    monkeypatch.setattr(weights, "ASSETS", assets)
    digests = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (encoder, decoder)
    }
    monkeypatch.setattr(weights, "SHA256", digests)
    noise = np.random.default_rng(0).random((len(PAINTINGS), 32, 32, 3), np.float32)
    measured = [measure_style(tiny_model, Picture(each)).to_vector() for each in noise]
    paintings = tuple(
        replace(painting, sha256=f"{i:064}", pixel_sha256=f"{i:064}")
        for i, painting in enumerate(PAINTINGS)
    )
    shipped_styles = StyleFile(paintings, np.concatenate(measured), tiny_model.fingerprint)
    ship(shipped_styles, monkeypatch)
    return assets


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the photos a.png and b.jpg and the painting style.png."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("a.png", "b.jpg", "style.png"):
        draw(Path(name))
    return folder


@pytest.fixture
def run(folder: Path) -> Run:
    def invoke(*arguments: str, input: bytes | None = None) -> Result:
        return CliRunner().invoke(app, arguments, input=input)

    return invoke


def files(folder: Path) -> set[str]:
    """Every file below a folder; what a failed write left behind would be among them."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def assert_one_line(result: Result, *parts: str) -> None:
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("adain: ")
    assert "Traceback" not in result.output
    for part in parts:
        assert part in result.stderr


# What it makes


def test_a_result_lies_beside_its_photo_and_its_path_is_printed(run: Run, folder: Path) -> None:
    result = run("stylize", "a.png", "--style", "irises")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "a.irises.png\n", "")
    with Image.open("a.irises.png") as image:
        assert (image.size, image.mode, image.format) == ((40, 30), "RGB", "PNG")


def test_a_picture_can_be_the_style(run: Run) -> None:
    result = run("stylize", "a.png", "--style", "style.png")
    assert (result.exit_code, result.stdout) == (0, "a.style.png\n")


def test_several_photos_go_into_a_folder_that_is_made(run: Run, folder: Path) -> None:
    assert run("stylize", "a.png", "--style", "paul klee", "-o", "one/a.png").exit_code == 0
    assert files(folder / "one") == {"a.png"}
    result = run("stylize", "a.png", "b.jpg", "--style", "paul klee", "-o", "new/folder")
    assert result.exit_code == 0
    assert result.stdout == "new/folder/a.senecio.png\nnew/folder/b.senecio.jpg\n"
    assert result.stderr == "adain: done=2 failed=0\n"
    assert files(folder / "new" / "folder") == {"a.senecio.png", "b.senecio.jpg"}


def test_the_suffix_or_the_format_decides_what_is_written(run: Run) -> None:
    for options, name, kind in [
        (["-o", "x.webp"], "x.webp", "WEBP"),
        (["-o", "x.jpg", "--jpeg-quality", "10"], "x.jpg", "JPEG"),
        (["--format", "tiff"], "a.irises.tiff", "TIFF"),
        (["-o", "plain", "--format", "png"], "plain", "PNG"),
    ]:
        result = run("stylize", "a.png", "--style", "irises", *options)
        assert (result.exit_code, result.stdout) == (0, f"{name}\n"), result.stderr
        with Image.open(name) as image:
            assert image.format == kind


def test_max_side_and_transparency(run: Run) -> None:
    draw(Path("clear.png"), (60, 20), channels=4)
    result = run("stylize", "clear.png", "--style", "irises", "--max-side", "48", "-o", "x.png")
    assert result.exit_code == 0
    with Image.open("x.png") as image:
        assert (image.size, image.mode) == ((48, 16), "RGBA")


def test_alpha_and_model_reach_the_network(
    run: Run, shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    stylize_picture = pipeline.stylize_picture

    def record(network: Model, *arguments: object, **options: object) -> object:
        calls.append((network.name, options["alpha"]))
        return stylize_picture(network, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "stylize_picture", record)
    model = str(shipped / weights.MODELS["compact"])
    options = ["--alpha", "0.25", "--model", model, "--device", "cpu"]
    assert run("stylize", "a.png", "--style", "irises", *options).exit_code == 0
    assert calls == [(model, 0.25)]


def test_the_controls_reach_the_service(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    stylize_picture = pipeline.stylize_picture

    def record(*arguments: object, **options: object) -> object:
        calls.append(options)
        return stylize_picture(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "stylize_picture", record)
    draw(Path("where.png"))
    given = ["--alpha", "where.png", "--mask", "where.png", "--feather", "3", "--stroke", "2"]
    given += ["--preserve-color", "linear", "--photorealistic", "--smooth", "0.5", "--sharpen", "1"]
    result = run("stylize", "a.png", "--style", "irises", *given)
    assert result.exit_code == 0, result.stderr
    expected = Controls(
        strength=Path("where.png"),
        masks=(Path("where.png"),),
        feather=3,
        stroke=2,
        preserve_color="linear",
        photorealistic=True,
        smooth=0.5,
        sharpen=1,
    )
    assert [(call["alpha"], call["max_side"], call["controls"]) for call in calls] == [
        (1.0, None, expected)
    ]
    assert run("stylize", "b.jpg", "--style", "irises").exit_code == 0
    assert calls[1]["controls"] == Controls()


def test_a_mask_gives_each_style_its_place(run: Run, folder: Path) -> None:
    halves = np.repeat(np.array([0, 255], np.uint8), 20)[None].repeat(30, 0)
    Image.fromarray(halves).save("halves.png")
    parts = ["--style", "irises", "--style", "senecio"]
    result = run("stylize", "a.png", *parts, "--mask", "halves.png", "--feather", "0")
    assert (result.exit_code, result.stdout) == (0, "a.irises+senecio.png\n"), result.stderr
    assert run("stylize", "a.png", *parts, "-o", "mixed.png").exit_code == 0
    one, other = (np.asarray(Image.open(name)) for name in ("a.irises+senecio.png", "mixed.png"))
    assert not np.array_equal(one, other)


def test_masks_that_do_not_fit_are_one_line_and_leave_nothing(run: Run, folder: Path) -> None:
    draw(Path("square.png"), (30, 30))
    draw(Path("noise.png"))
    (folder / "text.png").write_text("no picture")
    before = files(folder)
    for options, part in [
        (["--mask", "square.png"], "square.png: 30x30 has not the shape of a.png, 40x30"),
        (["--alpha", "square.png"], "square.png: 30x30 has not the shape of a.png, 40x30"),
        (["--mask", "text.png"], "text.png: cannot be read"),
        (["--mask", "gone.png"], "gone.png: cannot be read"),
        (["--style", "senecio", "--mask", "noise.png"], "noise.png: has 9 colours (#"),
    ]:
        result = run("stylize", "a.png", "--style", "irises", *options)
        assert (result.exit_code, result.stdout) == (4, ""), options
        assert_one_line(result, part)
    assert files(folder) == before


def test_a_face_that_is_not_there_is_a_note_and_the_photo_is_painted(run: Run) -> None:
    result = run("stylize", "a.png", "--style", "irises", "--keep", "face", "--json")
    assert_one_line(result, "a.png: no face found to keep")
    assert json.loads(result.stdout)["note"] == "no face found to keep"
    plain = run("stylize", "a.png", "--style", "irises", "-o", "plain.png", "--quiet")
    assert plain.exit_code == 0
    with Image.open("a.irises.png") as first, Image.open("plain.png") as second:
        assert first.tobytes() == second.tobytes()
    assert run("stylize", "b.jpg", "--style", "irises", "--keep", "face", "-q").stderr == ""


def test_what_finds_people_is_needed_only_where_it_is_asked_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "ASSETS", tmp_path / "nowhere")
    people._session.cache_clear()
    result = run("stylize", "a.png", "--style", "irises", "--keep", "face", "-o", "x.png")
    assert result.exit_code not in (0, 2) and not Path("x.png").exists()
    assert_one_line(result, "faces.onnx: cannot be read from the package; reinstall it")
    assert run("stylize", "a.png", "--style", "irises", "-o", "x.png").exit_code == 0


def test_parts_of_a_photo_take_styles_of_their_own(run: Run, folder: Path) -> None:
    two = ("--style", "irises@person", "--style", "senecio@background")
    result = run("stylize", "a.png", *two)
    assert_one_line(result, "a.png: no person found")
    assert result.stdout == "a.irises+senecio.png\n"
    run("stylize", "a.png", "--style", "senecio", "-o", "whole.png")
    with Image.open("a.irises+senecio.png") as first, Image.open("whole.png") as second:
        assert np.abs(np.asarray(first, int) - np.asarray(second, int)).max() <= 1
        recipe = first.text["adain"] if "adain" in first.text else str(first.text)  # type: ignore[attr-defined]
    assert "person" in recipe
    result = run("stylize", "a.png", "--style", "irises@sky")
    assert (result.exit_code, result.stdout) == (5, "")
    assert_one_line(result, "what can be found is face, person, background, subject or rest")
    result = run("render", "a.png", "r.png", "--style", "irises@person")
    assert result.exit_code == 2


def test_a_result_says_what_made_it_unless_told_not_to(run: Run, folder: Path) -> None:
    (folder / "b.jpg").unlink()
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Ann Onym"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSAreaInformation] = b"NEXT-DOOR"
    Image.open("a.png").convert("RGB").save("b.jpg", exif=exif)
    for options, made, kept in [
        ([], True, False),
        (["--keep-metadata"], True, True),
        (["--no-provenance"], False, False),
    ]:
        result = run("stylize", "b.jpg", "--style", "irises", "--overwrite", *options)
        assert result.exit_code == 0
        data = (folder / "b.irises.jpg").read_bytes()
        assert (b'"style": "irises"' in data, b"Ann Onym" in data) == (made, kept)
        assert b"NEXT-DOOR" not in data and str(folder).encode() not in data


def test_16_bits_go_into_png_unless_a_format_is_asked_for(run: Run) -> None:
    result = run("stylize", "b.jpg", "--style", "irises", "--bits", "16")
    assert (result.exit_code, result.stdout) == (0, "b.irises.png\n")
    assert Path("b.irises.png").read_bytes()[24] == 16
    result = run("stylize", "b.jpg", "--style", "irises", "--bits", "16", "-o", "x.tif")
    assert result.exit_code == 0
    with Image.open("x.tif") as image:
        assert image.tag_v2[258] == (16, 16, 16)  # type: ignore[attr-defined]


def test_the_style_size_decides_how_a_painting_is_measured(run: Run) -> None:
    draw(Path("large.png"), (120, 90))
    for size in ("16", "90"):
        result = run(
            "stylize", "a.png", "--style", "large.png", "--style-size", size, "-o", f"{size}.png"
        )
        assert result.exit_code == 0
    assert Path("16.png").read_bytes() != Path("90.png").read_bytes()
    result = run("stylize", "a.png", "--style", "irises", "--style-size", "16")
    assert result.exit_code == 7
    assert_one_line(result, "irises: measured at 512 pixels", "--style-size")


def test_standard_input_to_standard_output(run: Run, folder: Path) -> None:
    before = files(folder)
    photo = (folder / "a.png").read_bytes()
    result = run("stylize", "-", "--style", "irises", "--format", "jpg", input=photo)
    assert result.exit_code == 0
    assert result.stdout_bytes.startswith(b"\xff\xd8\xff")
    assert files(folder) == before


def test_the_style_can_come_from_standard_input(run: Run, folder: Path) -> None:
    painting = (folder / "style.png").read_bytes()
    result = run("stylize", "a.png", "--style", "-", input=painting)
    assert (result.exit_code, result.stdout) == (0, "a.stdin.png\n")


def test_json_gives_one_object_for_each_photo(run: Run) -> None:
    result = run("stylize", "a.png", "gone.png", "--style", "Irises", "--json", "-q")
    assert result.exit_code == 3
    done, failed = map(json.loads, result.stdout.splitlines())
    assert done.pop("seconds") > 0
    assert done == {
        "photo": "a.png",
        "output": "a.irises.png",
        "style": "irises",
        "width": 40,
        "height": 30,
    }
    assert failed["photo"] == "gone.png"
    assert failed["error"].startswith("gone.png: cannot be read")


def test_quiet_leaves_the_paths_and_drops_the_summary(run: Run) -> None:
    result = run("stylize", "a.png", "b.jpg", "--style", "irises", "-q")
    assert (result.stdout, result.stderr) == ("a.irises.png\nb.irises.jpg\n", "")


def test_styles_are_mixed(run: Run) -> None:
    parts = ["--style", "irises=0.7", "--style", "artist:klee=0.2", "--style", "style.png"]
    result = run("stylize", "a.png", *parts)
    assert (result.exit_code, result.stdout) == (0, "a.irises+paul-klee+style.png\n")


def test_a_style_at_random_is_the_same_for_the_same_seed(run: Run) -> None:
    names = [
        run("stylize", "a.png", "--style", "random", "--seed", seed, "--overwrite").stdout
        for seed in "1123456"
    ]
    assert names[0] == names[1] and names[0].startswith("a.") and len(set(names)) > 1
    assert run("stylize", "b.jpg", "--style", "random").exit_code == 0


def test_the_database_need_not_exist_and_is_not_made(run: Run, database: Path) -> None:
    assert run("stylize", "a.png", "--style", "style:abstract").exit_code == 0
    assert not database.exists()


# What it refuses


def test_a_file_is_never_overwritten_unless_told_to(run: Run, folder: Path) -> None:
    taken = folder / "a.irises.png"
    taken.write_text("precious")
    result = run("stylize", "a.png", "--style", "irises")
    assert result.exit_code == 4
    assert_one_line(result, "a.irises.png", "exists already", "--overwrite")
    assert taken.read_text() == "precious"
    assert run("stylize", "a.png", "--style", "irises", "--overwrite").exit_code == 0
    with Image.open(taken) as image:
        assert image.size == (40, 30)


def bad_photos(folder: Path) -> dict[str, tuple[int, str]]:
    """Write pictures that cannot be used; return the exit code and a part of the error of each."""
    whole = (folder / "a.png").read_bytes()
    (folder / "empty.png").touch()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("I am not a picture")
    (folder / "script.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (folder / "folder.png").mkdir()
    draw(folder / "dot.png", (1, 1))
    draw(folder / "thread.png", (10000, 3))
    bomb = bytearray(draw(folder / "bomb.bmp").read_bytes())
    bomb[18:26] = struct.pack("<ii", 20000, 20000)  # The size in its header.
    (folder / "bomb.bmp").write_bytes(bomb)
    return {
        "gone.png": (4, "No such file"),
        "empty.png": (4, "is empty"),
        "truncated.png": (4, "damaged or incomplete"),
        "text.jpg": (4, "cannot be read as JPEG"),
        "script.eps": (4, "cannot be read as JPEG"),
        "folder.png": (4, "directory"),
        "dot.png": (4, "1x1 is too small"),
        "thread.png": (4, "10000x3 is too small or too thin"),
        "bomb.bmp": (6, "pixels"),
    }


def test_a_bad_photo_gives_one_line_and_its_exit_code(run: Run, folder: Path) -> None:
    bad = bad_photos(folder)
    before = files(folder)
    for name, (code, part) in bad.items():
        if name == "folder.png":  # See test_a_folder_alone_leads_to_batch.
            continue
        result = run("stylize", name, "--style", "irises")
        assert (result.exit_code, result.stdout) == (code, ""), name
        assert_one_line(result, name, part)
    assert files(folder) == before


def test_bad_photos_do_not_stop_the_others(run: Run, folder: Path) -> None:
    bad = list(bad_photos(folder))
    photos = [*bad[:4], "a.png", *bad[4:], "b.jpg"]
    result = run("stylize", *photos, "--style", "irises", "-o", "out/")
    assert result.exit_code == 3
    assert result.stdout == "out/a.irises.png\nout/b.irises.jpg\n"
    assert result.stderr.count("\n") == len(bad) + 1
    assert result.stderr.endswith(f"adain: done=2 failed={len(bad)}\n")
    assert files(folder / "out") == {"a.irises.png", "b.irises.jpg"}


def test_bad_paintings_give_one_line(run: Run, folder: Path) -> None:
    for name, (code, part) in bad_photos(folder).items():
        if name in ("gone.png", "folder.png"):
            continue
        result = run("stylize", "a.png", "--style", name)
        assert (result.exit_code, result.stdout) == (code, ""), name
        assert_one_line(result, name, part)


def test_a_style_that_does_not_exist_names_its_neighbours(run: Run, folder: Path) -> None:
    result = run("stylize", "a.png", "--style", "irisis")
    assert result.exit_code == 5
    assert_one_line(result, "'irisis'", "did you mean", "irises", "adain gallery list")
    result = run("stylize", "a.png", "--style", "gone.png")
    assert result.exit_code == 5
    assert_one_line(result, "gone.png: no such file")
    (folder / "empty").mkdir()
    result = run("stylize", "a.png", "--style", "empty")
    assert result.exit_code == 5
    assert_one_line(result, "empty: a folder without pictures")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_photo_gives_one_line(run: Run, folder: Path) -> None:
    (folder / "a.png").chmod(0)
    result = run("stylize", "a.png", "--style", "irises")
    assert result.exit_code == 4
    assert_one_line(result, "a.png", "Permission denied")


@pytest.mark.parametrize("output", ["b.jpg/x.png", "b.jpg/x/", "x" * 300 + ".png"])
def test_an_output_that_cannot_be_written_gives_one_line(
    run: Run, folder: Path, output: str
) -> None:
    before = files(folder)
    result = run("stylize", "a.png", "--style", "irises", "-o", output)
    assert (result.exit_code, result.stdout) == (4, "")
    assert_one_line(result, output.split("/")[0])
    assert files(folder) == before


def test_a_full_disk_leaves_nothing_behind(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    before = files(folder)
    result = run("stylize", "a.png", "--style", "irises")
    assert result.exit_code == 4
    assert_one_line(result, "a.irises.png", "No space left on device")
    assert files(folder) == before


def test_damaged_weights_give_one_line(run: Run, folder: Path, shipped: Path) -> None:
    tensors, facts = weights.read_weights(shipped / weights.MODELS["compact"])
    next(iter(tensors.values()))[...] = np.nan
    save_file(tensors, folder / "nan.safetensors", facts)
    (folder / "cut.safetensors").write_bytes((folder / "nan.safetensors").read_bytes()[:999])
    for model, part in [
        ("nan.safetensors", "not finite"),
        ("cut.safetensors", "not a whole safetensors file"),
        ("gone.safetensors", "no such weights file"),
        ("nonsense", "no model named 'nonsense'"),
        (str(shipped / weights.SHIPPED_ENCODER), "expected adain-decoder"),
    ]:
        result = run("stylize", "a.png", "--style", "irises", "--model", model)
        assert (result.exit_code, result.stdout) == (7, ""), model
        assert_one_line(result, part)


def test_contradictions_and_wrong_values_are_usage_errors(run: Run, folder: Path) -> None:
    before = files(folder)
    for options, part in [
        (["--alpha", "nan"], "strength must be from -1 to 3, got nan"),
        (["--alpha", "inf"], "strength"),
        (["--alpha", "3.1"], "strength"),
        (["--alpha", "gone.png"], "or 70%, or a picture file, got 'gone.png'"),
        (["--stroke", "9"], "stroke must be 0 or from 0.125 to 8, got 9"),
        (["--stroke", "nan"], "stroke"),
        (["--feather", "-1"], "feather must be from 0 to 1000, got -1"),
        (["--smooth", "1.5"], "smooth must be from 0 to 1, got 1.5"),
        (["--sharpen", "nan"], "sharpen must be from 0 to 3, got nan"),
        (["--preserve-color", "hue"], "none, luminance, linear or histogram, got 'hue'"),
        (["--keep", "hat"], "keep must be face, or face=STRENGTH with one from 0 to 1, got 'hat'"),
        (["--only", "sky"], "only must be all, face, person, background or subject, got"),
        (["--style", "senecio@face", "--mask", "a.png"], "@PART and --mask both say where"),
        (["--style", "senecio@face", "--only", "face"], "--only and --style NAME@PART both"),
        (["--style", "a@face", "--quality", "best"], "--style NAME@PART works with one pass only"),
        (["--only", "face", "--mask", "a.png"], "--only and --mask both say where"),
        (["--keep", "face", "--alpha", "a.png"], "--keep and a picture of the strength both"),
        (["--only", "face", "--quality", "best"], "--only works with one pass only"),
        (["--style-size", "15"], "style-size must be from 16 to 4096 pixels, got 15"),
        (["--seed", "1"], "--seed works with styles at random only"),
        (["--bits", "12"], "bits must be 8 or 16, got 12"),
        (["--bits", "16", "-o", "x.jpg"], "jpg has 8 bits a channel; use png or tiff"),
        (["--bits", "16", "--format", "webp"], "webp has 8 bits"),
        (["--mask", "a.png", "--mask", "a.png"], "2 --mask for 1 --style"),
        (["--style", "senecio=2", "--mask", "a.png"], "no weights"),
        (["--max-side", "15"], "max-side must be at least 16 pixels, got 15"),
        (["--jpeg-quality", "0"], "jpeg-quality must be from 1 to 100, got 0"),
        (["--jpeg-quality", "101"], "jpeg-quality"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--format", "psd"], "no output format 'psd'"),
        (["-o", "x.gif"], "no format has this suffix"),
        (["-o", "-", "--json"], "both need standard output"),
        (["b.jpg", "-o", "-"], "one result"),
        (["a.png"], "would both become"),
        (["-", "--style", "-"], "not both"),
        (["--style", "-", "--style", "-"], "not both"),
        (["--style", "senecio=nan"], "finite"),
        (["--style", "senecio=-1"], "sum to more than 0"),
        (["--style", "irises"] * 8, "at most 8 styles"),
        (["--nonsense"], "No such option"),
    ]:
        result = run("stylize", "a.png", "--style", "irises", *options)
        assert (result.exit_code, result.stdout) == (2, ""), options
        assert part in " ".join(result.stderr.split()), options
    assert run("stylize", "a.png").exit_code == 2
    assert run("stylize", "--style", "irises").exit_code == 2
    assert files(folder) == before


def test_an_unexpected_error_is_one_line_and_debug_shows_all(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("so much\nfor that")

    monkeypatch.setattr(pipeline, "stylize_picture", fail)
    result = run("stylize", "a.png", "--style", "irises")
    assert result.exit_code == 1
    assert_one_line(result, "unexpected ZeroDivisionError: so much for that", "--debug")
    debugged = run("--debug", "stylize", "a.png", "--style", "irises")
    assert isinstance(debugged.exception, ZeroDivisionError)


def test_an_unexpected_error_before_the_photos_is_one_line_too(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("early")

    monkeypatch.setattr(loading, "load_model", fail)
    result = run("stylize", "a.png", "--style", "irises")
    assert result.exit_code == 1
    assert_one_line(result, "unexpected ZeroDivisionError: early", "--debug")


def test_an_interrupt_keeps_what_is_done_and_ends_with_130(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stylize_picture = pipeline.stylize_picture

    def interrupted(model: Model, photo: Picture, *rest: object, **options: object) -> object:
        if photo.name == "b.jpg":
            raise KeyboardInterrupt
        return stylize_picture(model, photo, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "stylize_picture", interrupted)
    before = files(folder)
    result = run("stylize", "a.png", "b.jpg", "style.png", "--style", "irises")
    assert (result.exit_code, result.stdout) == (130, "a.irises.png\n")
    assert_one_line(result, "interrupted")
    assert files(folder) == before | {"a.irises.png"}


# The rest of the command


def test_the_defaults_are_those_of_the_library() -> None:
    assert StylizeConfig().model == DEFAULT_MODEL


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["stylize", "--help"], ["gallery", "list", "--help"], []],
)
def test_help_and_version_do_not_import_torch(arguments: list[str]) -> None:
    code = (
        "import sys; from gallery.cli import app\n"
        "try: app(sys.argv[1:], prog_name='adain')\n"
        "finally: assert not {'torch', 'numpy', 'PIL', 'sqlalchemy'} & {*sys.modules}, 'heavy'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60
    )
    assert "heavy" not in done.stderr
    assert "adain" in done.stdout + done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_or_closed_standard_output_gives_no_traceback() -> None:
    code = (
        "import sys; from gallery.cli import app; from gallery.cli.streams import emit\n"
        "@app.command()\n"
        "def say() -> None: emit('word'); emit(b'bytes')\n"
        "app(['say'], prog_name='adain')"
    )
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 4
    assert done.stderr == (
        "adain: standard output: cannot be written (No space left on device); "
        "check the free space\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert (done.returncode, done.stderr) == (1, "")


def test_of_a_truncated_tiff_the_command_says_one_line_and_the_c_library_none(
    tmp_path: Path,
) -> None:
    noise, whole = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8), BytesIO()
    tifffile.imwrite(whole, noise, photometric="rgb", compression="zlib")
    photo = tmp_path / "cut.tif"
    photo.write_bytes(whole.getvalue()[:20_000])
    done = subprocess.run(
        [COMMAND, "stylize", photo, "--style", "irises", "--device", "cpu"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode != 0
    assert done.stderr == f"adain: {photo}: damaged or incomplete; get the file again\n"


def test_the_installed_command_paints_with_what_ships(folder: Path) -> None:
    waves = np.sin(np.arange(240)[:, None] / 9) + np.cos(np.arange(321)[None] / 23)
    photo = np.stack([waves, -waves, waves[::-1]], axis=2) * 60 + 128
    Image.fromarray(photo.astype(np.uint8)).save(folder / "waves.png")
    for style in ("cafe-terrace-at-night", "senecio"):
        done = subprocess.run(
            [COMMAND, "stylize", "waves.png", "--style", style, "--device", "cpu"],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (done.returncode, done.stdout) == (0, f"waves.{style}.png\n"), done.stderr
        assert done.stderr == ""
    results = [
        np.asarray(Image.open(f"waves.{style}.png"), dtype=float)
        for style in ("cafe-terrace-at-night", "senecio")
    ]
    for result in results:
        assert result.shape == photo.shape
        assert result.std() > 10
        assert np.abs(result - photo).mean() > 10
    assert np.abs(results[0] - results[1]).mean() > 10
