"""What command line and web have in common: stylize, batch, render, compare, previews, repair.

May import `gallery.ingest` and `gallery.database`.
"""
