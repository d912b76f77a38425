"""Results of a batch: a journal beside the results, and claims on what is being made.

The journal is a file of JSON objects, one for each result; of several for one result the last
holds. It is written before a result gets its name, so a result that fits its entry is complete,
whenever the program was killed:

    claim ── work in a private folder ── entry on the disk ── result gets its name ── free

A claim is a lock on one byte of the journal far behind its end, which the system frees when the
process ends in whatever way. So two runs on one folder share the work, and none waits for a dead
one.
"""

import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from gallery.errors import OutputError

JOURNAL = "adain-batch.jsonl"
"""Name of the journal in the folder of the results."""

WORK = ".adain-batch"
"""Folder of unfinished results; gone when no run is under way."""

FIRST_CLAIM = 2**30
"""Where the bytes begin that claims lock; no journal is that long."""

PIECE = 2**20
"""Bytes of the journal, or of a file to digest, that are read at a time."""

Stamp = tuple[int, ...]
"""Facts that tell that a file is still the same without reading it."""


@dataclass(frozen=True)
class JournalEntry:
    """A result and its ingredients.

    Attributes:
        output: Its path, relative to the journal, with `/`.
        photo: Path of the photo in its folder, with `/`.
        photo_sha256: Digest of the photo's file.
        photo_stamp: Size, times of change of content and of the file, and number of that file.
        style: Slug of the style.
        recipe: Digest of everything else that the result depends on.
        sha256: Digest of the result's file.
        stamp: Size, time of change and number of that file.
        width: Width of the result in pixels.
        height: Height of the result in pixels.
        settings: The parts of the recipe that a person can read.
    """

    output: str
    photo: str
    photo_sha256: str
    photo_stamp: Stamp
    style: str
    recipe: str
    sha256: str
    stamp: Stamp
    width: int
    height: int
    settings: dict[str, Any] = field(default_factory=dict)


class Journal:
    """The journal of a folder of results, open for one process.

    Raises:
        OutputError: In every method, if the folder or the file cannot be used.
    """

    def __init__(self, folder: Path, read_only: bool = False) -> None:
        self.folder = folder
        self.path = folder / JOURNAL
        self._writable = not read_only
        self._lock = Lock()
        self._entries: dict[str, JournalEntry] = {}
        self._styles: dict[str, str] = {}
        self._rest = b""
        self._offset = 0
        self._fd: int | None = None
        self._work: Path | None = None
        with _translated(folder):
            if not read_only:
                folder.mkdir(parents=True, exist_ok=True)
                # Locks of a process end when it closes any handle of the file: this is the only.
                self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            elif self.path.exists():
                self._fd = os.open(self.path, os.O_RDONLY)
        with self._lock, _translated(self.path):
            self._refresh()

    def close(self) -> None:
        """Give up all claims and remove what is unfinished."""
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)
            self._work = None
        if self._fd is not None and self._writable:
            self._remove_left_behind()
            with suppress(OSError):  # It is not there, or other runs are at work.
                (self.folder / WORK).rmdir()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def entry(self, output: str) -> JournalEntry | None:
        """Return the last entry of a result, of this run or another."""
        with self._lock, _translated(self.path):
            self._refresh()
            return self._entries.get(output)

    def photos(self) -> int:
        """Return how many photos there are results of."""
        return len(self._styles)

    def style_of(self, photo: str) -> str | None:
        """Return the style that a photo was last given."""
        return self._styles.get(photo)

    def is_made(self, entry: JournalEntry) -> bool:
        """Return whether a result is there and still the file that was made."""
        path = self.folder / entry.output
        try:
            found = file_stamp(path)
            if found == entry.stamp:
                return True
            # Copied to another place, it has the same content and another stamp.
            return found[0] == entry.stamp[0] and file_digest(path) == entry.sha256
        except OSError:
            return False

    def publish(self, staged: Path, entry: JournalEntry) -> None:
        """Write the entry of a result, then give the result its name."""
        line = json.dumps(asdict(entry)).encode()
        destination = self.folder / entry.output
        with _translated(self.path):
            assert self._fd is not None
            # The line break in front parts it from one that a full disk cut short.
            data = b"\n" + line + b"\n"
            if os.write(self._fd, data) < len(data):
                raise OutputError(f"{self.path}: cannot be written; check the free space")
            os.fsync(self._fd)
        with _translated(destination):
            os.replace(staged, destination)

    def work_folder(self) -> Path:
        """Return a folder for unfinished results, on the disk of the finished ones."""
        with self._lock, _translated(self.folder / WORK):
            if self._work is None:
                name = secrets.token_hex(8)
                self._try(name)  # Before it exists, or another run would take it for left behind.
                self._remove_left_behind()
                work = self.folder / WORK / name
                work.mkdir(parents=True)
                self._work = work
            return self._work

    @contextmanager
    def claim(self, output: str) -> Iterator[bool]:
        """Claim a result for this process; gives False where another one is making it."""
        with _translated(self.path):
            taken = self._try(output)
        try:
            yield taken
        finally:
            if taken:
                self._free(output)

    def _remove_left_behind(self) -> None:
        """Remove the folders of runs that are no more."""
        for folder in (self.folder / WORK).glob("*"):
            if self._try(folder.name):
                shutil.rmtree(folder, ignore_errors=True)
                self._free(folder.name)

    def _refresh(self) -> None:
        if self._fd is None:
            return
        os.lseek(self._fd, self._offset, os.SEEK_SET)
        while piece := os.read(self._fd, PIECE):
            self._offset += len(piece)
            *lines, self._rest = (self._rest + piece).split(b"\n")
            for line in lines:
                entry = _parse(line)
                if entry is not None:
                    self._entries[entry.output] = entry
                    self._styles[entry.photo] = entry.style

    def _try(self, name: str) -> bool:
        assert self._fd is not None
        try:
            _lock_byte(self._fd, _place(name))
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _free(self, name: str) -> None:
        assert self._fd is not None
        with suppress(OSError):
            _free_byte(self._fd, _place(name))


def file_stamp(path: Path) -> Stamp:
    """Return size, time of change and number of a file; a new name changes none of them."""
    status = os.stat(path)
    return (status.st_size, status.st_mtime_ns, status.st_ino)


def photo_stamp(path: Path) -> Stamp:
    """Return the same and the time of change of the file itself, which no program can set."""
    return (*file_stamp(path), os.stat(path).st_ctime_ns)


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parse(line: bytes) -> JournalEntry | None:
    """Read a line; None if it is empty, cut short or no entry."""
    try:
        values = json.loads(line)
        stamps = {name: tuple(map(int, values[name])) for name in ("photo_stamp", "stamp")}
        entry = JournalEntry(**{**values, **stamps})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    texts = (entry.output, entry.photo, entry.style, entry.recipe)
    return entry if all(isinstance(text, str) for text in texts) else None


def _place(name: str) -> int:
    digest = hashlib.sha256(os.fsencode(name)).digest()
    return FIRST_CLAIM + int.from_bytes(digest[:4]) % FIRST_CLAIM


if sys.platform == "win32":
    import msvcrt

    def _lock_byte(fd: int, place: int) -> None:
        os.lseek(fd, place, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def _free_byte(fd: int, place: int) -> None:
        os.lseek(fd, place, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock_byte(fd: int, place: int) -> None:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)

    def _free_byte(fd: int, place: int) -> None:
        fcntl.lockf(fd, fcntl.LOCK_UN, 1, place)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be used ({error.strerror}); check permissions and free space"
        ) from error
