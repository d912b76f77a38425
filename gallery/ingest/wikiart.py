"""The folder layout of the ArtGAN copy of WikiArt: `Style_Folder/artist-slug_title-slug-year.jpg`.

Facts come from the names of the files, with all their dirt, and from the lists of genres that
accompany the pictures. The data set is for non-commercial research; each painting says so.
"""

import csv
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gallery.database.paintings import Painting

RIGHTS = "wikiart-noncommercial"

STYLES = {
    "Abstract_Expressionism", "Action_painting", "Analytical_Cubism", "Art_Nouveau",
    "Art_Nouveau_Modern", "Baroque", "Color_Field_Painting", "Contemporary_Realism", "Cubism",
    "Early_Renaissance", "Expressionism", "Fauvism", "High_Renaissance", "Impressionism",
    "Mannerism_Late_Renaissance", "Minimalism", "Naive_Art_Primitivism", "New_Realism",
    "Northern_Renaissance", "Pointillism", "Pop_Art", "Post_Impressionism", "Realism", "Rococo",
    "Romanticism", "Symbolism", "Synthetic_Cubism", "Ukiyo_e",
}  # fmt: skip
"""Names of the folders; that of Art Nouveau differs from the name of its class."""

STYLE_NAMES = {
    "Art_Nouveau_Modern": "Art Nouveau",
    "Post_Impressionism": "Post-Impressionism",
    "Ukiyo_e": "Ukiyo-e",
}

SMALL_WORDS = {
    "a", "an", "and", "at", "by", "d", "da", "de", "dei", "del", "della", "den", "der", "des", "di",
    "dos", "du", "el", "en", "for", "from", "in", "la", "le", "les", "of", "on", "s", "the", "to",
    "van", "von", "with",
}  # fmt: skip
"""Words that stay in lower case unless they are the first."""

_MOJIBAKE = re.compile(r"[ãäåâ](?=[\u0080-\u00bf])")
_COPY = re.compile(r"\(\d+\)$")
_YEAR = re.compile(r"(.+)-(1\d{3}|20\d{2})(?:-\d{1,2})?$")


def is_wikiart(folder: Path) -> bool:
    """Return whether a folder holds folders of styles."""
    return any((folder / style).is_dir() for style in STYLES)


def style_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders of styles."""
    return (folder / style for style in sorted(STYLES) if (folder / style).is_dir())


def read_name(path: Path, genres: dict[str, str]) -> Painting:
    """Read the facts that the place and the name of a file hold.

    Args:
        path: `.../Style_Folder/artist-slug_title-slug-year.jpg`.
        genres: Genre by style folder and file name, from `read_genres`.
    """
    place = f"{path.parent.name}/{path.name}"
    # The last dot alone begins the suffix: there are others, as in m.c.-escher.
    artist, _, rest = _repair(path.name.rpartition(".")[0]).partition("_")
    title, year = _title(rest)
    style = STYLE_NAMES.get(path.parent.name, path.parent.name.replace("_", " "))
    genre = genres.get(place)
    return Painting(
        slug="",
        title=title,
        artist=_capitalize(artist),
        year=year,
        styles=(style,),
        genres=(genre,) if genre else (),
        rights=RIGHTS,
        source="wikiart",
    )


def read_genres(folder: Path) -> dict[str, str]:
    """Read the lists of genres beside or in a folder: genre by style folder and file name."""
    for place in (folder, folder / "Genre", folder.parent, folder.parent / "Genre"):
        classes = next((p for p in place.glob("genre_class*") if p.is_file()), None)
        lists = sorted(place.glob("genre_*.csv"))
        if classes is not None and lists:
            break
    else:
        return {}
    lines = (line.split(None, 1) for line in _lines(classes))
    names = {line[0]: line[1].strip().replace("_", " ") for line in lines if len(line) == 2}
    rows = (row for path in lists for row in csv.reader(_lines(path)))
    return {row[0]: names[row[-1]] for row in rows if len(row) > 1 and row[-1] in names}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()


def _repair(name: str) -> str:
    """Undo that UTF-8 was taken for Latin-1 and then made lower-case."""
    upper = _MOJIBAKE.sub(lambda match: match[0].upper(), name)
    with suppress(UnicodeError):
        name = upper.encode("latin-1").decode("utf-8")
    return name.replace("\u00a0", "")


def _title(rest: str) -> tuple[str, int | None]:
    """Return title and year; works without a title keep the number that WikiArt gave them."""
    if rest.startswith("not_detected"):
        return f"Untitled {rest.rpartition('_')[2]}", None
    slug = _COPY.sub("", rest).strip("-_ ")
    dated = _YEAR.fullmatch(slug)
    title = _capitalize((dated[1] if dated else slug).replace("_", "-"))
    return title or "Untitled", int(dated[2]) if dated else None


def _capitalize(slug: str) -> str:
    words = [word for word in slug.split("-") if word]
    first, *others = words or [""]
    # Initials, as in m.c., are all capitals.
    capitals = [first.title() if "." in first else first[:1].upper() + first[1:]]
    capitals += [word if word in SMALL_WORDS else word[:1].upper() + word[1:] for word in others]
    return " ".join(capitals)
