"""`adain serve` and `adain key`: the web service, and who may use it."""

import signal
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gallery.cli.exits import usage
from gallery.cli.fields import spread
from gallery.cli.options import Database, Device, Model, load_network
from gallery.cli.streams import complain, emit
from gallery.config import StylizeConfig, database_url
from gallery.web.settings import ServeConfig

keys = typer.Typer(no_args_is_help=True, help="Keys for the web service.")

KeyFile = Annotated[
    Path | None,
    typer.Option("--keys", metavar="FILE", help="Where keys are; by default in your data folder."),
]
DEFAULTS = ServeConfig()

EXAMPLES = """\b
Examples:
  adain serve
  adain serve --port 8000 --database paintings.db
  adain key add anna && adain serve --host 0.0.0.0
"""

STATEMENT_SECONDS = 5
"""How long PostgreSQL may take for a question to the gallery."""


@spread()
def serve(
    config: ServeConfig = DEFAULTS,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="Another name by which browsers call it; repeat."),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Another site whose pages may use it; repeat."),
    ] = None,
    key_file: KeyFile = None,
    model: Model = StylizeConfig.model,
    database: Database = None,
    device: Device = StylizeConfig.device,
) -> None:
    """Serve a page on which photos become paintings, and an HTTP API.

    Prints its address when it is ready. Only this machine can reach it, unless --host is given.
    """
    with usage():
        config = replace(config, names=tuple(name or ()), origins=tuple(origin or ()))
    _serve(config, model, device, database, key_file or _default_keys())


@keys.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")],
    scope: Annotated[
        str, typer.Option(metavar="SCOPE", help="read, stylize or admin.")
    ] = "stylize",
    key_file: KeyFile = None,
) -> None:
    """Make a key and print it, this once; only its digest is kept."""
    from gallery.web.keys import SCOPES, add_key

    if scope not in SCOPES:
        raise typer.BadParameter(f"scope must be one of {', '.join(SCOPES)}, got {scope!r}")
    emit(add_key(key_file or _default_keys(), name, scope))


@keys.command("list")
def list_keys(key_file: KeyFile = None) -> None:
    """List the names of the keys and their scopes."""
    from gallery.web.keys import load_keys

    for key in load_keys(key_file or _default_keys()):
        emit(f"{key.name}  {key.scope}")


@keys.command("remove")
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")],
    key_file: KeyFile = None,
) -> None:
    """Forget a key.

    Services that run know it until they are started again.
    """
    from gallery.web.keys import remove_key

    remove_key(key_file or _default_keys(), name)


def _default_keys() -> Path:
    from platformdirs import user_data_path

    return user_data_path("adain", appauthor=False) / "keys.json"


def _hurried(url: str) -> str:
    """Return the URL of a database whose questions, on PostgreSQL, end after some seconds.

    SQLite has no such limit; it answers what the service may ask in milliseconds.
    """
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql" or "options" in parsed.query:
        return url
    option = {"options": f"-c statement_timeout={STATEMENT_SECONDS}s"}
    return parsed.update_query_dict(option).render_as_string(hide_password=False)


def _serve(
    config: ServeConfig, model: str, device: str, database: str | None, key_file: Path
) -> None:
    from gallery.database.engine import open_database
    from gallery.database.gallery import Gallery, make_gallery
    from gallery.database.jobs import Jobs
    from gallery.web.app import create_app
    from gallery.web.keys import load_keys
    from gallery.web.server import Server, address, listen

    allowed = load_keys(key_file)
    with usage():
        config.check_access(allowed)
    network = load_network(model, device)
    url = database_url(database)
    with listen(config) as listener, ExitStack() as stack:
        make_gallery(url).close()  # New tables may take longer than questions.
        gallery = stack.enter_context(closing(Gallery(open_database(_hurried(url)))))
        jobs = stack.enter_context(closing(Jobs(open_database(url), config.jobs)))
        app = create_app(config, network, gallery, allowed, jobs, Path(model).name)

        def announce() -> None:
            emit(address(listener))
            complain("Ctrl-C stops it")

        # The server sends the signal on once it has stopped; that shall not look like a failure.
        signal.signal(signal.SIGTERM, lambda *_: None)
        Server(app, announce).run([listener])
