"""Questions to the gallery: selections of paintings, groups and style vectors.

Every function runs inside a transaction of `Gallery`; what it writes is in `writes`.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session, joinedload, selectinload

from adain.config import STYLE_SIDE
from gallery.database.paintings import Painting
from gallery.database.tables import ArtistRow, CachedStyleRow, PaintingRow, StyleRow, painting_style
from gallery.database.vectors import Vectors, broken_colors, join_vectors, misfits, unpack_vectors
from gallery.errors import StylesError

Vector = Vectors
"""A style vector, shape `(1, D)`."""

PART = 2000
"""Style vectors that are read at a time."""


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


def whole_rows() -> Select[PaintingRow]:
    """Select paintings with everything that `painting_of` needs."""
    return select(PaintingRow).options(
        joinedload(PaintingRow.artist),
        selectinload(PaintingRow.styles),
        selectinload(PaintingRow.genres),
    )


def rows_with_words(session: Session, words: Sequence[str]) -> Select[PaintingRow]:
    """Select the paintings with words that begin with each of these, by full-text search."""
    if session.get_bind().dialect.name == "sqlite":
        match = " ".join(f'"{word}"*' for word in words)
        condition = "painting.id IN (SELECT rowid FROM painting_search WHERE words MATCH :m)"
    else:
        match = " & ".join(f"'{word}':*" for word in words)
        condition = "to_tsvector('simple', words) @@ to_tsquery('simple', :m)"
    return whole_rows().where(text(condition).bindparams(m=match))


def painting_of(row: PaintingRow) -> Painting:
    """Return the facts of a row of `whole_rows`."""
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


def all_groups(session: Session, kind: str) -> list[Group]:
    """Return every artist or style that has paintings, by name."""
    if kind == "artist":
        query = select(ArtistRow, func.count()).join(PaintingRow)
        query = query.group_by(ArtistRow.id).order_by(ArtistRow.slug)
    else:
        query = select(StyleRow, func.count()).join(painting_style)  # type: ignore[assignment]
        query = query.group_by(StyleRow.id).order_by(StyleRow.slug)
    rows = session.execute(query)
    return [Group(kind, row.id, row.name, row.slug, count) for row, count in rows]


def in_group(group: Group) -> Any:
    """Return the condition that a painting belongs to an artist or a style."""
    if group.kind == "artist":
        return PaintingRow.artist_id == group.id
    return PaintingRow.id.in_(
        select(painting_style.c.painting_id).where(painting_style.c.style_id == group.id)
    )


def style_vectors(encoder: str) -> Select[bytes, int, int]:
    """Select vector, checksum and number of the paintings that an encoder measured."""
    return select(CachedStyleRow.vector, CachedStyleRow.checksum, CachedStyleRow.painting_id).where(
        CachedStyleRow.encoder == encoder, CachedStyleRow.side == STYLE_SIDE
    )


def vectors_of(session: Session, encoder: str, group: Group | None) -> tuple[list[int], Vectors]:
    """Return the numbers and the style vectors `(N, D)` of all paintings, or of a group.

    Where only some have colours, those of the others are NaN.

    Raises:
        StylesError: If one is damaged, or there is none.
    """
    query = style_vectors(encoder).order_by(CachedStyleRow.painting_id)
    if group is not None:
        paintings = select(PaintingRow.id).where(in_group(group))
        query = query.where(CachedStyleRow.painting_id.in_(paintings))
    numbers: list[int] = []
    vectors: list[Vectors] = []
    # In parts: the rows take more memory than the numbers in them.
    for rows in session.execute(query.execution_options(yield_per=PART)).partitions():
        numbers += [row[2] for row in rows]
        vectors.append(unpack(rows))
    if not numbers:
        raise StylesError(
            f"no painting of {group.name if group else 'the gallery'} was measured by encoder "
            f"{encoder}; ingest their pictures again"
        )
    return numbers, join_vectors(vectors)


def unpack(rows: Sequence[Any]) -> Vectors:
    """Return the style vectors of rows of vector, checksum and number.

    Raises:
        StylesError: If one is damaged.
    """
    damaged = [i for i, row in enumerate(rows) if zlib.crc32(row[0]) != row[1]]
    damaged += misfits([len(row[0]) for row in rows])
    if not damaged:
        vectors = unpack_vectors([row[0] for row in rows])
        damaged += broken_colors(vectors)
    if damaged:
        raise StylesError(
            f"the statistics of number {rows[damaged[0]][2]} are damaged; "
            "'adain gallery repair' mends them"
        )
    return vectors
