"""Tables of the gallery database.

    artist ──< painting >── painting_style >── style
                  │  └───── painting_genre >── genre
                  └──< cached_style          pooled_style (of an artist or a style)
    adapter (of a painting, an artist or a style)
    import_run ──< import_error          job ──< job_file

On SQLite, triggers keep the full-text index `painting_search` in step with `painting.words`; on
PostgreSQL that column has a text-search index, and with its extension pgvector there is the table
`style_embedding` (see `gallery.database.embeddings`), which only the migrations make.
"""

from datetime import datetime

from sqlalchemy import DDL, BigInteger, Column, ForeignKey, MetaData, Table, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

FULL_TEXT = (
    "CREATE VIRTUAL TABLE painting_search USING fts5"
    "(words, content='painting', content_rowid='id', tokenize='unicode61')",
    "CREATE TRIGGER painting_search_insert AFTER INSERT ON painting BEGIN "
    "INSERT INTO painting_search(rowid, words) VALUES (new.id, new.words); END",
    "CREATE TRIGGER painting_search_delete AFTER DELETE ON painting BEGIN "
    "INSERT INTO painting_search(painting_search, rowid, words) "
    "VALUES ('delete', old.id, old.words); END",
    "CREATE TRIGGER painting_search_update AFTER UPDATE OF words ON painting BEGIN "
    "INSERT INTO painting_search(painting_search, rowid, words) "
    "VALUES ('delete', old.id, old.words); "
    "INSERT INTO painting_search(rowid, words) VALUES (new.id, new.words); END",
)
"""The full-text index on SQLite, as its documentation (FTS5, section 4.4.3) gives it."""

FULL_TEXT_POSTGRESQL = (
    "CREATE INDEX painting_search ON painting USING gin (to_tsvector('simple', words))"
)


class Base(DeclarativeBase):
    """Base of all tables; names of constraints are fixed so that migrations can alter them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class ArtistRow(Base):
    """A painter, or a workshop."""

    __tablename__ = "artist"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    slug: Mapped[str] = mapped_column(unique=True)


class StyleRow(Base):
    """A movement."""

    __tablename__ = "style"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    slug: Mapped[str] = mapped_column(unique=True)


class GenreRow(Base):
    """A genre: portrait, landscape."""

    __tablename__ = "genre"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    slug: Mapped[str] = mapped_column(unique=True)


def _link(other: str) -> Table:
    painting = ForeignKey("painting.id", ondelete="CASCADE")
    return Table(
        f"painting_{other}",
        Base.metadata,
        Column("painting_id", painting, primary_key=True),
        Column(f"{other}_id", ForeignKey(f"{other}.id"), primary_key=True, index=True),
    )


painting_style = _link("style")
painting_genre = _link("genre")


class PaintingRow(Base):
    """A painting; `sha256` is that of its file, `pixel_sha256` that of its decoded pixels."""

    __tablename__ = "painting"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    pixel_sha256: Mapped[str] = mapped_column(unique=True)
    phash: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]
    height: Mapped[int]
    path: Mapped[str | None]
    title: Mapped[str]
    artist_id: Mapped[int | None] = mapped_column(ForeignKey("artist.id"), index=True)
    year_from: Mapped[int | None]
    year: Mapped[int | None]
    tags: Mapped[str]
    medium: Mapped[str]
    rights: Mapped[str]
    credit: Mapped[str]
    source: Mapped[str]
    page_url: Mapped[str]
    words: Mapped[str]
    added_at: Mapped[datetime]

    artist: Mapped[ArtistRow | None] = relationship()
    styles: Mapped[list[StyleRow]] = relationship(secondary=painting_style, order_by=StyleRow.id)
    genres: Mapped[list[GenreRow]] = relationship(secondary=painting_genre, order_by=GenreRow.id)


class CachedStyleRow(Base):
    """Statistics of a painting by one encoder: `vector` is little-endian float32."""

    __tablename__ = "cached_style"

    painting_id: Mapped[int] = mapped_column(
        ForeignKey("painting.id", ondelete="CASCADE"), primary_key=True
    )
    encoder: Mapped[str] = mapped_column(primary_key=True)
    side: Mapped[int] = mapped_column(primary_key=True)
    vector: Mapped[bytes]
    checksum: Mapped[int] = mapped_column(BigInteger)


class PooledStyleRow(Base):
    """Statistics of all paintings of an artist or a style together; a cache."""

    __tablename__ = "pooled_style"

    kind: Mapped[str] = mapped_column(primary_key=True)
    group_id: Mapped[int] = mapped_column(primary_key=True)
    encoder: Mapped[str] = mapped_column(primary_key=True)
    side: Mapped[int] = mapped_column(primary_key=True)
    vector: Mapped[bytes]
    checksum: Mapped[int] = mapped_column(BigInteger)


class AdapterRow(Base):
    """An adapter: learnt of a painting, an artist or a style for the decoder `base`.

    `data` is the content of a file of `adain.styles.adapter`, `facts` its JSON, to be listed
    without reading it.
    """

    __tablename__ = "adapter"

    id: Mapped[int] = mapped_column(primary_key=True)
    painting_id: Mapped[int | None] = mapped_column(
        ForeignKey("painting.id", ondelete="CASCADE"), index=True
    )
    artist_id: Mapped[int | None] = mapped_column(ForeignKey("artist.id"), index=True)
    style_id: Mapped[int | None] = mapped_column(ForeignKey("style.id"), index=True)
    base: Mapped[str]
    data: Mapped[bytes]
    checksum: Mapped[int] = mapped_column(BigInteger)
    facts: Mapped[str]
    learnt_at: Mapped[datetime]


class ImportRunRow(Base):
    """One `adain ingest`."""

    __tablename__ = "import_run"

    id: Mapped[int] = mapped_column(primary_key=True)
    sources: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    added: Mapped[int] = mapped_column(default=0)
    known: Mapped[int] = mapped_column(default=0)


class ImportErrorRow(Base):
    """A picture, or a line of a manifest, that could not be used."""

    __tablename__ = "import_error"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("import_run.id", ondelete="CASCADE"))
    source: Mapped[str]
    reason: Mapped[str]


class JobRow(Base):
    """Work that a web service accepted, until its result is fetched or forgotten.

    Times are seconds since 1970; `lease_until` is when another process may take it over.
    """

    __tablename__ = "job"

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(index=True)
    settings: Mapped[str]
    photo: Mapped[bytes | None] = mapped_column(deferred=True)
    painting: Mapped[bytes | None] = mapped_column(deferred=True)
    result: Mapped[bytes | None] = mapped_column(deferred=True)
    media_type: Mapped[str] = mapped_column(default="")
    problem: Mapped[str] = mapped_column(default="")
    detail: Mapped[str] = mapped_column(default="")
    progress: Mapped[float] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str] = mapped_column(default="")
    created_at: Mapped[float]
    updated_at: Mapped[float]
    lease_until: Mapped[float] = mapped_column(default=0)


class JobFileRow(Base):
    """A file of a job besides its photo: a mask, or how far a render is."""

    __tablename__ = "job_file"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[bytes]


def _after_painting(statement: str, dialect: str) -> None:
    ddl = DDL(statement).execute_if(dialect=dialect)  # type: ignore[no-untyped-call]
    event.listen(PaintingRow.__table__, "after_create", ddl)


# The in-memory gallery is made without migrations; a test compares both ways.
for _statement in FULL_TEXT:
    _after_painting(_statement, "sqlite")
_after_painting(FULL_TEXT_POSTGRESQL, "postgresql")
