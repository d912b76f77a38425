import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shipping import ship
from sqlalchemy import text

from gallery.config import database_url
from gallery.database.engine import connect
from gallery.database.gallery import (
    make_gallery,
    open_gallery,
    shipped_adapters,
    starter_gallery,
    write_starter,
)
from gallery.database.plain import STARTER, Known, measured
from gallery.database.style_files import STYLES_FILE, StyleFile, load_styles

ENCODER = "0123456789abcdef"
NAMED = {"irises": [6, 7, 8, 9, 10, 11]}


@pytest.fixture
def shipped(styles: StyleFile, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four paintings in the place of those that ship, in a folder that cannot be written."""
    path = ship(styles, monkeypatch)
    path.parent.chmod(0o500)
    return path


def contents(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_the_shipped_database_is_made_of_the_shipped_styles(tmp_path: Path) -> None:
    write_starter(replace(load_styles(), adapters=shipped_adapters()), tmp_path / "new.db")
    command = "run: .venv/bin/python scripts/build_gallery"
    assert contents(tmp_path / "new.db") == contents(STARTER), command
    learnt = 65_000 * len(shipped_adapters())
    assert STARTER.stat().st_size < 1.5 * STYLES_FILE.stat().st_size + learnt


def test_the_slugs_that_ship_need_no_sqlalchemy_and_give_the_same() -> None:
    gallery, encoder = starter_gallery(), load_styles().encoder
    for painting in gallery.page(limit=1000):
        found = measured(database_url(), painting.slug).vectors
        stored = gallery.vector(painting, encoder)
        assert list(found) == [encoder] and stored is not None
        np.testing.assert_array_equal(found[encoder], stored)
    code = (
        "import sys; sys.modules['sqlalchemy'] = None\n"
        "from gallery.database.plain import measured\n"
        "from gallery.config import database_url\n"
        "assert measured(database_url(), 'irises').vectors"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_database_of_ones_own_is_asked_alike(shipped: Path, database: Path) -> None:
    assert measured(database_url(), "irises").vectors[ENCODER][0].tolist() == NAMED["irises"]
    assert measured(database_url(str(database.with_name("none.db"))), "irises") == Known()
    with closing(make_gallery(database_url())) as gallery:
        gallery.keep_vector(gallery.find("irises"), "other", np.ones((1, 4), np.float32))
        found = measured(database_url(), "irises").vectors
        assert found[ENCODER][0].tolist() == NAMED["irises"]
        assert found["other"].tolist() == [[1, 1, 1, 1]]
        gallery.remove([gallery.find("irises").id])
        assert measured(database_url(), "irises") == Known()


@pytest.mark.parametrize("name", ["Irises", "irises ", "van gogh irises", "2", "artist:monet", ""])
def test_only_a_slug_is_looked_up(shipped: Path, name: str) -> None:
    assert measured(database_url(), name) == Known()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE alembic_version SET version_num = '0003'",
        "DROP TABLE alembic_version",
        "UPDATE cached_style SET vector = zeroblob(24)",
        "ALTER TABLE cached_style RENAME TO other",
    ],
)
def test_in_doubt_the_gallery_itself_is_asked(shipped: Path, damage: str) -> None:
    make_gallery(database_url()).close()
    engine = connect(database_url())
    with engine.begin() as connection:
        connection.execute(text(damage))
    engine.dispose()
    assert measured(database_url(), "irises") == Known()


def test_other_servers_and_what_is_no_database_are_left_alone(database: Path) -> None:
    assert measured("postgresql+psycopg://localhost/gallery", "irises") == Known()
    database.parent.mkdir(parents=True)
    database.write_bytes(b"no database at all" * 100)
    assert measured(database_url(), "irises") == Known()


def test_a_new_database_is_a_copy_of_the_shipped_one(shipped: Path, database: Path) -> None:
    with closing(make_gallery(database_url())) as gallery:
        assert contents(database) == contents(shipped)
        assert gallery.remove([1]) == 1  # And can be written.
        assert gallery.integrity() == []
    assert os.access(database, os.W_OK)


def test_the_shipped_database_is_read_where_nobody_may_write(shipped: Path) -> None:
    gallery = open_gallery(database_url())
    group = gallery.find_group("artist", "gogh")
    pooled = gallery.pooled(group, ENCODER, lambda vectors: vectors[:1])
    assert pooled[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert [path.name for path in shipped.parent.iterdir()] == ["starter.db"]
