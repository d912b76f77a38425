"""Settings of the use cases, each validated in one place; importing this is quick."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

ALPHA_RANGE = (-1.0, 3.0)
"""Strengths that still give a picture; the network was trained at 1."""

MIN_SIDE = 16
"""Smallest side in pixels that the network accepts (`adain.model.MIN_SIDE`)."""

STYLE_SIDE = 512
"""Paintings are measured at this shorter side in pixels, smaller ones as they are.

Strokes have a size in pixels, so one rule for all makes styles comparable.
"""

DATABASE_VARIABLE = "ADAIN_DATABASE"


@dataclass(frozen=True)
class StylizeConfig:
    """How photos are stylized and written.

    Attributes:
        alpha: Strength: 0 keeps the photo, 1 is the full style; values beyond extrapolate.
        max_side: Longest side of the result in pixels; larger photos are made smaller first.
            None keeps the photo's size.
        model: Name of a shipped model, or the path of a decoder file.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        format: Format of the result, by the name of its suffix; None goes by the file name.
        jpeg_quality: 1 to 100.
        overwrite: Whether a result may replace a file.
    """

    alpha: float = 1.0
    max_side: int | None = None
    model: str = "compact"
    device: str = "auto"
    format: str | None = None
    jpeg_quality: int = 95
    overwrite: bool = False

    def __post_init__(self) -> None:
        low, high = ALPHA_RANGE
        if not (math.isfinite(self.alpha) and low <= self.alpha <= high):
            raise ValueError(f"alpha must be a number from {low:g} to {high:g}, got {self.alpha}")
        if self.max_side is not None and self.max_side < MIN_SIDE:
            raise ValueError(f"max-side must be at least {MIN_SIDE} pixels, got {self.max_side}")
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg-quality must be from 1 to 100, got {self.jpeg_quality}")


@dataclass(frozen=True)
class IngestConfig:
    """How pictures come into the gallery.

    Attributes:
        recursive: Whether the folders in a folder are searched too.
        jobs: Threads that decode and measure pictures; by default one for each core, up to 8.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`, for the encoder.
        dry_run: Whether to decode and report only, and to write nothing.
    """

    recursive: bool = False
    jobs: int = min(os.cpu_count() or 2, 8)
    device: str = "auto"
    dry_run: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.jobs <= 64:
            raise ValueError(f"jobs must be from 1 to 64, got {self.jobs}")


def database_url(database: str | None = None) -> str:
    """Return the URL of the gallery database.

    Args:
        database: A path or a URL; by default that of `ADAIN_DATABASE`, else `gallery.db` in the
            user's data folder.
    """
    database = database or os.environ.get(DATABASE_VARIABLE)
    if database is None:
        from platformdirs import user_data_path

        database = str(user_data_path("adain", appauthor=False) / "gallery.db")
    if "://" not in database:
        return f"sqlite:///{Path(database).expanduser().absolute()}"
    # The driver that the extra `postgres` installs.
    return database.replace("postgresql://", "postgresql+psycopg://", 1)
