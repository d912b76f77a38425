"""`adain db`: the database file itself."""

from pathlib import Path
from typing import Annotated

import typer

from gallery.cli.options import Database
from gallery.cli.streams import complain, emit
from gallery.config import database_url

app = typer.Typer(no_args_is_help=True, help="Make, check and copy the gallery database.")


@app.command()
def upgrade(database: Database = None) -> None:
    """Make the database, or bring its tables up to date.

    A new one begins with the starter gallery.
    """
    from gallery.database.engine import connect, location
    from gallery.database.gallery import upgrade_gallery

    engine = connect(database_url(database))
    found, now = upgrade_gallery(engine)
    if found is None:
        done = f"made, with tables {now}"
    elif found == now:
        done = f"is up to date (tables {now})"
    else:
        done = f"now has tables {now}, had {found}"
    emit(f"{location(engine)}: {done}")


@app.command()
def check(database: Database = None) -> None:
    """Check that the file is whole, and its tables."""
    from gallery.database.engine import integrity, location, open_database

    engine = open_database(database_url(database))
    problems = integrity(engine)
    for problem in problems:
        complain(problem)
    if problems:
        raise typer.Exit(4)
    emit(f"{location(engine)}: ok")


@app.command()
def backup(
    destination: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; a new file.")],
    database: Database = None,
) -> None:
    """Copy the database, also while others write to it."""
    from gallery.database.engine import backup, connect

    backup(connect(database_url(database)), destination)
    emit(str(destination))
