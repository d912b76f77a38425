"""Look-ups in the database without SQLAlchemy, whose import takes longer than a pass.

The starter gallery ships as a database, `STARTER`, which `scripts/build_gallery` makes; and the
statistics of one painting, named by its very slug, need no more than the driver.
"""

import re
import sqlite3
import zlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

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


@dataclass(frozen=True)
class Known:
    """The numbers of a painting.

    Attributes:
        vectors: Style vectors `(1, D)`, by the encoders that measured it.
        adapters: What was learnt of it, by the decoders for which.
    """

    vectors: Mapping[str, Vectors] = field(default_factory=dict)
    adapters: Mapping[str, Adapter] = field(default_factory=dict)


def measured(url: str, slug: str) -> Known:
    """Return what is known of a painting.

    Args:
        url: The gallery; the starter gallery answers for the default one that is not there.
        slug: The very slug of the painting.

    Returns:
        Nothing if there is any doubt: another name, another server, no such painting, other
        tables, damage. `gallery.database.gallery` then finds it, or says what is wrong.
    """
    if not SLUG.fullmatch(slug) or slug.isdigit() or not url.startswith(PREFIX):
        return Known()
    path, mode = Path(url.removeprefix(PREFIX)), "mode=ro"
    if url == database_url(default_database()) and not path.exists():
        path, mode = STARTER, IMMUTABLE
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)) as connection:
            rows = connection.execute(QUERY, (slug, STYLE_SIDE, SCHEMA)).fetchall()
            learnt = connection.execute(LEARNT, (slug,)).fetchall() if rows else []
        if any(zlib.crc32(data) != checksum for _, data, checksum in (*rows, *learnt)):
            return Known()
        adapters = {base: Adapter.from_bytes(data) for base, data, _ in learnt}
    except (sqlite3.Error, WeightsError):
        return Known()
    found = {encoder: unpack_vectors([vector]) for encoder, vector, _ in rows}
    return Known() if any(map(broken_colors, found.values())) else Known(found, adapters)
