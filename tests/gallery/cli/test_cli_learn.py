import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pictures import picture
from typer.testing import CliRunner, Result

from adain.imaging.reading import load_image
from adain.styles.adapter import Adapter
from gallery.cli import app
from gallery.cli.learn import read_time
from gallery.config import database_url
from gallery.database.gallery import Gallery, make_gallery
from gallery.use_cases.learn import outcome

QUICK = ["--steps", "1", "-q"]


@pytest.fixture
def painting(tmp_path: Path) -> Path:
    return draw(tmp_path / "mosaic.png", 96, 80)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return draw(tmp_path / "photo.png", 64, 48)


def draw(path: Path, width: int, height: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(picture(width, height, seed=width))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def gallery() -> Gallery:
    return make_gallery(database_url())


def test_a_painting_is_learnt_and_used_from_then_on(
    painting: Path, photo: Path, tmp_path: Path
) -> None:
    preview = tmp_path / "preview.jpg"
    learnt = run("learn", painting, *QUICK, "--json", "--preview", preview)
    assert learnt.exit_code == 0, learnt.output
    facts = json.loads(learnt.stdout)
    assert facts["style"] == "mosaic" and facts["steps"] == 1 and facts["bytes"] <= 64_000
    assert load_image(preview).width > 64

    results = {}
    ways: dict[str, list[object]] = {
        "with": ["--style", "mosaic"],
        "by file": ["--style", painting],
        "without": ["--style", "mosaic", "--no-adapter"],
        "mixed": ["--style", "mosaic", "--style", "irises"],
    }
    for name, options in ways.items():
        out = tmp_path / f"{name}.png"
        painted = run("stylize", photo, *options, "-o", out)
        assert painted.exit_code == 0, painted.output
        results[name] = load_image(out).to_array(8).tobytes()
    assert results["with"] == results["by file"] != results["without"]
    assert results["mixed"] not in (results["with"], results["without"])

    (mark,) = (each for each in gallery().adapters() if each.name == "mosaic")
    assert mark.steps == 1 and mark.base == facts["base"]
    shown = run("gallery", "show", "mosaic", "--json")
    assert json.loads(shown.stdout)["learnt"]["steps"] == 1


def test_several_paintings_are_learnt_as_one_hand(tmp_path: Path) -> None:
    for i, name in enumerate(("one", "two")):
        draw(tmp_path / f"{name}.png", 80 + i, 80)
    manifest = tmp_path / "list.csv"
    manifest.write_text("file,title,artist\none.png,One,Ann Ode\ntwo.png,Two,Ann Ode\n")
    assert run("ingest", manifest, "-q").exit_code == 0
    learnt = run("learn", "artist:ann-ode", *QUICK)
    assert learnt.exit_code == 0, learnt.output
    assert learnt.stdout == "artist:ann-ode\n"
    store = gallery()
    group, known = store.find_group("artist", "ann-ode"), len(store.learnt())
    (base,) = (each.base for each in store.adapters() if each.name == "artist:ann-ode")
    # What is left are the paintings themselves. This process learns one, another one the rest.
    command = [sys.executable, "-m", "gallery", "learn", "--all", *QUICK]
    with store.claim_learning(store.find("one"), base) as ours:
        assert ours
        other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while len(store.learnt()) < known + 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        adapter = store.adapter(group, base)
        assert adapter is not None
        store.keep_adapter(store.find("one"), adapter)
    assert (other.communicate()[0], other.returncode) == ("two\n", 0)
    assert run("learn", "--all").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "--all"),
        (["x.png", "--all"], 2, "--all"),
        (["irises", "--time", "soon"], 2, "as 90s, 5m or 1h"),
        (["irises", "--steps", "0"], 2, "steps"),
        (["the-nowhere-of-nobody"], 5, "nowhere"),
        (["empty"], 4, "no pictures"),
        (["text.png"], 4, "text.png"),
        (["tiny.png"], 4, "at least 32 pixels"),
        (["mosaic.png", "--photos", "empty"], 4, "no pictures"),
    ],
    ids=str,
)
def test_what_cannot_be_learnt_is_one_line(
    arguments: list[str],
    code: int,
    message: str,
    painting: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty").mkdir()
    draw(tmp_path / "tiny.png", 31, 40)
    result = run("learn", *arguments)
    assert result.exit_code == code, result.output
    assert message in result.stderr and "Traceback" not in result.output


def test_a_shipped_painting_without_its_picture_says_what_to_do() -> None:
    result = run("learn", "melancholy")
    assert result.exit_code == 7 and "give a picture of it" in result.stderr


def test_a_killed_run_leaves_the_old_adapter_and_goes_on(painting: Path, tmp_path: Path) -> None:
    assert run("learn", painting, *QUICK).exit_code == 0
    store = gallery()
    target = store.find("mosaic")
    base = store.adapters()[-1].base
    before = store.adapter(target, base)
    command = [sys.executable, "-m", "gallery", "learn", "mosaic", "--steps", "500", "-q"]
    process = subprocess.Popen(command)
    places = tmp_path / "data" / "adain" / "models" / "learning"
    deadline = time.monotonic() + 120
    while not list(places.glob("*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert store.adapter(target, base) == before
    (checkpoint,) = places.glob("*.safetensors")
    with store._engine.begin() as connection:  # The claim of the dead runs out at once.
        connection.exec_driver_sql("UPDATE job SET lease_until = 0")
    reached = int(Adapter.from_bytes(checkpoint.read_bytes()).facts["steps"])
    resumed = run("learn", "mosaic", "--resume", "--steps", reached + 1, "-q", "--json")
    assert json.loads(resumed.stdout)["steps"] == reached + 1
    assert store.adapter(target, base) != before and not list(places.iterdir())


def test_damage_is_found_and_removed(painting: Path) -> None:
    assert run("learn", painting, *QUICK).exit_code == 0
    with make_gallery(database_url())._engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE adapter SET data = zeroblob(9) WHERE id = (SELECT max(id) FROM adapter)"
        )
    assert "mosaic" in run("gallery", "verify").stdout
    assert run("gallery", "repair").exit_code == 0
    assert "mosaic" not in run("gallery", "verify").stdout


def test_a_folder_is_one_hand(tmp_path: Path) -> None:
    draw(tmp_path / "mosaics" / "small.png", 32, 40)
    (tmp_path / "mosaics" / "clear.png").write_bytes(picture(80, 80, "RGBA"))
    (tmp_path / "mosaics" / "text.png").write_text("no picture")
    draw(tmp_path / "photos" / "large.png", 1100, 300)
    ways = ["--photos", tmp_path / "photos", "--strength", 2, "--stroke", 0.5, "--seed", 3]
    learnt = run("learn", tmp_path / "mosaics", *QUICK, *ways)
    assert (learnt.exit_code, learnt.stdout) == (0, "style:mosaics\n")
    assert "text.png" in learnt.stderr
    assert gallery().find_group("style", "mosaics").paintings == 2


def test_what_belongs_to_another_decoder_is_named_and_not_used(
    painting: Path, photo: Path, tmp_path: Path
) -> None:
    assert run("ingest", painting, "-q").exit_code == 0
    before = run("stylize", photo, "--style", "mosaic", "-o", tmp_path / "before.png")
    assert (before.exit_code, before.stderr) == (0, "")
    store = gallery()
    store.keep_adapter(store.find("mosaic"), Adapter("0123456789abcdef", {}))
    for style in ("mosaic", str(painting)):
        out = tmp_path / "after.png"
        painted = run("stylize", photo, "--style", style, "-o", out, "--overwrite")
        assert painted.exit_code == 0, painted.output
        assert "mosaic: was learnt for decoder 0123456789abcdef, not for" in painted.stderr
        assert out.read_bytes() == (tmp_path / "before.png").read_bytes()


@pytest.mark.parametrize(
    ("ended", "said"),
    [("done", "3 steps, 2 s"), ("settled", "improved any more"), ("not finite", "not finite")],
)
def test_it_is_said_how_it_ended(ended: str, said: str) -> None:
    facts = {"steps": 3, "seconds": 1.6, "ended": ended}
    assert said in outcome(Adapter("0123456789abcdef", {}, facts))


def test_times_are_read() -> None:
    assert [read_time(text) for text in (None, "90", "90s", "1.5m", "1h")] == [
        None, 90, 90, 90, 3600,
    ]  # fmt: skip


def test_a_sheet_shows_a_photo_in_the_styles_that_were_learnt(
    painting: Path, photo: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    drawn = run("sheet", photo, "--style", "irises", "--style", painting, "-o", sheet, "--json")
    assert drawn.exit_code == 0, drawn.output
    assert json.loads(drawn.stdout)["styles"] == ["irises", "mosaic"]
    assert load_image(sheet).width > 1000
    few = ["--style", painting, "--search", "starry", "--limit", 2, "-o", sheet, "--overwrite"]
    drawn = run("sheet", photo, *few, "--json")
    assert json.loads(drawn.stdout)["styles"] == ["starry-night", "mosaic"]
    few = ["--limit", 8, "-o", sheet, "--overwrite", "--json"]
    first = json.loads(run("sheet", photo, *few).stdout)["styles"]
    assert len({*first}) == 8 and {"starry-night", "the-scream"} < {*first}
    few = ["--style", "artist:claude-monet", "--style", "irises", "--limit", 2]
    named = run("sheet", photo, *few, "-o", sheet, "--overwrite", "--json")
    assert json.loads(named.stdout)["styles"] == ["irises", "water-lilies"]
    none = run("sheet", photo, "--search", "xyzzy", "-o", tmp_path / "none.png")
    assert none.exit_code == 5 and "xyzzy" in none.stderr
    again = run("sheet", photo, "--style", "irises", "-o", sheet)
    assert again.exit_code == 4 and "--overwrite" in again.stderr
