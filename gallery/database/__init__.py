"""Paintings in a database: tables, migrations, queries, writes, checks, jobs, style files.

May import `adain` and the top level of `gallery`.
"""
