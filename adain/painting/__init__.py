"""The pipeline: working size and strokes, masks, people, tiles, colours kept, filters, full size.

May import `adain.engine` and what that may import.
"""
