"""The `adain` command: one file for each group of commands.

A command imports what is heavy (torch, the network) inside its function, so that `--help`,
`--version` and mistakes in an option answer at once.
"""

import signal
import sys
from importlib import metadata
from io import TextIOWrapper
from typing import Annotated

import typer

from gallery.cli.batch import EXAMPLES as BATCH_EXAMPLES
from gallery.cli.batch import batch
from gallery.cli.compare import EXAMPLES as COMPARE_EXAMPLES
from gallery.cli.compare import compare
from gallery.cli.db import app as db
from gallery.cli.exits import Commands
from gallery.cli.gallery import app as gallery
from gallery.cli.ingest import EXAMPLES as INGEST_EXAMPLES
from gallery.cli.ingest import ingest
from gallery.cli.inspect import EXAMPLES as INSPECT_EXAMPLES
from gallery.cli.inspect import inspect
from gallery.cli.manifest import EXAMPLES as MANIFEST_EXAMPLES
from gallery.cli.manifest import manifest
from gallery.cli.render import EXAMPLES as RENDER_EXAMPLES
from gallery.cli.render import render
from gallery.cli.serve import keys, serve
from gallery.cli.signals import ignore_interrupts
from gallery.cli.stylize import EXAMPLES, stylize
from gallery.cli.train import app as train
from gallery.cli.weights import app as weights

app = typer.Typer(
    name="adain",
    cls=Commands,
    help="Repaint photos in the style of any painting.",
    no_args_is_help=True,
    add_completion=False,
    # Plain help and plain tracebacks: they pipe, and rich takes a while to import.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=EXAMPLES)(stylize)
app.command(epilog=RENDER_EXAMPLES)(render)
app.command(epilog=COMPARE_EXAMPLES)(compare)
app.command(epilog=INSPECT_EXAMPLES)(inspect)
app.command(epilog=BATCH_EXAMPLES)(batch)
app.command(epilog=INGEST_EXAMPLES)(ingest)
app.command(epilog=MANIFEST_EXAMPLES)(manifest)
app.command()(serve)
app.add_typer(gallery, name="gallery")
app.add_typer(db, name="db")
app.add_typer(weights, name="weights")
app.add_typer(train, name="train")
app.add_typer(keys, name="key")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"adain {metadata.version('adain')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    """Repaint photos in the style of any painting."""


def main() -> None:
    """Run the command."""
    # What stops a job on a cluster or a container ends like Ctrl-C: with a summary, and tidy.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if isinstance(sys.stdout, TextIOWrapper):
        # A file name need not be valid text; this prints its very bytes.
        sys.stdout.reconfigure(errors="surrogateescape")
    app(obj=ignore_interrupts)
