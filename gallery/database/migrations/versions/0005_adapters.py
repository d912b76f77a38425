"""Adapters, learnt of paintings, artists and styles."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "adapter",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("painting_id", sa.Integer, sa.ForeignKey("painting.id", ondelete="CASCADE")),
        sa.Column("artist_id", sa.Integer, sa.ForeignKey("artist.id")),
        sa.Column("style_id", sa.Integer, sa.ForeignKey("style.id")),
        sa.Column("base", sa.String, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("checksum", sa.BigInteger, nullable=False),
        sa.Column("facts", sa.String, nullable=False),
        sa.Column("learnt_at", sa.DateTime, nullable=False),
    )
    for name in ("painting_id", "artist_id", "style_id"):
        op.create_index(f"ix_adapter_{name}", "adapter", [name])
