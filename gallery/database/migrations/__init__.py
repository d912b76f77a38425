"""Steps that make an older database fit `gallery.database.tables`; Alembic runs them."""
