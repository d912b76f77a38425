"""The database file: open it, make it, bring it up to date, copy it.

Every error of the database driver becomes a `DatabaseError` of one line here.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool, StaticPool

from adain.files import new_file
from gallery.database.plain import IMMUTABLE, PREFIX, SCHEMA
from gallery.database.tables import Base
from gallery.errors import DatabaseError, SchemaError

if TYPE_CHECKING:
    from alembic.config import Config

BUSY_SECONDS = 30
"""How long a writer waits for the others; a batch takes some milliseconds."""

WRITER_LOCK = 2_047_110
"""Key of the advisory lock that makes writers on PostgreSQL take turns, as SQLite's do."""


def connect(url: str) -> Engine:
    """Return an engine for a database URL; nothing is opened yet.

    Transactions of `Engine.execution_options(readonly=True)` are for reading. All others take
    the one lock for writers when they begin: with SQLite's default, which takes it at the first
    write, two transactions that read first lose the race without waiting.

    Raises:
        DatabaseError: If the URL is none, or its driver is not installed.
    """
    try:
        parsed = make_url(url)
        sqlite = parsed.get_backend_name() == "sqlite"
        memory = sqlite and not parsed.database
        options: dict[str, Any] = {"poolclass": StaticPool} if memory else {"pool_pre_ping": True}
        if sqlite and not memory and not os.access(Path(str(parsed.database)).parent, os.W_OK):
            options = {"poolclass": NullPool}  # So that each look may find another log; see below.
        if sqlite:
            options["connect_args"] = {"timeout": BUSY_SECONDS, "check_same_thread": False}
        engine = create_engine(parsed, **options)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise DatabaseError(
            f"{url.partition('://')[0]}: no database that can be used ({error}); give the path of "
            "a file, or postgresql://USER@HOST/NAME with the extra 'postgres' installed"
        ) from error
    if sqlite and not memory:
        event.listen(engine, "do_connect", _open_sqlite)
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite if sqlite else _begin_postgresql)
    return engine


def open_shipped(path: Path) -> Engine:
    """Open a database that came with the program, for reading from any number of threads.

    Raises:
        DatabaseError: If it is missing, damaged or of another version than the program.
    """
    address = f"{path.absolute().as_uri()}?{IMMUTABLE}"
    engine = create_engine(
        f"{PREFIX}{path}",
        creator=lambda: sqlite3.connect(address, uri=True, check_same_thread=False),
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    try:
        check_schema(engine)
    except DatabaseError as error:
        engine.dispose()
        raise DatabaseError(
            f"{path.name}: missing, damaged or of another version; reinstall the package"
        ) from error
    return engine


def copy_shipped(path: Path, engine: Engine) -> bool:
    """Make the file of a new SQLite database: a copy of one that came with the program.

    Returns:
        Whether it did; False if there is one, also since a moment ago.

    Raises:
        DatabaseError: If either cannot be used.
    """
    open_shipped(path).dispose()
    destination = Path(engine.url.database or "")
    try:
        with new_file(destination, parents=True) as file:
            file.write(path.read_bytes())
    except FileExistsError:
        return False
    except OSError as error:
        raise DatabaseError(
            f"{destination}: cannot be made or opened ({error}); check the path, its permissions "
            "and the free space"
        ) from error
    return True


def open_database(url: str) -> Engine:
    """Open a database whose tables are up to date.

    Raises:
        SchemaError: If its tables are older or newer than this program.
        DatabaseError: If it does not exist or cannot be read.
    """
    engine = connect(url)
    try:
        check_schema(engine)
    except DatabaseError:
        engine.dispose()
        raise
    return engine


def check_schema(engine: Engine) -> None:
    """Make sure that the tables of a database are those of this program.

    Raises:
        SchemaError: If they are older or newer.
        DatabaseError: If the database does not exist or cannot be read.
    """
    if not database_exists(engine):
        raise DatabaseError(
            f"{location(engine)}: no such gallery; check the path, or make one there with "
            "'adain db upgrade'"
        )
    found = schema_of(engine)
    if found is None:
        raise SchemaError(f"{location(engine)}: holds no gallery; 'adain db upgrade' makes one")
    _refuse_newer(engine, found)
    if found != SCHEMA:
        raise SchemaError(
            f"{location(engine)}: has tables of version {found}, this program needs {SCHEMA}; "
            "run 'adain db backup FILE', then 'adain db upgrade'"
        )


def memory_database() -> Engine:
    """Return an empty database that lives as long as its engine."""
    engine = connect("sqlite://")
    Base.metadata.create_all(engine)
    return engine


def database_exists(engine: Engine) -> bool:
    """Return whether the file of a SQLite database exists; other servers are taken to run."""
    database = engine.url.database
    return engine.dialect.name != "sqlite" or not database or Path(database).exists()


def schema_of(engine: Engine) -> str | None:
    """Return the revision of the tables of a database; None if it holds no gallery."""
    with translated(engine), engine.execution_options(readonly=True).connect() as connection:
        return _schema(connection)


def upgrade(engine: Engine, fill: Callable[[Session], object]) -> tuple[str | None, str]:
    """Make a database, or bring its tables up to date; safe while others do the same.

    Args:
        engine: The database.
        fill: What puts the first paintings into a new one, within the same transaction.

    Returns:
        The revision that was found, None in a new database, and the one that it has now.

    Raises:
        SchemaError: If a newer program made it.
        DatabaseError: If it cannot be written.
    """
    from alembic import command

    if engine.dialect.name == "sqlite":
        _make_file(engine)
    config = alembic_config()
    with translated(engine), engine.begin() as connection:
        found = _schema(connection)
        _refuse_newer(engine, found)
        if found != SCHEMA:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        if found is None:
            with Session(connection) as session:
                fill(session)
                session.flush()
    return found, SCHEMA


def alembic_config() -> "Config":
    """Return what Alembic needs, besides an open connection in `attributes["connection"]`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def backup(engine: Engine, destination: Path) -> None:
    """Copy a SQLite database into a new file, also while others write to it.

    Raises:
        DatabaseError: If the file exists, cannot be written, or the database is not SQLite.
    """
    if engine.dialect.name != "sqlite":
        raise DatabaseError(f"{location(engine)}: not SQLite; use the tool of its server (pg_dump)")
    if not database_exists(engine):
        raise DatabaseError(f"{location(engine)}: no such gallery")
    try:
        with (
            new_file(destination) as file,
            closing(sqlite3.connect(file.name)) as target,
            engine.connect() as connection,
        ):
            source = connection.connection.driver_connection
            assert isinstance(source, sqlite3.Connection)
            source.backup(target)
    except (OSError, sqlite3.Error) as error:
        raise DatabaseError(
            f"{destination}: cannot be written ({error}); give a new file in a folder with space"
        ) from error


def integrity(engine: Engine) -> list[str]:
    """Return what SQLite finds wrong in the file and in its references; nothing if all is well."""
    if engine.dialect.name != "sqlite":
        return []
    with translated(engine), engine.execution_options(readonly=True).connect() as connection:
        found = [str(row[0]) for row in connection.execute(text("PRAGMA integrity_check"))]
        loose = [
            f"{row[0]}: row {row[1]} refers to a row of {row[2]} that does not exist"
            for row in connection.execute(text("PRAGMA foreign_key_check"))
        ]
    return [line for line in found if line != "ok"] + loose


def location(engine: Engine) -> str:
    """Return what messages call a database: its path, or its URL without the password."""
    url = engine.url
    return url.database or "memory" if engine.dialect.name == "sqlite" else str(url)


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Make the errors of the database driver `DatabaseError`s of one line."""
    try:
        yield
    except DBAPIError as error:
        detail = " ".join(str(error.orig).split())
        raise DatabaseError(
            f"{location(engine)}: {detail}; check that it is a gallery database, its permissions "
            "and the free space"
        ) from error


def _refuse_newer(engine: Engine, found: str | None) -> None:
    if found is not None and found not in _revisions():
        raise SchemaError(
            f"{location(engine)}: made by a newer adain (tables {found}, this program knows "
            f"{SCHEMA}); install that version, or give another --database"
        )


def _schema(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if version is None else str(version)


def _revisions() -> set[str]:
    """Return the revisions that this program knows; their files begin with them."""
    versions = Path(__file__).parent / "migrations" / "versions"
    return {path.name.partition("_")[0] for path in versions.glob("[0-9]*.py")}


def _make_file(engine: Engine) -> None:
    """Make the file of a SQLite database, and let its readers and its writer not wait for others.

    Write-ahead logging is a property of the file. The change to it does not wait for other
    connections, whatever the timeout.
    """
    path = Path(engine.url.database or "")
    deadline = time.monotonic() + BUSY_SECONDS
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            finally:
                connection.close()
    except (OSError, sqlite3.Error) as error:
        raise DatabaseError(
            f"{path}: cannot be made or opened ({error}); check the path, its permissions and "
            "the free space"
        ) from error


def _open_sqlite(
    dialect: object, record: object, arguments: tuple[str, ...], options: dict[str, Any]
) -> sqlite3.Connection:
    """Open a file; also one in a folder that cannot be written, as on a read-only share.

    A reader of a file with a write-ahead log needs an index of that log beside it. Where there is
    none and none can be made, nobody writes either, and the file is whole without it, unless a
    writer was killed and left a log.
    """
    path = arguments[0]
    connection: sqlite3.Connection = sqlite3.connect(path, **options)
    try:
        connection.execute("PRAGMA schema_version")  # The first look at the file.
        return connection
    except sqlite3.Error as error:
        connection.close()
        log = Path(f"{path}-wal")
        kind = getattr(error, "sqlite_errorname", "")
        readonly = kind.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY"))
        if not readonly or not os.path.isfile(path) or (log.exists() and log.stat().st_size):
            raise
    uri = f"{Path(path).absolute().as_uri()}?immutable=1"
    connection = sqlite3.connect(uri, **{**options, "uri": True})
    return connection


def _prepare_sqlite(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None  # Transactions begin where SQLAlchemy begins them.
    for pragma in ("foreign_keys = ON", "synchronous = NORMAL", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    readonly = connection.get_execution_options().get("readonly")
    connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    if not connection.get_execution_options().get("readonly"):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")
