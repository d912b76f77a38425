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
Fetch = Annotated[bool, typer.Option("--fetch", help="Get from the web what is there.")]
Contact = Annotated[
    str,
    typer.Option(
        metavar="MAIL|URL",
        envvar="ADAIN_CONTACT",
        help="With --fetch: tells the hosts whom to write to when something is wrong.",
    ),
]
