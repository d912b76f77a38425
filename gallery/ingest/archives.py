"""Pictures in zip archives, read without unpacking anything to the disk.

Archives cannot be trusted: what they say of sizes and names is checked before a picture is read,
and no more is read of one than that.
"""

import io
import stat
import weakref
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from adain.errors import ImageError, ImageTooLargeError
from adain.imaging.reading import SUFFIXES, ImageLimits
from gallery.errors import ManifestError

MAX_ENTRIES = 200_000

MAX_DIRECTORY = 64 * 2**20
"""Bytes of the list of entries, which is read at once; 200,000 usual ones take 20 MB."""

MAX_TOTAL = 64 * 2**30
"""Bytes of all pictures, unpacked."""

MAX_RATIO = 200
"""Bytes of a picture over its bytes in the archive; pictures are packed already."""


@dataclass(frozen=True)
class Member:
    """A picture of an archive.

    Attributes:
        name: As the archive has it.
        read: Gives its bytes; may raise `ImageError`.
        error: Why it cannot be used.
    """

    name: str
    read: Callable[[], bytes] | None = None
    error: Exception | None = None


class _Bounded(io.BufferedReader):
    """A file that is not read at once; zipfile reads the list of entries whatever its length."""

    def read(self, size: int | None = -1, /) -> bytes:
        unlimited = size is None or size < 0
        data = super().read(MAX_DIRECTORY + 1 if unlimited else min(size or 0, MAX_DIRECTORY + 1))
        if len(data) > MAX_DIRECTORY:
            raise BadZipFile("its list of entries is too long")
        return data


def find_members(path: Path) -> Iterator[Member]:
    """Yield the pictures of an archive by name; archives inside it are left alone."""
    try:
        archive = _open(path)
    except (BadZipFile, OSError, ValueError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"{path}: cannot be read as a zip archive ({reason}); check the file"
        yield Member("", error=ManifestError(message))
        return
    seen: set[str] = set()
    total = 0
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        if not _is_picture(info):
            continue
        total += info.file_size
        objection = _objection(path, info, info.filename in seen, total)
        seen.add(info.filename)
        read = None if objection else partial(_read, archive, path, info)
        yield Member(info.filename, read, objection)


def _open(path: Path) -> ZipFile:
    file = _Bounded(io.FileIO(path))
    try:
        archive = ZipFile(file)
        if len(archive.infolist()) > MAX_ENTRIES:
            raise BadZipFile(f"more than {MAX_ENTRIES:,} entries")
    except BaseException:
        file.close()
        raise
    # As long as a picture may be read.
    weakref.finalize(archive, file.close)
    return archive


def _is_picture(info: ZipInfo) -> bool:
    place = _place(info)
    hidden = place.name.startswith(".") or "__MACOSX" in place.parts
    return place.suffix.lower() in SUFFIXES and not (info.is_dir() or hidden)


def _place(info: ZipInfo) -> PurePosixPath:
    return PurePosixPath(info.filename.replace("\\", "/"))


def _objection(path: Path, info: ZipInfo, repeated: bool, total: int) -> Exception | None:
    name, limit = f"{path}/{info.filename}", ImageLimits().max_bytes
    place = _place(info)
    if place.is_absolute() or ".." in place.parts or ":" in place.parts[0]:
        return ImageError(f"{name}: its name leaves the archive")
    if repeated:
        return ImageError(f"{name}: the archive holds this name twice; the first is used")
    if stat.S_ISLNK(info.external_attr >> 16):
        return ImageError(f"{name}: is a link")
    if info.flag_bits & 1:
        return ImageError(f"{name}: is encrypted; unpack the archive and give the folder")
    if info.file_size > limit:
        return ImageTooLargeError(f"{name}: larger than the limit of {limit:,} bytes")
    if info.file_size > MAX_RATIO * max(1, info.compress_size):
        return ImageTooLargeError(f"{name}: unpacks to more than {MAX_RATIO} times its size")
    if total > MAX_TOTAL:
        return ImageTooLargeError(f"{name}: the pictures before it unpack to {MAX_TOTAL:,} bytes")
    return None


def _read(archive: ZipFile, path: Path, info: ZipInfo) -> bytes:
    try:
        with archive.open(info) as file:
            data = bytearray()
            while chunk := file.read(2**20):
                data += chunk
    except (BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        message = f"{path}/{info.filename}: cannot be unpacked ({error}); check the archive"
        raise ImageError(message) from error
    except (NotImplementedError, RuntimeError) as error:
        message = f"{path}/{info.filename}: packed in a way that is not known; unpack it yourself"
        raise ImageError(message) from error
    return bytes(data)
