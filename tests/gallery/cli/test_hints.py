"""The first words of the command: what is meant is done, or named."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from gallery.cli import COMMANDS, SECTIONS, app
from gallery.cli.hints import DEFAULT_STYLE, EXAMPLE_STYLES, MEANT
from gallery.cli.options import parse_alpha
from gallery.database.gallery import shipped_adapters, starter_gallery

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    Image.linear_gradient("L").resize((48, 32)).convert("RGB").save("photo.jpg")
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_a_photo_alone_is_painted_and_the_style_is_said(run: Run) -> None:
    result = run("photo.jpg")
    assert (result.exit_code, result.stdout) == (0, f"photo.{DEFAULT_STYLE}.jpg\n")
    assert f"adain: in the style of {DEFAULT_STYLE}; for another one: --style" in result.stderr
    chosen = run("photo.jpg", "--style", "senecio")
    assert (chosen.stdout, chosen.stderr) == ("photo.senecio.jpg\n", "")
    quiet = run("photo.jpg", "-q", "-o", "quiet.jpg")
    assert (quiet.stdout, quiet.stderr) == ("quiet.jpg\n", "")


def test_a_photo_that_is_missing_is_what_is_wrong(run: Run) -> None:
    result = run("phto.jpg")
    assert result.exit_code == 4 and "phto.jpg: cannot be read" in result.stderr


def test_a_folder_alone_leads_to_batch(run: Run) -> None:
    Path("my photos").mkdir()
    for words in (["my photos"], ["stylize", "my photos", "--style", "senecio"]):
        result = run(*words)
        assert result.exit_code == 2
        assert f"adain batch 'my photos' painted/ --style {DEFAULT_STYLE}" in result.stderr


def test_a_missing_style_names_three_paintings(run: Run) -> None:
    for command in (["stylize", "photo.jpg"], ["batch", "in", "out"]):
        result = run(*command)
        assert result.exit_code == 2
        assert all(name in result.stderr for name in EXAMPLE_STYLES)
    assert "requires an argument" not in run("stylize", "photo.jpg", "--style").stderr
    found = [starter_gallery().find(name.strip("'")) for name in EXAMPLE_STYLES]
    assert {each.sha256 for each in found} <= set(shipped_adapters())  # They show it at its best.


def test_several_pictures_behind_a_style_make_a_result_in_each(run: Run) -> None:
    Path("styles").mkdir()
    files = [f"styles/{name}.png" for name in "ab"]
    for i, file in enumerate(files):
        Image.effect_noise((40, 32), 60 + 60 * i).convert("RGB").save(file)
    both = "photo.a.jpg\nphoto.b.jpg\n"
    repeated = ["--style", files[0], "--style", files[1], "--each"]
    behind, folder = ["--style", *files], ["--style", "styles/"]
    for words in (behind, [f"--style={files[0]}", files[1]], folder, [*folder[:1], "styles/*.png"],
                  repeated):  # fmt: skip
        result = run("stylize", "photo.jpg", *words, "--overwrite", "-q")
        assert (result.exit_code, result.stdout) == (0, both), result.stderr
    alone = Path("photo.b.jpg").read_bytes()
    assert run("photo.jpg", "--style", files[1], "-o", "b.jpg").exit_code == 0
    assert Path("b.jpg").read_bytes() == alone
    mixed = run("stylize", "photo.jpg", "--style", files[0], "--style", files[1], "-q")
    assert mixed.stdout == "photo.a+b.jpg\n"
    first = run("stylize", "--style", files[0], "photo.jpg", files[1], "-o", "photos/", "-q")
    assert first.stdout == "photos/photo.a.jpg\nphotos/b.a.png\n"  # Photos, then.
    sheet = run("sheet", "photo.jpg", "--style", *files, "--json")
    assert '"styles": ["a", "b"]' in sheet.stdout, sheet.stderr
    weighed = run("stylize", "photo.jpg", "--style", f"{files[0]}=2", "--style", "irises", "--each")
    assert weighed.exit_code == 2 and "weights mix styles" in weighed.stderr


def test_words_of_one_name_need_quotes(run: Run) -> None:
    result = run("stylize", "photo.jpg", "--style", "starry", "night")
    assert result.exit_code == 2 and "--style 'starry night'" in result.stderr
    assert not list(Path.cwd().glob("*.*.jpg"))


def test_what_is_missing_has_an_example_and_no_help_is_cut(run: Run) -> None:
    assert "For example: adain stylize harbour.jpg --style irises" in run("stylize").stderr
    assert "stylize [OPTIONS] PHOTO...\n" in run("stylize", "--help").stdout
    groups = [name for name in COMMANDS if "\nCommands:" in run(name, "--help").stdout]
    assert len(groups) > 4
    for words in ([], *([name] for name in groups)):
        assert "...\n" not in run(*words, "--help").stdout.partition("Options:")[2], words


@pytest.mark.parametrize("word", MEANT)
def test_other_words_lead_to_the_command(run: Run, word: str) -> None:
    result = run(word)
    assert result.exit_code == 2
    for meant in MEANT[word].split("|"):
        assert f"'adain {meant}'" in result.stderr
        assert run(*meant.split(), "--help").exit_code == 0


def test_a_word_that_is_nearly_a_command_still_leads_there(run: Run) -> None:
    assert "Did you mean 'stylize'?" in run("sytlize").stderr
    assert run("gallry", "list").exit_code == 2


def test_the_help_has_three_examples_and_every_command_once(run: Run) -> None:
    text = run("--help").stdout
    assert text.count("\n    adain ") == 3
    for name in COMMANDS:
        assert text.count(f"\n  {name} ") == 1
    shown = [title for title, names in SECTIONS.items() if set(names) & set(COMMANDS)]
    assert [line[:-1] for line in text.splitlines() if line[:-1] in SECTIONS] == shown


@pytest.mark.parametrize(
    ("server", "meant"),
    [("foo", "http://foo:8110"), ("host:9000", "http://host:9000"), ("ftp://x/", "http://x:8110")],
)
def test_a_server_that_is_no_address_has_a_line_of_its_own(
    run: Run, server: str, meant: str
) -> None:
    result = run("stylize", "photo.jpg", "--style", "irises", "--server", server)
    assert result.exit_code == 4 and result.stderr.count("\n") == 1
    assert "is no address of a service" in result.stderr and meant in result.stderr


@pytest.mark.parametrize("command", ["stylize", "batch", "video"])
def test_strength_is_alpha(run: Run, command: str) -> None:
    assert "--strength, --alpha" in run(command, "--help").stdout
    wrong = run(command, "photo.jpg", "out.mp4"[: 7 * (command != "stylize")] or "photo.jpg",
                "--style", "irises", "--strength", "9")  # fmt: skip
    assert "strength must be from -1 to 3" in wrong.stderr and "alpha" not in wrong.stderr
    assert parse_alpha("70%") == parse_alpha("0.7") == (0.7, None)


def test_a_photo_is_painted_with_that_strength(run: Run) -> None:
    for option in ("--strength", "--alpha"):
        result = run(
            "stylize", "photo.jpg", "--style", "irises", option, "0", "-o", f"{option}.png"
        )
        assert result.exit_code == 0, result.stderr
    both = [Image.open(f"{option}.png").tobytes() for option in ("--strength", "--alpha")]
    full = run("stylize", "photo.jpg", "--style", "irises", "-o", "full.png")
    assert full.exit_code == 0
    assert both[0] == both[1] != Image.open("full.png").tobytes()


@pytest.mark.skipif(sys.platform != "linux", reason="another program opens files there")
def test_open_shows_the_result(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = Path("xdg-open")
    viewer.write_text('#!/bin/sh\necho noise\nbasename "$1" >> shown.txt\n')
    viewer.chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path.cwd()}{os.pathsep}{os.environ['PATH']}")
    assert run("photo.jpg", "--open", "-q").output == f"photo.{DEFAULT_STYLE}.jpg\n"
    assert Path("shown.txt").read_text() == f"photo.{DEFAULT_STYLE}.jpg\n"
    viewer.write_text("#!/bin/sh\nexit 3\n")
    without = run("photo.jpg", "--open", "-o", "other.jpg", "-q")
    assert (without.exit_code, without.stdout) == (0, "other.jpg\n")
    assert without.stderr == "adain: other.jpg: nothing here shows pictures; open it yourself\n"
