"""Pictures: files, conversion to sRGB, 16 bits a channel, metadata, sizes, colours, filters.

    file, bytes, stream ── load_image ──┐
    Pillow image ───────── from_image ──┴─ Picture ── resize_image ── the network
    file ── save_image ── encode_image ─── Picture ── gather_rows ── strips of its result

A loaded picture is upright, in sRGB, of 8 or 16 bits a channel as its file. Pictures are worked on
strip by strip: beside the levels of a print, nothing of its size is in memory.

May import `adain.config`, `adain.errors` and `adain.files` only.
"""
