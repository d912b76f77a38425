"""The catalogues of museums as lines of a manifest.

One function for each museum takes a record as the museum publishes it and gives the line, or says
why there is none: only works whose picture the museum gives to the public domain are taken. What a
museum says of an artist is kept ("Attributed to Rembrandt van Rijn"), so that the statistics of an
artist are those of works that are certainly by his hand.
"""

import csv
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import ijson  # type: ignore[import-untyped]

from gallery.config import STYLE_SIDE
from gallery.errors import GalleryError, ManifestError
from gallery.paintings import MAX_YEAR, clean, read_facts
from gallery.sources import SCHEMA, csv_rows, json_rows

Record = Mapping[str, Any]
Row = dict[str, Any]

PAINTING = "painting"

CC0 = {"rights": "CC0-1.0", "rights_url": "https://creativecommons.org/publicdomain/zero/1.0/",
       "public_domain": True}  # fmt: skip

MAX_MEMBER = 64 * 2**20
"""Bytes of one file in a tar archive."""

MAX_ARTISTS = 3

AIC_IIIF = "https://www.artic.edu/iiif/2"
AIC_API = "https://api.artic.edu/api/v1/artworks/search"
AIC_FIELDS = ("id", "title", "artist_title", "artist_display", "date_display", "date_start",
              "date_end", "style_titles", "subject_titles", "medium_display", "image_id",
              "artwork_type_title", "is_public_domain", "credit_line")  # fmt: skip
CLEVELAND_API = "https://openaccess-api.clevelandart.org/api/artworks/"
MET_API = "https://collectionapi.metmuseum.org/public/collection/v1/objects"

PAGE = 100
"""Records that an API gives at once."""

WHERE = {
    "nga": "Get objects.csv, published_images.csv and, for movements, objects_terms.csv from the "
    "folder data of https://github.com/NationalGalleryOfArt/opendata, and give their folder.",
    "aic": "Get https://artic-api-data.s3.amazonaws.com/artic-api-data.tar.bz2 (115 MB) and give "
    f"it as it is, or pages of {AIC_API}; or let --fetch ask the museum.",
    "cleveland": "Get data.json or data.csv from https://github.com/ClevelandMuseumArt/openaccess "
    "(with Git LFS), and give it; or let --fetch ask the museum.",
    "met": "Get MetObjects.csv from https://github.com/metmuseum/openaccess (with Git LFS), and "
    f"give it with --fetch, since it has no pictures; or give records of {MET_API}/ID.",
}
"""Where each catalogue is had."""

_QUALIFIED = re.compile(
    r"(after|attributed|circle|copy|follower|formerly|imitator|in the (manner|style)|manner|"
    r"possibly|probably|school|studio|style|workshop)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Entry:
    """What a record of a catalogue became.

    Attributes:
        name: File and line, or file and number of the record.
        row: A line of a manifest.
        reason: Why there is none: the work is not wanted, or has no free picture.
        error: Why the record cannot be read.
    """

    name: str
    row: Row | None = None
    reason: str = ""
    error: Exception | None = None


# The museums


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
    return free and image.get("viewtype") == "primary" and _is_link(image.get("iiifurl"))


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
        page=page if _is_link(page) else "",
    )


def _cleveland_url(work: Record) -> str | None:
    """Return the smallest picture that is not smaller than styles are measured at."""
    images = work.get("images")
    if not isinstance(images, dict):
        images = {size: {"url": work.get(f"image_{size}")} for size in ("web", "print")}
    sizes = [images.get(size) for size in ("web", "print")]
    found = [size for size in sizes if isinstance(size, dict) and _is_link(size.get("url"))]
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
    url = next((url for url in urls if _is_link(url)), None)
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


def _is_link(value: Any) -> bool:
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


# Their files


def find_entries(museum: str, sources: Sequence[Path], kind: str = PAINTING) -> Iterator[Entry]:
    """Yield what each record of the files of a museum becomes.

    Args:
        museum: `nga`, `aic`, `cleveland` or `met`.
        sources: Files or folders of the catalogue.
        kind: What is wanted, such as `painting`, or `any`.

    Raises:
        ManifestError: If a file is missing, or is not of the catalogue.
    """
    for source in sources:
        if not source.exists():
            raise ManifestError(f"{source}: is not there. {WHERE[museum]}")
    if museum == "nga":
        yield from _nga(sources, kind)
        return
    convert = {"aic": aic_row, "cleveland": cleveland_row, "met": met_row}[museum]
    for name, record in read_records(museum, sources):
        yield _entry(name, record, convert, kind)


def met_works(sources: Sequence[Path], kind: str = PAINTING) -> Iterator[tuple[str, int] | Entry]:
    """Yield the works of `MetObjects.csv` whose records are wanted, and what the others lack."""
    for name, record in read_records("met", sources, of_table=True):
        try:
            if isinstance(record, Exception):
                raise record
            number = met_number(record, kind)
        except (GalleryError, csv.Error) as error:
            yield Entry(name, error=ManifestError(f"{name}: {error}"))
        else:
            yield (name, number) if isinstance(number, int) else Entry(name, reason=number)


def _entry(
    name: str, record: Record | Exception, convert: Callable[..., Row | str], kind: str
) -> Entry:
    try:
        if isinstance(record, Exception):
            raise record
        row = convert(record, kind)
    except (GalleryError, csv.Error) as error:
        return Entry(name, error=ManifestError(f"{name}: {error}"))
    return Entry(name, reason=row) if isinstance(row, str) else Entry(name, row)


def read_records(
    museum: str, sources: Sequence[Path], of_table: bool = False
) -> Iterator[tuple[str, Record | Exception]]:
    """Yield the records of CSV, JSON and JSONL files, of folders and of tar archives of them.

    Files of any size are read piece by piece.

    Args:
        museum: `aic`, `cleveland` or `met`.
        sources: Files and folders.
        of_table: Whether `MetObjects.csv` is wanted, rather than records of the API.
    """
    for path in sources:
        try:
            if path.is_dir():
                files = sorted(p for p in path.rglob("*.json") if _is_record(p.as_posix()))
                yield from read_records(museum, files, of_table)
            elif path.name.endswith((".tar", ".tar.bz2", ".tar.gz", ".tgz")):
                yield from _tar_records(path)
            elif path.suffix.lower() in (".csv", ".jsonl"):
                rows = csv_rows(path) if path.suffix.lower() == ".csv" else json_rows(path)
                _check_layout(museum, path, of_table)
                yield from ((f"{path}:{number}", row) for number, row in rows)
            else:
                with path.open("rb") as file:
                    yield from _json_records(str(path), file)
        except (OSError, UnicodeError, EOFError, tarfile.TarError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ManifestError(f"{path}: cannot be read ({reason}); get it again") from error


COLUMNS = {"cleveland": "share_license_status", "met": "Is Public Domain"}
"""By these a table is recognized."""


def _check_layout(museum: str, path: Path, of_table: bool) -> None:
    with path.open("rb") as file:
        start = file.readline(2**16)
    if start.startswith(b"version https://git-lfs"):
        raise ManifestError(f"{path}: is a pointer of Git LFS, not the file. {WHERE[museum]}")
    if path.suffix.lower() != ".csv":
        return
    if museum not in COLUMNS or COLUMNS[museum].encode() not in start:
        raise ManifestError(f"{path}: is not a table of this museum. {WHERE[museum]}")
    if museum == "met" and not of_table:
        raise ManifestError(f"{path}: has no pictures; add --fetch to ask the museum for them")


def _is_record(name: str) -> bool:
    """Return whether a file of the dump of Chicago is a work, or of another layout."""
    return "/json/" not in f"/{name}" or "/json/artworks/" in f"/{name}"


def _tar_records(path: Path) -> Iterator[tuple[str, Record | Exception]]:
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            if not (member.isfile() and member.name.endswith(".json") and _is_record(member.name)):
                continue
            name = f"{path}/{member.name}"
            file = archive.extractfile(member)
            if member.size > MAX_MEMBER or file is None:
                yield name, ManifestError(f"larger than {MAX_MEMBER:,} bytes")
            else:
                yield from _json_records(name, io.BytesIO(file.read()))


def _json_records(name: str, file: BinaryIO) -> Iterator[tuple[str, Record | Exception]]:
    """Yield the objects of a list, of the list `data` of an object, or the only object."""
    try:
        prefix = _prefix(file)
        file.seek(0)
        iiif = next(ijson.items(file, "config.iiif_url"), None) if "data" in prefix else None
        file.seek(0)
        for number, record in enumerate(ijson.items(file, prefix, use_float=True), 1):
            place = f"{name}:{number}" if prefix.endswith("item") else name
            if not isinstance(record, dict):
                yield place, ManifestError(f"not a JSON object but a {type(record).__name__}")
            else:
                yield place, {**record, "iiif_url": iiif} if _is_link(iiif) else record
    except (ijson.JSONError, UnicodeError, RecursionError) as error:
        yield name, ManifestError(f"not JSON to its end ({str(error).partition(chr(10))[0]})")


def _prefix(file: BinaryIO) -> str:
    """Return where the records are, as ijson calls it."""
    events = ijson.parse(file)
    for prefix, event, _ in events:
        if (prefix, event) == ("", "start_array"):
            return "item"
        if prefix == "data":
            return {"start_array": "data.item", "start_map": "data"}.get(event, "")
        if prefix in ("id", "objectID"):
            return ""
    return ""


def _nga(sources: Sequence[Path], kind: str) -> Iterator[Entry]:
    files = _nga_files(sources)
    images: dict[str, Record] = {}
    styles: dict[str, list[str]] = {}
    try:
        for _, row in csv_rows(files["published_images.csv"]):
            if not isinstance(row, Exception) and nga_image_is_open(row):
                images[str(row.get("depictstmsobjectid"))] = {"iiifurl": row["iiifurl"]}
        if "objects_terms.csv" in files:
            for _, row in csv_rows(files["objects_terms.csv"]):
                if isinstance(row, Exception) or row.get("termtype") != "Style":
                    continue
                if row["objectid"] in images:
                    styles.setdefault(row["objectid"], []).append(clean(row.get("term") or ""))
        for number, row in csv_rows(files["objects.csv"]):
            key = "" if isinstance(row, Exception) else str(row.get("objectid"))
            convert = partial(nga_row, image=images.get(key), styles=styles.get(key, []))
            yield _entry(f"{files['objects.csv']}:{number}", row, convert, kind)
    except (OSError, UnicodeError) as error:
        raise ManifestError(f"the files of the catalogue cannot be read ({error})") from error


def _nga_files(sources: Sequence[Path]) -> dict[str, Path]:
    places = [path for p in sources for path in (p.glob("*.csv") if p.is_dir() else [p])]
    files = {path.name: path for path in places}
    for name, column in (("objects.csv", "attribution"), ("published_images.csv", "iiifurl")):
        if name not in files:
            raise ManifestError(f"{name} is missing. {WHERE['nga']}")
        with files[name].open("rb") as file:
            if column.encode() not in file.readline(2**16):
                raise ManifestError(f"{files[name]}: has no column {column}. {WHERE['nga']}")
    return files


# Their APIs


def fetch_entries(
    museum: str,
    sources: Sequence[Path],
    download: Callable[[str], bytes],
    kind: str = PAINTING,
    keep: Path | None = None,
) -> Iterator[Entry]:
    """Yield what each record becomes that the API of a museum gives.

    Args:
        museum: `aic`, `cleveland` or `met`.
        sources: For The Met its table of works, from which the numbers come.
        download: Gives the JSON text at a URL.
        kind: What is wanted, such as `painting`, or `any`.
        keep: Folder of the records that are there already, and where others are put.

    Raises:
        DownloadError: If a museum does not answer.
        ManifestError: If its answer cannot be understood.
    """
    if museum == "met":
        yield from _fetch_met(sources, download, kind, keep)
        return
    pages = _aic_pages(download, kind) if museum == "aic" else _cleveland_pages(download, kind)
    for url, text in pages:
        convert = aic_row if museum == "aic" else cleveland_row
        for name, record in _json_records(url, io.BytesIO(text)):
            yield _entry(name, record, convert, kind)


def _aic_pages(download: Callable[[str], bytes], kind: str) -> Iterator[tuple[str, bytes]]:
    """Yield pages by ascending number: the API gives no more than the first of a search."""
    last = 0
    while True:
        wanted: list[Any] = [{"term": {"is_public_domain": True}}, {"range": {"id": {"gt": last}}}]
        if kind != "any":
            wanted.append({"match": {"artwork_type_title": kind}})
        query = {"query": {"bool": {"must": wanted}}, "sort": [{"id": "asc"}], "limit": PAGE,
                 "fields": AIC_FIELDS}  # fmt: skip
        url = f"{AIC_API}?params={json.dumps(query, separators=(',', ':'))}"
        text = download(url)
        numbers = [record.get("id") for record in _data(AIC_API, text)]
        yield f"{AIC_API}?after={last}", text
        found = [number for number in numbers if isinstance(number, int) and number > last]
        if not found:
            return
        last = max(found)


def _cleveland_pages(download: Callable[[str], bytes], kind: str) -> Iterator[tuple[str, bytes]]:
    skip = 0
    wanted = "" if kind == "any" else f"&type={kind.capitalize()}"
    while True:
        url = f"{CLEVELAND_API}?cc0=1&has_image=1{wanted}&limit={PAGE}&skip={skip}"
        text = download(url)
        if not _data(CLEVELAND_API, text):
            return
        yield url, text
        skip += PAGE


def _data(name: str, text: bytes) -> list[Record]:
    try:
        data = json.loads(text)["data"]
        return [record for record in data if isinstance(record, dict)]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ManifestError(f"{name}: answers in a way that is not understood") from error


def _fetch_met(
    sources: Sequence[Path], download: Callable[[str], bytes], kind: str, keep: Path | None
) -> Iterator[Entry]:
    for work in met_works(sources, kind):
        if isinstance(work, Entry):
            yield work
            continue
        name, number = work
        kept = keep / f"{number}.json" if keep is not None else None
        try:
            text = kept.read_bytes() if kept and kept.is_file() else download(f"{MET_API}/{number}")
            if kept and not kept.is_file():
                _write(kept, text)
        except (GalleryError, OSError) as error:
            yield Entry(name, error=ManifestError(f"{name}: {error}"))
            continue
        for _, record in _json_records(name, io.BytesIO(text)):
            yield _entry(name, record, met_row, kind)


def _write(path: Path, text: bytes) -> None:
    from gallery.files import new_file

    with new_file(path, overwrite=True) as file:
        file.write(text)
