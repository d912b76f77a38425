"""The gallery: every query of the application is a method here, and every transaction is short."""

import difflib
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, Select, delete, func, insert, select, text, update
from sqlalchemy.orm import Session, joinedload, selectinload

from gallery.config import STYLE_SIDE
from gallery.database import (
    check_schema,
    connect,
    database_exists,
    memory_database,
    schema_of,
    translated,
    upgrade,
)
from gallery.errors import DatabaseError, StyleNotFound, StylesError
from gallery.intake import add_batch, add_vectors, forget_pools, pack, slugify_name
from gallery.paintings import Painting, fold, slugify
from gallery.styles import StyleFile, load_styles
from gallery.tables import (
    ArtistRow,
    CachedStyleRow,
    ImportErrorRow,
    ImportRunRow,
    PaintingRow,
    PooledStyleRow,
    StyleRow,
    painting_style,
)

Vector = NDArray[np.float32]

FITTING = 100
"""Paintings among which an exact title is looked for."""

SHOWN = 6
"""Paintings that an ambiguous name lists."""

COMPARED = 2000
"""Names that a misspelt one is compared with; comparing all of a large gallery takes seconds."""


@dataclass(frozen=True)
class Group:
    """An artist or a style (a movement), with the number of its paintings.

    Attributes:
        kind: `artist` or `style`.
    """

    kind: str
    id: int
    name: str
    slug: str
    paintings: int


class Gallery:
    """Paintings and their cached statistics in a database.

    Methods raise `DatabaseError` where the database cannot be read or written.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(readonly=True)

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
            by_slug = PaintingRow.slug == slugify(name)
            match = PaintingRow.id == int(name) if _is_number(name) else by_slug
            row = session.scalar(_whole_rows().where(match))
            if row is not None:
                return _painting(row)
            words = fold(name)
            query = self._search(words).order_by(PaintingRow.id).limit(FITTING)
            rows = session.scalars(query).all() if words else []
            if len(rows) > 1:
                title = slugify(name.rpartition(":")[2])
                rows = [row for row in rows if slugify(row.title) == title] or rows
            if len(rows) == 1:
                return _painting(rows[0])
            if rows:
                slugs = ", ".join(row.slug for row in rows[:SHOWN])
                raise StyleNotFound(
                    f"{name!r:.80} fits several paintings; choose one, such as {slugs}, "
                    "or 'artist:NAME' for all of an artist"
                )
            closest = self._closest(session, name)
        raise StyleNotFound(
            f"{name!r:.80} is neither a picture file nor a painting of the gallery; "
            f"did you mean {_either(closest)}? 'adain gallery list' lists all"
        )

    def find_picture(self, sha256: str) -> Painting | None:
        """Return the painting whose picture file has this digest, if there is one."""
        with self._read() as session:
            row = session.scalar(_whole_rows().where(PaintingRow.sha256 == sha256))
            return None if row is None else _painting(row)

    def page(
        self, search: str = "", group: Group | None = None, after: int = 0, limit: int = 50
    ) -> list[Painting]:
        """Return paintings by ascending number.

        Args:
            search: Words, or beginnings of words, of title, artist, movement, genre and tags.
            group: Only those of this artist or style.
            after: Go on after the painting of this number.
            limit: How many.
        """
        query = self._search(fold(search)) if search else _whole_rows()
        if search and not fold(search):
            return []
        if group is not None:
            query = query.where(_in_group(group))
        query = query.where(PaintingRow.id > after).order_by(PaintingRow.id).limit(limit)
        with self._read() as session:
            return [_painting(row) for row in session.scalars(query)]

    def pictures(self, numbers: Sequence[int]) -> list[Painting]:
        """Return the paintings of these numbers, in their order."""
        if not numbers:
            return []
        with self._read() as session:
            rows = session.scalars(_whole_rows().where(PaintingRow.id.in_(numbers)))
            found = {row.id: _painting(row) for row in rows}
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
            rows = session.scalars(_whole_rows().where(PaintingRow.id.in_([n for n, _ in added])))
            stored = {row.id: _painting(row) for row in rows}
        return [(stored[number], new) for number, new in added]

    def remove(self, numbers: Sequence[int]) -> int:
        """Forget paintings with their statistics; their pictures stay. Returns how many."""
        with self._write() as session:
            forget_pools(session, numbers)
            there = select(func.count()).where(PaintingRow.id.in_(numbers))
            count = session.scalar(there) or 0
            session.execute(delete(PaintingRow).where(PaintingRow.id.in_(numbers)))
        return count

    # Artists and styles

    def groups(self, kind: str) -> list[Group]:
        """Return every artist or style that has paintings, by name."""
        if kind == "artist":
            query = select(ArtistRow, func.count()).join(PaintingRow)
            query = query.group_by(ArtistRow.id).order_by(ArtistRow.slug)
        else:
            query = select(StyleRow, func.count()).join(painting_style)  # type: ignore[assignment]
            query = query.group_by(StyleRow.id).order_by(StyleRow.slug)
        with self._read() as session:
            rows = session.execute(query)
            return [Group(kind, row.id, row.name, row.slug, count) for row, count in rows]

    def find_group(self, kind: str, name: str) -> Group:
        """Find an artist or a style by name, or by words of the name that fit it alone.

        Raises:
            StyleNotFound: If none fits, or several do.
        """
        wanted = slugify_name(name)
        # Without counting the paintings of all others first.
        table = ArtistRow if kind == "artist" else StyleRow
        with self._read() as session:
            query = select(table.id, table.name, table.slug).where(table.slug == wanted)
            row = session.execute(query).first()
            if row is not None:
                group = Group(kind, *row, paintings=0)
                count = session.scalar(select(func.count(PaintingRow.id)).where(_in_group(group)))
                if count:
                    return replace(group, paintings=count)
        groups = self.groups(kind)
        words = set(fold(name))
        fitting = [g for g in groups if words and words <= set(fold(g.name))]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            names = ", ".join(f"'{kind}:{group.slug}'" for group in fitting[:SHOWN])
            raise StyleNotFound(f"{name!r:.80} fits several; choose one of {names}")
        likely = sorted(groups, key=lambda g: _likeness(wanted, [g.name]), reverse=True)
        names = _either([f"'{kind}:{group.slug}'" for group in likely[:3]])
        raise StyleNotFound(
            f"no {kind} named {name!r:.80}; did you mean {names}? 'adain gallery {kind}s' lists all"
        )

    # Statistics

    def vector(self, painting: Painting, encoder: str) -> Vector | None:
        """Return the style vector of a painting by this encoder, shape `(1, D)`, if it is cached.

        Raises:
            StylesError: If it is damaged.
        """
        query = _vectors(encoder).where(CachedStyleRow.painting_id == painting.id)
        with self._read() as session:
            rows = session.execute(query).all()
        return _unpack(rows) if rows else None

    def vectors(self, encoder: str, group: Group | None = None) -> tuple[list[int], Vector]:
        """Return the numbers and the style vectors `(N, D)` of all paintings, or of a group.

        Raises:
            StylesError: If one is damaged, or there is none.
        """
        with self._read() as session:
            return self._group_vectors(session, encoder, group)

    def keep_vector(self, painting: Painting, encoder: str, vector: Vector) -> None:
        """Cache the style vector `(1, D)` of a painting."""
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
                return _unpack(rows)
            measured = pool(self._group_vectors(session, encoder, group)[1])
        try:
            with self._write() as session:
                # Once more, under the lock: a painting may have come or gone since.
                measured = pool(self._group_vectors(session, encoder, group)[1])
                session.execute(delete(PooledStyleRow).filter_by(**key))
                session.execute(insert(PooledStyleRow).values(**key, **pack(measured[0])))
        except DatabaseError:
            pass  # A gallery that cannot be written answers all the same.
        return measured

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
        """Return the numbers of the paintings whose cached statistics fail their checksum."""
        query = select(CachedStyleRow.vector, CachedStyleRow.checksum, CachedStyleRow.painting_id)
        with self._read() as session:
            rows = session.execute(query.execution_options(yield_per=1000))
            return sorted(number for data, sum, number in rows if zlib.crc32(data) != sum)

    def import_styles(self, styles: StyleFile) -> int:
        """Add the paintings of a file of styles; return how many were new."""
        with self._write() as session:
            return self._import(session, styles)

    @staticmethod
    def _import(session: Session, styles: StyleFile) -> int:
        new = 0
        for i in range(0, len(styles.paintings), 500):
            batch, vectors = styles.paintings[i : i + 500], styles.vectors[i : i + 500]
            new += sum(fresh for _, fresh in add_batch(session, batch, vectors, styles.encoder))
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

    def _search(self, words: Sequence[str]) -> Select[PaintingRow]:
        """Select the paintings with words that begin with each of these."""
        if self._engine.dialect.name == "sqlite":
            match = " ".join(f'"{word}"*' for word in words)
            condition = "painting.id IN (SELECT rowid FROM painting_search WHERE words MATCH :m)"
        else:
            match = " & ".join(f"'{word}':*" for word in words)
            condition = "to_tsvector('simple', words) @@ to_tsquery('simple', :m)"
        return _whole_rows().where(text(condition).bindparams(m=match))

    def _closest(self, session: Session, name: str, count: int = 3) -> list[str]:
        wanted = slugify(name)
        rows: dict[int, PaintingRow] = {}
        for word in fold(name):
            query = self._search([word[:3]]).limit(COMPARED)
            rows |= {row.id: row for row in session.scalars(query)}
        query = _whole_rows().order_by(PaintingRow.id).limit(COMPARED)
        rows |= {row.id: row for row in session.scalars(query)}

        def likeness(row: PaintingRow) -> float:
            return _likeness(wanted, [row.slug, row.title, row.artist.name if row.artist else ""])

        return [row.slug for row in sorted(rows.values(), key=likeness, reverse=True)[:count]]

    @staticmethod
    def _group_vectors(
        session: Session, encoder: str, group: Group | None
    ) -> tuple[list[int], Vector]:
        query = _vectors(encoder).order_by(CachedStyleRow.painting_id)
        if group is not None:
            paintings = select(PaintingRow.id).where(_in_group(group))
            query = query.where(CachedStyleRow.painting_id.in_(paintings))
        rows = session.execute(query).all()
        if not rows:
            raise StylesError(
                f"no painting of {group.name if group else 'the gallery'} was measured by encoder "
                f"{encoder}; ingest their pictures again"
            )
        return [row[2] for row in rows], _unpack(rows)


def open_gallery(url: str) -> Gallery:
    """Open the gallery; where there is no database yet, the starter gallery, in memory.

    Raises:
        SchemaError: If its tables are older or newer than this program.
        DatabaseError: If it cannot be read.
    """
    engine = connect(url)
    if database_exists(engine):
        check_schema(engine)
        return Gallery(engine)
    gallery = Gallery(memory_database())
    gallery.import_styles(load_styles())
    return gallery


def make_gallery(url: str) -> Gallery:
    """Open the gallery for writing; make the database, with the starter gallery, if need be.

    Raises:
        SchemaError: If its tables are older or newer than this program.
        DatabaseError: If it cannot be written.
    """
    engine = connect(url)
    if not database_exists(engine) or schema_of(engine) is None:
        upgrade_gallery(engine)
    check_schema(engine)
    return Gallery(engine)


def upgrade_gallery(engine: Engine) -> tuple[str | None, str]:
    """Bring the tables up to date; a new database gets the starter gallery in one go.

    Returns:
        The versions of the tables before (None in a new database) and after.

    Raises:
        SchemaError: If a newer program made the database.
        DatabaseError: If it cannot be written.
    """

    def fill(session: Session) -> None:
        Gallery._import(session, load_styles())

    return upgrade(engine, fill)


def _whole_rows() -> Select[PaintingRow]:
    return select(PaintingRow).options(
        joinedload(PaintingRow.artist),
        selectinload(PaintingRow.styles),
        selectinload(PaintingRow.genres),
    )


def _vectors(encoder: str) -> Select[bytes, int, int]:
    return select(CachedStyleRow.vector, CachedStyleRow.checksum, CachedStyleRow.painting_id).where(
        CachedStyleRow.encoder == encoder, CachedStyleRow.side == STYLE_SIDE
    )


def _in_group(group: Group) -> Any:
    if group.kind == "artist":
        return PaintingRow.artist_id == group.id
    return PaintingRow.id.in_(
        select(painting_style.c.painting_id).where(painting_style.c.style_id == group.id)
    )


def _unpack(rows: Sequence[Any]) -> Vector:
    """Return the vectors `(N, D)` of rows of vector, checksum and number."""
    for data, checksum, number in rows:
        if zlib.crc32(data) != checksum:
            raise StylesError(
                f"the statistics of number {number} are damaged; see 'adain gallery verify'"
            )
    return np.frombuffer(b"".join(row[0] for row in rows), "<f4").reshape(len(rows), -1).copy()


def _painting(row: PaintingRow) -> Painting:
    names = ("slug", "title", "year", "year_from", "medium", "rights", "credit", "source",
             "page_url", "sha256", "pixel_sha256", "phash", "width", "height", "path",
             "id")  # fmt: skip
    return Painting(
        **{name: getattr(row, name) for name in names},
        artist=row.artist.name if row.artist else "",
        styles=tuple(style.name for style in row.styles),
        genres=tuple(genre.name for genre in row.genres),
        tags=tuple(filter(None, row.tags.split("|"))),
    )


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 18


def _likeness(wanted: str, names: Sequence[str]) -> float:
    # A single word of a long title or name is the likeliest thing to be misspelt.
    slugs = {slugify(name) for name in names}
    slugs |= {word for slug in slugs for word in slug.split("-") if len(word) > 3}
    return max(difflib.SequenceMatcher(None, wanted, slug).ratio() for slug in slugs)


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
