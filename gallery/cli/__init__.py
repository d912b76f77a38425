"""The `adain` command: one file for each group of commands.

A command is imported when it is asked for, and imports what is heavy (the engine, the database)
inside its function, so that `--help`, `--version` and mistakes in an option answer at once.
"""

import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.main import get_command

from adain import __version__
from gallery.cli.exits import Commands
from gallery.cli.hints import DEFAULT_STYLE, as_command, explain

COMMANDS = {
    "stylize": "stylize:stylize",
    "sheet": "sheet:sheet",
    "learn": "learn:learn",
    "render": "render:render",
    "compare": "compare:compare",
    "inspect": "inspect:inspect",
    "batch": "batch:batch",
    "video": "video:video",
    "ingest": "ingest:ingest",
    "manifest": "manifest:manifest",
    "serve": "serve:serve",
    "gallery": "gallery:app",
    "export": "export:app",
    "db": "db:app",
    "weights": "weights:app",
    "train": "train:app",
    "key": "serve:keys",
}
"""Module and name of what runs each command, in the order of `--help`."""

SECTIONS = {
    "Paint": ("stylize", "batch", "video", "render", "compare"),
    "Choose among paintings, and add some": ("sheet", "gallery", "ingest", "manifest", "db"),
    "Use the page, or the service": ("serve", "export", "key"),
    "Teach it, and look inside": ("learn", "inspect", "weights", "train"),
}
"""The commands by what one wants to do; others come last."""

HELP = f"""Repaint photos in the style of any painting.

\b
  adain photo.jpg                                  paint it like {DEFAULT_STYLE}
  adain stylize photo.jpg --style 'great wave'     choose the painting
  adain serve                                      do it on a page in the browser
"""

# Plain help and plain tracebacks: they pipe, and rich takes a while to import.
PLAIN: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
}


class LazyCommands(Commands):
    """The commands of `COMMANDS`, each imported when it is first looked up."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return one by its name; None if there is none."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            self.commands[cmd_name] = _load_command(cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is asked for, or fail with those that come close."""
        args = as_command(args, COMMANDS, ctx)
        if args[0] not in COMMANDS:
            for name in COMMANDS:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            explain(error, ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, by what one wants to do."""
        grouped = {name for names in SECTIONS.values() for name in names}
        more = tuple(name for name in COMMANDS if name not in grouped)
        longest = max(map(len, COMMANDS))
        for title, names in (SECTIONS | {"More": more}).items():
            commands = [self.get_command(ctx, name) for name in names if name in COMMANDS]
            room = formatter.width - 6 - longest
            # As wide in every section.
            rows = [(each.name.ljust(longest), each.get_short_help_str(room)) for each in commands]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class Command(typer.core.TyperCommand):
    """A command whose usage is written as everybody writes it: `PHOTO...`, not `{PHOTO}`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words behind the name of the command."""
        pieces = ["[OPTIONS]"]
        for each in self.get_params(ctx):
            if each.param_type_name == "argument":
                word = (each.metavar or str(each.name).upper()) + "..." * (each.nargs < 0)
                pieces.append(word if each.required else f"[{word}]")
        return pieces


def _load_command(name: str) -> Any:
    module_name, _, attribute = COMMANDS[name].partition(":")
    module = import_module(f"gallery.cli.{module_name}")
    found = getattr(module, attribute)
    alone = typer.Typer(**PLAIN, callback=lambda: None)
    if isinstance(found, typer.Typer):
        for each in found.registered_commands:
            each.cls = Command
        alone.add_typer(found, name=name)
    else:
        alone.command(name, cls=Command, epilog=getattr(module, "EXAMPLES", None))(found)
    group = get_command(alone)
    assert isinstance(group, typer.core.TyperGroup)
    return group.commands[name]


app = typer.Typer(
    **PLAIN,
    name="adain",
    cls=LazyCommands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"adain {__version__}")
        raise typer.Exit


@app.callback(help=HELP)
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    """Take what goes before every command."""


def main() -> None:
    """Run the command."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A file name need not be valid text; this prints its very bytes.
        sys.stdout.reconfigure(errors="surrogateescape")
    app()
