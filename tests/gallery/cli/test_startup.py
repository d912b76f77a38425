"""What a command does not use is not imported."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gallery.database.gallery import make_gallery

HEAVY = ("torch", "torchvision", "sqlalchemy", "alembic", "fastapi", "starlette", "uvicorn",
         "scipy", "requests", "rich", "matplotlib", "skimage", "onnx", "ray",
         "tifffile")  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a photo and a painting."""
    monkeypatch.chdir(tmp_path)
    x = np.linspace(0, 255, 64, dtype=np.uint8)
    levels = np.stack(np.broadcast_arrays(x[None], x[:, None], x[None, ::-1]), 2)
    Image.fromarray(levels).save("photo.png")
    Image.fromarray(levels[::-1]).save("painting.png")
    return tmp_path


def run(*arguments: str, without: tuple[str, ...] = HEAVY, given: bytes = b"") -> bytes:
    """Run the command where some modules cannot be imported; return what it prints."""
    code = (
        f"import sys\nfor name in {without!r}: sys.modules[name] = None\n"
        "from gallery.__main__ import main\nmain()"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, input=given, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize("style", ["painting.png", "irises", "irises=2", "-"])
def test_painting_imports_what_it_uses(folder: Path, style: str) -> None:
    given = Path("painting.png").read_bytes()
    unused = (*HEAVY, "adain.engine.people", "adain.painting.regions")
    run("stylize", "photo.png", "--style", style, "-o", "painted.png", without=unused, given=given)
    with Image.open("painted.png") as painted:
        assert painted.size == (64, 64)
        painted.load()


def test_a_style_of_ones_own_gallery_is_looked_up_alike(folder: Path, database: Path) -> None:
    make_gallery(f"sqlite:///{database}").close()
    run("stylize", "photo.png", "--style", "irises", "-o", "a.png")
    run("stylize", "photo.png", "--style", "van gogh: irises", "-o", "b.png", without=("torch",))
    assert Image.open("a.png").tobytes() == Image.open("b.png").tobytes()


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("stylize", "--help")])
def test_help_needs_no_numbers(arguments: tuple[str, ...]) -> None:
    assert run(*arguments, without=(*HEAVY, "numpy", "PIL", "onnxruntime"))


def test_the_library_is_imported_in_no_time() -> None:
    code = "import sys; before = set(sys.modules); import adain; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert len(done.stdout.split()) < 30
