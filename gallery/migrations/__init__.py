"""Steps that make an older database fit `gallery.tables`; Alembic runs them."""
