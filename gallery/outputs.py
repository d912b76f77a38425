"""Where results go: one place decides every name."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adain.images import SUFFIXES
from gallery.errors import OutputError

STANDARD = "-"
"""Stands for standard input as a photo, and for standard output as a result."""

WRITABLE = SUFFIXES - {".gif"}  # The 256 colours of a GIF are too few for a painting.


@dataclass(frozen=True)
class Output:
    """A photo and where its result goes.

    Attributes:
        photo: Path of the photo, or `-`.
        path: The file to write; None is standard output.
        format: A format that `adain.images.encode_image` knows.
        in_folder: Whether a folder was asked for, which may have to be made.
    """

    photo: str
    path: Path | None
    format: str
    in_folder: bool = False


def plan_outputs(
    photos: Sequence[str], style: str, output: str | None = None, format: str | None = None
) -> list[Output]:
    """Decide where the result of each photo goes.

    Without `output`, a result lies beside its photo as `<photo>.<style>.<suffix>`, and that of
    standard input goes to standard output. `output` is a folder if there are several photos, if
    it exists as one or if it ends with a slash; else it is a file, or `-`.

    Args:
        photos: Paths, of which one may be `-`.
        style: Slug of the style.
        output: File, folder or `-`.
        format: Format by the name of its suffix; by default the suffix of `output`, else that of
            the photo, else PNG.

    Raises:
        OutputError: If the photos, the output and the format cannot go together.
    """
    if format is not None and f".{format.lower()}" not in WRITABLE:
        known = ", ".join(sorted(suffix[1:] for suffix in WRITABLE))
        raise OutputError(f"no output format {format!r}; use one of {known}")
    if photos.count(STANDARD) > 1:
        raise OutputError("standard input holds one photo; give '-' once")
    if output == STANDARD or (output is None and list(photos) == [STANDARD]):
        if len(photos) > 1:
            raise OutputError("standard output takes one result; give a folder with --output")
        return [Output(photos[0], None, format or "png")]
    folder = _folder(output, several=len(photos) > 1)
    if output is not None and folder is None:
        path = Path(output)
        return [Output(photos[0], path, _format_of(path, format))]
    outputs = [_in_folder(photo, style, folder, format) for photo in photos]
    _refuse_clashes(outputs)
    return outputs


def write_file(path: Path, data: bytes) -> None:
    """Write a file that is not a result, whole or not at all, over one that exists.

    Raises:
        OutputError: If it cannot be written.
    """
    temporary = path.with_name(f".adain-{secrets.token_hex(8)}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}); check the folder and the free space"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _folder(output: str | None, several: bool) -> Path | None:
    """Return the folder that `output` names; None if it names none."""
    if output is None:
        return None
    path = Path(output)
    # Unlike their namesakes of Path, these answer False where the system cannot look.
    if os.path.isdir(output) or output.endswith("/"):
        return path
    if several and os.path.exists(output):
        raise OutputError(f"{output}: is a file; several photos need a folder")
    return path if several else None


def _format_of(path: Path, format: str | None) -> str:
    if format is None and path.suffix.lower() not in WRITABLE:
        raise OutputError(f"{path}: no format has this suffix; use .png or .jpg, or give --format")
    return format or path.suffix[1:]


def _in_folder(photo: str, style: str, folder: Path | None, format: str | None) -> Output:
    path = Path("stdin" if photo == STANDARD else photo)
    own = path.suffix[1:] if path.suffix.lower() in WRITABLE else "png"
    chosen = format or own
    name = f"{path.stem}.{style}.{chosen}"
    return Output(photo, (folder or path.parent) / name, chosen, folder is not None)


def _refuse_clashes(outputs: Sequence[Output]) -> None:
    taken: dict[Path | None, str] = {}
    for output in outputs:
        if output.path in taken:
            raise OutputError(
                f"{taken[output.path]} and {output.photo} would both become {output.path}; "
                "stylize them one by one"
            )
        taken[output.path] = output.photo
