"""Guesses at what was meant: photos and words in the place of a command, options of other names."""

import mimetypes
import os
import shlex
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

from gallery.cli.streams import complain

DEFAULT_STYLE = "irises"
"""A painting whose strokes and colours are seen on any photo."""

EXAMPLE_STYLES = ("irises", "'starry night'", "the-great-wave")

MEANT = {
    **{word: "stylize" for word in ("paint", "repaint", "style", "transfer", "convert")},
    **{word: "serve" for word in ("server", "web", "page", "gui", "ui", "start")},
    **{word: "batch" for word in ("folder", "all")},
    **{
        word: f"gallery {word}"
        for word in ("list", "artists", "search", "similar", "show", "preview", "export", "import")
    },
    "styles": "gallery list|gallery styles",
    "paintings": "gallery list",
    "movements": "gallery styles",
    "add": "ingest",
    "help": "--help",
    "version": "--version",
}
"""Words that people write for a command, by its name; `|` stands between two."""


def as_command(arguments: Sequence[str], commands: Collection[str], context: Any) -> list[str]:
    """Return the words of a command where its first one is none of the commands.

    A photo is painted, by default in the style of `DEFAULT_STYLE`, which is said.

    Raises:
        UsageError: With what was likely meant.
    """
    first = arguments[0]
    if os.path.isdir(first):
        folder = shlex.quote(first)
        context.fail(
            f"{first} is a folder; to paint its photos: "
            f"adain batch {folder} painted/ --style {DEFAULT_STYLE}"
        )
    if os.path.isfile(first) or (mimetypes.guess_type(first)[0] or "").startswith("image/"):
        return ["stylize", *_with_style(arguments, commands)]
    if first in MEANT:
        meant = " or ".join(f"'adain {command}'" for command in MEANT[first].split("|"))
        context.fail(f"No such command {first!r}. Did you mean {meant}?")
    return list(arguments)


def _with_style(arguments: Sequence[str], commands: Collection[str]) -> list[str]:
    known = ("--style", "--styles-from", "--help", "-h")
    if any(argument.partition("=")[0] in known for argument in arguments):
        return list(arguments)
    if not {"--quiet", "-q"}.intersection(arguments):
        complain(f"in the style of {DEFAULT_STYLE}; for another one: {_where_styles_are(commands)}")
    return ["--style", DEFAULT_STYLE, *arguments]


def _where_styles_are(commands: Collection[str]) -> str:
    seen = "'adain sheet' shows some" if "sheet" in commands else "'adain gallery list' names all"
    return f"--style {EXAMPLE_STYLES[1]}; {seen}"


def explain(error: Any, commands: Collection[str]) -> NoReturn:
    """Raise an error of usage again, or one that says what is missing and where it is had."""
    if getattr(error, "param_type", "") is None and getattr(error.param, "name", "") == "style":
        _explain_style(error.ctx, commands)
    raise error


def _explain_style(context: Any, commands: Collection[str]) -> None:
    examples = " or ".join((", ".join(EXAMPLE_STYLES[:-1]), EXAMPLE_STYLES[-1]))
    seen = "'adain sheet' shows paintings, " if "sheet" in commands else ""
    context.fail(
        f"Missing option '--style': the painting whose style it takes, such as {examples}, or a "
        f"picture of your own. {seen}'adain gallery list' names all"
    )
