"""Paintings: what is known about one, read from sources that cannot be trusted."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gallery.errors import ManifestError

if TYPE_CHECKING:
    from gallery.database.dates import Years

MAX_TEXT = 300
"""Longer titles and names are cut: people read them in tables."""

MAX_VALUES = 32
"""Movements, genres or tags of one painting that are kept."""

MAX_YEAR = 2100

_BIDI_CONTROLS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Painting:
    """The facts about a painting; empty where they are not known.

    Attributes:
        slug: Its name on the command line and in file names.
        year: When it was finished.
        styles: Its movements.
        year_from: When it was begun.
        rights: An SPDX identifier such as `CC0-1.0`, or a word such as `unknown`.
        source: Where the picture comes from.
        sha256: Digest of the picture file, in hexadecimal.
        pixel_sha256: Digest of its size and 8-bit pixels.
        phash: Perceptual hash: 64 bits as a signed number.
        path: The picture file; None if there is none on this machine.
        id: Its number in the database; 0 outside of one.
    """

    slug: str
    title: str
    artist: str = ""
    year: int | None = None
    styles: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    year_from: int | None = None
    medium: str = ""
    rights: str = ""
    credit: str = ""
    source: str = ""
    page_url: str = ""
    sha256: str = ""
    pixel_sha256: str = ""
    phash: int = 0
    width: int = 0
    height: int = 0
    path: str | None = None
    id: int = 0

    @property
    def years(self) -> str:
        """Return the year, or both with a dash between them."""
        if self.year_from in (None, self.year):
            return str(self.year or "")
        return f"{self.year_from}-{self.year or ''}"


def facts(painting: Painting) -> dict[str, Any]:
    """Return what is known about a painting on every machine: neither its path nor its number."""
    values = asdict(painting)
    return {key: value for key, value in values.items() if value and key not in ("path", "id")}


def read_facts(
    values: Mapping[str, Any], report: Callable[[ManifestError], None] | None = None
) -> Painting:
    """Read a painting from a line of a manifest, a sidecar or a file of styles.

    The keys are the names of the fields, with `year_to` or `date`, and `style`, as other names of
    `year` and `styles`; lists may be texts with `|` between the values. Years may be texts as
    catalogues write them, which `read_years` reads. Keys that are not known are ignored.

    Args:
        values: What is known.
        report: Called with what is wrong about years and the link, which are then left out; by
            default that is raised.

    Raises:
        ManifestError: If a value is of the wrong kind.
    """
    report = report or _refuse
    year_from, year = _years(values, report)
    return Painting(
        slug=slugify(_text(values, "slug")),
        title=_text(values, "title"),
        artist=_text(values, "artist"),
        medium=_text(values, "medium"),
        rights=_text(values, "rights"),
        credit=_text(values, "credit"),
        source=_text(values, "source"),
        year=year,
        year_from=year_from,
        styles=_list(values, "styles") or _list(values, "style"),
        genres=_list(values, "genres") or _list(values, "genre"),
        tags=_list(values, "tags"),
        page_url=_link(values, report),
        sha256=_digest(values, "sha256"),
        pixel_sha256=_digest(values, "pixel_sha256"),
        phash=_whole(values, "phash", 2**63) or 0,
        width=_whole(values, "width", 2**31) or 0,
        height=_whole(values, "height", 2**31) or 0,
    )


def clean(text: str) -> str:
    """Return a text on one line, without characters that could confuse a terminal, and cut."""
    normal = unicodedata.normalize("NFC", _BIDI_CONTROLS.sub("", text[: 20 * MAX_TEXT]))
    plain = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in normal)
    short = " ".join(plain.split())
    return short if len(short) <= MAX_TEXT else short[: MAX_TEXT - 1] + "…"


def slugify(text: str) -> str:
    """Return `text` as lower-case ASCII words with hyphens between them.

    A text without any Latin letter is transliterated.

    >>> slugify("Café Terrace at Night")
    'cafe-terrace-at-night'
    >>> slugify("Ночь")
    'noch'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    if not re.search("[A-Za-z0-9]", plain):
        from anyascii import anyascii  # Most names do without its tables.

        plain = anyascii(text)
    return "-".join(re.findall(r"[a-z0-9]+", plain.lower()))


def fold(text: str) -> list[str]:
    """Return the words of a text in the form in which they are searched.

    >>> fold("Café Terrace, Ночь")
    ['cafe', 'terrace', 'ночь']
    """
    plain = unicodedata.normalize("NFKD", text)
    kept = "".join(c for c in plain if not unicodedata.combining(c))
    return re.findall(r"[^\W_]+", kept.casefold())


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if value is None:
        return ""
    if not isinstance(value, str | int | float):
        raise ManifestError(f"{key} must be text, got {type(value).__name__}")
    return clean(str(value))


def _list(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = values.get(key) or ()
    items = value.split("|") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ManifestError(f"{key} must be a list of texts, got {type(value).__name__}")
    return tuple(dict.fromkeys(filter(None, map(clean, items[:MAX_VALUES]))))


def _whole(values: Mapping[str, Any], key: str, limit: int) -> int | None:
    value = values.get(key)
    if value is None or value == "":
        return None
    try:
        number = int(str(value)[:30])
    except ValueError as error:
        raise ManifestError(f"{key} must be a whole number, got {value!r:.50}") from error
    if not -limit <= number < limit:
        raise ManifestError(f"{key} is out of range: {number}")
    return number


def _years(
    values: Mapping[str, Any], report: Callable[[ManifestError], None]
) -> tuple[int | None, int | None]:
    """Return when a painting was begun and when it was finished."""
    key = next((k for k in ("year", "year_to", "date") if values.get(k) not in (None, "")), "year")
    made, begun = _span(values, key, report), _span(values, "year_from", report)
    first = begun.last if begun.first is None else begun.first
    if first is None and made.first != made.last:
        first = made.first
    return first, made.last


def _span(values: Mapping[str, Any], key: str, report: Callable[[ManifestError], None]) -> "Years":
    """Read a year, or a date as catalogues write it."""
    from gallery.database.dates import Years, read_years  # Names are looked up without dates.

    value = values.get(key)
    if value is None or value == "":
        return Years()
    try:
        number = int(str(value)[:30])
        years = Years(number, number)
    except ValueError:
        try:
            years = read_years(_text(values, key))
        except ValueError as error:
            report(ManifestError(f"{key} {value!r:.50} is not understood ({error})"))
            return Years()
    if any(year is not None and abs(year) > MAX_YEAR for year in (years.first, years.last)):
        report(ManifestError(f"{key} is out of range: {value!r:.50}"))
        return Years()
    return years


def _refuse(error: ManifestError) -> None:
    raise error


def _digest(values: Mapping[str, Any], key: str) -> str:
    digest = _text(values, key).lower()
    if digest and not re.fullmatch("[0-9a-f]{64}", digest):
        raise ManifestError(f"{key} must be 64 hexadecimal digits, got {digest!r:.80}")
    return digest


def _link(values: Mapping[str, Any], report: Callable[[ManifestError], None]) -> str:
    link = _text(values, "page_url")
    if link and not re.match("https?://", link):
        report(ManifestError(f"page_url must begin with http:// or https://, got {link!r:.50}"))
        return ""
    return link
