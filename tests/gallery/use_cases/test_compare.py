"""The use case and the command `adain compare`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from adain.engine.model import Model
from adain.errors import how_to_install
from gallery.cli import app
from gallery.config import CompareConfig
from gallery.database.gallery import starter_gallery
from gallery.use_cases.compare import compare, comparison_sheet
from gallery.use_cases.references import Reference
from gallery.use_cases.sheets import Cell
from gallery.use_cases.styles import find_style

Run = Callable[..., Result]

QUICK = ("--max-side", "48", "--steps", "1,3", "--quiet")


def draw(path: Path, size: tuple[int, int], seed: int, white: int = 256) -> None:
    coarse = np.random.default_rng(seed).integers(0, white, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the photo a.png and the painting b.png; previews go there, too."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(
        "gallery.use_cases.previews.user_cache_path", lambda *_, **__: tmp_path / "cache"
    )
    draw(Path("a.png"), (96, 72), 0)
    draw(Path("b.png"), (90, 90), 1)
    return folder


@pytest.fixture
def run() -> Run:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["compare", *arguments])

    return invoke


pytestmark = pytest.mark.usefixtures("one_thread")


def test_every_way_is_a_row(tiny_model: Model) -> None:
    shares: list[float] = []
    rows = compare(
        tiny_model,
        Path("a.png"),
        find_style([Reference("b.png")], starter_gallery),
        CompareConfig(alphas=(0, 1), steps=(1, 4), max_side=48),
        shares.append,
    )
    assert [row.name for row in rows] == [
        "photo",
        "strength 0",
        "strength 1",
        "render 1",
        "render 4",
    ]
    photo, _, _, quick, slow = rows
    assert (photo.measure.style, photo.measure.content) == (1, 0)
    assert photo.ssim == pytest.approx(1)
    assert photo.seconds is None and quick.steps == 1 and slow.steps == 4
    assert all(row.image.shape == (36, 48, 3) for row in rows)
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    sheet = comparison_sheet("a", rows, [Cell(Image.new("RGB", (40, 40), "red"))] * 4)
    assert sheet.width > 1000


def test_the_sheet_lies_beside_the_photo(run: Run) -> None:
    result = run("a.png", "--style", "b.png", *QUICK)
    assert (result.exit_code, result.stdout) == (0, "a.b.compare.png\n"), result.stderr
    with Image.open("a.b.compare.png") as sheet:
        assert sheet.format == "PNG" and sheet.height > 1000
    assert run("a.png", "--style", "b.png", *QUICK).exit_code == 4


def test_json_has_the_figures_and_more_strength_is_nearer_to_the_style(run: Run) -> None:
    draw(Path("a.png"), (48, 36), 0)  # Figures of a shrunk result would tell of the shrinking.
    draw(Path("b.png"), (90, 90), 1, white=100)
    options = ("--strengths", "0.25,0.5,1", "-o", "c.jpg", "--json")
    result = run("a.png", "--style", "b.png", *QUICK, *options)
    facts = json.loads(result.stdout)
    assert (facts["output"], facts["style"], facts["width"], facts["height"]) == (
        "c.jpg", "b", 48, 36,
    )  # fmt: skip
    rows = facts["rows"]
    assert [row["name"] for row in rows] == [
        "photo", "strength 0.25", "strength 0.5", "strength 1", "render 1", "render 3",
    ]  # fmt: skip
    assert all(
        set(row) == {"name", "style", "content", "speckle", "ssim", "seconds", "steps"}
        for row in rows
    )
    photo, *styles = (row["style"] for row in rows[:4])
    assert styles == sorted(styles, reverse=True) and styles[-1] < photo / 2


def test_styles_without_a_picture_show_a_preview(run: Run, tmp_path: Path) -> None:
    result = run("a.png", "--style", "irises=2", "--style", "b.png", *QUICK)
    assert (result.exit_code, result.stdout) == (0, "a.irises+b.compare.png\n"), result.stderr
    assert len(list((tmp_path / "cache").rglob("*.jpg"))) == 1
    assert run("a.png", "--style", "artist:monet", *QUICK).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--style", "nobody at all"), 5, "nobody at all"),
        (("--style", "b.png=-1", "--style", "b.png=2"), 2, "positive"),
        (("--style", "b.png", "--alphas", "1,x"), 2, "strengths must be numbers"),
        (("--style", "b.png", "--alphas", "9"), 2, "strengths must be from -1 to 3"),
        (("--style", "b.png", "--alphas", "nan"), 2, "strengths must be from"),
        (("--style", "b.png", "--steps", "0"), 2, "steps must be from 1"),
        (("--style", "b.png", "--steps", "1.5"), 2, "steps must be numbers"),
        (("--style", "b.png", "--steps", ",".join("1" * 10)), 2, "at most 9"),
        (("--style", "b.png", "--max-side", "100000"), 2, "max-side"),
        (("--style", "b.png", "-o", "-"), 2, "needs files"),
        (("--style", "b.png", "-o", "no/where.png"), 4, "make it first"),
    ],
)
def test_mistakes_give_one_line(
    run: Run, folder: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = run("a.png", *arguments)
    assert result.exit_code == code, result.output
    assert words in " ".join(result.stderr.split())
    assert {path.name for path in folder.iterdir()} == {"a.png", "b.png"}


def test_without_torch_one_line_says_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = run("a.png", "--style", "b.png", *QUICK)
    assert result.exit_code == 4
    assert result.stderr == f"adain: comparing needs PyTorch; run: {how_to_install('torch')}\n"


def test_a_photo_that_cannot_be_read_leaves_no_sheet(run: Run, folder: Path) -> None:
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    draw(Path("tiny.png"), (9, 9), 0)
    for photo in ("broken.png", "tiny.png", "missing.png"):
        result = run(photo, "--style", "b.png", *QUICK)
        assert result.exit_code == 4 and photo in result.stderr
    assert not list(folder.glob("*.compare.png"))
