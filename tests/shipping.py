"""Another starter gallery than the one that ships, small enough for tests."""

import os
from pathlib import Path

import pytest

from gallery.database.gallery import write_starter
from gallery.database.style_files import STYLES_FILE, StyleFile, load_styles


def ship(styles: StyleFile, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let these paintings be those that come with the program; return the file with them."""
    starter = Path(os.environ["XDG_CACHE_HOME"], "assets", "starter.db")  # See `conftest`.
    starter.parent.mkdir(parents=True, exist_ok=True)
    write_starter(styles, starter)

    def load(path: Path = STYLES_FILE) -> StyleFile:
        return styles if path == STYLES_FILE else load_styles(path)

    for module in ("gallery", "style_files"):
        monkeypatch.setattr(f"gallery.database.{module}.load_styles", load)
    for module in ("gallery", "plain"):
        monkeypatch.setattr(f"gallery.database.{module}.STARTER", starter)
    return starter
