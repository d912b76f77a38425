"""Options that several commands share."""

from typing import Annotated

import typer

Database = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL",
        help="The gallery; by default that of ADAIN_DATABASE, else one in your data folder.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
