"""How paintings enter the tables: in batches, each painting once.

Every function runs inside a writing transaction, of which there is one at a time (see
`gallery.database.engine.connect`); so what it has looked up cannot change before it writes.
"""

import os
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, delete, func, insert, or_, select
from sqlalchemy.orm import Session

from adain.config import STYLE_SIDE
from gallery.database.embeddings import add_embeddings
from gallery.database.paintings import MAX_VALUES, Painting, clean, fold, slugify
from gallery.database.tables import (
    ArtistRow,
    CachedStyleRow,
    GenreRow,
    PaintingRow,
    PooledStyleRow,
    StyleRow,
    painting_genre,
    painting_style,
)
from gallery.database.vectors import pack_vector

MAX_SLUG = 100

FILLED = ("year_from", "year", "medium", "rights", "credit", "page_url")
"""Facts that a later source adds where they are missing; it never changes one."""

Named = type[ArtistRow] | type[StyleRow] | type[GenreRow]


def add_batch(
    session: Session,
    paintings: Sequence[Painting],
    vectors: NDArray[np.float32] | None = None,
    encoder: str = "",
    renewed: Collection[int] = (),
) -> list[tuple[int, bool]]:
    """Add paintings and, where they are given, their style vectors `(N, D)`.

    Args:
        session: Where to.
        paintings: With both digests.
        vectors: Their statistics.
        encoder: Fingerprint of the encoder that measured them.
        renewed: From `renew_works`; their statistics take the place of those that are there.

    Returns:
        For each painting its number and whether it was new.
    """
    new = add_paintings(session, paintings)
    session.flush()
    numbers = {
        digest: number
        for number, *digests in session.execute(
            select(PaintingRow.id, PaintingRow.sha256, PaintingRow.pixel_sha256).where(
                _has_digest(paintings)
            )
        )
        for digest in digests
    }
    found = [numbers.get(p.sha256) or numbers[p.pixel_sha256] for p in paintings]
    if vectors is not None:
        add_vectors(session, dict(zip(found, vectors, strict=True)), encoder, renewed)
    return list(zip(found, new, strict=True))


def add_paintings(session: Session, paintings: Sequence[Painting]) -> list[bool]:
    """Insert the paintings whose picture is new; give the facts of the others to their rows.

    Returns:
        For each painting whether it was new.
    """
    known = _known(session, paintings)
    fresh: list[Painting] = []
    repeated: list[Painting] = []
    taken: set[str] = set()
    new = []
    for painting in paintings:
        row = known.get(painting.sha256) or known.get(painting.pixel_sha256)
        new.append(row is None and not taken & {painting.sha256, painting.pixel_sha256})
        if new[-1]:
            fresh.append(painting)
            taken |= {painting.sha256, painting.pixel_sha256}
        elif row is None:
            repeated.append(painting)
        else:
            _complete(session, row, painting)
    if fresh:
        _insert(session, fresh)
    if repeated:
        add_paintings(session, repeated)
    return new


def renew_works(session: Session, paintings: Sequence[Painting]) -> set[int]:
    """Let works that once came in a file of styles be those of a newer one.

    A newer version may have measured another picture of a work. A work without a picture here, of
    the same slug and artist, takes the facts of that picture; else it would be there twice.

    Returns:
        The numbers of these works.
    """
    known = _known(session, paintings)
    other = {
        (p.slug, slugify_name(p.artist)): p
        for p in paintings
        if not {p.sha256, p.pixel_sha256} & known.keys()
    }
    without_picture = PaintingRow.path.is_(None), PaintingRow.source == ""
    same_slug = PaintingRow.slug.in_([slug for slug, _ in other])
    renewed = set()
    for row in session.scalars(select(PaintingRow).where(same_slug, *without_picture)).all():
        painting = other.get((row.slug, row.artist.slug if row.artist else ""))
        if painting is not None:
            for name in ("sha256", "pixel_sha256", "phash", "width", "height"):
                setattr(row, name, getattr(painting, name))
            renewed.add(row.id)
    session.flush()
    return renewed


def add_vectors(
    session: Session,
    vectors: Mapping[int, NDArray[np.float32]],
    encoder: str,
    renewed: Collection[int] = (),
) -> None:
    """Cache style vectors by the numbers of their paintings.

    Those that are there stay, but where they lack the colours that the new ones have, and those of
    `renewed`.
    """
    ours = (CachedStyleRow.encoder == encoder, CachedStyleRow.side == STYLE_SIDE)
    lengths = select(CachedStyleRow.painting_id, func.length(CachedStyleRow.vector)).where(
        CachedStyleRow.painting_id.in_(vectors), *ours
    )
    there: dict[int, int] = dict(session.execute(lengths).all())
    packed = {number: pack(vector) for number, vector in vectors.items()}
    rows = [
        {"painting_id": number, "encoder": encoder, "side": STYLE_SIDE, **columns}
        for number, columns in packed.items()
        if number in renewed or there.get(number, 0) < len(columns["vector"])
    ]
    if rows:
        replaced = [row["painting_id"] for row in rows if row["painting_id"] in there]
        old = CachedStyleRow.painting_id.in_(replaced)
        session.execute(delete(CachedStyleRow).where(old, *ours))
        session.execute(insert(CachedStyleRow), rows)
        add_embeddings(
            session, {row["painting_id"]: vectors[row["painting_id"]] for row in rows}, encoder
        )
        forget_pools(session, [row["painting_id"] for row in rows])


def forget_pools(session: Session, paintings: Sequence[int]) -> None:
    """Drop the pooled statistics of the artists and styles of these paintings."""
    artists = select(PaintingRow.artist_id).where(PaintingRow.id.in_(paintings))
    styles = select(painting_style.c.style_id).where(painting_style.c.painting_id.in_(paintings))
    for kind, groups in (("artist", artists), ("style", styles)):
        session.execute(
            delete(PooledStyleRow).where(
                PooledStyleRow.kind == kind, PooledStyleRow.group_id.in_(groups)
            )
        )


def pack(vector: NDArray[np.float32]) -> dict[str, Any]:
    """Return the columns that hold a style vector."""
    data = pack_vector(vector)
    return {"vector": data, "checksum": zlib.crc32(data)}


def _known(session: Session, paintings: Sequence[Painting]) -> dict[str, PaintingRow]:
    """Return the rows of pictures that are there, by both of their digests."""
    rows = session.scalars(select(PaintingRow).where(_has_digest(paintings)))
    return {digest: row for row in rows for digest in (row.sha256, row.pixel_sha256)}


def _has_digest(paintings: Sequence[Painting]) -> ColumnElement[bool]:
    return or_(
        PaintingRow.sha256.in_([painting.sha256 for painting in paintings]),
        PaintingRow.pixel_sha256.in_([painting.pixel_sha256 for painting in paintings]),
    )


def _insert(session: Session, paintings: Sequence[Painting]) -> None:
    artists = _named(session, ArtistRow, (p.artist for p in paintings))
    styles = _named(session, StyleRow, (name for p in paintings for name in p.styles))
    genres = _named(session, GenreRow, (name for p in paintings for name in p.genres))
    paintings = _with_slugs(session, paintings)
    now = datetime.now(UTC).replace(tzinfo=None)
    rows = [_columns(p, artists.get(slugify_name(p.artist)), now) for p in paintings]
    session.execute(insert(PaintingRow), rows)
    numbers = dict(
        session.execute(
            select(PaintingRow.sha256, PaintingRow.id).where(
                PaintingRow.sha256.in_([p.sha256 for p in paintings])
            )
        ).all()
    )
    for table, column, ids, names in (
        (painting_style, "style_id", styles, "styles"),
        (painting_genre, "genre_id", genres, "genres"),
    ):
        links = {
            (numbers[p.sha256], ids[slugify_name(name)])
            for p in paintings
            for name in getattr(p, names)
        }
        if links:
            rows = [{"painting_id": painting, column: other} for painting, other in sorted(links)]
            session.execute(insert(table), rows)


def _columns(painting: Painting, artist_id: int | None, now: datetime) -> dict[str, Any]:
    names = ("slug", "title", "sha256", "pixel_sha256", "phash", "width", "height", "path",
             "year_from", "year", "medium", "rights", "credit", "source", "page_url")  # fmt: skip
    return {
        **{name: getattr(painting, name) for name in names},
        "artist_id": artist_id,
        "tags": "|".join(painting.tags),
        "words": search_words(painting),
        "added_at": now,
    }


def search_words(painting: Painting) -> str:
    """Return what a painting is found by: the words of its facts, each once."""
    parts = (painting.slug, painting.title, painting.artist, *painting.styles, *painting.genres,
             *painting.tags)  # fmt: skip
    return " ".join(dict.fromkeys(word for part in parts for word in fold(part)))


def slugify_name(name: str) -> str:
    """Return what makes two spellings of an artist's or a movement's name one."""
    return "-".join(fold(name))


def _named(session: Session, table: Named, names: Iterable[str]) -> dict[str, int]:
    """Return the numbers of artists, styles or genres by slug; insert those that are new."""
    wanted: dict[str, str] = {}
    for name in names:
        if slugify_name(name):
            wanted.setdefault(slugify_name(name), name)
    query = select(table.slug, table.id).where(table.slug.in_(wanted))
    found = dict(session.execute(query).all())
    missing = [{"slug": slug, "name": name} for slug, name in wanted.items() if slug not in found]
    if missing:
        session.execute(insert(table), missing)
        found = dict(session.execute(query).all())
    return found


def _with_slugs(session: Session, paintings: Sequence[Painting]) -> list[Painting]:
    """Give each painting a slug that no other has: its title, then with artist, then digest."""
    options = [_slugs(painting) for painting in paintings]
    every = [slug for slugs in options for slug in slugs]
    taken = set(session.scalars(select(PaintingRow.slug).where(PaintingRow.slug.in_(every))))
    chosen = []
    for painting, slugs in zip(paintings, options, strict=True):
        slug = next(slug for slug in slugs if slug not in taken)
        taken.add(slug)
        chosen.append(replace(painting, slug=slug))
    return chosen


def _slugs(painting: Painting) -> list[str]:
    base = (painting.slug or slugify(painting.title))[:MAX_SLUG].strip("-")
    if not base or base.isdigit():  # A number means the number of a painting.
        base = f"painting-{base}".strip("-")
    artist = slugify(painting.artist)[:MAX_SLUG].strip("-")
    longer = [f"{base}-{artist}"] if artist else []
    return [base, *longer, f"{base}-{painting.sha256[:8]}", f"{base}-{painting.sha256}"]


def _complete(session: Session, row: PaintingRow, painting: Painting) -> None:
    """Give a row the facts that it lacks, and the new path of a picture that was moved.

    A title that is only the name of the file counts as lacking, and tags add up.
    """
    titled = bool(row.path) and row.title == clean(Path(str(row.path)).stem) != painting.title
    if titled:
        row.title = painting.title
    each = list(dict.fromkeys(filter(None, (*row.tags.split("|"), *painting.tags))))
    tags = "|".join(each[:MAX_VALUES])
    tagged, row.tags = tags != row.tags, tags
    if painting.path and not (row.path and os.path.exists(row.path)):
        row.path = painting.path
    for name in FILLED:
        if not getattr(row, name) and getattr(painting, name):
            setattr(row, name, getattr(painting, name))
    artist = None if row.artist_id else slugify_name(painting.artist)
    styles = {slugify_name(name): name for name in painting.styles}
    genres = {slugify_name(name): name for name in painting.genres}
    new_styles = set(styles) - {style.slug for style in row.styles} - {""}
    new_genres = set(genres) - {genre.slug for genre in row.genres} - {""}
    if not (titled or tagged or artist or new_styles or new_genres):
        return
    if artist:
        row.artist_id = _named(session, ArtistRow, [painting.artist])[artist]
    for number in _named(session, StyleRow, (styles[s] for s in new_styles)).values():
        session.execute(insert(painting_style).values(painting_id=row.id, style_id=number))
    for number in _named(session, GenreRow, (genres[g] for g in new_genres)).values():
        session.execute(insert(painting_genre).values(painting_id=row.id, genre_id=number))
    session.flush()
    session.expire(row)
    words = dict.fromkeys([*row.words.split(), *search_words(painting).split()])
    row.words = " ".join(words)
    forget_pools(session, [row.id])
