"""The gallery: what the application asks and tells is a method here, in one short transaction.

What is read is in `queries` and `names`, what is written in `writes` and `checks`.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy.orm import Session

from adain.config import STYLE_SIDE
from adain.styles.adapter import Adapter
from gallery.config import database_url, default_database
from gallery.database import checks
from gallery.database.adapters import (
    Learnt,
    all_adapters,
    damaged_adapters,
    drop_damaged_adapters,
    find_adapter,
    forget_adapters,
    import_adapters,
    keep_adapter,
    learnt_adapters,
    learnt_bases,
    learnt_numbers,
    list_adapters,
    target_key,
)
from gallery.database.claims import claim
from gallery.database.embeddings import make_embeddings, nearest_embeddings
from gallery.database.engine import (
    check_schema,
    connect,
    copy_shipped,
    database_exists,
    integrity,
    open_shipped,
    schema_of,
    translated,
    upgrade,
)
from gallery.database.names import close_words, find_group, find_painting
from gallery.database.paintings import MAX_TEXT, Painting, fold
from gallery.database.plain import PREFIX, SCHEMA, STARTER
from gallery.database.queries import (
    Group,
    Vector,
    all_groups,
    in_group,
    painting_of,
    rows_with_words,
    style_vectors,
    unpack,
    vectors_of,
    whole_rows,
)
from gallery.database.similar import StyleIndex, signature
from gallery.database.style_files import StyleFile, load_styles
from gallery.database.tables import (
    AdapterRow,
    CachedStyleRow,
    ImportErrorRow,
    ImportRunRow,
    PaintingRow,
    PooledStyleRow,
)
from gallery.database.writes import add_batch, add_vectors, forget_pools, pack, renew_works
from gallery.errors import DatabaseError
from gallery.files import new_file

MAX_BOUND = 10_000
"""Values of one statement; SQLite takes 32,766 of them, PostgreSQL 65,535."""

ADDED_TO = ("0004",)
"""Versions to whose tables later ones only add: they are brought up to date without asking."""

INDEX_SECONDS = 60
"""How long the statistics of all paintings are taken to be those that were read."""


class Gallery:
    """Paintings and their cached statistics in a database.

    Methods raise `DatabaseError` where the database cannot be read or written.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(readonly=True)
        self._index: tuple[str, float, list[int], StyleIndex] | None = None

    def integrity(self) -> list[str]:
        """Return what is wrong in the file and in its references; nothing if all is well."""
        return integrity(self._engine)

    def close(self) -> None:
        """Close its connections; the next method opens new ones."""
        self._engine.dispose()

    # Paintings

    def find(self, name: str) -> Painting:
        """Find a painting by number, slug, `artist:title`, or words that fit it alone.

        Raises:
            StyleNotFound: If no painting fits, or several do.
        """
        with self._read() as session:
            return find_painting(session, name[:MAX_TEXT])

    def close_words(self, search: str) -> list[str]:
        """Return words of the gallery that resemble those of a search that found nothing."""
        with self._read() as session:
            return close_words(session, search[:MAX_TEXT])

    def find_picture(self, sha256: str, pixel_sha256: str | None = None) -> Painting | None:
        """Return the painting whose picture file, or pixels, have this digest, if there is one."""
        same = PaintingRow.sha256 == sha256
        if pixel_sha256 is not None:
            same |= PaintingRow.pixel_sha256 == pixel_sha256
        with self._read() as session:
            # Most are not there; asking for a number alone is four times as fast.
            number = session.scalar(select(PaintingRow.id).where(same).limit(1))
            rows = whole_rows().where(PaintingRow.id == number)
            return None if number is None else painting_of(session.scalars(rows).one())

    def page(
        self,
        search: str = "",
        group: Group | None = None,
        after: int = 0,
        limit: int = 50,
        learnt_for: str | None = None,
    ) -> list[Painting]:
        """Return paintings by ascending number.

        Args:
            search: Words, or beginnings of words, of title, artist, movement, genre and tags.
            group: Only those of this artist or style.
            after: Go on after the painting of this number.
            limit: How many.
            learnt_for: Only those that were learnt for this decoder.
        """
        words = fold(search[:MAX_TEXT])  # Nothing that is kept is longer.
        if search and not words:
            return []
        with self._read() as session:
            query = rows_with_words(session, words) if search else whole_rows()
            if group is not None:
                query = query.where(in_group(group))
            if learnt_for is not None:
                query = query.where(PaintingRow.id.in_(learnt_numbers(learnt_for)))
            query = query.where(PaintingRow.id > after).order_by(PaintingRow.id).limit(limit)
            return [painting_of(row) for row in session.scalars(query)]

    def pictures(self, numbers: Sequence[int]) -> list[Painting]:
        """Return the paintings of these numbers, in their order."""
        found: dict[int, Painting] = {}
        with self._read() as session:
            for i in range(0, len(numbers), MAX_BOUND):
                part = PaintingRow.id.in_(numbers[i : i + MAX_BOUND])
                rows = session.scalars(whole_rows().where(part))
                found |= {row.id: painting_of(row) for row in rows}
        return [found[number] for number in numbers if number in found]

    def pages(self, encoder: str) -> dict[tuple[str, str], int]:
        """Return the numbers of the paintings that this encoder measured, by page and title."""
        query = select(PaintingRow.page_url, PaintingRow.title, PaintingRow.id)
        query = query.join(CachedStyleRow).where(
            CachedStyleRow.encoder == encoder,
            CachedStyleRow.side == STYLE_SIDE,
            PaintingRow.page_url != "",
        )
        with self._read() as session:
            return {(page, title): number for page, title, number in session.execute(query)}

    def hashes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the perceptual hash of every painting, and their numbers."""
        with self._read() as session:
            rows = session.execute(select(PaintingRow.phash, PaintingRow.id)).all()
        table = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def add(
        self, paintings: Sequence[Painting], vectors: Vector | None = None, encoder: str = ""
    ) -> list[tuple[Painting, bool]]:
        """Add a batch of paintings in one transaction.

        A picture that is there already, by its file or by its pixels, keeps its row and gets the
        facts that it lacked.

        Args:
            paintings: With both digests.
            vectors: Their style vectors, shape `(N, D)`.
            encoder: Fingerprint of the encoder that measured them.

        Returns:
            Each painting as it is now in the gallery, and whether it was new.
        """
        with self._write() as session:
            added = add_batch(session, paintings, vectors, encoder)
            session.expire_all()
            rows = session.scalars(whole_rows().where(PaintingRow.id.in_([n for n, _ in added])))
            stored = {row.id: painting_of(row) for row in rows}
        return [(stored[number], new) for number, new in added]

    def remove(self, numbers: Sequence[int]) -> int:
        """Forget paintings with their statistics; their pictures stay. Returns how many."""
        count = 0
        with self._write() as session:
            for i in range(0, len(numbers), MAX_BOUND):
                part = numbers[i : i + MAX_BOUND]
                forget_pools(session, part)
                there = select(func.count()).where(PaintingRow.id.in_(part))
                count += session.scalar(there) or 0
                session.execute(delete(PaintingRow).where(PaintingRow.id.in_(part)))
        return count

    # Artists and styles

    def groups(self, kind: str) -> list[Group]:
        """Return every artist or style that has paintings, by name."""
        with self._read() as session:
            return all_groups(session, kind)

    def find_group(self, kind: str, name: str) -> Group:
        """Find an artist or a style by name, or by words of the name that fit it alone.

        Raises:
            StyleNotFound: If none fits, or several do.
        """
        with self._read() as session:
            return find_group(session, kind, name[:MAX_TEXT])

    # Statistics

    def vector(self, painting: Painting, encoder: str) -> Vector | None:
        """Return the style vector of a painting by this encoder, shape `(1, D)`, if it is cached.

        Raises:
            StylesError: If it is damaged.
        """
        query = style_vectors(encoder).where(CachedStyleRow.painting_id == painting.id)
        with self._read() as session:
            rows = session.execute(query).all()
        return unpack(rows) if rows else None

    def vectors(self, encoder: str, group: Group | None = None) -> tuple[list[int], Vector]:
        """Return the numbers and the style vectors `(N, D)` of all paintings, or of a group.

        Where only some have colours, those of the others are NaN.

        Raises:
            StylesError: If one is damaged, or there is none.
        """
        with self._read() as session:
            return vectors_of(session, encoder, group)

    def similar(self, vector: Vector, encoder: str, limit: int) -> list[tuple[Painting, float]]:
        """Return the paintings whose style is nearest, nearest first, with their distance.

        PostgreSQL has an index for it. Otherwise the statistics of all paintings stay in memory
        for the next question; what is added meanwhile is seen after a minute.

        Args:
            vector: Style vector `(1, D)`, see `gallery.database.similar`.
            encoder: Fingerprint of the encoder that measured it.
            limit: How many.

        Raises:
            StylesError: If no painting was measured by this encoder, or statistics are damaged.
        """
        with self._read() as session:
            found = nearest_embeddings(session, vector, encoder, limit)
        if found is None:
            numbers, index = self._styles(encoder)
            rows, distances = index.nearest(vector, limit)
            found = [(numbers[row], float(each)) for row, each in zip(rows, distances, strict=True)]
        paintings = self.pictures([number for number, _ in found])
        near = dict(found)
        return [(painting, near[painting.id]) for painting in paintings]

    def keep_vector(self, painting: Painting, encoder: str, vector: Vector) -> None:
        """Cache the style vector `(1, D)` of a painting, if none is kept or it lacks colours."""
        with self._write() as session:
            add_vectors(session, {painting.id: vector[0]}, encoder)

    def pooled(self, group: Group, encoder: str, pool: Callable[[Vector], Vector]) -> Vector:
        """Return the statistics of all paintings of a group together, shape `(1, D)`.

        Args:
            group: An artist or a style.
            encoder: Fingerprint of the encoder.
            pool: What makes one vector of many, called when the result is not cached.

        Raises:
            StylesError: If no painting of the group was measured by this encoder.
        """
        key = {"kind": group.kind, "group_id": group.id, "encoder": encoder, "side": STYLE_SIDE}
        cached = select(PooledStyleRow.vector, PooledStyleRow.checksum, PooledStyleRow.group_id)
        with self._read() as session:
            rows = session.execute(cached.filter_by(**key)).all()
            if rows:
                return unpack(rows)
            measured = pool(vectors_of(session, encoder, group)[1])
        try:
            with self._write() as session:
                # Once more, under the lock: a painting may have come or gone since.
                measured = pool(vectors_of(session, encoder, group)[1])
                session.execute(delete(PooledStyleRow).filter_by(**key))
                session.execute(insert(PooledStyleRow).values(**key, **pack(measured[0])))
        except DatabaseError:
            pass  # A gallery that cannot be written answers all the same.
        return measured

    # What was learnt

    def adapter(self, target: Painting | Group, base: str) -> Adapter | None:
        """Return what was learnt of a painting or a group for the decoder `base`, if anything.

        Raises:
            StylesError: If it is damaged.
        """
        with self._read() as session:
            return find_adapter(session, target, base)

    def learnt_bases(self, target: Painting | Group) -> list[str]:
        """Return the decoders for which a painting or a group was learnt."""
        with self._read() as session:
            return learnt_bases(session, target)

    def adapters(self) -> list[Learnt]:
        """Return what was learnt, of whatever and for whichever decoder."""
        with self._read() as session:
            return list_adapters(session)

    def learnt(self, base: str | None = None) -> set[int]:
        """Return the numbers of the paintings that were learnt for a decoder, by default any."""
        with self._read() as session:
            return {number for number in session.scalars(learnt_numbers(base)) if number}

    def learnt_by_picture(self) -> dict[str, list[Adapter]]:
        """Return what was learnt of paintings, by the digests of their pictures.

        Raises:
            StylesError: If something is damaged.
        """
        with self._read() as session:
            return all_adapters(session)

    def learnt_adapters(self, base: str) -> dict[int, Adapter]:
        """Return what was learnt of paintings for the decoder `base`, by their numbers.

        Raises:
            StylesError: If something is damaged.
        """
        with self._read() as session:
            return learnt_adapters(session, base)

    def keep_adapter(self, target: Painting | Group, adapter: Adapter) -> None:
        """Keep what was learnt, in the place of what was learnt for the same decoder before."""
        with self._write() as session:
            keep_adapter(session, target, adapter, _now())

    def claim_learning(self, target: Painting | Group, base: str) -> AbstractContextManager[bool]:
        """Claim the learning of a painting or a group for the block; see `claim`."""
        kind, number = target_key(target)
        return claim(self._engine, f"learn {kind} {number} {base}")

    def forget_adapters(self, target: Painting | Group) -> int:
        """Forget what was learnt of a painting or a group; return how many adapters that were."""
        with self._write() as session:
            return forget_adapters(session, target)

    def damaged_adapters(self) -> list[str]:
        """Return the names of styles of which what was learnt is damaged."""
        with self._read() as session:
            return damaged_adapters(session)

    def drop_damaged_adapters(self) -> int:
        """Delete the damaged ones; return how many there were."""
        with self._write() as session:
            return drop_damaged_adapters(session)

    def _styles(self, encoder: str) -> tuple[list[int], StyleIndex]:
        """Return the numbers of all paintings and their styles, read a minute ago at most."""
        known = self._index
        if known is None or known[0] != encoder or known[1] < time.monotonic():
            numbers, vectors = self.vectors(encoder)
            index = StyleIndex(np.ascontiguousarray(signature(vectors)))
            self._index = known = (encoder, time.monotonic() + INDEX_SECONDS, numbers, index)
        return known[2], known[3]

    # Import runs and upkeep

    def start_run(self, sources: Sequence[str]) -> int:
        """Note that an ingest begins; return its number."""
        run = ImportRunRow(sources="\n".join(sources), started_at=_now())
        with self._write() as session:
            session.add(run)
            session.flush()
            return run.id

    def finish_run(self, run: int, added: int, known: int, errors: dict[str, str]) -> None:
        """Note how an ingest ended, and what could not be used, by path or line."""
        values = {"finished_at": _now(), "added": added, "known": known}
        rows = [{"run_id": run, "source": source, "reason": errors[source]} for source in errors]
        with self._write() as session:
            session.execute(update(ImportRunRow).where(ImportRunRow.id == run).values(**values))
            if rows:
                session.execute(insert(ImportErrorRow), rows)

    def stats(self) -> dict[str, Any]:
        """Return how much there is of everything, and how many vectors of each encoder."""
        tables = {"paintings": PaintingRow, "runs": ImportRunRow}
        with self._read() as session:
            counts: dict[str, Any] = {
                name: session.scalar(select(func.count()).select_from(table))
                for name, table in tables.items()
            }
            with_picture = select(func.count()).where(PaintingRow.path.is_not(None))
            counts["with picture"] = session.scalar(with_picture)
            encoders = select(CachedStyleRow.encoder, func.count()).group_by(CachedStyleRow.encoder)
            counts["measured"] = dict(session.execute(encoders).all())
        counts["artists"] = len(self.groups("artist"))
        counts["styles"] = len(self.groups("style"))
        return counts

    def damaged_vectors(self) -> list[int]:
        """Return the numbers of the paintings whose cached statistics are damaged."""
        with self._read() as session:
            return list(dict.fromkeys(key[0] for key in checks.damaged_vectors(session)))

    def unmeasured(self, encoder: str) -> list[int]:
        """Return the numbers of the paintings that this encoder has not measured."""
        with self._read() as session:
            return checks.unmeasured(session, encoder)

    def uncolored(self, encoder: str) -> list[int]:
        """Return the numbers of the paintings that this encoder measured without their colours."""
        with self._read() as session:
            return checks.uncolored(session, encoder)

    def damaged_pools(self) -> list[tuple[str, int]]:
        """Return kind and number of the groups whose pooled statistics are damaged."""
        with self._read() as session:
            return checks.damaged_pools(session)

    def unsearchable(self) -> list[int] | None:
        """Return the numbers of the paintings that a search for their facts would miss.

        None if the search index as a whole does not fit; it is not looked at where the database
        cannot be written, since SQLite has no other way to do it.
        """
        try:
            with self._write() as session:
                fits = checks.search_fits(session)
        except DatabaseError:
            fits = True
        with self._read() as session:
            return [number for number, _ in checks.missing_words(session)] if fits else None

    def mend_tables(self) -> None:
        """Make indexes again, the search index among them; drop references to nothing."""
        with self._write() as session:
            checks.rebuild_indexes(session)
            checks.drop_loose_references(session)
            checks.rebuild_search(session)

    def drop_damaged_vectors(self) -> None:
        """Delete the cached statistics that are damaged."""
        with self._write() as session:
            checks.drop_damaged_vectors(session)

    def drop_pools(self) -> None:
        """Delete all pooled statistics; they are made again when asked for."""
        with self._write() as session:
            checks.drop_pools(session)

    def move_picture(self, painting: Painting, path: str) -> None:
        """Note where the picture of a painting is now."""
        with self._write() as session:
            moved = update(PaintingRow).where(PaintingRow.id == painting.id)
            session.execute(moved.values(path=path))

    def import_styles(self, styles: StyleFile) -> int:
        """Add the paintings of a file of styles; return how many were new."""
        with self._write() as session:
            return self._import(session, styles)

    @staticmethod
    def _import(session: Session, styles: StyleFile) -> int:
        new = 0
        for i in range(0, len(styles.paintings), 500):
            batch, vectors = styles.paintings[i : i + 500], styles.vectors[i : i + 500]
            renewed = renew_works(session, batch)
            added = add_batch(session, batch, vectors, styles.encoder, renewed)
            new += sum(fresh for _, fresh in added)
        import_adapters(session, styles.adapters, _now())
        return new

    # Inside a transaction

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with translated(self._engine), Session(self._reader) as session:
            yield session

    @contextmanager
    def _write(self) -> Iterator[Session]:
        with translated(self._engine), Session(self._engine) as session, session.begin():
            yield session


def open_gallery(url: str, may_be_new: bool = False) -> Gallery:
    """Open the gallery; as long as the default database is not there, the starter gallery.

    Args:
        url: The database.
        may_be_new: Take the starter gallery for any database that is not there.

    Raises:
        SchemaError: If its tables are older or newer than this program.
        DatabaseError: If it cannot be read, or is missing and may not be.
    """
    engine = connect(url)
    may_be_new = may_be_new or url == database_url(default_database())
    if may_be_new and not database_exists(engine):
        return starter_gallery()
    _bring_up(engine)
    return Gallery(engine)


def starter_gallery() -> Gallery:
    """Open the paintings that come with the program, for reading only.

    Raises:
        DatabaseError: If their file is missing, damaged or of another version.
    """
    return Gallery(open_shipped(STARTER))


def shipped_adapters() -> dict[str, list[Adapter]]:
    """Return what was learnt of the paintings of the starter gallery, by their pictures' digests.

    That database alone keeps it.
    """
    if not STARTER.is_file():
        return {}
    with Session(open_shipped(STARTER)) as session:
        return all_adapters(session)


def write_starter(styles: StyleFile, path: Path) -> None:
    """Write the database that ships with the program, from the file of styles that does.

    Raises:
        OutputError: If it cannot be written.
    """
    with new_file(path, overwrite=True) as file:
        engine = connect(f"{PREFIX}{file.name}")
        upgrade(engine, lambda session: Gallery._import(session, styles))
        with Session(engine) as session, session.begin():
            # So that the same styles give the same file.
            session.execute(update(PaintingRow).values(added_at=datetime(2026, 1, 1)))
            session.execute(update(AdapterRow).values(learnt_at=datetime(2026, 1, 1)))
        engine.dispose()
        with closing(sqlite3.connect(file.name)) as connection:
            connection.execute("VACUUM")


def make_gallery(url: str) -> Gallery:
    """Open the gallery for writing; make the database, with the starter gallery, if need be.

    Raises:
        SchemaError: If its tables are older or newer than this program.
        DatabaseError: If it cannot be written.
    """
    engine = connect(url)
    if not database_exists(engine) or schema_of(engine) is None:
        upgrade_gallery(engine)
    _bring_up(engine)
    return Gallery(engine)


def _bring_up(engine: Engine) -> None:
    """Add what later versions only add, where the database can be written; then check it.

    Raises:
        SchemaError: If its tables are older still, or newer than this program.
        DatabaseError: If it does not exist or cannot be read.
    """
    if database_exists(engine) and schema_of(engine) in ADDED_TO:
        with suppress(DatabaseError):  # Where it cannot be written, that is said below.
            upgrade_gallery(engine)
    check_schema(engine)


def upgrade_gallery(engine: Engine) -> tuple[str | None, str]:
    """Bring the tables up to date; a new database gets the starter gallery in one go.

    Where pgvector was installed since, its index is made.

    Returns:
        The versions of the tables before (None in a new database) and after.

    Raises:
        SchemaError: If a newer program made the database.
        DatabaseError: If it cannot be written.
    """

    def fill(session: Session) -> None:
        Gallery._import(session, replace(load_styles(), adapters=shipped))

    shipped = shipped_adapters()
    # Only files of SQLite can be missing. A copy takes a tenth of the time of tables and rows.
    if not database_exists(engine) and copy_shipped(STARTER, engine):
        return None, SCHEMA
    versions = upgrade(engine, fill)
    with translated(engine), Session(engine) as session, session.begin():
        make_embeddings(session)
        if versions[0] is not None and versions[0] < "0005":  # Before anything was learnt.
            import_adapters(session, shipped, _now())
    return versions


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
