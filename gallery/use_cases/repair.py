"""Faults of a gallery, found and mended.

    the file and its indexes ── pictures that moved ── statistics ── colours ── pools

Nothing that cannot be made again is ever deleted: every painting keeps its row and its facts.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from adain.engine.model import Model
from adain.errors import AdainError
from adain.imaging.picture import Picture
from adain.imaging.reading import load_image
from adain.painting.measuring import measure_style
from gallery.database.gallery import Gallery
from gallery.database.paintings import Painting
from gallery.database.style_files import load_styles
from gallery.database.vectors import has_colors
from gallery.ingest.hashes import pixel_digest
from gallery.ingest.sources import find_candidates


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        kind: `file`, `references`, `search`, `picture`, `statistics`, `pool`, `adapter` or
            `colors`.
        text: What is wrong, with the painting or the table that it concerns.
        painting: Number of the painting; None where it concerns none.
        remedy: What was done about it, or in a dry run what would be; empty if nothing can be.
    """

    kind: str
    text: str
    painting: int | None = None
    remedy: str = ""


def find_problems(gallery: Gallery, encoder: str) -> Iterator[Finding]:
    """Yield everything that is wrong; changes nothing.

    Args:
        gallery: What to look at.
        encoder: Fingerprint of the encoder that should have measured every painting.

    Raises:
        DatabaseError: If the database cannot be read.
    """
    for line in gallery.integrity():
        kind = "references" if " refers to a row of " in line else "file"
        yield Finding(kind, line)
    unsearchable = gallery.unsearchable()
    if unsearchable is None:
        yield Finding("search", "the search index does not fit the paintings")
    for number in unsearchable or ():
        yield Finding("search", f"painting {number}: a search for its facts misses it", number)
    for painting in _with_path(gallery):
        if not os.path.exists(str(painting.path)):
            text = f"painting {painting.id}: {painting.path}: its picture is gone"
            yield Finding("picture", text, painting.id)
    damaged = gallery.damaged_vectors()
    for number in damaged:
        yield Finding("statistics", f"painting {number}: its statistics are damaged", number)
    for number in gallery.unmeasured(encoder):
        if number not in damaged:
            text = f"painting {number}: encoder {encoder} has not measured it"
            yield Finding("statistics", text, number)
    for name in gallery.damaged_adapters():
        yield Finding("adapter", f"{name}: what was learnt of it is damaged")
    for kind, number in gallery.damaged_pools():
        yield Finding("pool", f"{kind} {number}: its pooled statistics are damaged")


def repair(
    gallery: Gallery,
    model: Model,
    folders: Sequence[Path] = (),
    dry_run: bool = False,
) -> Iterator[Finding]:
    """Mend what `find_problems` finds, and yield it with what was done.

    Paintings that were measured without their colours are no problem, since these can be
    estimated; but where the picture is at hand, they are measured now.

    A run that is stopped has mended what it has yielded; the next one goes on.

    Args:
        gallery: What to mend.
        model: Whose encoder should have measured every painting.
        folders: Where pictures that are gone are looked for, by their content.
        dry_run: Whether to change nothing.

    Raises:
        DatabaseError: If the database cannot be read or written.
    """
    encoder = model.fingerprint
    problems = list(find_problems(gallery, encoder))
    damaged = {p.painting for p in problems if p.kind == "statistics"}
    uncolored = [number for number in gallery.uncolored(encoder) if number not in damaged]
    tables = [p for p in problems if p.kind not in ("picture", "statistics")]
    yield from _mend_tables(gallery, tables, dry_run)
    gone = [p for p in problems if p.kind == "picture"]
    found = {}
    for problem, path in _find_pictures(gallery, gone, folders, dry_run):
        found[problem.painting] = path
        yield problem
    if not dry_run:
        gallery.drop_damaged_vectors()
        gallery.drop_damaged_adapters()
    mend = _statistics_mender(gallery, model, dry_run)
    for problem in problems:
        if problem.kind == "statistics":
            yield mend(problem, found.get(problem.painting))
    for number in uncolored:
        text = f"painting {number}: its colours were not measured"
        measured = mend(Finding("colors", text, number), found.get(number))
        if measured.remedy:
            yield measured
    if problems and not dry_run:
        gallery.drop_pools()


def _mend_tables(gallery: Gallery, problems: Sequence[Finding], dry_run: bool) -> Iterator[Finding]:
    """Mend what is made from the rest, then look whether it is well."""
    remedies = {
        "file": "indexes made again",
        "references": "the reference dropped",
        "search": "made again from the facts",
        "pool": "dropped; made again when asked for",
        "adapter": "dropped; 'adain learn' it again",
    }
    left: set[str] = set()
    if problems and not dry_run:
        gallery.mend_tables()
        left = set(gallery.integrity())
    for problem in problems:
        mended = problem.text not in left and not (dry_run and problem.kind == "file")
        yield replace(problem, remedy=remedies[problem.kind] if mended else "")


def _find_pictures(
    gallery: Gallery, problems: Sequence[Finding], folders: Sequence[Path], dry_run: bool
) -> Iterator[tuple[Finding, str | None]]:
    """Give pictures that are gone the path where a file of the same content is now."""
    numbers = [problem.painting for problem in problems if problem.painting is not None]
    wanted = {painting.sha256: painting for painting in _pictures(gallery, numbers)}
    found: dict[int | None, str] = {}
    for path in _files(folders) if wanted else ():
        painting = wanted.pop(_digest(path), None)
        if painting is not None:
            found[painting.id] = os.path.abspath(path)
            if not dry_run:
                gallery.move_picture(painting, found[painting.id])
        if not wanted:
            break
    for problem in problems:
        path_now = found.get(problem.painting)
        yield replace(problem, remedy=f"found at {path_now}" if path_now else ""), path_now


def _statistics_mender(
    gallery: Gallery, model: Model, dry_run: bool
) -> Callable[[Finding, str | None], Finding]:
    """Return what mends the statistics of one painting, given where its picture was found."""
    starter = load_styles()
    shipped = {
        painting.sha256: vector
        for painting, vector in zip(starter.paintings, starter.vectors, strict=True)
        if starter.encoder == model.fingerprint
    }

    def mend(problem: Finding, path: str | None) -> Finding:
        assert problem.painting is not None
        paintings = gallery.pictures([problem.painting])
        if not paintings:
            return replace(problem, remedy="it was removed meanwhile")
        painting = paintings[0] if path is None else replace(paintings[0], path=path)
        vector, remedy = shipped.get(painting.sha256), "taken from the starter gallery"
        if vector is None or not has_colors(vector[None])[0]:
            picture = _picture(painting)
            if picture is not None:
                remedy = f"measured again from {painting.path}"
                vector = None if dry_run else measure_style(model, picture).to_vector()[0]
            elif vector is None or problem.kind == "colors":
                return problem
        if vector is not None and not dry_run:
            gallery.keep_vector(painting, model.fingerprint, vector[None])
        return replace(problem, remedy=remedy)

    return mend


def _picture(painting: Painting) -> Picture | None:
    """Return the picture of a painting, if it is at hand and is still the same."""
    if painting.path is None:
        return None
    path = Path(painting.path)
    try:
        if not path.is_file():  # Opening a pipe would wait for ever.
            return None
        picture = load_image(path)
    except AdainError:
        return None
    same = _digest(path) == painting.sha256 or pixel_digest(picture) == painting.pixel_sha256
    return picture if same else None


def _with_path(gallery: Gallery) -> Iterator[Painting]:
    after = 0
    while page := gallery.page(after=after, limit=1000):
        yield from (painting for painting in page if painting.path)
        after = page[-1].id


def _pictures(gallery: Gallery, numbers: Sequence[int]) -> Iterator[Painting]:
    for i in range(0, len(numbers), 1000):
        yield from gallery.pictures(numbers[i : i + 1000])


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        for candidate in find_candidates(folder, recursive=True):
            if candidate.painting is not None and candidate.painting.path:
                yield Path(candidate.painting.path)


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, empty if it cannot be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return ""
