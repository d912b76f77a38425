"""Where results go: one place decides every name."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adain.imaging.reading import SUFFIXES
from adain.imaging.writing import WRITABLE
from gallery.errors import OutputError

STANDARD = "-"
"""Stands for standard input as a photo, and for standard output as a result."""

NAME_BYTES = 255
"""Longest name of a file, on every usual file system."""

DEEP = frozenset({".png", ".tif", ".tiff"})
"""Suffixes of formats that hold 16 bits a channel."""


@dataclass(frozen=True)
class Output:
    """A photo and where its result goes.

    Attributes:
        photo: Path of the photo, or `-`.
        path: The file to write; None is standard output.
        format: A format that `adain.imaging.writing.encode_image` knows.
    """

    photo: str
    path: Path | None
    format: str


def plan_outputs(
    photos: Sequence[str],
    style: str,
    output: str | None = None,
    format: str | None = None,
    bits: int = 8,
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
        bits: Bits of a channel, which the format must be able to hold.

    Raises:
        OutputError: If the photos, the output and the format cannot go together.
    """
    if format is not None and f".{format.lower()}" not in WRITABLE:
        known = ", ".join(sorted(suffix[1:] for suffix in WRITABLE))
        raise OutputError(f"no output format {format!r}; use one of {known}")
    outputs = _plan(photos, style, output, format, bits)
    for each in outputs:
        if bits == 16 and f".{each.format.lower()}" not in DEEP:
            raise OutputError(f"{each.format} has 8 bits a channel; use png or tiff for 16")
    return outputs


def plan_each(
    photos: Sequence[str],
    styles: Sequence[str],
    output: str | None = None,
    format: str | None = None,
    bits: int = 8,
) -> list[list[Output]]:
    """Decide where the results of photos in several styles go: for each style those of all photos.

    As `plan_outputs`; with more than one style, `output` is a folder.

    Raises:
        OutputError: As `plan_outputs`, or if two styles have one name.
    """
    if len(styles) > 1:
        if STANDARD in (output, *photos) and (output is None or output == STANDARD):
            raise OutputError("standard output takes one result; give a folder with --output")
        output = output and f"{_folder(output, several=True)}/"
    if double := next((style for i, style in enumerate(styles) if style in styles[:i]), None):
        raise OutputError(f"two styles are called {double}; stylize with one after the other")
    return [plan_outputs(photos, style, output, format, bits) for style in styles]


def plan_sheet(photo: str, label: str, output: str | None = None) -> Path:
    """Decide where a sheet about a photo goes: by default `<photo>.<label>.png` beside it.

    Raises:
        OutputError: If it is standard input or output, or its format cannot be written.
    """
    (planned,) = plan_outputs([photo], label, output, None if Path(output or "").suffix else "png")
    if photo == STANDARD or planned.path is None:
        raise OutputError("a sheet needs files; give a path for the photo and for --output")
    return planned.path


def _plan(
    photos: Sequence[str], style: str, output: str | None, format: str | None, bits: int
) -> list[Output]:
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
    outputs = [_in_folder(photo, style, folder, format, bits) for photo in photos]
    _refuse_clashes(outputs)
    return outputs


def _folder(output: str | None, several: bool) -> Path | None:
    """Return the folder that `output` names; None if it names none."""
    if output is None:
        return None
    path = Path(output)
    # Unlike their namesakes of Path, these answer False where the system cannot look.
    if os.path.isdir(output) or output.endswith("/"):
        return path
    if several and (os.path.exists(output) or path.suffix.lower() in WRITABLE):
        raise OutputError(
            f"{output}: is a file; several results need a folder, such as {path.stem}/"
        )
    return path if several else None


def _format_of(path: Path, format: str | None) -> str:
    if format is None and not path.suffix:
        raise OutputError(
            f"{path}: a folder? then give {path}/; a file ends in .png or .jpg, or give --format"
        )
    if format is None and path.suffix.lower() not in WRITABLE:
        raise OutputError(f"{path}: no format has this suffix; use .png or .jpg, or give --format")
    return format or path.suffix[1:]


def _in_folder(
    photo: str, style: str, folder: Path | None, format: str | None, bits: int
) -> Output:
    path = Path("stdin" if photo == STANDARD else photo)
    fitting = DEEP if bits == 16 else WRITABLE
    chosen = format or (path.suffix[1:] if path.suffix.lower() in fitting else "png")
    # What is no suffix of a picture is a part of the name.
    stem = path.stem if path.suffix.lower() in SUFFIXES else path.name
    name = _shortened(stem, f".{style}.{chosen}")
    return Output(photo, (folder or path.parent) / name, chosen)


def _shortened(stem: str, end: str) -> str:
    """Return `stem + end`, of which the system takes `NAME_BYTES` bytes at most."""
    room = NAME_BYTES - len(os.fsencode(end))
    return os.fsencode(stem)[:room].decode(errors="ignore") + end if room > 0 else stem + end


def _refuse_clashes(outputs: Sequence[Output]) -> None:
    taken: dict[Path | None, str] = {}
    for output in outputs:
        if output.path in taken:
            raise OutputError(
                f"{taken[output.path]} and {output.photo} would both become {output.path}; "
                "stylize them one by one, each with its --output"
            )
        taken[output.path] = output.photo
