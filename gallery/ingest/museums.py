"""Records of museums' catalogues, turned into lines of a manifest.

One function for each museum takes a record as the museum publishes it and gives the line, or says
why there is none: only works whose picture the museum gives to the public domain are taken. What a
museum says of an artist is kept ("Attributed to Rembrandt van Rijn"), so that the statistics of an
artist are those of works that are certainly by his hand.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from adain.config import STYLE_SIDE
from gallery.database.paintings import MAX_YEAR, clean, read_facts
from gallery.errors import ManifestError
from gallery.ingest.sources import SCHEMA

Record = Mapping[str, Any]
Row = dict[str, Any]

CC0 = {"rights": "CC0-1.0", "rights_url": "https://creativecommons.org/publicdomain/zero/1.0/",
       "public_domain": True}  # fmt: skip

MAX_ARTISTS = 3

AIC_IIIF = "https://www.artic.edu/iiif/2"

_QUALIFIED = re.compile(
    r"(after|attributed|circle|copy|follower|formerly|imitator|in the (manner|style)|manner|"
    r"possibly|probably|school|studio|style|workshop)\b",
    re.IGNORECASE,
)


def nga_row(work: Record, kind: str, image: Record | None, styles: Sequence[str]) -> Row | str:
    """Turn a work of the National Gallery of Art into a line.

    Args:
        work: A row of `objects.csv`.
        kind: What is wanted, such as `painting`, or `any`.
        image: Its row of `published_images.csv`, if that is open (`nga_image_is_open`).
        styles: Its terms of the type Style.

    Returns:
        The line, or why there is none.
    """
    if not _is_kind(kind, work.get("classification")):
        return "another kind of work"
    if image is None:
        return "no open picture"
    number = _number(work, "objectid")
    return _row(
        "nga",
        number,
        work,
        title=work.get("title"),
        artist=work.get("attribution"),
        years=(work.get("beginyear"), work.get("endyear")),
        date=work.get("displaydate"),
        medium=work.get("medium"),
        credit=work.get("creditline"),
        styles=styles,
        iiif=image["iiifurl"],
        url=f"{image['iiifurl']}/full/!1024,1024/0/default.jpg",
        page=f"https://www.nga.gov/collection/art-object-page.{number}.html",
    )


def nga_image_is_open(image: Record) -> bool:
    """Return whether a row of `published_images.csv` is the main picture of a work, and free.

    Older files do not say so; there a picture is free if its size is not limited.
    """
    if "openaccess" in image:
        free = image["openaccess"] == "1"
    else:
        free = image.get("maxpixels") in ("", "0", None)
    return free and image.get("viewtype") == "primary" and is_link(image.get("iiifurl"))


def aic_row(work: Record, kind: str) -> Row | str:
    """Turn a work of the Art Institute of Chicago into a line.

    Args:
        work: A record of its API or its dump, with the `iiif_url` of the page of the API.
        kind: As for `nga_row`.
    """
    if not _is_kind(kind, work.get("artwork_type_title")):
        return "another kind of work"
    if work.get("is_public_domain") is not True:
        return "not in the public domain"
    image = work.get("image_id")
    if not isinstance(image, str) or not re.fullmatch("[0-9A-Za-z-]+", image):
        return "no picture"
    shown = str(work.get("artist_display") or "").partition("\n")[0]
    artist = shown if _QUALIFIED.match(shown) else work.get("artist_title") or shown
    number = _number(work, "id")
    iiif = work.get("iiif_url", AIC_IIIF)
    return _row(
        "aic",
        number,
        work,
        title=work.get("title"),
        artist=_without_life(artist),
        years=(work.get("date_start"), work.get("date_end")),
        date=work.get("date_display"),
        medium=work.get("medium_display"),
        credit=work.get("credit_line"),
        styles=_texts(work.get("style_titles")),
        tags=_texts(work.get("subject_titles")),
        iiif=f"{iiif}/{image}",
        # The size that the museum asks for, since it has it ready.
        url=f"{iiif}/{image}/full/843,/0/default.jpg",
        page=f"https://www.artic.edu/artworks/{number}",
    )


def cleveland_row(work: Record, kind: str) -> Row | str:
    """Turn a work of the Cleveland Museum of Art into a line.

    Args:
        work: A record of its API or `data.json`, or a row of `data.csv`.
        kind: As for `nga_row`.
    """
    if not _is_kind(kind, work.get("type")):
        return "another kind of work"
    if work.get("share_license_status") != "CC0":
        return "not in the public domain"
    url = _cleveland_url(work)
    if url is None:
        return "no picture"
    page = work.get("url")
    return _row(
        "cleveland",
        _number(work, "id"),
        work,
        title=work.get("title"),
        artist=_cleveland_artist(work.get("creators")),
        years=(work.get("creation_date_earliest"), work.get("creation_date_latest")),
        date=work.get("creation_date"),
        medium=work.get("technique"),
        credit=work.get("creditline"),
        url=url,
        page=page if is_link(page) else "",
    )


def _cleveland_url(work: Record) -> str | None:
    """Return the smallest picture that is not smaller than styles are measured at."""
    images = work.get("images")
    if not isinstance(images, dict):
        images = {size: {"url": work.get(f"image_{size}")} for size in ("web", "print")}
    sizes = [images.get(size) for size in ("web", "print")]
    found = [size for size in sizes if isinstance(size, dict) and is_link(size.get("url"))]
    for size in found:
        sides = [_year(size.get(side)) or 0 for side in ("width", "height")]
        if min(sides) >= STYLE_SIDE or not any(sides):
            return str(size["url"])
    return str(found[-1]["url"]) if found else None


def _cleveland_artist(creators: Any) -> str:
    if isinstance(creators, str):
        # Of the CSV file: "Claude Monet (French, 1840-1926), artist; ..."
        return _joined([_without_life(name) for name in creators.split(";")])
    names = []
    for creator in creators if isinstance(creators, list) else ():
        if isinstance(creator, dict) and isinstance(creator.get("description"), str):
            qualifier = str(creator.get("qualifier") or "").strip()
            name = _without_life(creator["description"])
            names.append(f"{qualifier[:1].upper()}{qualifier[1:]} {name}".strip())
    return _joined(names)


def met_row(work: Record, kind: str) -> Row | str:
    """Turn a work of the Metropolitan Museum of Art into a line.

    Args:
        work: A record of its API.
        kind: As for `nga_row`.
    """
    if not _is_kind(kind, work.get("classification"), work.get("objectName")):
        return "another kind of work"
    if work.get("isPublicDomain") is not True:
        return "not in the public domain"
    urls = [work.get("primaryImageSmall"), work.get("primaryImage")]
    url = next((url for url in urls if is_link(url)), None)
    if url is None:
        return "no picture"
    number = _number(work, "objectID")
    tags = work.get("tags")
    listed = tags if isinstance(tags, list) else []
    terms = [tag.get("term") for tag in listed if isinstance(tag, dict)]
    prefix = str(work.get("artistPrefix") or "").strip()
    return _row(
        "met",
        number,
        work,
        title=work.get("title"),
        artist=_joined([f"{prefix} {work.get('artistDisplayName') or ''}".strip()]),
        years=(work.get("objectBeginDate"), work.get("objectEndDate")),
        date=work.get("objectDate"),
        medium=work.get("medium"),
        credit=work.get("creditLine"),
        tags=_texts(terms),
        url=url,
        page=work.get("objectURL") or f"https://www.metmuseum.org/art/collection/search/{number}",
    )


def met_number(work: Record, kind: str) -> int | str:
    """Return the number of a work in `MetObjects.csv`, or why it is not wanted."""
    if not _is_kind(kind, work.get("Classification"), work.get("Object Name")):
        return "another kind of work"
    if work.get("Is Public Domain") != "True":
        return "not in the public domain"
    return _number(work, "Object ID")


# What they have in common


def _row(
    source: str,
    number: int,
    work: Record,
    *,
    title: Any,
    artist: Any,
    years: tuple[Any, Any],
    date: Any,
    medium: Any,
    credit: Any,
    url: Any,
    page: Any,
    styles: Sequence[str] = (),
    tags: Sequence[str] = (),
    iiif: str = "",
) -> Row:
    begin, end = map(_year, years)
    if not (begin or end) or (begin or 0) > (end or MAX_YEAR):
        begin = end = None  # Where nothing is known, some write 0.
    row = {
        "schema": SCHEMA,
        "id": f"{source}:{number}",
        "source": source,
        "source_id": str(number),
        "url": url,
        "iiif": iiif,
        "title": _text(title) or "Untitled",
        "artist": _text(artist),
        "year_from": begin,
        "year_to": end,
        "date_text": _text(date),
        "styles": list(styles),
        "tags": list(tags),
        "medium": _text(medium),
        "credit": _text(credit),
        "page_url": page,
        **CC0,
    }
    row = {key: value for key, value in row.items() if value not in (None, "", [])}
    read_facts(row)
    return row


def _is_kind(kind: str, *values: Any) -> bool:
    """Return whether one of these names the kind of work, as in "Paintings-Panels"."""
    return kind == "any" or any(str(value or "").lower().startswith(kind) for value in values)


def _number(work: Record, key: str) -> int:
    value = str(work.get(key, ""))[:30]
    if not value.isdecimal():
        raise ManifestError(f"{key} must be a number, got {value!r}")
    return int(value)


def _year(value: Any) -> int | None:
    found = re.fullmatch(r"(-?\d{1,6})(\.0)?", str(value).strip())
    return int(found[1]) if found and -MAX_YEAR <= int(found[1]) < MAX_YEAR else None


def _text(value: Any) -> str:
    return clean(str(value)) if isinstance(value, str | int | float) else ""


def _texts(values: Any) -> list[str]:
    items = values if isinstance(values, list) else []
    return [clean(item) for item in items if isinstance(item, str)]


def is_link(value: Any) -> bool:
    """Return whether a value is the address of a picture, or of a service of pictures."""
    return isinstance(value, str) and value.startswith(("https://", "http://"))


def _without_life(name: Any) -> str:
    """Return a name without the nationality and the years that follow it.

    >>> _without_life("Claude Monet (French, 1840-1926), artist")
    'Claude Monet'
    """
    return str(name or "").partition(" (")[0].strip()


def _joined(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(filter(None, names)))
    more = ["others"] if len(names) > MAX_ARTISTS else []
    return " and ".join([*names[:MAX_ARTISTS], *more])
