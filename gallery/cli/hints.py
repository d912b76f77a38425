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
        for word in ("list", "artists", "search", "similar", "show", "preview", "import")
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
    """Return the words of a command as they are meant.

    A photo in the place of a command is painted, by default in the style of `DEFAULT_STYLE`, which
    is said. What follows a style of a batch and is a picture is a style, too.

    Raises:
        UsageError: If the first word is no command, with what was likely meant.
    """
    first = arguments[0]
    if first == "batch":
        return _with_every_style(arguments)
    if first in commands:
        return list(arguments)
    if os.path.isdir(first):
        folder = shlex.quote(first)
        context.fail(
            f"{first} is a folder; to paint its photos: "
            f"adain batch {folder} painted/ --style {DEFAULT_STYLE}"
        )
    if os.path.isfile(first) or (mimetypes.guess_type(first)[0] or "").startswith("image/"):
        return ["stylize", *_with_style(arguments)]
    if first in MEANT:
        meant = " or ".join(f"'adain {command}'" for command in MEANT[first].split("|"))
        context.fail(f"No such command {first!r}. Did you mean {meant}?")
    return list(arguments)


def _with_style(arguments: Sequence[str]) -> list[str]:
    if any(argument.partition("=")[0] in ("--style", "--help", "-h") for argument in arguments):
        return list(arguments)
    if not {"--quiet", "-q"}.intersection(arguments):
        complain(
            f"in the style of {DEFAULT_STYLE}; for another one: --style {EXAMPLE_STYLES[1]}; "
            "'adain sheet' shows some"
        )
    return ["--style", DEFAULT_STYLE, *arguments]


def _with_every_style(arguments: Sequence[str]) -> list[str]:
    """Repeat `--style` for the pictures behind one, which a shell makes of a pattern.

    The other arguments of a batch are folders.
    """
    given: list[str] = []
    is_style = False
    for argument in arguments:
        is_picture = not argument.startswith("-") and os.path.isfile(argument)
        if is_picture and is_style and given[-1] != "--style":
            given.append("--style")
        is_style = argument.partition("=")[0] == "--style" or (is_style and is_picture)
        given.append(argument)
    return given


def explain(error: Any) -> NoReturn:
    """Raise an error of usage again, or one that says what is missing and where it is had."""
    if getattr(error, "param_type", "") is None and getattr(error.param, "name", "") == "style":
        refuse_no_style(error.ctx)
    raise error


def refuse_no_style(context: Any) -> None:
    """Raise an error of usage that says what a style is, and where paintings are seen."""
    examples = " or ".join((", ".join(EXAMPLE_STYLES[:-1]), EXAMPLE_STYLES[-1]))
    context.fail(
        f"Missing option '--style': the painting whose style it takes, such as {examples}, or a "
        "picture of your own. 'adain sheet' shows paintings, 'adain gallery list' names all"
    )
