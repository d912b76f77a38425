"""`adain export`: a gallery in other forms."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gallery.cli import options
from gallery.cli.streams import complain, emit, progress
from gallery.config import StylizeConfig, database_url

app = typer.Typer(no_args_is_help=True)

EXAMPLES = """\b
Examples:
  adain export site public/
  adain export site public/ --artist monet --artist 'van gogh' --title 'Light and colour'
  python -m http.server --directory public/
"""


@app.callback()
def export() -> None:
    """Write a gallery as a web site."""


@app.command(epilog=EXAMPLES)
def site(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    artist: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only paintings of this artist; repeat for more."),
    ] = None,
    style: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only of this movement; repeat for more."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="At most so many, those that were learnt first."),
    ] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Title of the page.")] = "adain",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a site that is there.")
    ] = False,
    model: options.Model = StylizeConfig.model,
    device: options.Device = StylizeConfig.device,
    database: options.Database = None,
    as_json: options.JsonObject = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a folder of static files that paints in the visitor's own browser.

    It works from any web space, under any address, and asks no other; photos stay with the
    visitor. Prints the folder.
    """
    from gallery.database.gallery import open_gallery
    from gallery.use_cases.site import check_folder, choose_paintings, export_site, find_runtime

    check_folder(folder, overwrite)
    find_runtime()
    gallery = open_gallery(database_url(database))
    groups = [
        gallery.find_group(kind, name)
        for kind, names in (("artist", artist), ("style", style))
        for name in names or ()
    ]
    network = options.load_network(model, device)
    chosen = choose_paintings(network, gallery, groups, limit)
    with progress(len(chosen), quiet, "painting previews") as advance:
        export_site(network, chosen, folder, title, overwrite, advance)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if as_json:
        facts = {"folder": str(folder), "paintings": len(chosen), "bytes": size}
        emit(json.dumps(facts))
        return
    emit(str(folder))
    if not quiet:
        complain(f"{len(chosen)} paintings, {size / 1e6:.1f} MB")
