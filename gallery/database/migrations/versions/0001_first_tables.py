"""First tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    for name in ("artist", "style", "genre"):
        op.create_table(
            name,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("name", sa.String, nullable=False),
            sa.Column("slug", sa.String, nullable=False, unique=True),
        )
    op.create_table(
        "painting",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slug", sa.String, nullable=False, unique=True),
        sa.Column("sha256", sa.String, nullable=False, unique=True),
        sa.Column("pixel_sha256", sa.String, nullable=False, unique=True),
        sa.Column("phash", sa.BigInteger, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("path", sa.String),
        sa.Column("title", sa.String, nullable=False),
        sa.Column("artist_id", sa.Integer, sa.ForeignKey("artist.id"), index=True),
        sa.Column("year_from", sa.Integer),
        sa.Column("year", sa.Integer),
        *(
            sa.Column(name, sa.String, nullable=False)
            for name in ("tags", "medium", "rights", "credit", "source", "page_url", "words")
        ),
        sa.Column("added_at", sa.DateTime, nullable=False),
    )
    for name in ("style", "genre"):
        op.create_table(
            f"painting_{name}",
            _painting(),
            sa.Column(
                f"{name}_id", sa.Integer, sa.ForeignKey(f"{name}.id"), primary_key=True, index=True
            ),
        )
    op.create_table("cached_style", _painting(), *_statistics())
    op.create_table(
        "pooled_style",
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("group_id", sa.Integer, primary_key=True, autoincrement=False),
        *_statistics(),
    )
    op.create_table(
        "import_run",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sources", sa.String, nullable=False),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("finished_at", sa.DateTime),
        sa.Column("added", sa.Integer, nullable=False),
        sa.Column("known", sa.Integer, nullable=False),
    )
    op.create_table(
        "import_error",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "run_id", sa.Integer, sa.ForeignKey("import_run.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
    )
    for statement in FULL_TEXT[op.get_bind().dialect.name]:
        op.execute(statement)


def _painting() -> sa.Column[int]:
    key = sa.ForeignKey("painting.id", ondelete="CASCADE")
    return sa.Column("painting_id", sa.Integer, key, primary_key=True)


def _statistics() -> list[sa.Column[object]]:
    return [
        sa.Column("encoder", sa.String, primary_key=True),
        sa.Column("side", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.Column("checksum", sa.BigInteger, nullable=False),
    ]


FULL_TEXT = {
    "sqlite": (
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
    ),
    "postgresql": (
        "CREATE INDEX painting_search ON painting USING gin (to_tsvector('simple', words))",
    ),
}
