"""Metadata of picture files: facts about a photo, and what made a result.

Facts are chosen by name, so that places (GPS), serial numbers, thumbnails of the original and
the unknown blocks of camera makers never come along.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import ExifTags, Image
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import IFDRational

MAX_TEXT = 2000
"""Characters of a text that are kept."""

KEPT = frozenset(
    {Base.ImageDescription, Base.Make, Base.Model, Base.DateTime, Base.Artist, Base.Copyright}
)
"""Tags that are kept of the picture."""

KEPT_OF_CAPTURE = frozenset(
    {
        Base.DateTimeOriginal,
        Base.DateTimeDigitized,
        Base.OffsetTime,
        Base.OffsetTimeOriginal,
        Base.ExposureTime,
        Base.FNumber,
        Base.ExposureProgram,
        Base.ISOSpeedRatings,
        Base.ExposureBiasValue,
        Base.MeteringMode,
        Base.Flash,
        Base.FocalLength,
        Base.FocalLengthIn35mmFilm,
        Base.LensMake,
        Base.LensModel,
    }
)
"""Tags that are kept of its capture."""

Facts = Mapping[int, str | int | IFDRational]
"""EXIF tags and their values."""


@dataclass(frozen=True)
class Notes:
    """Metadata to write into a file.

    Attributes:
        software: The program that made it.
        comment: How it was made.
        facts: From `read_facts`.
    """

    software: str = ""
    comment: str = ""
    facts: Facts = field(default_factory=dict)

    def to_exif(self) -> bytes:
        """Return an EXIF block; empty if there is nothing to say."""
        exif = Image.Exif()
        capture = exif.get_ifd(ExifTags.IFD.Exif)
        for tag, value in self.facts.items():
            (exif if tag in KEPT else capture)[tag] = value
        if self.software:
            exif[Base.Software] = self.software
        if self.comment:
            # Eight letters name the encoding of this tag, as no other.
            capture[Base.UserComment] = b"ASCII\0\0\0" + self.comment.encode("ascii", "replace")
        return exif.tobytes() if exif or capture else b""

    def to_text(self) -> dict[str, str]:
        """Return texts by the keywords of PNG."""
        return {
            key: text
            for key, text in (("Software", self.software), ("Comment", self.comment))
            if text
        }


def read_facts(image: Image.Image) -> Facts:
    """Return the facts of a picture that may be passed on; none if they cannot be read."""
    try:
        exif = image.getexif()
        capture = exif.get_ifd(ExifTags.IFD.Exif)
        found = {tag: exif.get(tag) for tag in KEPT}
        found |= {tag: capture.get(tag) for tag in KEPT_OF_CAPTURE}
        cleaned = {int(tag): _clean(found[tag]) for tag in sorted(found)}
        facts = {tag: value for tag, value in cleaned.items() if value is not None}
        Notes(facts=facts).to_exif()
    except Exception:  # The pixels are good even when the EXIF block is not.
        return {}
    return facts


def _clean(value: Any) -> str | int | IFDRational | None:
    """Return a value that can be written; None for others."""
    if isinstance(value, str):
        return value.strip("\0 ")[:MAX_TEXT] or None
    if isinstance(value, int):
        return value if 0 <= value < 2**16 else None
    if isinstance(value, IFDRational):
        return value if math.isfinite(float(value)) else None
    return None
