"""`adain styles`: what ships with the package."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from gallery.cli.streams import emit


def styles(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the shipped styles.

    The first column is the name that --style takes.
    """
    from gallery.styles import load_styles

    paintings = load_styles().paintings
    if as_json:
        for painting in paintings:
            emit(json.dumps(asdict(painting)))
        return
    rows = [(p.slug, p.title, p.artist, str(p.year or ""), p.style) for p in paintings]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        emit("  ".join(cells).rstrip())
