"""Nearest styles on PostgreSQL, by an index of its extension pgvector where that is installed.

`style_embedding` holds the signatures of `gallery.database.similar` in half precision, filled with
zeros to `WIDTH`, which changes no distance. The index finds candidates, though now and then not the
very nearest; their order and distances come from the statistics themselves, so that they are
those of the exact search. Without the table, or where it cannot answer, callers search exactly.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from adain.config import STYLE_SIDE
from gallery.database.queries import PART, Vector, unpack
from gallery.database.similar import SPARE, distance, signature
from gallery.database.tables import CachedStyleRow

WIDTH = 256
"""Width of the column: the signatures of the shipped encoder. Wider ones are not embedded."""

CANDIDATES = 200
"""Paintings that the index compares; with its default of 40 it misses some of the nearest."""

MAX_CANDIDATES = 1000
"""The limit of pgvector."""

MAKE = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    "CREATE TABLE style_embedding (painting_id integer, encoder varchar, side integer, "
    f"embedding halfvec({WIDTH}) NOT NULL, PRIMARY KEY (painting_id, encoder, side), "
    "FOREIGN KEY (painting_id, encoder, side) REFERENCES cached_style ON DELETE CASCADE)",
    "CREATE INDEX style_embedding_nearest ON style_embedding USING hnsw (embedding halfvec_l2_ops)",
)

INSERT = text(
    "INSERT INTO style_embedding (painting_id, encoder, side, embedding) "
    "VALUES (:painting_id, :encoder, :side, CAST(:embedding AS halfvec))"
)

NEAREST = text(
    "SELECT vector, checksum, painting_id FROM ("
    "SELECT painting_id, encoder, side FROM style_embedding "
    "WHERE encoder = :encoder AND side = :side "
    "ORDER BY embedding <-> CAST(:wanted AS halfvec) LIMIT :count"
    ") AS near JOIN cached_style USING (painting_id, encoder, side) ORDER BY painting_id"
)


def has_embeddings(session: Session) -> bool:
    """Return whether this database has the table."""
    if session.get_bind().dialect.name != "postgresql":
        return False
    return session.scalar(text("SELECT to_regclass('style_embedding')")) is not None


def make_embeddings(session: Session) -> bool:
    """Make and fill the table where pgvector was installed after the other tables were made.

    Returns:
        Whether it did: False if the table is there already, or the server cannot have it.
    """
    if session.get_bind().dialect.name != "postgresql" or has_embeddings(session):
        return False
    try:
        with session.begin_nested():
            for statement in MAKE:
                session.execute(text(statement))
    except DBAPIError:
        return False  # Not installed, too old, or not allowed: the search goes without.
    columns = (CachedStyleRow.painting_id, CachedStyleRow.encoder, CachedStyleRow.side)
    query = select(*columns, CachedStyleRow.vector).execution_options(yield_per=PART)
    for rows in session.execute(query).partitions():
        values = [
            {"painting_id": number, "encoder": encoder, "side": side, "embedding": found}
            for number, encoder, side, data in rows
            if (found := embedding(np.frombuffer(data, "<f4")[None])) is not None
        ]
        if values:
            session.execute(INSERT, values)
    return True


def add_embeddings(
    session: Session, vectors: Mapping[int, NDArray[np.float32]], encoder: str
) -> None:
    """Add the embeddings of style vectors `(D,)` that were just cached, by their paintings."""
    rows = [
        {"painting_id": number, "encoder": encoder, "side": STYLE_SIDE, "embedding": found}
        for number, vector in vectors.items()
        if (found := embedding(vector[None])) is not None
    ]
    if rows and has_embeddings(session):
        session.execute(INSERT, rows)


def nearest_embeddings(
    session: Session, vector: Vector, encoder: str, count: int
) -> list[tuple[int, float]] | None:
    """Return the numbers of the nearest paintings and their distances; None if it cannot tell.

    Raises:
        StylesError: If the statistics of one are damaged.
    """
    wanted = embedding(vector)
    if wanted is None or SPARE * count > MAX_CANDIDATES or not has_embeddings(session):
        return None
    candidates = max(CANDIDATES, SPARE * count)
    session.execute(text(f"SET LOCAL hnsw.ef_search = {candidates}"))
    values = {"encoder": encoder, "side": STYLE_SIDE, "wanted": wanted, "count": candidates}
    rows = session.execute(NEAREST, values).all()
    if len(rows) < count:  # Those of other encoders may have taken their places.
        return None
    distances = distance(signature(vector)[0], signature(unpack(rows)))
    order = np.argsort(distances, kind="stable")[:count]
    return [(rows[row][2], float(distances[row])) for row in order]


def embedding(vector: Vector) -> str | None:
    """Return what pgvector reads for a style vector `(1, D)`; None if it is too wide."""
    values = signature(vector)[0]
    if len(values) > WIDTH:
        return None
    padded = np.pad(values, (0, WIDTH - len(values)))
    return f"[{','.join(f'{value:.6g}' for value in padded.tolist())}]"
