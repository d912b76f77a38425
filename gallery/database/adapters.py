"""Adapters of paintings and groups: kept, found, listed and forgotten.

Every function runs inside a transaction of `Gallery`.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, insert, select
from sqlalchemy.orm import Session, defer

from adain.errors import WeightsError
from adain.styles.adapter import Adapter
from gallery.database.paintings import Painting
from gallery.database.queries import Group
from gallery.database.tables import AdapterRow, ArtistRow, PaintingRow, StyleRow
from gallery.errors import StylesError

COLUMNS = {"painting": AdapterRow.painting_id, "artist": AdapterRow.artist_id,
           "style": AdapterRow.style_id}  # fmt: skip


@dataclass(frozen=True)
class Learnt:
    """An adapter as it is listed.

    Attributes:
        id: Of its row.
        kind: `painting`, `artist` or `style`.
        number: Of the painting or the group.
        name: How one names it as a style, such as `irises` or `artist:claude-monet`.
        base: The decoder that it was learnt for.
        size: Bytes.
        steps: How long it was learnt.
        losses: Terms of the last step's loss.
        learnt_at: When.
    """

    id: int
    kind: str
    number: int
    name: str
    base: str
    size: int
    steps: int
    losses: dict[str, float]
    learnt_at: datetime


def target_key(target: Painting | Group) -> tuple[str, int]:
    """Return kind and number of what adapters are learnt of."""
    if isinstance(target, Group):
        return target.kind, target.id
    assert target.id is not None
    return "painting", target.id


def keep_adapter(
    session: Session, target: Painting | Group, adapter: Adapter, now: datetime
) -> None:
    """Keep an adapter in the place of the one that was learnt before for the same decoder."""
    kind, number = target_key(target)
    session.execute(delete(AdapterRow).where(_of(kind, number), AdapterRow.base == adapter.base))
    _insert(session, kind, number, adapter, now)


def _insert(session: Session, kind: str, number: int, adapter: Adapter, now: datetime) -> None:
    data = adapter.to_bytes()
    row: dict[str, Any] = {COLUMNS[kind].key: number}
    session.execute(
        insert(AdapterRow).values(
            base=adapter.base,
            data=data,
            checksum=zlib.crc32(data),
            facts=json.dumps(dict(adapter.facts)),
            learnt_at=now,
            **row,
        )
    )


def find_adapter(session: Session, target: Painting | Group, base: str) -> Adapter | None:
    """Return what was learnt of a painting or a group for a decoder, if anything.

    Raises:
        StylesError: If it is damaged.
    """
    kind, number = target_key(target)
    query = select(AdapterRow.data, AdapterRow.checksum)
    row = session.execute(query.where(_of(kind, number), AdapterRow.base == base)).first()
    return None if row is None else read_adapter(*row, target.slug)


def learnt_bases(session: Session, target: Painting | Group) -> list[str]:
    """Return the decoders for which a painting or a group was learnt."""
    return list(session.scalars(select(AdapterRow.base).where(_of(*target_key(target)))))


def read_adapter(data: bytes, checksum: int, slug: str) -> Adapter:
    """Return the adapter of a row. Raises `StylesError` if it is damaged."""
    try:
        if zlib.crc32(data) != checksum:
            raise WeightsError("its checksum is wrong")
        return Adapter.from_bytes(data, slug)
    except WeightsError as error:
        raise StylesError(
            f"what was learnt of {slug} is damaged ({error}); 'adain gallery repair' removes it, "
            "--no-adapter paints without"
        ) from error


def list_adapters(session: Session) -> list[Learnt]:
    """Return all adapters, in the order in which they were learnt."""
    query = (
        select(
            AdapterRow,
            func.length(AdapterRow.data),
            PaintingRow.slug,
            ArtistRow.slug,
            StyleRow.slug,
        )
        .options(defer(AdapterRow.data))
        .outerjoin(PaintingRow, AdapterRow.painting_id == PaintingRow.id)
        .outerjoin(ArtistRow, AdapterRow.artist_id == ArtistRow.id)
        .outerjoin(StyleRow, AdapterRow.style_id == StyleRow.id)
        .order_by(AdapterRow.id)
    )
    return [_listed(row, size, *slugs) for row, size, *slugs in session.execute(query)]


def all_adapters(session: Session) -> dict[str, list[Adapter]]:
    """Return what was learnt of paintings, by the digests of their pictures.

    Raises:
        StylesError: If something is damaged.
    """
    query = select(PaintingRow.sha256, AdapterRow.data, AdapterRow.checksum, PaintingRow.slug)
    found: dict[str, list[Adapter]] = {}
    rows = session.execute(query.join(AdapterRow).order_by(AdapterRow.id))
    for sha256, data, checksum, slug in rows:
        found.setdefault(sha256, []).append(read_adapter(data, checksum, slug))
    return found


def import_adapters(
    session: Session, adapters: Mapping[str, Sequence[Adapter]], now: datetime
) -> None:
    """Keep what was learnt of paintings elsewhere, by the digests of their pictures.

    What was learnt here stays.
    """
    if not adapters:
        return
    there = set(session.execute(select(AdapterRow.painting_id, AdapterRow.base)).all())
    query = select(PaintingRow.id, PaintingRow.sha256).order_by(PaintingRow.id)
    numbers = [(row.id, row.sha256) for row in session.execute(query) if row.sha256 in adapters]
    for number, sha256 in numbers:
        for adapter in adapters[sha256]:
            if (number, adapter.base) not in there:
                _insert(session, "painting", number, adapter, now)


def learnt_adapters(session: Session, base: str) -> dict[int, Adapter]:
    """Return what was learnt of paintings for a decoder, by their numbers.

    Raises:
        StylesError: If something is damaged.
    """
    query = select(PaintingRow.id, AdapterRow.data, AdapterRow.checksum, PaintingRow.slug)
    rows = session.execute(query.join(AdapterRow).where(AdapterRow.base == base))
    return {number: read_adapter(data, checksum, slug) for number, data, checksum, slug in rows}


def learnt_numbers(base: str | None = None) -> Select[int | None]:
    """Select the numbers of the paintings that were learnt for a decoder, by default any."""
    query = select(AdapterRow.painting_id).where(AdapterRow.painting_id.is_not(None))
    return query if base is None else query.where(AdapterRow.base == base)


def forget_adapters(session: Session, target: Painting | Group) -> int:
    """Forget what was learnt of a painting or a group; return how many there were."""
    kind, number = target_key(target)
    return _delete(session, session.scalars(select(AdapterRow.id).where(_of(kind, number))))


def damaged_adapters(session: Session) -> list[str]:
    """Return the names of styles of which what was learnt is damaged."""
    damaged = _damaged(session)
    return [each.name for each in list_adapters(session) if each.id in damaged]


def drop_damaged_adapters(session: Session) -> int:
    """Delete the rows whose content is damaged; return how many there were."""
    return _delete(session, _damaged(session))


def _damaged(session: Session) -> set[int]:
    query = select(AdapterRow.id, AdapterRow.data, AdapterRow.checksum)
    found = set()
    for number, data, checksum in session.execute(query.execution_options(yield_per=50)):
        try:
            read_adapter(data, checksum, "")
        except StylesError:
            found.add(number)
    return found


def _delete(session: Session, numbers: Iterable[int]) -> int:
    found = list(numbers)
    session.execute(delete(AdapterRow).where(AdapterRow.id.in_(found)))
    return len(found)


def _of(kind: str, number: int) -> ColumnElement[bool]:
    return COLUMNS[kind] == number


def _listed(
    row: AdapterRow, size: int, painting: str | None, artist: str | None, style: str | None
) -> Learnt:
    kind = "painting" if painting else "artist" if artist else "style"
    facts = json.loads(row.facts)
    return Learnt(
        row.id,
        kind,
        row.painting_id or row.artist_id or row.style_id or 0,
        painting or (f"artist:{artist}" if artist else f"style:{style}"),
        row.base,
        size,
        int(facts.get("steps", 0)),
        dict(facts.get("losses", {})),
        row.learnt_at,
    )
