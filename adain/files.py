"""Files that are written whole or not at all, and what messages call them.

Everything that adain or its application writes under a name goes through `new_file`: pictures,
weights, checkpoints, keys, previews, databases. So it stands beside the rooms, not in one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO


@contextmanager
def new_file(
    destination: Path, overwrite: bool = False, *, parents: bool = False, mode: int = 0o666
) -> Iterator[BinaryIO]:
    """Open a file that gets its name when the block ends without an error.

    Args:
        destination: The file.
        overwrite: Replace a file that exists.
        parents: Make its folder if there is none.
        mode: Who may use it, before the umask.

    Raises:
        FileExistsError: If the file exists and `overwrite` is false; it stays as it is.
        OSError: If it cannot be written; nothing is left behind then.
        ValueError: If the path cannot be one.
    """
    if not overwrite and os.path.lexists(destination):
        raise FileExistsError("exists already")
    if parents and not destination.parent.exists():
        destination.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile, which creates files that only their owner can read.
    temporary = destination.with_name(f".adain-{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb", opener=partial(os.open, mode=mode)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(temporary, destination)
        else:
            _publish(temporary, destination)
    finally:
        temporary.unlink(missing_ok=True)


def _publish(temporary: Path, destination: Path) -> None:
    """Give a file its name unless another one has it, even since a moment ago."""
    try:
        os.link(temporary, destination)
        return
    except FileExistsError:
        raise
    except OSError:
        # No hard links here (FAT, some network shares): claim the name, then fill the claim.
        open(destination, "xb").close()
    try:
        os.replace(temporary, destination)
    except BaseException:
        destination.unlink()
        raise


def reason(error: Exception) -> str:
    """Return what the system says about a failure to read or write."""
    return getattr(error, "strerror", None) or "not a valid path"


def one_line(name: str) -> str:
    """Return a name that cannot break a line or a terminal."""
    return name if name and name.isprintable() else ascii(name)
