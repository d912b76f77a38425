import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shipping import ship
from sqlalchemy import event, text

from adain.engine.model import Model
from adain.imaging.picture import Picture
from adain.imaging.reading import load_image
from adain.painting.measuring import measure_style
from adain.painting.tiling import paint_pixels
from gallery.config import IngestConfig, database_url
from gallery.database.engine import connect, integrity, open_database
from gallery.database.gallery import Gallery, make_gallery
from gallery.database.style_files import StyleFile, load_styles, save_styles
from gallery.errors import DatabaseError, StylesError
from gallery.ingest import pipeline as module
from gallery.ingest.pipeline import IngestStep, ingest
from gallery.ingest.sources import find_candidates
from gallery.use_cases.references import find_target
from gallery.use_cases.styles import stored_style

COMMAND = [sys.executable, "-m", "gallery", "ingest", "--json", "--quiet", "--device", "cpu"]


def draw(path: Path, seed: int, size: tuple[int, int] = (48, 32)) -> Path:
    """Write a picture of smooth colours, different for each seed."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures, one of them twice, one of them in two formats, and two that are none."""
    folder = tmp_path / "pictures"
    for i in range(5):
        draw(folder / f"{i}.png", i)
    shutil.copy(folder / "0.png", folder / "copy.png")
    draw(folder / "other.bmp", 1)
    (folder / "bad.jpg").write_text("no picture")
    (folder / "empty.png").touch()
    return folder


@pytest.fixture
def gallery(monkeypatch: pytest.MonkeyPatch) -> Gallery:
    empty = StyleFile((), np.zeros((0, 1), np.float32), "")
    ship(empty, monkeypatch)
    return make_gallery(database_url())


def run(gallery: Gallery, model: Model, *sources: Path, **options: bool) -> list[IngestStep]:
    steps: list[IngestStep] = []
    candidates = [found for path in sources for found in find_candidates(path)]
    ingest(gallery, candidates, model, IngestConfig(**options), steps.append)  # type: ignore[arg-type]
    return steps


def statuses(steps: Sequence[IngestStep]) -> dict[str, str]:
    return {Path(step.name).name: step.status for step in steps}


def test_each_picture_becomes_one_painting(
    gallery: Gallery, tiny_model: Model, folder: Path
) -> None:
    found = statuses(run(gallery, tiny_model, folder))
    assert found == {
        **{f"{i}.png": "added" for i in range(5)},
        "copy.png": "known",
        "other.bmp": "known",
        "bad.jpg": "failed",
        "empty.png": "failed",
    }
    assert gallery.stats()["paintings"] == 5
    again = run(gallery, tiny_model, folder)
    assert {step.status for step in again} == {"known", "failed"}
    errors = {Path(step.name).name: str(step.error) for step in again if step.error}
    assert "cannot be read as JPEG" in errors["bad.jpg"] and "is empty" in errors["empty.png"]


def test_what_is_cached_is_what_would_be_measured(
    gallery: Gallery, tiny_model: Model, folder: Path
) -> None:
    draw(folder / "large.png", 9, (700, 900))
    for step in run(gallery, tiny_model, folder, jobs=3):  # type: ignore[arg-type]
        if step.painting is not None:
            cached = gallery.vector(step.painting, tiny_model.fingerprint)
            measured = measure_style(tiny_model, Path(str(step.painting.path)))
            assert cached is not None
            assert cached.tobytes() == measured.to_vector().tobytes()


def test_known_pictures_are_not_measured_again(
    gallery: Gallery,
    tiny_model: Model,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(gallery, tiny_model, folder)

    def refuse(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(module, "load_image", refuse)
    (folder / "bad.jpg").unlink()
    (folder / "empty.png").unlink()
    (folder / "other.bmp").unlink()  # Its digest is not known: only its pixels are.
    assert {step.status for step in run(gallery, tiny_model, folder)} == {"known"}


def test_another_encoder_measures_again(gallery: Gallery, tiny_model: Model, folder: Path) -> None:
    run(gallery, tiny_model, folder)
    first = tiny_model.fingerprint
    weights = replace(tiny_model.weights, fingerprint="another")
    run(gallery, replace(tiny_model, weights=weights), folder)
    assert gallery.stats()["measured"] == {first: 5, "another": 5}


def test_a_moved_picture_keeps_its_row(gallery: Gallery, tiny_model: Model, folder: Path) -> None:
    steps = run(gallery, tiny_model, folder)
    (before,) = [step.painting for step in steps if Path(step.name).name == "3.png"]
    assert before is not None
    (folder / "3.png").rename(folder / "new-name.png")
    run(gallery, tiny_model, folder)
    moved = gallery.find(str(before.id))
    assert (moved.slug, moved.path) == (before.slug, str(folder / "new-name.png"))
    assert gallery.stats()["paintings"] == 5


def test_similar_pictures_are_reported_and_added(
    gallery: Gallery, tiny_model: Model, folder: Path
) -> None:
    with Image.open(draw(folder / "2.png", 2, (240, 160))) as image:
        image.save(folder / "z.jpg", quality=90)
    near = {Path(step.name).name: step for step in run(gallery, tiny_model, folder)}
    original = near["2.png"].painting
    assert original is not None
    assert near["z.jpg"].status == "added"
    assert near["z.jpg"].near == (original.slug,)


def test_a_dry_run_foretells_what_a_run_does(
    gallery: Gallery, tiny_model: Model, folder: Path
) -> None:
    run(gallery, tiny_model, folder / "1.png")  # Whose pixels are those of other.bmp.
    with Image.open(draw(folder / "2.png", 2, (240, 160))) as image:
        image.save(folder / "z.jpg", quality=90)
    foretold = run(gallery, tiny_model, folder, dry_run=True)
    assert gallery.stats()["paintings"] == 1
    near = {Path(step.name).name: step.near for step in foretold if step.near}
    assert near == {"z.jpg": (str(folder / "2.png"),)}
    done = statuses(run(gallery, tiny_model, folder))
    assert statuses(foretold) == {
        name: status.replace("added", "new") for name, status in done.items()
    }
    assert {"copy.png": "known", "other.bmp": "known", "z.jpg": "added"}.items() <= done.items()


def test_a_manifest_is_held_to_its_digests(
    gallery: Gallery, tiny_model: Model, folder: Path
) -> None:
    rows = [{"path": "0.png", "sha256": "0" * 64}, {"path": "1.png", "title": "x" * 50_000}]
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    bad, good = run(gallery, tiny_model, folder / "m.jsonl")
    assert "differs from the sha256 of the manifest" in str(bad.error)
    assert good.painting is not None and len(good.painting.title) == 300


@pytest.mark.parametrize(
    "title", ["'; DROP TABLE painting; --", "%_*\"' OR 1=1", "\u202eevil", "שלום עולם", "\x1b[2J x"]
)
def test_hostile_titles_are_only_text(
    gallery: Gallery, tiny_model: Model, folder: Path, title: str
) -> None:
    row = {"path": "0.png", "title": title, "artist": title, "tags": [title]}
    (folder / "m.jsonl").write_text(json.dumps(row))
    (step,) = run(gallery, tiny_model, folder / "m.jsonl")
    assert step.painting is not None
    assert gallery.find(step.painting.slug) == step.painting
    assert gallery.page(title) == [step.painting]
    assert step.painting.title.isprintable()


def test_special_files_and_names_are_refused_without_waiting(
    gallery: Gallery, tiny_model: Model, folder: Path
) -> None:
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    shutil.copy(folder / "4.png", folder / os.fsdecode(b"x\xff.png"))
    steps = {ascii(Path(step.name).name): step for step in run(gallery, tiny_model, folder)}
    assert "not a regular file" in str(steps["'pipe.png'"].error)
    assert "not valid text" in str(steps["'x\\udcff.png'"].error)
    (gone,) = run(gallery, tiny_model, folder / "gone.png")
    assert "No such file" in str(gone.error)


def test_an_interrupt_keeps_what_is_measured(
    gallery: Gallery,
    tiny_model: Model,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def interrupted(model: Model, picture: Picture) -> object:
        calls.append(picture)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure_style(model, picture)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("gallery.ingest.pipeline.measure_style", interrupted)
        run(gallery, tiny_model, folder, jobs=1)  # type: ignore[arg-type]
    assert gallery.stats()["paintings"] == 2
    run(gallery, tiny_model, folder)
    assert gallery.stats()["paintings"] == 5


def test_a_gallery_that_was_exported_paints_the_same_elsewhere(
    gallery: Gallery, tiny_model: Model, folder: Path, tmp_path: Path
) -> None:
    rows = [{"path": f"{i}.png", "artist": "Ann Other", "styles": ["Odd"]} for i in range(5)]
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run(gallery, tiny_model, folder / "m.jsonl")
    numbers, vectors = gallery.vectors(tiny_model.fingerprint)
    paintings = tuple(gallery.pictures(numbers))
    # Backwards, so that the paintings get other numbers.
    exported = StyleFile(paintings[::-1], vectors[::-1], tiny_model.fingerprint)
    save_styles(exported, tmp_path / "mine.safetensors")
    other = make_gallery(database_url(str(tmp_path / "other.db")))
    assert other.import_styles(load_styles(tmp_path / "mine.safetensors")) == 5
    photo = load_image(draw(tmp_path / "photo.png", 8)).pixels
    both = gallery, other
    assert gallery.find("painting-0").id != other.find("painting-0").id
    for name in ("painting-0", "painting-4", "artist:other", "style:odd"):
        styles = (stored_style(tiny_model, each, find_target(each, name)) for each in both)
        one, two = (paint_pixels(tiny_model, photo, style.statistics) for style in styles)
        np.testing.assert_array_equal(one, two)
    other.close()


def test_a_full_disk_loses_nothing_that_was_acknowledged(
    gallery: Gallery, tiny_model: Model, folder: Path, tmp_path: Path
) -> None:
    engine = connect(database_url())
    full = Gallery(engine)

    @event.listens_for(engine, "connect")
    def fill(connection: sqlite3.Connection, record: object) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 40}")

    for i in range(400):
        draw(folder / f"more-{i}.png", 100 + i, (16, 16))
    steps: list[IngestStep] = []
    with pytest.raises(DatabaseError, match=r"disk is full; .* the free space"):
        ingest(full, list(find_candidates(folder)), tiny_model, IngestConfig(), steps.append)
    full.close()
    there = {found.sha256 for found in gallery.page(limit=1000)}
    told = {step.painting.sha256 for step in steps if step.painting is not None}
    assert told and there == told and len(there) < 400
    assert gallery.integrity() == []
    assert {step.status for step in run(gallery, tiny_model, folder)} == {
        "added",
        "known",
        "failed",
    }
    assert gallery.stats()["paintings"] == 405


def test_too_little_memory_fails_one_picture(
    gallery: Gallery,
    tiny_model: Model,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("gallery.ingest.pipeline.measure_style", fail)
    (step,) = run(gallery, tiny_model, folder / "0.png")
    assert isinstance(step.error, MemoryError)
    with pytest.raises(StylesError):
        gallery.vectors(tiny_model.fingerprint)


def test_damaged_statistics_fail_their_picture_and_no_other(
    gallery: Gallery, tiny_model: Model, folder: Path
) -> None:
    run(gallery, tiny_model, folder / "0.png")
    with connect(database_url()).begin() as connection:
        connection.execute(text("UPDATE cached_style SET checksum = checksum + 1"))
    steps = {Path(step.name).name: step for step in run(gallery, tiny_model, folder)}
    assert "'adain gallery repair' mends them" in str(steps["0.png"].error)
    assert steps["2.png"].status == "added"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_eight_processes_share_one_database(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """They ingest overlapping folders of 100 distinct pictures, and make the database too."""
    if kind == "postgresql":
        request.getfixturevalue("postgresql")
    for i in range(8):
        for j in range(40):
            number = (i * 12 + j) % 100
            draw(tmp_path / f"{i}" / f"{number}.png", number)
    processes = [
        subprocess.Popen(
            [*COMMAND, str(tmp_path / f"{i}")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for i in range(8)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert (process.returncode, errors) == (0, b"")
    engine = open_database(database_url())
    gallery = Gallery(engine)
    assert integrity(engine) == []
    paintings = [painting for painting in gallery.page(limit=10_000) if painting.path]
    assert len(paintings) == 100
    assert len({painting.pixel_sha256 for painting in paintings}) == 100
    assert gallery.damaged_vectors() == []
    gallery.close()
