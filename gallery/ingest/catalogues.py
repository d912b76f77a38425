"""The catalogues of museums, from their files and their APIs, as lines of a manifest."""

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import ijson  # type: ignore[import-untyped]

from gallery.database.paintings import clean
from gallery.errors import GalleryError, ManifestError
from gallery.ingest.museums import (
    Record,
    Row,
    aic_row,
    cleveland_row,
    is_link,
    met_number,
    met_row,
    nga_image_is_open,
    nga_row,
)
from gallery.ingest.sources import csv_rows, json_rows

PAINTING = "painting"

MAX_MEMBER = 64 * 2**20
"""Bytes of one file in a tar archive."""

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


@dataclass(frozen=True)
class CatalogueEntry:
    """The outcome of a record of a catalogue.

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


# Their files


def find_entries(
    museum: str, sources: Sequence[Path], kind: str = PAINTING
) -> Iterator[CatalogueEntry]:
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


def met_works(
    sources: Sequence[Path], kind: str = PAINTING
) -> Iterator[tuple[str, int] | CatalogueEntry]:
    """Yield the works of `MetObjects.csv` whose records are wanted, and what the others lack."""
    for name, record in read_records("met", sources, of_table=True):
        try:
            if isinstance(record, Exception):
                raise record
            number = met_number(record, kind)
        except (GalleryError, csv.Error) as error:
            yield CatalogueEntry(name, error=ManifestError(f"{name}: {error}"))
        else:
            yield (name, number) if isinstance(number, int) else CatalogueEntry(name, reason=number)


def _entry(
    name: str, record: Record | Exception, convert: Callable[..., Row | str], kind: str
) -> CatalogueEntry:
    try:
        if isinstance(record, Exception):
            raise record
        row = convert(record, kind)
    except (GalleryError, csv.Error) as error:
        return CatalogueEntry(name, error=ManifestError(f"{name}: {error}"))
    return CatalogueEntry(name, reason=row) if isinstance(row, str) else CatalogueEntry(name, row)


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
                yield place, {**record, "iiif_url": iiif} if is_link(iiif) else record
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


def _nga(sources: Sequence[Path], kind: str) -> Iterator[CatalogueEntry]:
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
) -> Iterator[CatalogueEntry]:
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
) -> Iterator[CatalogueEntry]:
    for work in met_works(sources, kind):
        if isinstance(work, CatalogueEntry):
            yield work
            continue
        name, number = work
        kept = keep / f"{number}.json" if keep is not None else None
        try:
            text = kept.read_bytes() if kept and kept.is_file() else download(f"{MET_API}/{number}")
            if kept and not kept.is_file():
                _write(kept, text)
        except (GalleryError, OSError) as error:
            yield CatalogueEntry(name, error=ManifestError(f"{name}: {error}"))
            continue
        for _, record in _json_records(name, io.BytesIO(text)):
            yield _entry(name, record, met_row, kind)


def _write(path: Path, text: bytes) -> None:
    from gallery.files import new_file

    with new_file(path, overwrite=True) as file:
        file.write(text)
