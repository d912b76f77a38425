"""Many styles at once: folders of pictures, patterns and lists become one name each."""

import os
from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path

from adain.imaging.reading import SUFFIXES
from gallery.errors import StyleNotFound

MAX_LISTED = 10_000
"""Styles of a list or a folder; more is a mistake."""


def expand_styles(texts: Sequence[str], lists: Sequence[Path] = ()) -> list[str]:
    """Return the styles that are meant, each once, in their order.

    Args:
        texts: What `gallery.use_cases.references.parse_reference` takes; a folder, for each picture
            in it; or a pattern such as `styles/*.jpg`, where no file has this name.
        lists: Files of such texts, one a line; empty lines and what follows `# ` are left out.

    Raises:
        StyleNotFound: If a folder, a pattern or a list has no style, or cannot be read.
    """
    every = [*texts, *(text for file in lists for text in _read_list(file))]
    found = list(dict.fromkeys(name for text in every for name in _expand(text)))
    if len(found) > MAX_LISTED:
        raise StyleNotFound(f"{len(found):,} styles; at most {MAX_LISTED:,} at once")
    return found


def _expand(text: str) -> Iterator[str]:
    if os.path.isdir(text):
        pictures = _pictures(text)
        if not pictures:
            raise StyleNotFound(f"{text}: a folder without pictures; give one with paintings")
        yield from pictures
    elif has_magic(text) and not os.path.lexists(text) and (files := sorted(glob(text))):
        yield from (file for file in files if os.path.isfile(file))
    else:
        yield text


def _pictures(folder: str) -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise StyleNotFound(f"{folder}: cannot be read ({error.strerror})") from error
    return [
        os.path.join(folder, name)
        for name in names
        if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES
    ]


def _read_list(file: Path) -> list[str]:
    """Return the lines of a list; the pictures that they name lie beside it if nowhere else."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise StyleNotFound(f"{file}: a list of styles cannot be read ({reason})") from error
    names = [line.partition(" #")[0].strip() for line in lines if not line.startswith("#")]
    names = [name for name in names if name]
    if not names:
        raise StyleNotFound(f"{file}: no style in this list; write one a line")
    return [_beside(name, file.parent) for name in names]


def _beside(name: str, folder: Path) -> str:
    there = folder / name
    return str(there) if not os.path.lexists(name) and os.path.lexists(there) else name
