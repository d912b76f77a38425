"""Pictures: files, conversion to sRGB, 16 bits, metadata, colours, filters, whole-file writing.

May import `adain.errors` and `adain.config` only.
"""
