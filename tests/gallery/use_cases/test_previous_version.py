"""What the version before the rooms wrote must still open: see the README beside the files."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from adain.engine.loading import load_model
from adain.engine.model import Model
from gallery.cli import app
from gallery.database.gallery import open_gallery
from gallery.database.style_files import load_styles
from gallery.use_cases.journal import JOURNAL, Journal

FILES = Path(__file__).parents[2] / "data" / "previous_version"

SLUGS = ["cafe-terrace-at-night", "irises", "cafe-terrace", "painting", "irises-i"]

ITS_WEIGHTS = bytes.fromhex("2a9bc60d31e98beff5ec2d61d93d46d5e1195038781defa2742423acdbdcaf59")
"""Digest of the weights that it shipped: results depend on them."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files, with the gallery unpacked, as the working folder."""
    folder = tmp_path / "previous"
    shutil.copytree(FILES, folder)
    (folder / "gallery.db").write_bytes(gzip.decompress((FILES / "gallery.db.gz").read_bytes()))
    monkeypatch.chdir(folder)
    return folder


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--database", "gallery.db"])
    assert result.exit_code == 0, result.output
    return result


def test_its_gallery_opens_and_is_searched(folder: Path) -> None:
    gallery = open_gallery("sqlite:///gallery.db")
    assert [painting.slug for painting in gallery.page()] == SLUGS
    cafe = gallery.find("cafe-terrace")
    assert (cafe.title, cafe.year, cafe.tags) == ("Café Terrace", 1888, ("night", "street"))
    assert gallery.find("Ночь").artist == "Архип Куинджи"
    assert [painting.slug for painting in gallery.page("куинджи")] == ["painting"]
    assert gallery.integrity() == []
    gallery.close()


def test_its_paintings_are_used_and_known_again(folder: Path) -> None:
    result = run("stylize", "photos/photo.png", "--style", "irises-i", "-o", "new.png")
    assert (folder / "new.png").stat().st_size > 0, result.output
    step = json.loads(run("ingest", "cafe-terrace.png", "--json", "--quiet").stdout)
    assert step["status"] == "known"


def test_its_style_file_is_read_and_imported(folder: Path) -> None:
    loaded = load_styles(folder / "styles.safetensors")
    gallery = open_gallery("sqlite:///gallery.db")
    numbers, vectors = gallery.vectors(load_model().fingerprint)
    assert [painting.slug for painting in loaded.paintings] == SLUGS
    assert numbers == [gallery.find(slug).id for slug in SLUGS]
    np.testing.assert_array_equal(loaded.vectors, vectors)
    gallery.close()
    counts = json.loads(run("gallery", "import", "styles.safetensors", "--json").stdout)
    assert counts == {"new": 0, "known": 5}


def test_its_journal_knows_the_result(folder: Path) -> None:
    journal = Journal(folder / "results", read_only=True)
    entry = journal.entry("photo.cafe-terrace.png")
    assert entry is not None and journal.is_made(entry)
    assert (journal.style_of("photo.png"), entry.width, entry.height) == ("cafe-terrace", 20, 16)
    journal.close()


def test_its_batch_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = ("batch", "photos", "results", "--style", "cafe-terrace", "--json")
    before = (folder / "results" / JOURNAL).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Model, "digest", ITS_WEIGHTS)
        assert json.loads(run(*batch).stdout)["status"] == "skipped"
    assert (folder / "results" / JOURNAL).read_bytes() == before
    assert json.loads(run(*batch).stdout)["status"] == "done"  # Today's weights paint otherwise.


def test_its_render_goes_on(folder: Path) -> None:
    result = run(
        "render", "photos/photo.png", "--style", "cafe-terrace-at-night", "-o", "render.png",
        "--init", "photo", "--first-iterations", "60", "--iterations", "60", "--tolerance", "0",
        "--resume", "--overwrite", "--json",
    )  # fmt: skip
    assert json.loads(result.stdout)["ended"] == "finished"
