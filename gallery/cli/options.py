"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from gallery.errors import OutputError

Database = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL",
        help="The gallery; by default that of ADAIN_DATABASE, else one in your data folder.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Fetch = Annotated[bool, typer.Option("--fetch", help="Get from the web what is there.")]
Contact = Annotated[
    str,
    typer.Option(
        metavar="MAIL|URL",
        envvar="ADAIN_CONTACT",
        help="With --fetch: tells the hosts whom to write to when something is wrong.",
    ),
]


def make_folder(folder: Path) -> None:
    """Make a folder unless it is there.

    Raises:
        OutputError: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
