import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shipping import ship
from sqlalchemy import text
from typer.testing import CliRunner, Result

from adain.styles.adapter import Adapter
from gallery.cli import app
from gallery.config import database_url
from gallery.database.engine import connect
from gallery.database.gallery import make_gallery
from gallery.database.plain import SCHEMA
from gallery.database.style_files import StyleFile, load_styles
from gallery.database.writes import pack

Run = Callable[..., Result]


@pytest.fixture
def run(styles: StyleFile, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, with the four paintings of `conftest` as the starter gallery."""
    grey = np.array([0.5] * 3 + [0.25] * 6, np.float32)
    vectors = np.concatenate((styles.vectors, np.tile(grey, (4, 1))), axis=1)
    shipped = replace(styles, vectors=vectors, encoder=load_styles().encoder)
    ship(shipped, monkeypatch)
    monkeypatch.setattr("gallery.use_cases.repair.load_styles", lambda: shipped)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_lists_are_aligned_and_paged(run: Run) -> None:
    assert lines(run("gallery", "list")) == [
        "1  cafe-terrace  Café Terrace at Night  Vincent van Gogh  1888  Impressionism",
        "2  irises        Irises                 Vincent van Gogh  1889  Impressionism, Realism",
        "3  water-lilies  Water Lilies           Claude Monet      1906  Impressionism",
        "4  melancholy    Melancholy             Edvard Munch            Expressionism",
    ]
    page = run("gallery", "list", "--limit", "2", "--after", "1", "--style", "impressionism")
    assert [line.split()[0] for line in lines(page)] == ["2", "3"]
    assert page.stderr == ""
    page = run("gallery", "list", "--limit", "2")
    assert page.stderr == "adain: there are more; go on with --after 2\n"


def test_search_and_groups(run: Run) -> None:
    assert "irises" in lines(run("gallery", "search", "real", "gogh"))[0]
    found = lines(run("gallery", "search", "impress", "--artist", "monet", "--json"))
    assert [json.loads(line)["slug"] for line in found] == ["water-lilies"]
    assert lines(run("gallery", "artists"))[0] == "claude-monet      Claude Monet      1"
    assert json.loads(lines(run("gallery", "styles", "--json"))[1])["paintings"] == 3


def test_a_search_without_a_result_says_so(run: Run) -> None:
    for options in ([], ["--json"]):
        result = run("gallery", "search", "mone", "lilys", *options)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr == "adain: no paintings match 'mone lilys'; did you mean lilies?\n"
    assert run("gallery", "search", "xyz").stderr == "adain: no paintings match 'xyz'\n"


def test_show_and_stats(run: Run) -> None:
    shown = json.loads(lines(run("gallery", "show", "munch", "--json"))[0])
    assert (shown["slug"], shown["genres"], shown["path"]) == ("melancholy", ["portrait"], None)
    assert "title         Melancholy" in lines(run("gallery", "show", "4"))
    assert json.loads(lines(run("gallery", "stats", "--json"))[0])["paintings"] == 4
    assert "artists                               3" in lines(run("gallery", "stats"))


def test_similar_gives_the_nearest_first(run: Run) -> None:
    rows = map(json.loads, lines(run("gallery", "similar", "irises", "--limit", "3", "--json")))
    found = [(row["slug"], row["distance"]) for row in rows]
    step = round(6 * 6**0.5, 3)
    assert found == [("cafe-terrace", step), ("water-lilies", step), ("melancholy", 2 * step)]


def test_reading_makes_no_database_and_writing_makes_one(run: Run, database: Path) -> None:
    lines(run("gallery", "list"))
    lines(run("gallery", "verify"))
    assert not database.exists()
    assert lines(run("gallery", "remove", "irises", "1")) == ["irises", "cafe-terrace"]
    assert len(lines(run("gallery", "list"))) == 2


def test_remove_wants_the_very_name(run: Run) -> None:
    result = run("gallery", "remove", "munch")
    assert result.exit_code == 5
    assert result.stderr.count("\n") == 1 and "give melancholy" in result.stderr
    unknown = run("gallery", "remove", "melancholy", "irisis")
    assert unknown.exit_code == 5
    assert "no painting named 'irisis' in the gallery; did you mean irises" in unknown.stderr
    assert len(lines(run("gallery", "list"))) == 4
    assert lines(run("gallery", "remove", "3", "water-lilies", "3")) == ["water-lilies"]


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_database_that_was_named_must_be_there(
    run: Run, by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "named.db"
    if by == "variable":
        monkeypatch.setenv("ADAIN_DATABASE", str(named))
    options = ["--database", str(named)] if by == "option" else []
    for command in (["list"], ["show", "1"], ["remove", "1"], ["repair"], ["verify"], ["stats"]):
        result = run("gallery", *command, *options)
        assert (result.exit_code, result.stdout) == (4, "")
        assert result.stderr.startswith(f"adain: {named}: no such gallery; ")
        assert "'adain db upgrade'" in result.stderr and not named.exists()
    assert run("gallery", "import", *options).stderr == "adain: new=0 known=4\n"
    assert len(lines(run("gallery", "list", *options))) == 4


def test_machines_are_told_what_was_written(run: Run, tmp_path: Path) -> None:
    file = str(tmp_path / "mine.safetensors")
    assert json.loads(run("gallery", "export", file, "--json").stdout) == {
        "file": file,
        "paintings": 4,
    }
    removed = run("gallery", "remove", "3", "irises", "3", "--json")
    assert [json.loads(line) for line in lines(removed)] == [
        {"id": 3, "slug": "water-lilies"},
        {"id": 2, "slug": "irises"},
    ]
    imported = run("gallery", "import", file, "--json")
    assert (json.loads(imported.stdout), imported.stderr) == ({"new": 2, "known": 2}, "")


def test_long_titles_do_not_stretch_tables(run: Run) -> None:
    lines(run("db", "upgrade"))
    with connect(database_url()).begin() as connection:
        connection.execute(text("UPDATE painting SET title = :t WHERE id = 2"), {"t": "x" * 300})
    table = lines(run("gallery", "list"))
    assert max(map(len, table)) < 200 and f"{'x' * 59}…" in table[1]
    assert json.loads(lines(run("gallery", "show", "2", "--json"))[0])["title"] == "x" * 300


def test_export_and_import_carry_a_gallery(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    before = lines(run("gallery", "list", "--json"))
    assert lines(run("gallery", "export", str(file))) == [str(file)]
    again = run("gallery", "export", str(file))
    assert again.exit_code == 4 and "--overwrite" in again.stderr
    lost = run("gallery", "export", str(tmp_path / "gone" / "x.safetensors"))
    assert lost.exit_code == 4 and "cannot be written (No such file" in lost.stderr
    lines(run("gallery", "export", str(file), "--overwrite"))
    lines(run("gallery", "remove", "2", "3"))
    imported = run("gallery", "import", str(file))
    assert (imported.exit_code, imported.stderr) == (0, "adain: new=2 known=2\n")

    def plain(rows: list[str]) -> list[str]:
        return sorted(str({**json.loads(row), "id": 0}) for row in rows)

    assert plain(lines(run("gallery", "list", "--json"))) == plain(before)
    assert run("gallery", "import").stderr == "adain: new=0 known=4\n"


def test_verify_names_what_is_wrong(run: Run, tmp_path: Path) -> None:
    lines(run("db", "upgrade"))
    with connect(database_url()).begin() as connection:
        connection.execute(text("UPDATE painting SET path = '/gone.png' WHERE id = 1"))
        connection.execute(text("UPDATE cached_style SET checksum = 0 WHERE painting_id = 2"))
    result = run("gallery", "verify")
    assert result.exit_code == 4
    assert result.stdout.splitlines() == [
        "painting 1: /gone.png: its picture is gone",
        "painting 2: its statistics are damaged",
    ]
    assert "2 problems" in result.stderr
    assert run("gallery", "similar", "1").exit_code == 7


def test_repair_mends_what_verify_finds(run: Run, tmp_path: Path) -> None:
    assert run("gallery", "repair").stderr == "adain: no problems\n"
    with connect(database_url()).begin() as connection:
        connection.execute(text("UPDATE painting SET path = '/gone.png' WHERE id = 1"))
        connection.execute(text("UPDATE cached_style SET checksum = 0 WHERE painting_id = 2"))
    promised = run("gallery", "repair", "--dry-run", "--json")
    assert promised.exit_code == 3
    assert "copy it with 'adain db backup FILE'" in promised.stderr
    rows = [json.loads(line) for line in promised.stdout.splitlines()]
    assert [(row["kind"], row["painting"], bool(row["remedy"])) for row in rows] == [
        ("picture", 1, False),
        ("statistics", 2, True),
    ]
    assert len(run("gallery", "verify", "--json").stdout.splitlines()) == 2
    done = run("gallery", "repair", str(tmp_path))
    assert done.exit_code == 3
    assert done.stdout.splitlines() == [
        "painting 1: /gone.png: its picture is gone: cannot be mended",
        "painting 2: its statistics are damaged: taken from the starter gallery",
    ]
    assert "mended=1 left=1" in done.stderr
    assert run("gallery", "similar", "1").exit_code == 0
    assert run("gallery", "repair").exit_code == 4
    assert run("gallery", "repair", str(tmp_path / "nowhere")).exit_code == 2


def test_repair_says_of_how_many_it_measured_the_colors(run: Run, styles: StyleFile) -> None:
    lines(run("db", "upgrade"))
    row = pack(styles.vectors[0])
    with connect(database_url()).begin() as connection:
        change = text("UPDATE cached_style SET vector = :vector, checksum = :checksum")
        connection.execute(change, row)
        connection.execute(text("UPDATE painting SET sha256 = 'other' WHERE id = 1"))
    for arguments in (["--dry-run"], []):
        done = run("gallery", "repair", *arguments)
        assert done.stdout.splitlines() == [
            f"painting {i}: its colours were not measured: taken from the starter gallery"
            for i in (2, 3, 4)
        ]
        assert "colours: measured=3 estimated=1" in done.stderr
    assert "colours: measured=0 estimated=1" in run("gallery", "repair").stderr


def test_db_commands(run: Run, database: Path, tmp_path: Path) -> None:
    missing = run("db", "check")
    assert missing.exit_code == 4 and "with 'adain db upgrade'" in missing.stderr
    assert lines(run("db", "upgrade")) == [f"{database}: made, with tables {SCHEMA}"]
    assert lines(run("db", "upgrade")) == [f"{database}: is up to date (tables {SCHEMA})"]
    assert lines(run("db", "check")) == [f"{database}: ok"]
    copy = tmp_path / "copy.db"
    assert lines(run("db", "backup", str(copy))) == [str(copy)]
    assert len(lines(run("gallery", "list", "--database", str(copy)))) == 4
    with connect(database_url()).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    for command in (["db", "check"], ["db", "upgrade"], ["gallery", "list"]):
        result = run(*command)
        assert result.exit_code == 8
        assert result.stderr.count("\n") == 1 and "newer adain" in result.stderr


def test_previews_go_where_they_are_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "platform", "linux")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["gallery", "preview", *arguments])

    out = tmp_path / "out"
    small = ("--size", "64")
    many = run("irises", "artist:hokusai", *small, "-o", f"{out}/", "--json")
    assert [json.loads(line)["style"] for line in lines(many)] == ["irises", "katsushika-hokusai"]
    assert {path.name for path in out.iterdir()} == {"irises.jpg", "katsushika-hokusai.jpg"}
    assert len(list((tmp_path / "cache").rglob("*.jpg"))) == 2
    assert run("irises", *small, "-o", f"{out}/").exit_code == 4
    assert lines(run("irises", *small, "-o", str(out / "irises.jpg"), "--overwrite"))
    photo = tmp_path / "photo.png"
    Image.new("RGB", (90, 60), "red").save(photo)
    lines(run("irises", *small, "-o", str(tmp_path / "p.jpg"), "--photo", str(photo)))
    with Image.open(tmp_path / "p.jpg") as image:
        assert image.size == (64, 43)
    assert run("irises", "-o", str(tmp_path / "a.png")).exit_code == 2
    assert run("irises", "1", "irises", "-o", f"{out}/").exit_code == 2
    assert run("irises", "nosuch", "-o", f"{out}/").exit_code == 5


def test_contradictions_are_usage_errors(run: Run) -> None:
    both = run("gallery", "list", "--artist", "monet", "--style", "impressionism")
    assert both.exit_code == 2 and "not both" in both.stderr
    assert run("gallery", "list", "--limit", "0").exit_code == 2
    unknown = run("gallery", "list", "--artist", "mnet")
    assert unknown.exit_code == 5 and "artist:claude-monet" in unknown.stderr


def test_a_sheet_shows_previews_of_paintings_whose_pictures_are_not_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "platform", "linux")
    sheet = tmp_path / "sheet.png"
    command = ["gallery", "similar", "mona lisa", "--limit", "2", "--sheet", str(sheet)]
    lines(CliRunner().invoke(app, command))
    with Image.open(sheet) as image:
        grey = np.asarray(image) == 211
    assert grey.all(-1).mean() < 0.01


def test_an_export_takes_the_filters_of_list_and_search(run: Run, tmp_path: Path) -> None:
    def exported(*arguments: str) -> list[str]:
        file = tmp_path / "some.safetensors"
        lines(run("gallery", "export", str(file), *arguments, "--overwrite"))
        return [painting.slug for painting in load_styles(file).paintings]

    assert exported("--artist", "van gogh") == ["cafe-terrace", "irises"]
    assert exported("real") == ["irises"]
    assert exported("night", "--style", "impressionism") == ["cafe-terrace"]
    nothing = run("gallery", "export", str(tmp_path / "none.safetensors"), "guernica")
    assert nothing.exit_code == 5 and not (tmp_path / "none.safetensors").exists()
    assert "no measured paintings match 'guernica'" in nothing.stderr


def test_an_export_and_an_import_carry_what_was_learnt(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = Adapter("0" * 16, {"1.bias": np.ones(3, np.float32)})
    gallery = make_gallery(database_url())
    gallery.keep_adapter(gallery.find("irises"), adapter)
    file = tmp_path / "some.safetensors"
    lines(run("gallery", "export", str(file), "--artist", "van gogh"))
    other = f"sqlite:///{tmp_path / 'other.db'}"
    lines(run("gallery", "export", str(tmp_path / "none.safetensors"), "--artist", "munch"))
    assert not load_styles(tmp_path / "none.safetensors").adapters
    make_gallery(other)
    lines(run("gallery", "import", str(file), "--database", other))
    kept = make_gallery(other)
    assert kept.adapter(kept.find("irises"), "0" * 16) is not None


def test_similar_paintings_on_a_sheet(run: Run, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    assert len(lines(run("gallery", "similar", "irises", "--sheet", str(sheet)))) == 3
    with Image.open(sheet) as image:
        assert image.width > 1000
    again = run("gallery", "similar", "irises", "--sheet", str(sheet))
    assert again.exit_code == 4 and "exists already" in again.stderr
