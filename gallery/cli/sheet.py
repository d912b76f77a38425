"""`adain sheet`: a photo in many styles, to choose by looking."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gallery.cli import options
from gallery.cli.exits import usage
from gallery.cli.streams import emit, progress
from gallery.config import StylizeConfig, database_url
from gallery.errors import StyleNotFound

if TYPE_CHECKING:
    from gallery.database.gallery import Gallery
    from gallery.database.paintings import Painting

FEW = 24
"""Paintings on a sheet beside what was learnt; a gallery begins with those that all know."""

EXAMPLES = """\b
Examples:
  adain sheet harbour.jpg
  adain sheet harbour.jpg --style artist:monet --style 'starry night' -o choose.png
  adain sheet harbour.jpg --search storm --limit 12
"""


def sheet(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A picture.")],
    style: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STYLE",
            help="A picture, a folder of them or a painting; artist:NAME and style:NAME: each "
            "painting of them. "
            "By default all that were learnt, and the first of the gallery.",
        ),
    ] = None,
    search: Annotated[
        str, typer.Option(metavar="WORDS", help="Paintings with these words, too.")
    ] = "",
    limit: Annotated[
        int, typer.Option(min=1, max=200, metavar="N", help="Styles on the sheet, at most.")
    ] = 64,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="By default PHOTO.sheet.png beside the photo."
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    model: options.Model = StylizeConfig.model,
    device: options.Device = StylizeConfig.device,
    database: options.Database = None,
    as_json: options.JsonObject = False,
    quiet: options.Quiet = False,
) -> None:
    """Paint a photo in many styles on one sheet, to choose by looking.

    Prints the path of the sheet.
    """
    target = output or photo.with_name(f"{photo.stem}.sheet.png")
    options.refuse_existing(target, overwrite)
    from adain.imaging.pillow import from_image
    from adain.imaging.reading import load_image
    from adain.imaging.writing import save_image
    from gallery.database.gallery import open_gallery
    from gallery.use_cases.references import parse_references
    from gallery.use_cases.style_lists import expand_styles
    from gallery.use_cases.style_sheet import draw_style_sheet
    from gallery.use_cases.styles import find_style

    picture = load_image(photo)
    gallery = open_gallery(database_url(database))
    network = options.load_network(model, device)
    named: list[list[Painting]] = []
    others = []
    for name in expand_styles(style or ()):
        found = _paintings(gallery, name, limit)
        named.append(found)
        if not found:
            with usage():
                references = parse_references([name])
            others.append(find_style(references, lambda: gallery).resolve(network))
    # One that was named has room before all of an artist.
    paintings = [each for found in sorted(named, key=lambda f: len(f) > 1) for each in found]
    if search:  # Behind those that were named, where not all have room.
        paintings += gallery.page(search, limit=limit)
    elif not style:
        learnt = gallery.page(limit=limit, learnt_for=network.base)
        paintings = learnt + gallery.page(limit=FEW)
    if not paintings and not others:
        raise StyleNotFound(f"no painting has the words {search!r}; 'adain gallery list' names all")
    paintings = list({each.id: each for each in paintings}.values())[: max(0, limit - len(others))]
    with progress(len(paintings) + len(others), quiet, "painting") as advance:
        drawn = draw_style_sheet(network, gallery, picture, paintings, others, advance)
    save_image(from_image(drawn), target, overwrite=overwrite)
    slugs = [each.slug for each in paintings] + [each.slug for each in others]
    emit(json.dumps({"sheet": str(target), "styles": slugs}) if as_json else str(target))


def _paintings(gallery: "Gallery", name: str, limit: int) -> "list[Painting]":
    """Return the paintings that a style of the gallery stands for; none for a picture."""
    from gallery.database.queries import Group
    from gallery.use_cases.references import find_target

    if Path(name).exists():
        return []
    target = find_target(gallery, name)
    if isinstance(target, Group):
        return gallery.page(group=target, limit=limit)
    return [target]
