import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shipping import ship
from typer.testing import CliRunner, Result

from adain.engine import loading
from adain.engine.device import choose_device
from adain.engine.model import Model
from gallery.cli import app
from gallery.database.style_files import StyleFile

Run = Callable[..., Result]


@pytest.fixture
def run(tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    empty = StyleFile((), np.zeros((0, 1), np.float32), "")
    ship(empty, monkeypatch)

    def load(name: str, device: str, threads: int | None) -> Model:
        choose_device(device)
        return tiny_model

    monkeypatch.setattr(loading, "load_model", load)
    folder = tmp_path / "in"
    folder.mkdir()
    monkeypatch.chdir(folder)
    generator = np.random.default_rng(0)
    for name in ("moon.png", "sun.png"):
        Image.fromarray(generator.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(name)
    return lambda *arguments: CliRunner().invoke(app, ["ingest", *arguments])


def test_slugs_of_new_paintings_are_printed(run: Run) -> None:
    first = run(".")
    assert (first.exit_code, first.stdout) == (0, "moon\nsun\n")
    assert first.stderr == "adain: added=2 known=0 failed=0\n"
    again = run(".", "-q")
    assert (again.exit_code, again.stdout, again.stderr) == (0, "", "")


def test_json_tells_what_became_of_each(run: Run) -> None:
    Path("bad.png").write_text("nothing")
    result = run(".", "--json")
    assert result.exit_code == 3
    rows = {Path(row["source"]).name: row for row in map(json.loads, result.stdout.splitlines())}
    assert rows["moon.png"]["status"] == "added"
    assert (rows["moon.png"]["id"], rows["moon.png"]["slug"]) == (1, "moon")
    assert rows["bad.png"]["error"].startswith("bad.png: ") or "bad.png" in rows["bad.png"]["error"]
    assert result.stderr.count("\n") == 2


@pytest.mark.parametrize("place", [(), ("--database", "new.db")])
def test_a_dry_run_makes_no_database(run: Run, database: Path, place: tuple[str, ...]) -> None:
    result = run(".", "--dry-run", *place)
    assert (result.exit_code, result.stderr) == (0, "adain: new=2 known=0 failed=0\n")
    assert [Path(line).name for line in result.stdout.splitlines()] == ["moon.png", "sun.png"]
    assert not database.exists() and not Path("new.db").exists()


def test_similar_pictures_are_noted(run: Run) -> None:
    y, x = np.mgrid[0:60, 0:80] / 9
    wave = (np.sin(x + y) * 100 + 128).astype(np.uint8)
    Image.fromarray(wave).save("wave.png")
    Image.fromarray(wave).save("wave2.jpg", quality=80)
    assert "wave2.jpg: looks like wave\n" in run(".").stderr


def test_a_path_that_is_nothing_gives_one_line(run: Run) -> None:
    for name in ("gone", "gone.csv"):
        result = run(name, "-q")
        assert result.exit_code == 4
        assert result.stderr.count("\n") == 1 and "No such file" in result.stderr


def test_where_no_picture_is_found_that_is_said(run: Run) -> None:
    Path("deep/er").mkdir(parents=True)
    Path("empty.jsonl").touch()
    for name in ("deep", "empty.jsonl"):
        result = run(name, "-q")
        assert (result.exit_code, result.stdout) == (4, "")
        assert result.stderr == f"adain: {name}: no pictures were found in it\n"
    Path("moon.png").rename("deep/er/moon.png")
    assert run("deep").stderr == (
        "adain: deep: no pictures were found in it; its folders hold some: add --recursive\n"
        "adain: added=0 known=0 failed=1\n"
    )
    assert run("deep", "--recursive").stdout == "moon\n"
    assert run("sun.png", "empty.jsonl").exit_code == 3


def test_wrong_values_are_usage_errors(run: Run) -> None:
    for options in (["--jobs", "0"], ["--device", "tpu"], ["--nonsense"]):
        assert run(".", *options).exit_code == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte; needs root."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount")
def test_a_full_disk_gives_one_line_and_loses_nothing(run: Run, small_disk: Path) -> None:
    database = ("--database", str(small_disk / "gallery.db"))
    assert run("moon.png", *database).stdout == "moon\n"
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    full = run("sun.png", "-q", *database)
    assert (full.exit_code, full.stdout, full.stderr.count("\n")) == (4, "", 1)
    assert "disk is full" in full.stderr and "the free space" in full.stderr
    filler.unlink()
    assert run("sun.png", *database).stdout == "sun\n"


def test_a_date_that_is_not_understood_is_noted_and_the_painting_stays(run: Run) -> None:
    Path("m.csv").write_text("path,title,date\nmoon.png,Moon,when it rained\nsun.png,Sun,1890s\n")
    result = run("m.csv", "--json")
    assert result.exit_code == 0
    moon, sun = map(json.loads, result.stdout.splitlines())
    note = "m.csv:2: date 'when it rained' is not understood (no year)"
    assert moon["notes"] == [note] and moon["status"] == "added" and "notes" not in sun
    assert f"adain: {note}; the rest of it is kept\n" in result.stderr
