"""How paintings, artists and movements are found by what people call them."""

import difflib
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gallery.database.paintings import Painting, fold, slugify
from gallery.database.queries import (
    Group,
    all_groups,
    in_group,
    painting_of,
    rows_with_words,
    whole_rows,
)
from gallery.database.tables import ArtistRow, PaintingRow, StyleRow
from gallery.database.writes import slugify_name
from gallery.errors import StyleNotFound

FITTING = 100
"""Paintings among which an exact title is looked for."""

SHOWN = 6
"""Paintings that an ambiguous name lists."""

COMPARED = 2000
"""Names that a misspelt one is compared with; comparing all of a large gallery takes seconds."""


def find_painting(session: Session, name: str) -> Painting:
    """Find a painting by number, slug, `artist:title`, or words that fit it alone.

    Raises:
        StyleNotFound: If no painting fits, or several do.
    """
    by_slug = PaintingRow.slug == slugify(name)
    match = PaintingRow.id == int(name) if _is_number(name) else by_slug
    row = session.scalar(whole_rows().where(match))
    if row is not None:
        return painting_of(row)
    words = fold(name)
    query = rows_with_words(session, words).order_by(PaintingRow.id).limit(FITTING)
    rows = _by_artist(session, name) or (session.scalars(query).all() if words else [])
    if len(rows) > 1:
        title = slugify(name.rpartition(":")[2])
        rows = [row for row in rows if slugify(row.title) == title] or rows
    if len(rows) == 1:
        return painting_of(rows[0])
    if rows:
        slugs = ", ".join(row.slug for row in rows[:SHOWN])
        raise StyleNotFound(
            f"{name!r:.80} fits several paintings; choose one, such as {slugs}, "
            "or 'artist:NAME' for all of an artist"
        )
    raise StyleNotFound(
        f"no painting named {name!r:.80} in the gallery; "
        f"did you mean {_either(_closest(session, name))}? 'adain gallery list' lists all"
    )


def _by_artist(session: Session, name: str) -> list[PaintingRow]:
    """Return what `artist:title` means if both have words, or beginnings, of their own side.

    A search for all words would take "impression" for the movement of a painter, too.
    """
    artist, _, title = (fold(part) for part in name.partition(":"))
    if not (artist and title):
        return []
    slugs = session.execute(select(ArtistRow.id, ArtistRow.slug))
    artists = [number for number, slug in slugs if _begin(artist, slug.split("-"))]
    query = rows_with_words(session, title).where(PaintingRow.artist_id.in_(artists))
    rows = session.scalars(query.order_by(PaintingRow.id).limit(FITTING))
    return [row for row in rows if _begin(title, fold(row.title))]


def _begin(wanted: Sequence[str], words: Sequence[str]) -> bool:
    return all(any(word.startswith(start) for word in words) for start in wanted)


def find_group(session: Session, kind: str, name: str) -> Group:
    """Find an artist or a style by name, or by words of the name that fit it alone.

    Raises:
        StyleNotFound: If none fits, or several do.
    """
    wanted = slugify_name(name)
    # Without counting the paintings of all others first.
    table = ArtistRow if kind == "artist" else StyleRow
    query = select(table.id, table.name, table.slug).where(table.slug == wanted)
    row = session.execute(query).first()
    if row is not None:
        group = Group(kind, *row, paintings=0)
        count = session.scalar(select(func.count(PaintingRow.id)).where(in_group(group)))
        if count:
            return replace(group, paintings=count)
    groups = all_groups(session, kind)
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


def close_words(session: Session, search: str, count: int = 3) -> list[str]:
    """Return words of paintings that resemble those of a search that are found nowhere."""
    words = fold(search)
    known = {word for row in _likely(session, words) for word in row.words.split()}
    unknown = [word for word in words if not any(each.startswith(word) for each in known)]
    close = (match for word in unknown for match in difflib.get_close_matches(word, known, 3, 0.7))
    return list(dict.fromkeys(close))[:count]


def _likely(session: Session, words: Sequence[str]) -> list[PaintingRow]:
    """Return paintings among which one with misspelt words is likely to be."""
    queries = [rows_with_words(session, [word[:3]]) for word in words]
    queries.append(whole_rows().order_by(PaintingRow.id))
    found = (row for query in queries for row in session.scalars(query.limit(COMPARED)))
    return list({row.id: row for row in found}.values())


def _closest(session: Session, name: str, count: int = 3) -> list[str]:
    wanted = slugify(name)

    def likeness(row: PaintingRow) -> float:
        return _likeness(wanted, [row.slug, row.title, row.artist.name if row.artist else ""])

    return [
        row.slug for row in sorted(_likely(session, fold(name)), key=likeness, reverse=True)[:count]
    ]


def _likeness(wanted: str, names: Sequence[str]) -> float:
    # A single word of a long title or name is the likeliest thing to be misspelt.
    slugs = {slugify(name) for name in names}
    slugs |= {word for slug in slugs for word in slug.split("-") if len(word) > 3}
    return max(difflib.SequenceMatcher(None, wanted, slug).ratio() for slug in slugs)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 18


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
