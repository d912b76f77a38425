"""What the READMEs say is so: commands, options, exit codes, routes, links, rooms."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
import typer.core
from PIL import Image
from shipping import ship
from typer.testing import CliRunner

from adain.engine.model import Model
from gallery.cli import app
from gallery.cli.exits import ExitCode
from gallery.config import database_url
from gallery.database.gallery import open_gallery
from gallery.database.style_files import StyleFile
from gallery.web.app import create_app
from gallery.web.settings import ServeConfig

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for page in (ROOT / "README.md", *ROOT.glob("*/**/README.md"))
    if not page.relative_to(ROOT).parts[0].startswith(".")
)


def commands(group: typer.core.TyperGroup, name: str) -> Iterator[tuple[str, set[str]]]:
    """Yield the full name of each command with its long options."""
    context = typer.Context(group)
    for key in group.list_commands(context):
        command = group.get_command(context, key)
        assert command is not None
        full = f"{name} {command.name}"
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, full)
        else:
            names = (option for parameter in command.params for option in parameter.opts)
            yield full, {option for option in names if option.startswith("--")}


def read(*pages: str) -> str:
    return "\n".join((ROOT / page).read_text(encoding="utf-8") for page in pages)


def test_every_command_option_and_exit_code_is_documented() -> None:
    readme = read("gallery/README.md", "gallery/web/README.md")
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    for name, options in commands(group, "adain"):
        _, heading, section = readme.partition(f"### `{name}")
        if not heading:  # Or a row in the section of its group.
            _, heading, section = readme.partition(f"### `{name.rpartition(' ')[0]}`")
            assert f"`{name}" in section.partition("\n##")[0], f"{name} is not documented"
        section = section.partition("\n##")[0]
        missing = {option for option in options if f"`{option}" not in section}
        assert not missing - {"--help"}, f"{name}: {missing}"
    for code in ExitCode:
        assert f"\n| {code} |" in readme


def test_every_route_of_the_service_is_documented(
    tiny_model: Model, styles: StyleFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(styles, monkeypatch)
    page = read("gallery/web/README.md")
    api = create_app(ServeConfig(), tiny_model, open_gallery(database_url())).openapi()
    for path in api["paths"]:
        # A table names `/api/v1` once a row, and what stands for a name in capitals.
        words = [word for word in path.removeprefix("/api/v1").split("/") if word]
        known = [word for word in words if not word.startswith("{")]
        assert all(word in page for word in known), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_path_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for target in re.findall(r"`((?:adain|gallery|scripts|tests)/[\w./]+)`", text):
        assert (ROOT / target).exists(), target
    for target in re.findall(r"`(\w+/\w+\.py)`", text):
        assert list(ROOT.glob(f"**/{target}")), target


def test_the_readme_is_short_and_names_every_room() -> None:
    text = read("README.md")
    assert len(text.encode()) <= 12_000
    for package in ("adain", "gallery"):
        rooms = [path.parent.name for path in (ROOT / package).glob("*/__init__.py")]
        listing = text if package == "adain" else read("gallery/README.md")
        assert not [room for room in rooms if f"{room}/" not in listing]


def test_the_example_of_the_readme_gives_the_bytes_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("harbour.jpg", "mosaic.png")):
        noise = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((48, 32), Image.Resampling.BICUBIC).save(name)
    example = re.search(r"```python\n(import adain\n.*?)```", read("README.md"), re.DOTALL)
    assert example
    exec(compile(example[1], "README.md", "exec"), {})
    command = ["stylize", "harbour.jpg", "--style", "mosaic.png", "--alpha", "0.8"]
    result = CliRunner().invoke(app, [*command, "--no-provenance", "-o", "command.png", "-q"])
    assert result.exit_code == 0, result.output
    assert Path("painted.png").read_bytes() == Path("command.png").read_bytes()
