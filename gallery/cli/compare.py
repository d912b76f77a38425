"""`adain compare`: one photo in one style, made in several ways, side by side."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from adain.engine.torch_extra import require_torch
from gallery.cli.exits import usage
from gallery.cli.options import (
    Database,
    Device,
    JsonObject,
    MaxSide,
    Model,
    Overwrite,
    Quiet,
    Styles,
    load_network,
    refuse_existing,
)
from gallery.cli.streams import emit, progress, shares
from gallery.config import CompareConfig, database_url

T = TypeVar("T")

DEFAULTS = CompareConfig()

ALPHAS = ",".join(f"{alpha:g}" for alpha in DEFAULTS.alphas)

EXAMPLES = """\b
Examples:
  adain compare harbour.jpg --style mosaic.png
  adain compare harbour.jpg --style irises --strengths 0.4,0.8,1.2 --steps 50 -o sheet.png
"""


def compare(
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help="A picture.")],
    style: Styles,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A file or a folder; by default PHOTO.STYLE.compare.png beside the photo.",
        ),
    ] = None,
    alphas: Annotated[
        str,
        typer.Option("--strengths", "--alphas", metavar="A,A,A", help="Strengths of the one pass."),
    ] = ALPHAS,
    steps: Annotated[
        str, typer.Option(metavar="N,N", help="Budgets of the renders: steps at each scale.")
    ] = ",".join(map(str, DEFAULTS.steps)),
    max_side: MaxSide = DEFAULTS.max_side,
    overwrite: Overwrite = False,
    model: Model = "compact",
    database: Database = None,
    device: Device = "auto",
    as_json: JsonObject = False,
    quiet: Quiet = False,
) -> None:
    """Paint a photo in several ways on one sheet, with figures.

    One pass at three strengths and renders with two budgets. Prints the path of the sheet.
    """
    require_torch("comparing")
    from gallery.database.gallery import open_gallery
    from gallery.use_cases.outputs import plan_sheet
    from gallery.use_cases.references import parse_references
    from gallery.use_cases.styles import find_style

    with usage():
        config = CompareConfig(
            _numbers("strengths", alphas, float), _numbers("steps", steps, int), max_side
        )
        references = parse_references(style)
        if any(reference.weight <= 0 for reference in references):
            raise ValueError("weights of styles must be positive here")
    found = find_style(references, lambda: open_gallery(database_url(database)))
    with usage():
        target = plan_sheet(photo, f"{found.slug}.compare", output)
    refuse_existing(target, overwrite)

    from adain.imaging.writing import save_image
    from gallery.use_cases import compare as use_case

    network = load_network(model, device)
    cells = use_case.style_cells(network, found)
    with progress(1, hidden=quiet, label="comparing") as advance:
        rows = use_case.compare(network, Path(photo), found, config, shares(advance))
    sheet = use_case.comparison_sheet(
        f"{Path(photo).name} in the style of {found.slug}", rows, cells
    )
    save_image(sheet, target, overwrite=overwrite)
    height, width = rows[0].image.shape[:2]
    facts = {
        "photo": photo,
        "output": str(target),
        "style": found.slug,
        "width": width,
        "height": height,
        "rows": [row.figures() for row in rows],
    }
    emit(json.dumps(facts) if as_json else str(target))


def _numbers(name: str, text: str, kind: Callable[[str], T]) -> tuple[T, ...]:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"{name} must be numbers with commas, got {text!r}") from error
