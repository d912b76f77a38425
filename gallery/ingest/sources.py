"""Where pictures come from: files, folders with sidecars, WikiArt, zip archives, and manifests.

A manifest (`adain-manifest/1`) is a CSV or Excel file, or JSON objects one a line, with the columns
that `gallery.database.paintings.read_facts` takes and `path`, in the folder of the manifest, or
`url`.
Nothing outside the folder that was given is read, whatever a manifest or a link says.
"""

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from adain.errors import ImageError
from adain.imaging.reading import SUFFIXES
from gallery.database.paintings import MAX_TEXT, Painting, clean, read_facts, slugify
from gallery.errors import DownloadError, ManifestError
from gallery.ingest.archives import find_members
from gallery.ingest.excel import excel_rows
from gallery.ingest.wikiart import is_wikiart, read_genres, read_name, style_folders

SCHEMA = "adain-manifest/1"

PATHS = ("path", "file", "filename", "image")
"""Names of the column of the paths."""

MAX_LINE = 2**20
"""Characters of a line of a manifest, and of a sidecar; more is no list of paintings."""


@dataclass(frozen=True)
class Candidate:
    """A picture that may enter the gallery.

    Attributes:
        name: What messages call it: a path, or a manifest and the number of its line.
        painting: The facts, with the path, and the digest of the file where a manifest gives it;
            None if there is no usable picture.
        error: Why the picture, the line or the sidecar cannot be used.
        read: Gives the bytes of a picture that is not a file of its own.
        keep: Whether to write these bytes to the path of the painting, once they are known to be
            a picture.
        notes: What of the line or the sidecar is left out, since it is not understood.
    """

    name: str
    painting: Painting | None
    error: Exception | None = None
    read: Callable[[], bytes] | None = None
    keep: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remote:
    """How pictures of the web are had.

    Attributes:
        download: Gives the bytes at a URL.
        keep: The folder where they stay; None if only their statistics are wanted.
    """

    download: Callable[[str], bytes]
    keep: Path | None = None


def find_candidates(
    source: Path, recursive: bool = False, remote: Remote | None = None
) -> Iterator[Candidate]:
    """Yield the pictures of a file, a folder or a manifest, and what cannot be used of them.

    Args:
        source: A picture, a folder, a zip archive, or a manifest (`.csv`, `.xlsx`, `.jsonl`).
        recursive: Whether to look into folders of folders; those of the WikiArt layout always.
        remote: For the pictures of a manifest that are on the web; without it they are errors.
    """
    candidate = None
    for candidate in _candidates(source, recursive, remote):
        yield candidate
    if candidate is None:
        below = source.is_dir() and any(_files(source, recursive=True))
        hint = "; its folders hold some: add --recursive" if below else ""
        error = ManifestError(f"{source}: no pictures were found in it{hint}")
        yield Candidate(str(source), None, error)


def _candidates(source: Path, recursive: bool, remote: Remote | None) -> Iterator[Candidate]:
    suffix = source.suffix.lower()
    if source.is_dir():
        if is_wikiart(source):
            yield from _wikiart(source)
        else:
            yield from _folder(source, recursive)
    elif suffix in ROWS:
        yield from _manifest(source, ROWS[suffix], remote)
    elif suffix == ".zip":
        yield from _archive(source)
    else:
        yield from _picture(source, source.parent)


def _folder(folder: Path, recursive: bool) -> Iterator[Candidate]:
    for path in _files(folder, recursive):
        yield from _picture(path, folder) if _is_inside(path, folder) else _outside(path)


def _files(folder: Path, recursive: bool) -> Iterator[Path]:
    """Yield the pictures of a folder by name; links to folders are not followed."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) * recursive
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith("."):
                yield Path(place, name)


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _outside(path: Path) -> Iterator[Candidate]:
    error = ImageError(f"{path}: is a link that leaves its folder; give its target instead")
    yield Candidate(str(path), None, error)


def _picture(path: Path, folder: Path) -> Iterator[Candidate]:
    """Yield a picture with the facts of its sidecar, `a.jpg.json` or `a.json`."""
    painting = Painting("", clean(path.stem) or "Untitled", source="folder")
    notes: tuple[str, ...] = ()
    for sidecar in (path.with_name(path.name + ".json"), path.with_suffix(".json")):
        if not sidecar.is_file():
            continue
        try:
            if not _is_inside(sidecar, folder):
                raise ManifestError("is a link that leaves its folder; put the file itself there")
            painting, notes = _with_title(_read_object(_read_start(sidecar)), path)
        except (ManifestError, OSError, UnicodeError) as error:
            yield Candidate(str(sidecar), None, ManifestError(f"{sidecar}: {error}"))
        break
    painting = replace(painting, path=os.path.abspath(path))
    yield Candidate(str(path), painting, notes=tuple(f"{sidecar}: {note}" for note in notes))


def _archive(path: Path) -> Iterator[Candidate]:
    for member in find_members(path):
        name = f"{path}/{member.name}"
        title = clean(Path(member.name).stem) or "Untitled"
        painting = None if member.error else Painting("", title, source="folder")
        yield Candidate(name, painting, member.error, member.read)


def _wikiart(folder: Path) -> Iterator[Candidate]:
    genres = read_genres(folder)
    for style in style_folders(folder):
        for path in _files(style, recursive=False):
            if _is_inside(path, folder):
                painting = replace(read_name(path, genres), path=os.path.abspath(path))
                yield Candidate(str(path), painting)
            else:
                yield from _outside(path)


def _manifest(path: Path, read_rows: "RowReader", remote: Remote | None) -> Iterator[Candidate]:
    """Yield the pictures of a manifest; a bad line does not stop the others."""
    try:
        for number, row in read_rows(path):
            name = f"{path}:{number}"
            try:
                if isinstance(row, Exception):
                    raise row
                # People write "Title", and leave blanks behind it.
                row = {str(key).strip().lower(): value for key, value in row.items()}
                yield _read_row(name, row, path.parent, remote)
            except (ManifestError, csv.Error) as error:
                yield Candidate(name, None, ManifestError(f"{name}: {error}"))
    except ManifestError as error:
        yield Candidate(str(path), None, error)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        message = f"{path}: cannot be read ({reason}); check the path and its permissions"
        yield Candidate(str(path), None, ManifestError(message))


def json_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | Exception]]:
    """Yield the JSON objects of a file, one a line, with the numbers of their lines.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield number, ManifestError(f"longer than {MAX_LINE} bytes")
            elif line.strip():
                try:
                    yield number, _read_object(line.decode("utf-8-sig"))
                except (ManifestError, UnicodeDecodeError) as error:
                    yield number, ManifestError(str(error))


def csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | Exception]]:
    """Yield the rows of a CSV file by the names of their columns, with the numbers of their lines.

    Raises:
        OSError: If the file cannot be read.
    """
    # File names need not be valid text; facts lose what is not.
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        header = file.readline(MAX_LINE)
        file.seek(0)
        # Where a comma stands in numbers, spreadsheets write semicolons.
        rows = csv.DictReader(file, delimiter=max(",;\t", key=header.count))
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield rows.line_num, error
                continue
            if None in row:
                yield rows.line_num, ManifestError("more values than columns")
            else:
                yield rows.line_num, row


RowReader = Callable[[Path], Iterator[tuple[int, Mapping[str, Any] | Exception]]]

ROWS: dict[str, RowReader] = {".csv": csv_rows, ".jsonl": json_rows, ".xlsx": excel_rows}
"""The reader of a manifest, by the end of its name."""


def _read_start(path: Path) -> str:
    with path.open(encoding="utf-8-sig") as file:
        return file.read(MAX_LINE)


def _read_object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"not JSON ({error})") from error
    if not isinstance(value, dict):
        raise ManifestError(f"not a JSON object but a {type(value).__name__}")
    return value


def _read_row(name: str, row: Mapping[str, Any], folder: Path, remote: Remote | None) -> Candidate:
    schema = row.get("schema") or SCHEMA
    if schema != SCHEMA:
        raise ManifestError(f"of schema {schema!r:.50}; this program reads {SCHEMA}")
    path = next((row[name] for name in PATHS if row.get(name)), None)
    url = row.get("url")
    if not path and url:
        if not isinstance(url, str):
            raise ManifestError("url must be text")
        return _read_remote(name, row, url, remote)
    if not path or not isinstance(path, str) or "\0" in path:
        raise ManifestError("no path of a picture, in a column path")
    if not _is_inside(folder / path, folder):
        raise ManifestError(
            f"{path!r:.200} is not in the folder of the manifest, {folder.resolve()}; put the "
            "picture there, or the manifest where the pictures are"
        )
    painting, notes = _with_title(row, Path(path))
    painting = replace(painting, path=os.path.abspath(folder / path))
    return Candidate(name, painting, notes=tuple(f"{name}: {note}" for note in notes))


def _read_remote(name: str, row: Mapping[str, Any], url: str, remote: Remote | None) -> Candidate:
    if remote is None:
        raise ManifestError("its picture is on the web; add --fetch, or get it and give its path")
    try:
        place = Path(unquote(urlsplit(url).path).replace("\0", ""))
    except ValueError as error:
        raise ManifestError(f"url is none: {url!r:.100}") from error
    painting, notes = _with_title(row, place)
    notes = tuple(f"{name}: {note}" for note in notes)
    if not painting.page_url and len(url) <= MAX_TEXT and url.startswith(("http:", "https:")):
        # By its page a picture is known when it comes again.
        painting = replace(painting, page_url=clean(url))
    read = partial(_download, remote, name, url)
    if remote.keep is None:
        return Candidate(name, painting, read=read, notes=notes)
    suffix = place.suffix.lower() if place.suffix.lower() in SUFFIXES else ".jpg"
    digest = hashlib.sha256(url.encode(errors="surrogateescape")).hexdigest()[:16]
    title = slugify(painting.title)[:60].strip("-") or "untitled"
    kept = (remote.keep / f"{title}-{digest}{suffix}").absolute()
    painting = replace(painting, path=str(kept))
    read_it = None if kept.is_file() else read
    return Candidate(name, painting, read=read_it, keep=True, notes=notes)


def _download(remote: Remote, name: str, url: str) -> bytes:
    try:
        return remote.download(url)
    except (DownloadError, ImageError) as error:
        raise type(error)(f"{name}: {error}") from error


def _with_title(values: Mapping[str, Any], path: Path) -> tuple[Painting, tuple[str, ...]]:
    """Return the facts, and what of them is left out since it is not understood."""
    errors: list[ManifestError] = []
    painting = read_facts(values, errors.append)
    title = painting.title or clean(path.stem) or "Untitled"
    # What the picture itself tells is not believed, but the digest of its file is compared.
    painting = replace(painting, title=title, pixel_sha256="", phash=0, width=0, height=0)
    return painting, tuple(map(str, errors))
