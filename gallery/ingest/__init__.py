"""How paintings come in: sources, manifests, museums, downloads, and the pipeline that measures.

May import `gallery.database`.
"""
