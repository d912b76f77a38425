"""`adain gallery`: what is in the gallery."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adain.config import MIN_SIDE
from adain.errors import AdainError
from gallery.cli.exits import describe, exit_code, usage
from gallery.cli.options import Database, Json, Model, Overwrite, load_network
from gallery.cli.streams import complain, emit
from gallery.config import StylizeConfig, database_url
from gallery.errors import GalleryError, OutputError, StyleNotFound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from adain.engine.model import Model as Network
    from gallery.database.gallery import Gallery
    from gallery.database.paintings import Painting
    from gallery.database.queries import Group

app = typer.Typer(no_args_is_help=True, help="Look into the gallery of paintings.")

SHEET_SIDE = 340
"""Longest side in pixels of a picture on a sheet."""

PAGE = 1000
"""Paintings that are read at once for an export."""

CELL = 60
"""Characters of a title, an artist or movements in a table; JSON and 'show' have them whole."""

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Number, slug, 'artist:title' or words of both.")
]
Artist = Annotated[str | None, typer.Option(metavar="NAME", help="Only of this artist.")]
Style = Annotated[str | None, typer.Option(metavar="NAME", help="Only of this movement.")]
After = Annotated[int, typer.Option(metavar="NUMBER", min=0, help="Go on after this painting.")]
Device = Annotated[str, typer.Option(metavar="D", help="auto, cpu, cuda, cuda:N or mps.")]
Limit = Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="How many to show.")]


@app.command("list")
def list_paintings(
    artist: Artist = None,
    style: Style = None,
    after: After = 0,
    limit: Limit = 50,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """List paintings, and which were learnt.

    Prints number, slug, title, artist, years and movements.
    """
    _print_page(database, "", artist, style, after, limit, as_json)


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(metavar="WORD", help="Words, or their beginnings.")],
    artist: Artist = None,
    style: Style = None,
    after: After = 0,
    limit: Limit = 50,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """List paintings by words of title, artist, movement or tags."""
    _print_page(database, " ".join(words), artist, style, after, limit, as_json)


@app.command()
def show(name: Name, as_json: Json = False, database: Database = None) -> None:
    """Show what is known about a painting."""
    gallery = _open(database)
    values = asdict(gallery.find(name))
    learnt = [a for a in gallery.adapters() if (a.kind, a.number) == ("painting", values["id"])]
    if as_json:
        if learnt:
            values["learnt"] = {
                "steps": learnt[-1].steps, "bytes": learnt[-1].size, "base": learnt[-1].base,
                "losses": learnt[-1].losses,
            }  # fmt: skip
        emit(json.dumps(values, ensure_ascii=False))
        return
    values["phash"] = f"{values['phash'] % 2**64:016x}"
    for digest in ("sha256", "pixel_sha256", "phash"):  # People look for the title first.
        values[digest] = values.pop(digest)
    lines = {key: ", ".join(v) if isinstance(v, tuple) else v for key, v in values.items()}
    if learnt:
        lines["learnt"] = f"{learnt[-1].steps} steps, {learnt[-1].size / 1024:.0f} kB"
    _print_table([(key, value) for key, value in lines.items() if value not in ("", None)])


@app.command()
def similar(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A style, as for 'adain stylize --style'.")
    ],
    limit: Limit = 10,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Also draw them beside it into this picture; a new file."),
    ] = None,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """List the other paintings whose style is nearest.

    Prints the distance first.
    """
    if sheet is not None and sheet.exists():
        raise OutputError(f"{sheet}: exists already; give a new file")
    gallery = _open(database)
    itself, encoder, vector = _measure(gallery, name)
    near = gallery.similar(vector, encoder, limit + 1)
    others = [(painting, d) for painting, d in near if painting.id != itself][:limit]
    columns = [{"distance": round(distance, 3)} for _, distance in others]
    _print_paintings([painting for painting, _ in others], as_json, columns)
    if sheet is not None:
        _draw_sheet(gallery, name, others, sheet)


@app.command("preview")
def render_previews(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="A style, as for 'adain stylize --style'.")
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="OUT", help="A .jpg file, or a folder.")
    ] = ".",
    size: Annotated[
        int, typer.Option(metavar="PX", min=MIN_SIDE, max=2048, help="Longest side in pixels.")
    ] = 320,
    photo: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The photo; by default an example.")
    ] = None,
    model: Model = "compact",
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Show what styles do to an example photo, as JPEG files.

    Prints the paths of the files.
    """
    from adain.imaging.reading import load_image
    from gallery.files import write_file
    from gallery.use_cases.previews import PreviewConfig, preview
    from gallery.use_cases.references import find_target

    gallery = _open(database)
    targets = [find_target(gallery, name) for name in names]
    with usage():
        files = _plan_previews([target.slug for target in targets], output)
    picture = None if photo is None else load_image(photo)
    network = load_network(model, device)
    errors: list[Exception] = []
    for target, file in zip(targets, files, strict=True):
        try:
            data = preview(network, gallery, target, PreviewConfig(size), picture)
            write_file(file, data, overwrite, parents=True)
            facts = {"style": target.slug, "preview": str(file)}
            emit(json.dumps(facts, ensure_ascii=False) if as_json else str(file))
        except (AdainError, GalleryError, MemoryError) as error:
            errors.append(error)
            complain(describe(error))
    raise typer.Exit(exit_code(errors, done=len(files) - len(errors)))


@app.command()
def artists(as_json: Json = False, database: Database = None) -> None:
    """List the artists, as --style artist:NAME takes them."""
    _print_groups(database, "artist", as_json)


@app.command()
def styles(as_json: Json = False, database: Database = None) -> None:
    """List the movements, as --style style:NAME takes them."""
    _print_groups(database, "style", as_json)


@app.command()
def stats(as_json: Json = False, database: Database = None) -> None:
    """Count what is in the gallery."""
    counts = _open(database).stats()
    if as_json:
        emit(json.dumps(counts))
        return
    measured = counts.pop("measured")
    rows = [*counts.items(), *((f"measured by encoder {key}", n) for key, n in measured.items())]
    _print_table(rows)


@app.command()
def verify(as_json: Json = False, database: Database = None) -> None:
    """Check the database, its styles, and that pictures are there."""
    from gallery.use_cases.repair import find_problems

    problems = list(find_problems(_open(database), _encoder()))
    for problem in problems:
        emit(json.dumps(asdict(problem), ensure_ascii=False) if as_json else problem.text)
    complain(f"{len(problems)} problems" if problems else "no problems")
    if problems:
        complain("'adain gallery repair' mends what can be mended")
        raise typer.Exit(4)


@app.command()
def repair(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER", help="Where pictures that have moved are looked for."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would be done; change nothing.")
    ] = False,
    device: Device = "auto",
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Mend what 'verify' finds; no painting is ever dropped.

    Damaged or missing statistics are taken from the starter gallery or measured again from the
    picture; without a picture they are dropped and named. So are the colours of paintings that
    an older version measured; without a picture they stay estimated. Indexes and pooled
    statistics are made again, and pictures that have moved are found by their content.
    """
    for folder in folders or ():
        if not folder.is_dir():
            raise typer.BadParameter(f"{folder}: no such folder")
    from gallery.use_cases.repair import repair

    network = load_network(StylizeConfig.model, device)
    gallery = _open(database, write=not dry_run)
    mended = left = colored = 0
    uncolored = len(gallery.uncolored(network.fingerprint))
    for problem in repair(gallery, network, folders or (), dry_run):
        colored += problem.kind == "colors"
        mended, left = mended + bool(problem.remedy), left + (not problem.remedy)
        line = f"{problem.text}: {problem.remedy or 'cannot be mended'}"
        emit(json.dumps(asdict(problem), ensure_ascii=False) if as_json else line)
    complain(f"mended={mended} left={left}" if mended or left else "no problems")
    if uncolored:
        complain(f"colours: measured={colored} estimated={uncolored - colored}")
    if dry_run and mended:
        complain("nothing was changed; before you repair, copy it with 'adain db backup FILE'")
    if left:
        complain("give the folders where pictures may be now; for the file, restore a backup")
        raise typer.Exit(3 if mended else 4)


@app.command()
def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Numbers or slugs.")],
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Forget paintings; their picture files stay.

    A wrong name removes nothing.
    """
    gallery = _open(database, write=True)
    slugs: dict[int, str] = {}
    for name in names:
        painting = gallery.find(name)
        if name not in (painting.slug, str(painting.id)):
            raise StyleNotFound(f"{name!r} is not a number or a slug; for {painting.title!r} "
                                f"give {painting.slug}")  # fmt: skip
        slugs[painting.id] = painting.slug
    gallery.remove(list(slugs))
    for number, slug in slugs.items():
        emit(json.dumps({"id": number, "slug": slug}) if as_json else slug)


@app.command("export")
def export_styles(
    destination: Annotated[Path, typer.Argument(metavar="FILE", help="A .safetensors file.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORD", help="Only paintings with all these words."),
    ] = None,
    artist: Artist = None,
    style: Style = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Write paintings into one file, without their pictures.

    Facts, statistics and what was learnt: by default of every painting; words, an artist and a
    movement choose as in 'search' and 'list'.
    """
    import numpy as np

    from gallery.database.style_files import StyleFile, save_styles

    if destination.exists() and not overwrite:
        raise OutputError(f"{destination}: exists already; add --overwrite to replace it")
    gallery = _open(database)
    group = _find_group(gallery, artist, style)
    encoder = _encoder()
    numbers, vectors = gallery.vectors(encoder, group)
    if words:
        found = {painting.id for painting in _with_words(gallery, words, group)}
        chosen = np.array([number in found for number in numbers])
        if not chosen.any():
            raise StyleNotFound(f"no measured paintings match {' '.join(words)!r:.80}")
        numbers, vectors = np.array(numbers)[chosen].tolist(), vectors[chosen]
    paintings: list[Painting] = []
    for i in range(0, len(numbers), PAGE):
        paintings += gallery.pictures(numbers[i : i + PAGE])
    learnt = gallery.learnt_by_picture()
    adapters = {p.sha256: learnt[p.sha256] for p in paintings if p.sha256 in learnt}
    exported = StyleFile(tuple(paintings), vectors, encoder, adapters)
    save_styles(exported, destination, overwrite)
    if as_json:
        emit(json.dumps({"file": str(destination), "paintings": len(paintings)}))
        return
    emit(str(destination))
    complain(f"{len(paintings)} paintings")


def _with_words(
    gallery: "Gallery", words: Sequence[str], group: "Group | None"
) -> "Iterator[Painting]":
    page = gallery.page(" ".join(words), group, 0, PAGE)
    while page:
        yield from page
        page = gallery.page(" ".join(words), group, page[-1].id, PAGE)


@app.command("import")
def import_styles(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="From 'export'; by default the starter gallery."),
    ] = None,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Add the paintings of a file that 'export' wrote."""
    from gallery.database.gallery import make_gallery, shipped_adapters
    from gallery.database.style_files import load_styles

    if source is not None:
        loaded = load_styles(source)
    else:
        loaded = replace(load_styles(), adapters=shipped_adapters())
    new = make_gallery(database_url(database)).import_styles(loaded)
    counts = {"new": new, "known": len(loaded.paintings) - new}
    if as_json:
        emit(json.dumps(counts))
    else:
        complain(" ".join(f"{name}={count}" for name, count in counts.items()))


def _plan_previews(slugs: Sequence[str], output: str) -> list[Path]:
    """Return the file of each preview.

    Raises:
        OutputError: If they cannot all go there.
    """
    if len(slugs) == 1 and not output.endswith("/") and not os.path.isdir(output):
        if not output.lower().endswith((".jpg", ".jpeg")):
            raise OutputError(f"{output}: previews are JPEG files; name it .jpg, or give a folder")
        return [Path(output)]
    twice = sorted({slug for slug in slugs if slugs.count(slug) > 1})
    if twice:
        raise OutputError(f"{twice[0]}: is named twice; name each style once")
    return [Path(output, f"{slug}.jpg") for slug in slugs]


def _draw_sheet(
    gallery: "Gallery", name: str, others: "Sequence[tuple[Painting, float]]", file: Path
) -> None:
    """Draw a style beside the paintings that are most like it.

    Where the picture of a painting is not at hand, its preview stands for it.
    """
    from adain.imaging.writing import save_image
    from gallery.use_cases.references import Reference, find_target
    from gallery.use_cases.sheets import Cell, Section, make_sheet

    looks = _Looks(gallery)
    if Reference(name).is_file:
        shown, first = os.path.basename(name), looks.of_file(name)
    else:
        target = find_target(gallery, name)
        shown, first = target.slug, looks.of_style(target)
    cells = [Cell(first, (shown,))]
    for painting, distance in others:
        lines = (painting.slug, f"{painting.artist}, {distance:.2f}".lstrip(", "))
        cells.append(Cell(looks.of_style(painting), lines))
    title = f"{shown} and the paintings most like it, with their distance"
    if looks.previews:
        title += "; a photo stands for what is not at hand"
    save_image(make_sheet([Section(title, cells, columns=4)]), file)


class _Looks:
    """The cells of styles on a sheet; the network is loaded when a preview is needed.

    Attributes:
        previews: Whether a preview was.
    """

    def __init__(self, gallery: "Gallery") -> None:
        self._gallery = gallery
        self._model: Network | None = None
        self.previews = False

    def of_file(self, path: str) -> "Image.Image":
        """Return a picture.

        Raises:
            ImageError: If it cannot be read.
        """
        from adain.imaging.pillow import to_image
        from adain.imaging.reading import load_image
        from adain.imaging.resizing import resize_image

        return to_image(resize_image(load_image(path), SHEET_SIDE).pixels)

    def of_style(self, target: "Painting | Group") -> "Image.Image":
        """Return the picture of a painting, its preview, or a grey square if it has neither."""
        from PIL import Image

        from gallery.use_cases.previews import preview

        with suppress(AdainError):
            if path := getattr(target, "path", None):
                return self.of_file(path)
        with suppress(AdainError, GalleryError):
            self._model = self._model or load_network(StylizeConfig.model, "auto")
            data = preview(self._model, self._gallery, target)
            self.previews = True
            return Image.open(BytesIO(data))
        return Image.new("RGB", (SHEET_SIDE, SHEET_SIDE), "lightgrey")


def _open(database: str | None, write: bool = False) -> "Gallery":
    from gallery.database.gallery import make_gallery, open_gallery

    url = database_url(database)
    gallery = open_gallery(url)  # Which fails if a database that was named is missing.
    return make_gallery(url) if write else gallery


def _encoder() -> str:
    """Return the fingerprint of the shipped encoder, which its own styles tell."""
    from gallery.database.style_files import load_styles

    return load_styles().encoder


def _measure(gallery: "Gallery", name: str) -> "tuple[int, str, NDArray[np.float32]]":
    """Return the style vector of a reference; load the network only if need be.

    Returns:
        The number of the painting, 0 if it is none, the encoder, and the vector.
    """
    from gallery.database.paintings import Painting
    from gallery.use_cases.references import Reference, find_target

    encoder, itself = _encoder(), 0
    if not Reference(name).is_file:
        target = find_target(gallery, name)
        if isinstance(target, Painting):
            itself = target.id
            vector = gallery.vector(target, encoder)
            if vector is not None:
                return itself, encoder, vector
    from gallery.use_cases.styles import find_style

    model = load_network(StylizeConfig.model, "auto")
    style = find_style([Reference(name)], lambda: gallery).resolve(model)
    return itself, model.fingerprint, style.statistics.to_vector()


def _find_group(gallery: "Gallery", artist: str | None, style: str | None) -> "Group | None":
    """Return the artist or the movement that the options name, if one does."""
    if artist is not None and style is not None:
        raise typer.BadParameter("give --artist or --style, not both")
    name = artist if style is None else style
    if name is None:
        return None
    return gallery.find_group("artist" if style is None else "style", name)


def _print_page(
    database: str | None,
    words: str,
    artist: str | None,
    style: str | None,
    after: int,
    limit: int,
    as_json: bool,
) -> None:
    gallery = _open(database)
    group = _find_group(gallery, artist, style)
    paintings = gallery.page(words, group, after, limit + 1)
    learnt = gallery.learnt()
    known = [painting.id in learnt for painting in paintings]
    marks = [{"learnt": each if as_json else "learnt" * each} for each in known]
    _print_paintings(paintings[:limit], as_json, marks[:limit])
    if words and not paintings and not after:
        closest = gallery.close_words(words)
        hint = f"; did you mean {', '.join(closest)}?" if closest else ""
        complain(f"no paintings match {words!r:.80}{hint}")
    if len(paintings) > limit:
        complain(f"there are more; go on with --after {paintings[limit - 1].id}")


def _print_paintings(
    paintings: "Sequence[Painting]", as_json: bool, columns: Sequence[dict[str, Any]] = ()
) -> None:
    if as_json:
        for painting, extra in zip(paintings, columns or [{}] * len(paintings), strict=True):
            emit(json.dumps({**asdict(painting), **extra}, ensure_ascii=False))
        return
    first = [tuple(extra.values()) for extra in columns] or [()] * len(paintings)
    _print_table(
        [
            (*extra, p.id, p.slug, *map(_short, (p.title, p.artist, p.years, ", ".join(p.styles))))
            for p, extra in zip(paintings, first, strict=True)
        ]
    )


def _short(text: str) -> str:
    """Return what a column shows; one long title would push those of all others away."""
    return text if len(text) <= CELL else f"{text[: CELL - 1]}…"


def _print_groups(database: str | None, kind: str, as_json: bool) -> None:
    groups = _open(database).groups(kind)
    if as_json:
        for group in groups:
            emit(json.dumps(asdict(group), ensure_ascii=False))
        return
    _print_table([(group.slug, group.name, group.paintings) for group in groups])


def _print_table(rows: Sequence[Sequence[object]]) -> None:
    """Print rows with their columns aligned, those of numbers to the right, without empty ones."""
    columns = []
    for column in zip(*rows, strict=True):
        cells = list(map(str, column))
        numbers = all(isinstance(cell, int | float) for cell in column)
        width = max(map(len, cells))
        if not width:  # Nothing is learnt, say.
            continue
        columns.append([cell.rjust(width) if numbers else cell.ljust(width) for cell in cells])
    for line in zip(*columns, strict=True):
        emit("  ".join(line).rstrip())
