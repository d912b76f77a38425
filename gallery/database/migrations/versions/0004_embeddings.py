"""An index of nearest styles, on PostgreSQL with the extension pgvector."""

import numpy as np
import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    "CREATE TABLE style_embedding (painting_id integer, encoder varchar, side integer, "
    "embedding halfvec(256) NOT NULL, PRIMARY KEY (painting_id, encoder, side), "
    "FOREIGN KEY (painting_id, encoder, side) REFERENCES cached_style ON DELETE CASCADE)",
    "CREATE INDEX style_embedding_nearest ON style_embedding USING hnsw (embedding halfvec_l2_ops)",
)

INSERT = (
    "INSERT INTO style_embedding VALUES (:painting_id, :encoder, :side, CAST(:vector AS halfvec))"
)


def upgrade() -> None:
    """Change the tables."""
    bind = op.get_bind()
    if bind.dialect.name != "postgresql":
        return
    try:
        with bind.begin_nested():
            for statement in STATEMENTS:
                bind.execute(sa.text(statement))
    except sa.exc.DBAPIError:
        return  # Not installed, too old, or not allowed: the search goes without.
    query = "SELECT painting_id, encoder, side, vector FROM cached_style ORDER BY painting_id"
    for rows in bind.execute(sa.text(query)).partitions(1000):
        values = [
            {"painting_id": row[0], "encoder": row[1], "side": row[2], "vector": found}
            for row in rows
            if (found := _embedding(row[3])) is not None
        ]
        if values:
            bind.execute(sa.text(INSERT), values)


def _embedding(data: bytes) -> str | None:
    """Return the statistics at the deepest layer, the last 8 of 15 parts, up to 256 of them."""
    vector = np.frombuffer(data, "<f4")
    deepest = vector if len(vector) % 15 else vector[-8 * len(vector) // 15 :]
    if len(deepest) > 256:
        return None
    padded = np.pad(deepest, (0, 256 - len(deepest)))
    return f"[{','.join(f'{value:.6g}' for value in padded.tolist())}]"
