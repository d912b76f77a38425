"""What Alembic runs: the migrations, inside the transaction that `gallery.database` opened.

`adain db upgrade` is the way in; to write a migration, see `gallery.database.alembic_config`.
"""

from alembic import context

from gallery.tables import Base

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
