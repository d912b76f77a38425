"""How paintings, artists and movements are found by what people call them."""

import difflib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

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

SUGGESTED = 3

LIKE, SHORT_LIKE, SHORT = 0.78, 0.72, 5
"""Likeness of two words from which one may be the other misspelt; the second of words of at most
so many letters. Below it, it is guessing.
"""

TELLING = 0.6
"""Share of what the words of a name tell, by how rare they are, from which a painting is suggested:
"tree of life" is not every still life.
"""

MISSPELT = 0.7
"""Evidence that a word is taken for another."""

NAMED = 0.45
"""Share of the words, by their evidence, that must be of an artist to suggest him."""

NONE_LIKELY = "those that come with it are by painters who died in 1955 or before. "
"""Why works that are asked for first, such as Picasso's, are not there."""

MAX_WORDS = 12

FAMOUS = "famous"
"""Tag of works that people look for first."""

COMMON = frozenset(("a", "an", "the", "of", "in", "on", "at", "and", "with", "by", "for", "la",
                    "le", "les", "el", "il", "der", "die", "das", "de", "del", "du", "da", "di",
                    "van", "von"))  # fmt: skip
"""Words that tell nothing."""


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
        slugs = [row.slug for row in sorted(rows, key=_fame)[:SHOWN]]
        groups = _groups_called(session, words) or ["'artist:NAME' for all of an artist"]
        raise StyleNotFound(
            f"{name!r:.80} fits several paintings; choose one, such as {', '.join(slugs)}, "
            f"or {_either(groups)}"
        )
    likely = _question(_suggestions(session, words)) or NONE_LIKELY
    raise StyleNotFound(
        f"no painting named {name!r:.80} in the gallery; {likely}"
        "'adain gallery list' lists all, and any picture file does as a style"
    )


def _question(names: Sequence[str]) -> str:
    return f"did you mean {_either(names)}? " if names else ""


def _groups_called(session: Session, words: Sequence[str]) -> list[str]:
    """Return the artists and the movements whose name has all words, as `--style` takes them."""
    groups = [group for kind in ("artist", "style") for group in all_groups(session, kind)]
    telling = not COMMON.issuperset(words)
    fitting = [group for group in groups if telling and set(words) <= set(fold(group.name))]
    fitting = [group for group in fitting if list(words) == fold(group.name)] or fitting
    return [f"'{g.kind}:{g.slug}' for all of {g.name}" for g in fitting[:SUGGESTED]]


def _fame(row: PaintingRow) -> bool:
    """Return by what the works that people look for first come first."""
    return FAMOUS not in row.tags.split("|")


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
    name = name.removeprefix(f"{kind}:")  # As messages call it.
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
    # Of several with a word, the one with the shortest name.
    longest_first = sorted(groups, key=lambda g: -len(g.name))
    close = _like(words, {word: g for g in longest_first for word in fold(g.name)})
    likely = [f"'{kind}:{group.slug}'" for group in close]
    if not likely:
        other = "style" if kind == "artist" else "artist"
        others = [g for g in all_groups(session, other) if words and words <= set(fold(g.name))]
        likely = [f"'{other}:{group.slug}'" for group in others[:SUGGESTED]]
    raise StyleNotFound(
        f"no {kind} named {name!r:.80}; {_question(likely)}'adain gallery {kind}s' lists all"
    )


def _like(words: Iterable[str], groups: Mapping[str, Group]) -> list[Group]:
    """Return the groups with a word that is nearly one of these."""
    close = (
        groups[known] for word in words if word not in COMMON for known in _close(word, groups)
    )
    return list(dict.fromkeys(close))[:SUGGESTED]


def close_words(session: Session, search: str, count: int = SUGGESTED) -> list[str]:
    """Return words of paintings that resemble those of a search that are found nowhere."""
    words = fold(search)[:MAX_WORDS]
    known = {word for row in _likely(session, words) for word in row.words.split()}
    unknown = [word for word in words if not any(each.startswith(word) for each in known)]
    close = (match for word in unknown for match in _close(word, known))
    return list(dict.fromkeys(close))[:count]


def _readings(session: Session, words: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return what each word may mean, with the evidence: itself, one that it nearly is, or two."""
    known: dict[str, str] = {}
    for row in _likely(session, words):
        found = row.words.split()
        known |= zip(found, found, strict=True)
        for first, second in pairwise(found):  # As in "vangogh".
            known.setdefault(first + second, f"{first} {second}")
    return {
        word: {known[close]: MISSPELT for close in _close(word, known)} | {word: 1.0}
        for word in words
    }


def _close(word: str, known: Iterable[str]) -> list[str]:
    """Return the words that are nearly this one, the nearest first."""
    likeness = SHORT_LIKE if len(word) <= SHORT else LIKE
    return difflib.get_close_matches(word, list(known), SUGGESTED, likeness)


def _suggestions(session: Session, words: Sequence[str]) -> list[str]:
    """Return what may be meant: paintings and artists that have some of the words.

    How much of them is needed goes by how rare they are. A word that is nowhere counts by what it
    may be misspelt.
    """
    words = [word for word in words if word not in COMMON][:MAX_WORDS]
    count = session.scalar(select(func.count(PaintingRow.id))) or 0
    told, total = defaultdict[str, float](float), 0.0
    rows: dict[str, PaintingRow] = {}
    readings = _readings(session, words)
    for meanings in readings.values():
        evidence: dict[str, float] = {}
        for meant, share in sorted(meanings.items(), key=lambda item: item[1]):
            query = rows_with_words(session, meant.split()).limit(COMPARED)
            found = {row.slug: row for row in session.scalars(query)}
            evidence |= dict.fromkeys(found, share)
            rows |= found
        weight = math.log1p(count / max(len(evidence), 1))
        total += weight
        for slug, share in evidence.items():
            told[slug] += weight * share
    telling = [slug for slug in told if told[slug] >= TELLING * total]
    paintings = sorted(telling, key=lambda slug: (-told[slug], _fame(rows[slug]), slug))
    return [*_artists_with(session, readings), *paintings][:SUGGESTED]


def _artists_with(session: Session, readings: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the artists who alone have a word of their names, if enough of what is read is it."""
    of_word = defaultdict[str, set[str]](set)
    for slug in session.scalars(select(ArtistRow.slug)):
        for word in slug.split("-"):
            of_word[word].add(slug)
    told = defaultdict[str, float](float)
    for meanings in readings.values():
        for meant, share in meanings.items():
            for word in meant.split():
                if len(word) > 1 and len(of_word[word]) == 1:  # Initials name nobody.
                    told[min(of_word[word])] += share / len(readings)
    return [f"'artist:{slug}'" for slug, share in told.items() if share >= NAMED][:SUGGESTED]


def _likely(session: Session, words: Sequence[str]) -> list[PaintingRow]:
    """Return paintings among which one with misspelt words is likely to be."""
    queries = [rows_with_words(session, [word[:3]]) for word in words]
    queries.append(whole_rows().order_by(PaintingRow.id))
    found = (row for query in queries for row in session.scalars(query.limit(COMPARED)))
    return list({row.id: row for row in found}.values())


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 18


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
