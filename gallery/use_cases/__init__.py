"""The work that command line and web share: stylize, batch, render, compare, previews, repair.

May import `gallery.ingest` and `gallery.database`.
"""
