import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from gallery.config import database_url
from gallery.database.engine import (
    alembic_config,
    backup,
    connect,
    integrity,
    memory_database,
    open_database,
    upgrade,
)
from gallery.database.gallery import Gallery
from gallery.database.plain import SCHEMA
from gallery.database.style_files import StyleFile
from gallery.database.tables import Base
from gallery.errors import DatabaseError, SchemaError


@pytest.fixture
def engine(database: Path) -> Engine:
    upgrade(connect(database_url()), lambda session: None)
    return open_database(database_url())


def objects(engine: Engine) -> set[tuple[str, str]]:
    """Return every table, index and trigger with its statement, without its spacing."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
        return {(name, "".join(sql.split())) for name, sql in rows if name != "alembic_version"}


def test_the_migrations_make_the_tables_that_the_code_describes(engine: Engine) -> None:
    assert objects(engine) == objects(memory_database())
    with engine.connect() as connection:
        options = {"include_name": lambda name, *_: not str(name).startswith("painting_search")}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [SCHEMA]


def test_upgrade_twice_changes_nothing_and_fills_once(database: Path) -> None:
    filled: list[object] = []
    assert upgrade(connect(database_url()), filled.append) == (None, SCHEMA)
    assert upgrade(connect(database_url()), filled.append) == (SCHEMA, SCHEMA)
    assert len(filled) == 1


def test_a_failed_upgrade_leaves_no_tables(database: Path) -> None:
    def fail(session: object) -> None:
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        upgrade(connect(database_url()), fail)
    with pytest.raises(SchemaError, match="holds no gallery; 'adain db upgrade'"):
        open_database(database_url())
    assert upgrade(connect(database_url()), lambda session: None) == (None, SCHEMA)


def test_several_processes_may_make_it_at_once(database: Path) -> None:
    code = "from gallery.database.gallery import make_gallery\n"
    code += "from gallery.config import database_url\n"
    code += "make_gallery(database_url())"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait(120) for process in processes] == [0] * 4
    assert integrity(open_database(database_url())) == []


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("0000", "made by a newer adain"),
        ("9999", r"made by a newer adain \(tables 9999, this program knows \d+\)"),
        (None, "holds no gallery"),
    ],
)
def test_other_tables_are_named_with_the_remedy(
    engine: Engine, version: str | None, message: str
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE alembic_version SET version_num = :v"), {"v": version or ""}
        )
        if version is None:
            connection.execute(text("DELETE FROM alembic_version"))
    with pytest.raises(SchemaError, match=message):
        open_database(database_url())


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("version", ["0001", "0002", "0003"])
def test_older_databases_are_brought_up_to_date_with_their_paintings(
    kind: str,
    version: str,
    styles: StyleFile,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if kind == "postgresql":
        request.getfixturevalue("postgresql")
    engine = connect(database_url())
    if kind == "sqlite":
        Path(str(engine.url.database)).parent.mkdir(parents=True)
    with monkeypatch.context() as patch:  # What was before there were embeddings.
        patch.setattr("gallery.database.writes.add_embeddings", lambda *_: None)
        config = alembic_config()
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, version)
        assert Gallery(engine).import_styles(styles) == 4
    with pytest.raises(SchemaError, match=f"has tables of version {version}, this program needs"):
        open_database(database_url())
    assert upgrade(engine, lambda session: None) == (version, SCHEMA)
    gallery = Gallery(open_database(database_url()))
    found = gallery.similar(styles.vectors[1:2], styles.encoder, 1)
    assert [(each.slug, far) for each, far in found] == [("irises", 0)]
    if kind == "postgresql":
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM style_embedding")) == 4
            names = set(inspect(connection).get_table_names())
        assert names == {*Base.metadata.tables, "alembic_version", "style_embedding"}
    gallery.close()
    engine.dispose()


def test_an_older_database_is_sent_to_upgrade(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gallery.database.engine.SCHEMA", "9998")
    with pytest.raises(SchemaError, match=rf"{SCHEMA}, this program needs 9998; .* db upgrade"):
        open_database(database_url())


def test_files_that_are_no_database_give_one_line(database: Path, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="no such gallery; check the path, or make one"):
        open_database(database_url())
    database.parent.mkdir(parents=True)
    database.write_text("I am not a database, but longer than its header" * 10)
    for action in (open_database, lambda url: upgrade(connect(url), lambda session: None)):
        with pytest.raises(DatabaseError, match="not a database") as caught:
            action(database_url())
        assert "\n" not in str(caught.value)
    with pytest.raises(DatabaseError, match="cannot be made"):
        upgrade(connect(f"sqlite:///{database}/below/g.db"), lambda session: None)
    with pytest.raises(DatabaseError, match="no database that can be used"):
        connect("nonsense://x")


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write to a folder; root only minds a read-only mount."""
    if os.geteuid():
        folder.chmod(0o500)
        try:
            yield
        finally:
            folder.chmod(0o700)
        return
    for options in (["--bind", folder], ["-o", "remount,ro,bind"]):
        if subprocess.run(["mount", *options, folder], capture_output=True).returncode:
            pytest.skip("root that may not mount")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_gallery_in_a_read_only_folder_can_be_read(engine: Engine, database: Path) -> None:
    engine.dispose()
    with read_only(database.parent):
        engine = open_database(database_url())
        assert integrity(engine) == []
        assert Gallery(engine).page() == []
        with pytest.raises(DatabaseError, match=r"gallery.db: .*readonly database; .*") as caught:
            Gallery(engine).start_run(["a"])
        assert "\n" not in str(caught.value)
        with pytest.raises(DatabaseError, match=r"gallery.db: cannot be made or opened"):
            upgrade(connect(database_url()), lambda session: None)
        assert [path.name for path in database.parent.iterdir()] == [database.name]


def test_what_a_killed_writer_left_is_not_passed_over(engine: Engine, database: Path) -> None:
    """Where its log cannot be replayed, the last paintings would be missing."""
    Gallery(engine).start_run(["a"])
    log = Path(f"{database}-wal").read_bytes()
    engine.dispose()
    Path(f"{database}-wal").write_bytes(log)
    with read_only(database.parent), pytest.raises(DatabaseError, match="unable to open"):
        open_database(database_url())


def test_the_file_waits_for_nobody_and_checks_references(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
        assert connection.scalar(text("PRAGMA busy_timeout")) == 30_000


def test_loose_references_are_found(engine: Engine, database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("INSERT INTO painting_style VALUES (5, 6)")
    connection.close()
    assert any("painting_style: row 1 refers" in line for line in integrity(engine))


def test_a_backup_is_a_whole_copy_and_replaces_nothing(engine: Engine, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    backup(engine, copy)
    assert integrity(open_database(database_url(str(copy)))) == []
    with pytest.raises(DatabaseError, match="exists already"):
        backup(engine, copy)
    with pytest.raises(DatabaseError, match="cannot be written"):
        backup(engine, tmp_path / "gone" / "copy.db")
    assert not list(tmp_path.glob(".adain-*"))


def test_a_backup_keeps_what_appears_while_it_is_made(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.db"

    def connect(path: str) -> sqlite3.Connection:
        copy.write_bytes(b"of another program")
        return original(path)

    original = sqlite3.connect
    monkeypatch.setattr("gallery.database.engine.sqlite3.connect", connect)
    with pytest.raises(DatabaseError, match=r"copy\.db: cannot be written"):
        backup(engine, copy)
    assert copy.read_bytes() == b"of another program"
    assert not list(tmp_path.glob(".adain-*"))


def test_the_place_of_the_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ADAIN_DATABASE", "/env/gallery.db")
    assert database_url("/option/g.db") == "sqlite:////option/g.db"
    assert database_url() == "sqlite:////env/gallery.db"
    assert database_url("postgresql://u@h/db") == "postgresql+psycopg://u@h/db"
    monkeypatch.delenv("ADAIN_DATABASE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert database_url().endswith("adain/gallery.db")
