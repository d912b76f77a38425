"""Files that are written whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gallery.errors import OutputError


@contextmanager
def new_file(path: Path, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open a file that gets its name when the block ends without an error.

    Raises:
        OutputError: If there is one of this name already and it must not be replaced, or it
            cannot be written.
    """
    temporary = path.with_name(f".adain-{secrets.token_hex(8)}.tmp")
    try:
        if not overwrite and os.path.lexists(path):
            raise FileExistsError
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not overwrite and os.path.lexists(path):
            raise FileExistsError
        os.replace(temporary, path)
    except FileExistsError as error:
        raise OutputError(
            f"{path}: exists; choose another name, or replace it with --overwrite"
        ) from error
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}); check the folder and the free space"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
