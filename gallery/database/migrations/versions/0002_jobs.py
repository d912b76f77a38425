"""Jobs of the web service."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "job",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False, index=True),
        sa.Column("settings", sa.String, nullable=False),
        *(sa.Column(name, sa.LargeBinary) for name in ("photo", "painting", "result")),
        *(
            sa.Column(name, sa.String, nullable=False)
            for name in ("media_type", "problem", "detail")
        ),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("worker", sa.String, nullable=False),
        *(
            sa.Column(name, sa.Double, nullable=False)
            for name in ("created_at", "updated_at", "lease_until")
        ),
    )
