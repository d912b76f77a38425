"""Files of the application that are written whole or not at all."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from adain import files
from gallery.errors import OutputError

STALE_SECONDS = 3600
"""Nobody still writes a file that has not changed for so long."""


@contextmanager
def new_file(path: Path, overwrite: bool = False, *, parents: bool = False) -> Iterator[BinaryIO]:
    """Open a file that gets its name when the block ends; see `adain.files.new_file`.

    Raises:
        OutputError: If there is one of this name already and it must not be replaced, or it
            cannot be written.
    """
    try:
        with files.new_file(path, overwrite, parents=parents) as file:
            yield file
    except FileExistsError as error:
        raise OutputError(
            f"{path}: exists; choose another name, or replace it with --overwrite"
        ) from error
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}); check the folder and the free space"
        ) from error


def sweep(folder: Path) -> None:
    """Delete what killed processes left half written in a folder, once nobody can write it."""
    for path in folder.glob(".adain-*.tmp"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                path.unlink()


def write_file(path: Path, data: bytes, overwrite: bool = True, *, parents: bool = False) -> None:
    """Write a file whole or not at all. Raises `OutputError` as `new_file`."""
    with new_file(path, overwrite, parents=parents) as file:
        file.write(data)


def make_folder(folder: Path) -> None:
    """Make a folder unless it is there. Raises `OutputError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
