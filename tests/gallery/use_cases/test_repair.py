import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shipping import ship
from sqlalchemy import text

from adain.engine.model import Model
from gallery.config import IngestConfig, database_url
from gallery.database.engine import connect
from gallery.database.gallery import Gallery, make_gallery
from gallery.database.paintings import Painting
from gallery.database.style_files import StyleFile
from gallery.database.vectors import has_colors, statistics
from gallery.database.writes import pack
from gallery.errors import StylesError
from gallery.ingest.pipeline import ingest
from gallery.ingest.sources import find_candidates
from gallery.use_cases.repair import Finding, find_problems, repair
from gallery.use_cases.styles import pool_vectors, stored_style, unpack_vectors

GREY = np.array([0.5] * 3 + [0.25] * 6, np.float32)
"""Colours of an even grey."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        coarse = np.random.default_rng(i).integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((48, 32), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def gallery(
    request: pytest.FixtureRequest,
    tiny_model: Model,
    styles: StyleFile,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Gallery]:
    """Three ingested pictures beside the four paintings of `conftest`, which have no picture."""
    if request.param == "postgresql":
        request.getfixturevalue("postgresql")
    width = 2 * sum(tiny_model.widths.values())
    vectors = np.random.default_rng(0).uniform(1, 2, (4, width)).astype(np.float32)
    vectors = np.concatenate((vectors, np.tile(GREY, (4, 1))), axis=1)
    starter = replace(styles, vectors=vectors, encoder=tiny_model.fingerprint)
    ship(starter, monkeypatch)
    monkeypatch.setattr("gallery.use_cases.repair.load_styles", lambda: starter)
    gallery = make_gallery(database_url())
    candidates = list(find_candidates(folder))
    ingest(gallery, candidates, tiny_model, IngestConfig(), lambda step: None)
    yield gallery
    gallery.close()


def mend(gallery: Gallery, model: Model, *folders: Path, dry_run: bool = False) -> list[Finding]:
    return list(repair(gallery, model, folders, dry_run))


def problems(gallery: Gallery, model: Model) -> list[Finding]:
    return list(find_problems(gallery, model.fingerprint))


def damage(sql: str, **values: object) -> None:
    engine = connect(database_url())
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.execute(text(sql), values)
        connection.commit()
    engine.dispose()


def whole(gallery: Gallery, model: Model) -> dict[str, bytes]:
    """Return every painting with the bytes of its statistics."""
    found = {}
    for painting in gallery.page(limit=100):
        vector = gallery.vector(painting, model.fingerprint)
        assert vector is not None
        found[repr(painting)] = vector.tobytes()
    return found


def test_a_sound_gallery_stays_as_it_is(gallery: Gallery, tiny_model: Model) -> None:
    before = whole(gallery, tiny_model)
    assert problems(gallery, tiny_model) == mend(gallery, tiny_model) == []
    assert whole(gallery, tiny_model) == before


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE cached_style SET checksum = checksum + 1",
        "UPDATE cached_style SET vector = (SELECT substr(vector, 1, 8) FROM cached_style LIMIT 1)",
        "DELETE FROM cached_style",
    ],
)
def test_statistics_come_back_bit_for_bit(gallery: Gallery, tiny_model: Model, sql: str) -> None:
    before = whole(gallery, tiny_model)
    damage(sql)
    promised = mend(gallery, tiny_model, dry_run=True)
    assert len(problems(gallery, tiny_model)) == 7
    assert mend(gallery, tiny_model) == promised
    remedies = [problem.remedy.partition(" from ")[0] for problem in promised]
    assert remedies == ["taken"] * 4 + ["measured again"] * 3
    assert whole(gallery, tiny_model) == before
    assert problems(gallery, tiny_model) == []


def test_without_its_picture_damage_is_dropped_and_named(
    gallery: Gallery, tiny_model: Model, folder: Path
) -> None:
    lost, changed, _ = (gallery.find(str(number)) for number in (5, 6, 7))
    Path(str(lost.path)).unlink()
    Image.new("RGB", (48, 32), "red").save(str(changed.path))
    damage("UPDATE cached_style SET checksum = 0 WHERE painting_id > 4")
    found = {(p.painting, p.kind): p.remedy for p in mend(gallery, tiny_model)}
    assert found == {
        (5, "picture"): "",
        (5, "statistics"): "",
        (6, "statistics"): "",  # Another picture lies there now.
        (7, "statistics"): f"measured again from {folder / '2.png'}",
    }
    assert gallery.damaged_vectors() == []
    assert gallery.unmeasured(tiny_model.fingerprint) == [5, 6]
    assert [p.id for p in gallery.page()] == list(range(1, 8))


def test_pictures_that_moved_are_found_by_their_content(
    gallery: Gallery, tiny_model: Model, folder: Path, tmp_path: Path
) -> None:
    before = whole(gallery, tiny_model)
    deeper = tmp_path / "elsewhere" / "deeper"
    deeper.mkdir(parents=True)
    (folder / "0.png").rename(deeper / "new name.png")
    (folder / "1.png").rename(deeper / "b.png")
    Image.new("RGB", (48, 32), "red").save(deeper / "another.png")
    damage("UPDATE cached_style SET checksum = 0 WHERE painting_id = 5")
    promised = mend(gallery, tiny_model, tmp_path / "elsewhere", dry_run=True)
    assert gallery.find("5").path == str(folder / "0.png")
    assert mend(gallery, tiny_model, tmp_path / "elsewhere") == promised
    assert gallery.find("5").path == str(deeper / "new name.png")
    assert gallery.find("6").path == str(deeper / "b.png")
    assert problems(gallery, tiny_model) == []
    assert list(whole(gallery, tiny_model).values()) == list(before.values())


def test_the_picture_of_another_file_with_equal_pixels_serves_too(
    gallery: Gallery, tiny_model: Model, folder: Path
) -> None:
    before = whole(gallery, tiny_model)
    Image.open(folder / "0.png").save(folder / "same.bmp")
    damage("DELETE FROM cached_style WHERE painting_id = 5")
    damage("UPDATE painting SET path = :p WHERE id = 5", p=str(folder / "same.bmp"))
    assert [bool(p.remedy) for p in mend(gallery, tiny_model)] == [True]
    assert list(whole(gallery, tiny_model).values()) == list(before.values())


def test_damaged_and_stale_pools_are_dropped(gallery: Gallery, tiny_model: Model) -> None:
    group = gallery.find_group("artist", "gogh")
    pool = partial(pool_vectors, tiny_model)
    right = gallery.pooled(group, tiny_model.fingerprint, pool)
    damage("UPDATE pooled_style SET checksum = checksum + 1")
    (problem,) = mend(gallery, tiny_model)
    assert (problem.kind, bool(problem.remedy)) == ("pool", True)
    damage("UPDATE pooled_style SET group_id = 999")
    assert len(mend(gallery, tiny_model)) == len(problems(gallery, tiny_model)) == 0
    np.testing.assert_array_equal(gallery.pooled(group, tiny_model.fingerprint, pool), right)
    damage("UPDATE pooled_style SET group_id = 999")
    assert [problem.kind for problem in mend(gallery, tiny_model)] == ["pool"]
    np.testing.assert_array_equal(gallery.pooled(group, tiny_model.fingerprint, pool), right)


def test_words_that_were_lost_are_found_again(gallery: Gallery, tiny_model: Model) -> None:
    damage("UPDATE painting SET words = 'nonsense' WHERE id = 2")
    assert gallery.page("irises") == []
    (problem,) = mend(gallery, tiny_model)
    assert (problem.kind, problem.painting, bool(problem.remedy)) == ("search", 2, True)
    assert [painting.id for painting in gallery.page("iris")] == [2]
    assert problems(gallery, tiny_model) == []


@pytest.mark.parametrize("gallery", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO painting_search(painting_search) VALUES ('delete-all')",
        "INSERT INTO painting_search(rowid, words) VALUES (77, 'ghost')",
        "DELETE FROM painting_search_data WHERE id > 10",
    ],
)
def test_the_search_index_is_made_again(gallery: Gallery, tiny_model: Model, sql: str) -> None:
    damage(sql)
    found = mend(gallery, tiny_model)
    assert found and {problem.kind for problem in found} <= {"search", "file"}
    assert all(problem.remedy for problem in found)
    assert [painting.slug for painting in gallery.page("iris")] == ["irises"]
    assert problems(gallery, tiny_model) == []


@pytest.mark.parametrize("gallery", ["sqlite"], indirect=True)
def test_references_to_nothing_are_dropped(gallery: Gallery, tiny_model: Model) -> None:
    damage("INSERT INTO painting_style VALUES (5, 6666)")
    damage("INSERT INTO cached_style SELECT 888, encoder, side, vector, checksum "
           "FROM cached_style LIMIT 1")  # fmt: skip
    damage("UPDATE painting SET artist_id = 999 WHERE id = 4")
    found = mend(gallery, tiny_model)
    assert sum(problem.kind == "references" for problem in found) == 3
    assert all(problem.remedy for problem in found)
    assert problems(gallery, tiny_model) == []
    assert gallery.find("melancholy").artist == ""
    assert len(gallery.page()) == 7


@pytest.mark.parametrize("gallery", ["sqlite"], indirect=True)
def test_an_index_that_lacks_rows_is_made_again(
    gallery: Gallery, tiny_model: Model, database: Path
) -> None:
    definition = "type = 'index' AND name = 'ix_painting_artist_id'"
    gallery.close()
    with sqlite3.connect(database) as connection:
        # An index over another column than it says.
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = 'CREATE INDEX ix_painting_artist_id ON painting (year)'"
            f" WHERE {definition}"
        )
    connection.close()
    found = mend(gallery, tiny_model)
    assert {problem.kind for problem in found} == {"file"}
    assert all(problem.remedy for problem in found)
    assert problems(gallery, tiny_model) == []


def test_a_stopped_repair_goes_on(gallery: Gallery, tiny_model: Model) -> None:
    before = whole(gallery, tiny_model)
    damage("UPDATE cached_style SET checksum = 0")
    steps = repair(gallery, tiny_model)
    for _ in range(3):
        next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert len(problems(gallery, tiny_model)) == 4
    assert len(mend(gallery, tiny_model)) == 4
    assert whole(gallery, tiny_model) == before


def test_a_painting_that_goes_meanwhile_does_no_harm(gallery: Gallery, tiny_model: Model) -> None:
    damage("DELETE FROM cached_style WHERE painting_id IN (1, 2)")
    steps = repair(gallery, tiny_model)
    next(steps)
    gallery.remove([2])
    assert [problem.remedy for problem in steps] == ["it was removed meanwhile"]
    assert isinstance(gallery.find("1"), Painting)


# Colours


def forget_colors(gallery: Gallery, model: Model, *numbers: int) -> None:
    """Make rows what a version without colours wrote."""
    for number in numbers:
        vector = gallery.vector(gallery.find(str(number)), model.fingerprint)
        assert vector is not None
        sql = "UPDATE cached_style SET vector = :vector, checksum = :checksum WHERE painting_id = "
        damage(f"{sql}{number}", **pack(statistics(vector)[0]))


def test_colors_are_measured_where_the_picture_is_at_hand(
    gallery: Gallery, tiny_model: Model, folder: Path
) -> None:
    before = whole(gallery, tiny_model)
    forget_colors(gallery, tiny_model, 1, 5, 6)
    Path(folder / "1.png").rename(folder.parent / "elsewhere.png")
    assert gallery.uncolored(tiny_model.fingerprint) == [1, 5, 6]
    assert {problem.kind for problem in problems(gallery, tiny_model)} == {"picture"}
    promised = mend(gallery, tiny_model, dry_run=True)
    assert mend(gallery, tiny_model) == promised
    assert [(p.kind, p.painting, p.remedy.partition(" from ")[0]) for p in promised] == [
        ("picture", 6, ""),
        ("colors", 1, "taken"),
        ("colors", 5, "measured again"),
    ]
    assert gallery.uncolored(tiny_model.fingerprint) == [6]
    assert [p.painting for p in mend(gallery, tiny_model, folder.parent)] == [6, 6]
    assert list(whole(gallery, tiny_model).values()) == list(before.values())


def test_a_group_has_colors_if_all_its_paintings_have_them(
    gallery: Gallery, tiny_model: Model
) -> None:
    group = gallery.find_group("artist", "gogh")
    assert stored_style(tiny_model, gallery, group).statistics.colors is not None
    forget_colors(gallery, tiny_model, 2)
    gallery.drop_pools()
    assert stored_style(tiny_model, gallery, group).statistics.colors is None
    _, vectors = gallery.vectors(tiny_model.fingerprint, group)
    assert has_colors(vectors).tolist() == [True, False]
    mend(gallery, tiny_model)
    assert stored_style(tiny_model, gallery, group).statistics.colors is not None


@pytest.mark.parametrize(
    "colors",
    [
        [np.nan] + [0.25] * 8,
        [np.inf] * 9,
        [1.5] * 3 + [2.25] * 6,
        [0.5] * 3 + [0.01] * 6,  # Variances of -0.24.
    ],
)
def test_broken_colors_are_named_refused_and_mended(
    gallery: Gallery, tiny_model: Model, colors: list[float]
) -> None:
    before = whole(gallery, tiny_model)
    painting = gallery.find("5")
    vector = gallery.vector(painting, tiny_model.fingerprint)
    assert vector is not None
    vector[0, -9:] = colors
    sql = "UPDATE cached_style SET vector = :vector, checksum = :checksum WHERE painting_id = 5"
    damage(sql, **pack(vector[0]))
    with pytest.raises(StylesError, match="number 5 are damaged"):
        stored_style(tiny_model, gallery, painting)
    with pytest.raises(StylesError, match="number 5 are damaged"):
        gallery.vectors(tiny_model.fingerprint)
    with pytest.raises(StylesError, match="broken colours"):
        unpack_vectors(tiny_model, vector)
    assert [problem.painting for problem in mend(gallery, tiny_model)] == [5]
    assert whole(gallery, tiny_model) == before


def test_statistics_of_another_length_are_named_and_mended(
    gallery: Gallery, tiny_model: Model
) -> None:
    before = whole(gallery, tiny_model)
    sql = "UPDATE cached_style SET vector = :vector, checksum = :checksum WHERE painting_id = 5"
    damage(sql, **pack(np.ones(10, np.float32)))
    with pytest.raises(StylesError, match="number 5 are damaged"):
        gallery.vectors(tiny_model.fingerprint)
    with pytest.raises(StylesError, match="expected style vectors of shape"):
        stored_style(tiny_model, gallery, gallery.find("5"))
    assert [problem.painting for problem in mend(gallery, tiny_model)] == [5]
    assert whole(gallery, tiny_model) == before
