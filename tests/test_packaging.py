"""What the parts may import, what is documented, and what the distribution contains."""

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("adain", "gallery")
APPLICATION = {"gallery", "typer", "rich", "sqlalchemy", "alembic"}


def imported(path: Path) -> Iterator[str]:
    """Yield the top-level name of everything that a module imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield str(node.module).partition(".")[0]


ROOMS = {
    "adain": ("imaging", "styles", "network", "engine", "painting", "video", "quality",
              "optimizing", "training"),
    "gallery": ("database", "ingest", "use_cases", "web", "cli"),
}  # fmt: skip
"""The rooms of each package: each imports those before it only, and the modules beside them."""


def modules(path: Path) -> Iterator[str]:
    """Yield the full name of each module of the project that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in PACKAGES:
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    "path", sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py")), ids=str
)
def test_rooms_import_only_those_below_them(path: Path) -> None:
    package, *inner = path.relative_to(ROOT).with_suffix("").parts
    rooms = ROOMS[package]
    if package == "adain":
        assert not APPLICATION & set(imported(path))
    if inner[0] in ("__init__", "__main__", "client"):
        return  # Ways in: they stand above all rooms.
    allowed = rooms[: rooms.index(inner[0]) + 1] if inner[0] in rooms else ()
    for name in modules(path):
        target = name.split(".")
        if target[0] == package and len(target) > 1 and target[1] in rooms:
            assert target[1] in allowed, f"{path}: {name}"


def test_the_library_runs_without_the_application() -> None:
    paths = (path.relative_to(ROOT) for path in (ROOT / "adain").rglob("[!_]*.py"))
    modules = [".".join(path.with_suffix("").parts) for path in paths]
    code = (
        f"import importlib, sys\nfor name in {APPLICATION!r}: sys.modules[name] = None\n"
        f"for name in {modules!r}: importlib.import_module(name)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_every_package_is_in_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {path.parent for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    dotted = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(project["tool"]["setuptools"]["packages"]) == dotted
    assert all((ROOT / name / "py.typed").exists() for name in PACKAGES)


def test_no_tests_folder_is_a_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_every_script_can_be_run_and_has_its_line() -> None:
    lines = (ROOT / "scripts" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "scripts").iterdir():
        if path.is_file() and path.name != "README.md":
            assert f"| `{path.name}" in lines, path.name
            data = path.suffix in (".py", ".csv", ".safetensors")
            assert data or os.access(path, os.X_OK), path.name
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
