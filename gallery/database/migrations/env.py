"""The entry for Alembic: runs the migrations, in a transaction that is open already.

`adain db upgrade` is the way in; to write a migration, see `alembic_config` in `engine`.
"""

from alembic import context

from gallery.database.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite can roll back CREATE TABLE: a migration happens whole or not at all.
    transactional_ddl=True,
    render_as_batch=True,
    include_name=lambda name, *_: not str(name).startswith(("painting_search", "style_embedding")),
)
with context.begin_transaction():
    context.run_migrations()
