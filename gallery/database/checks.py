"""Finds and mends what is wrong in the tables, inside a transaction of `Gallery`.

No row of a painting is ever deleted here: only what is derived from paintings (statistics, pools,
the search index) and references to rows that do not exist.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator

from sqlalchemy import delete, exists, func, select, text, tuple_, update
from sqlalchemy.exc import DatabaseError as DriverError
from sqlalchemy.orm import Session

from adain.config import STYLE_SIDE
from gallery.database.queries import painting_of, whole_rows
from gallery.database.tables import ArtistRow, CachedStyleRow, PaintingRow, PooledStyleRow, StyleRow
from gallery.database.vectors import broken_colors, misfits, unpack_vectors
from gallery.database.writes import forget_pools, search_words

STEP = 1000
"""Rows that are looked at together."""


def damaged_vectors(session: Session) -> list[tuple[int, str, int]]:
    """Return painting, encoder and side of the cached statistics that are damaged."""
    query = select(
        CachedStyleRow.painting_id, CachedStyleRow.encoder, CachedStyleRow.side,
        CachedStyleRow.vector, CachedStyleRow.checksum,
    ).execution_options(yield_per=STEP)  # fmt: skip
    damaged = set()
    measured: dict[str, list[tuple[int, str, int, int]]] = defaultdict(list)
    for number, encoder, side, data, checksum in session.execute(query):
        measured[encoder].append((number, encoder, side, len(data)))
        if _is_damaged(data, checksum):
            damaged.add((number, encoder, side))
    for rows in measured.values():
        damaged |= {rows[i][:3] for i in misfits([row[3] for row in rows])}
    return sorted(damaged)


def drop_damaged_vectors(session: Session) -> None:
    """Delete the cached statistics that are damaged, and what was pooled of them."""
    keys = damaged_vectors(session)
    forget_pools(session, [painting for painting, _, _ in keys])
    columns = tuple_(CachedStyleRow.painting_id, CachedStyleRow.encoder, CachedStyleRow.side)
    for i in range(0, len(keys), STEP):
        session.execute(delete(CachedStyleRow).where(columns.in_(keys[i : i + STEP])))


def unmeasured(session: Session, encoder: str) -> list[int]:
    """Return the numbers of the paintings that this encoder has not measured."""
    measured = exists().where(
        CachedStyleRow.painting_id == PaintingRow.id,
        CachedStyleRow.encoder == encoder,
        CachedStyleRow.side == STYLE_SIDE,
    )
    return list(session.scalars(select(PaintingRow.id).where(~measured).order_by(PaintingRow.id)))


def uncolored(session: Session, encoder: str) -> list[int]:
    """Return the numbers of the paintings that this encoder has measured without their colours."""
    bytes_of_two = 8  # Without colours there is an even number of numbers.
    query = select(CachedStyleRow.painting_id).where(
        CachedStyleRow.encoder == encoder,
        CachedStyleRow.side == STYLE_SIDE,
        func.length(CachedStyleRow.vector) % bytes_of_two == 0,
    )
    return list(session.scalars(query.order_by(CachedStyleRow.painting_id)))


def damaged_pools(session: Session) -> list[tuple[str, int]]:
    """Return kind and number of the groups whose pooled statistics are damaged or are of none."""
    groups = {
        kind: set(session.scalars(select(table.id)))
        for kind, table in (("artist", ArtistRow), ("style", StyleRow))
    }
    rows = session.scalars(select(PooledStyleRow))
    return sorted(
        (row.kind, row.group_id)
        for row in rows
        if _is_damaged(row.vector, row.checksum) or row.group_id not in groups.get(row.kind, ())
    )


def drop_pools(session: Session) -> None:
    """Delete all pooled statistics; they are made again when asked for."""
    session.execute(delete(PooledStyleRow))


def drop_loose_references(session: Session) -> None:
    """Delete what refers to rows that do not exist; a painting merely loses its artist.

    PostgreSQL holds to its references by itself.
    """
    if session.get_bind().dialect.name != "sqlite":
        return
    for table, row, *_ in session.execute(text("PRAGMA foreign_key_check")).all():
        if table == "painting":
            session.execute(update(PaintingRow).where(PaintingRow.id == row).values(artist_id=None))
        else:  # The name is that of one of our tables.
            session.execute(text(f"DELETE FROM {table} WHERE rowid = :row"), {"row": row})


def missing_words(session: Session) -> Iterator[tuple[int, str]]:
    """Yield the paintings that a search for their own facts would miss, with the words to keep."""
    after = 0
    while True:
        query = whole_rows().where(PaintingRow.id > after).order_by(PaintingRow.id).limit(STEP)
        rows = session.scalars(query).all()
        if not rows:
            return
        for row in rows:
            words = dict.fromkeys([*row.words.split(), *search_words(painting_of(row)).split()])
            if len(words) > len(set(row.words.split())):
                yield row.id, " ".join(words)
        after = rows[-1].id
        session.expunge_all()


def search_fits(session: Session) -> bool:
    """Return whether the full-text index of SQLite fits the table; needs the lock for writers."""
    if session.get_bind().dialect.name != "sqlite":
        return True
    check = "INSERT INTO painting_search(painting_search, rank) VALUES ('integrity-check', 1)"
    try:
        session.execute(text(check))
    except DriverError as error:
        if getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_CORRUPT"):
            return False
        raise
    return True


def rebuild_search(session: Session) -> None:
    """Make the full-text index anew, and the words of paintings that lack some."""
    found = list(missing_words(session))
    if session.get_bind().dialect.name == "sqlite":
        # First: the triggers that follow a change of words need an index that fits.
        session.execute(text("INSERT INTO painting_search(painting_search) VALUES ('rebuild')"))
    else:
        session.execute(text("REINDEX INDEX painting_search"))
    for number, words in found:
        session.execute(update(PaintingRow).where(PaintingRow.id == number).values(words=words))


def rebuild_indexes(session: Session) -> None:
    """Make all indexes of SQLite anew, which mends those that lack rows."""
    if session.get_bind().dialect.name == "sqlite":
        session.execute(text("REINDEX"))


def _is_damaged(data: bytes, checksum: int) -> bool:
    """Return whether statistics fail their checksum, or have colours that no picture has."""
    if zlib.crc32(data) != checksum or misfits([len(data)]):
        return True
    return bool(broken_colors(unpack_vectors([data])))
