"""Look-ups in the database without SQLAlchemy, whose import takes longer than a pass.

The starter gallery ships as a database, `STARTER`, which `scripts/build_gallery` makes; and the
statistics of one painting, named by its very slug, need no more than the driver.
"""

import hashlib
import re
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adain.config import STYLE_SIDE
from adain.errors import WeightsError
from adain.styles.adapter import Adapter
from gallery.config import database_url, default_database
from gallery.database.vectors import Vectors, broken_colors, unpack_vectors

SCHEMA = "0005"
"""Revision of the tables: the newest in `migrations/versions`."""

STARTER = Path(__file__).parents[1] / "assets" / "starter.db"

IMMUTABLE = "mode=ro&immutable=1"
"""How SQLite opens it: nobody writes it, so there is neither a lock nor a log to look for, and the
folder may be read-only and someone else's."""

PREFIX = "sqlite:///"

SLUG = re.compile("[a-z0-9]+(-[a-z0-9]+)*")

QUERY = """SELECT encoder, vector, checksum FROM painting JOIN cached_style ON painting_id = id
WHERE slug = ? AND side = ? AND (SELECT version_num FROM alembic_version) = ?"""

LEARNT = """SELECT base, data, adapter.checksum FROM painting JOIN adapter
ON adapter.painting_id = painting.id WHERE slug = ?"""

LEARNT_FROM = """SELECT base, data, adapter.checksum FROM painting JOIN adapter
ON adapter.painting_id = painting.id
WHERE sha256 = ? AND (SELECT version_num FROM alembic_version) = ?"""


@dataclass(frozen=True)
class Known:
    """The numbers of a painting.

    Attributes:
        vectors: Style vectors `(1, D)`, by the encoders that measured it.
        adapters: What was learnt of it, by the decoders for which.
    """

    vectors: Mapping[str, Vectors] = field(default_factory=dict)
    adapters: Mapping[str, Adapter] = field(default_factory=dict)


def learnt_from(url: str, picture: Path) -> Mapping[str, Adapter]:
    """Return what was learnt from a picture file, by the decoders for which.

    Nothing if there is any doubt, as for `measured`.
    """
    try:
        digest = hashlib.sha256(picture.read_bytes()).hexdigest()
    except OSError:
        return {}
    found = _ask(url, (LEARNT_FROM, (digest, SCHEMA)))
    return _adapters(found[0]) or {} if found else {}


def measured(url: str, slug: str) -> Known:
    """Return what is known of a painting.

    Args:
        url: The gallery; the starter gallery answers for the default one that is not there.
        slug: The very slug of the painting.

    Returns:
        Nothing if there is any doubt: another name, another server, no such painting, other
        tables, damage. `gallery.database.gallery` then finds it, or says what is wrong.
    """
    if not SLUG.fullmatch(slug) or slug.isdigit():
        return Known()
    found = _ask(url, (QUERY, (slug, STYLE_SIDE, SCHEMA)), (LEARNT, (slug,)))
    if not found or any(zlib.crc32(vector) != checksum for _, vector, checksum in found[0]):
        return Known()
    adapters = _adapters(found[1])
    vectors = {encoder: unpack_vectors([vector]) for encoder, vector, _ in found[0]}
    if adapters is None or any(map(broken_colors, vectors.values())):
        return Known()
    return Known(vectors, adapters)


def _ask(url: str, *queries: tuple[str, tuple[object, ...]]) -> list[list[tuple[Any, ...]]]:
    """Return the rows of each query; nothing where the database cannot answer."""
    if not url.startswith(PREFIX):
        return []
    path, mode = Path(url.removeprefix(PREFIX)), "mode=ro"
    if url == database_url(default_database()) and not path.exists():
        path, mode = STARTER, IMMUTABLE
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)) as connection:
            return [connection.execute(*query).fetchall() for query in queries]
    except sqlite3.Error:
        return []


def _adapters(rows: Sequence[tuple[str, bytes, int]]) -> dict[str, Adapter] | None:
    """Return the adapters of rows; None if one is damaged."""
    if any(zlib.crc32(data) != checksum for _, data, checksum in rows):
        return None
    try:
        return {base: Adapter.from_bytes(data) for base, data, _ in rows}
    except WeightsError:
        return None
