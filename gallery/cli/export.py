"""`adain export`: a gallery in other forms."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gallery.cli import options
from gallery.cli.streams import complain, emit, progress
from gallery.config import StylizeConfig, database_url
from gallery.errors import OutputError

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
    only: Annotated[
        Path | None,
        typer.Option(
            "--list", metavar="FILE", help="Only paintings that a text file names, one a line."
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="At most so many, those that were learnt first."),
    ] = None,
    previews: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Paintings that get a picture of their own; visitors' devices paint the others.",
        ),
    ] = 2000,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Title of the page.")] = "adain",
    intro: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Markdown to say below the title.")
    ] = None,
    logo: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A picture: beside the title, and as icon.")
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The page in another language; see 'export texts'."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a site that is there.")
    ] = False,
    model: options.Model = StylizeConfig.model,
    device: options.Device = StylizeConfig.device,
    database: options.Database = None,
    as_json: options.JsonObject = False,
    quiet: options.Quiet = False,
) -> None:
    """Write static files that paint in the visitor's browser.

    It works from any web space, under any address, and asks no other; photos stay with the
    visitor. Prints the folder.
    """
    from gallery.database.gallery import open_gallery
    from gallery.use_cases.site import (
        SiteConfig,
        check_folder,
        check_runtime,
        choose_paintings,
        export_site,
    )
    from gallery.use_cases.texts import read_texts

    check_folder(folder, overwrite)
    check_runtime()
    other = None if texts is None else read_texts(texts)
    config = SiteConfig(title, _text(intro) if intro else "", logo, previews, other)
    names = [line for line in map(str.strip, _text(only).splitlines()) if line] if only else []
    gallery = open_gallery(database_url(database))
    groups = [
        gallery.find_group(kind, name)
        for kind, names in (("artist", artist), ("style", style))
        for name in names or ()
    ]
    network = options.load_network(model, device)
    selection = choose_paintings(network, gallery, groups, limit, names)
    count = len(selection.paintings)
    with progress(count, quiet, "writing paintings") as advance:
        export_site(network, selection, folder, config, overwrite, advance)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if as_json:
        facts = {"folder": str(folder), "paintings": count, "bytes": size}
        emit(json.dumps(facts))
        return
    emit(str(folder))
    if not quiet:
        paintings = "1 painting" if count == 1 else f"{count} paintings"
        complain(f"{paintings}, {size / 1e6:.1f} MB")


@app.command("texts")
def export_texts(
    file: Annotated[Path, typer.Argument(metavar="OUT", help="A new JSON file.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.")
    ] = False,
) -> None:
    """Write the texts of the page, to be translated for a site.

    Give the language as 'lang', and a text beside each; those left empty stay English, and {}
    stands for what differs each time. Prints the file.
    """
    from gallery.files import write_file
    from gallery.use_cases.texts import page_texts

    content = {"lang": "", "texts": dict.fromkeys(page_texts(), "")}
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    write_file(file, text.encode(), overwrite)
    emit(str(file))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise OutputError(f"{path}: cannot be read as text ({why})") from error
