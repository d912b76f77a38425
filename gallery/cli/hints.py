"""Guesses at what was meant: photos and words in the place of a command, options of other names."""

import mimetypes
import os
import shlex
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

import typer

from gallery.cli.streams import complain

DEFAULT_STYLE = "starry-night"
"""A painting whose strokes are seen on any photo; viewers prefer what was learnt of it."""

EXAMPLE_STYLES = ("starry-night", "sunflowers", "'the scream'")
"""Of those that were learnt: they show at once what it can do."""

MANY_STYLES = ("stylize", "batch", "sheet")
"""Commands that take many styles, each for itself, where the photos come first."""

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
    is said. Pictures behind one that is a style are styles, too, where photos came before.

    Raises:
        UsageError: If the first word is no command, with what was likely meant.
    """
    first = arguments[0]
    if first in MANY_STYLES and arguments[1:2] and not arguments[1].startswith("-"):
        arguments = _with_every_style(arguments, context)
    if first in commands:
        return list(arguments)
    refuse_folders([first])
    if os.path.isfile(first) or _is_named_as_picture(first):
        return as_command(["stylize", *_with_style(arguments)], commands, context)
    if first in MEANT:
        meant = " or ".join(f"'adain {command}'" for command in MEANT[first].split("|"))
        context.fail(f"No such command {first!r}. Did you mean {meant}?")
    return list(arguments)


def refuse_folders(photos: Sequence[str]) -> None:
    """Raise an error of usage where all photos are folders: `batch` paints those."""
    if all(map(os.path.isdir, photos)):
        raise typer.BadParameter(
            f"{photos[0]} is a folder; to paint its photos: "
            f"adain batch {shlex.quote(photos[0])} painted/ --style {DEFAULT_STYLE}"
        )


def _with_style(arguments: Sequence[str]) -> list[str]:
    if any(argument.partition("=")[0] in ("--style", "--help", "-h") for argument in arguments):
        return list(arguments)
    if not {"--quiet", "-q"}.intersection(arguments):
        complain(
            f"in the style of {DEFAULT_STYLE}; for another one: --style {EXAMPLE_STYLES[1]}; "
            "'adain sheet' shows some"
        )
    return ["--style", DEFAULT_STYLE, *arguments]


def _with_every_style(arguments: Sequence[str], context: Any) -> list[str]:
    """Repeat `--style` for the pictures behind one, which a shell makes of a pattern.

    Photos may stand there, too, behind the name of a painting.

    Raises:
        UsageError: If words are behind it that are no pictures.
    """
    takes_photos = arguments[0] == "stylize"
    given: list[str] = []
    style = ""  # Right before this argument.
    many = False
    for argument in arguments:
        if style and not argument.startswith("-"):
            if not os.path.lexists(argument) and not _is_named_as_picture(argument):
                _refuse_words(style, argument, context)
            if not takes_photos or os.path.isfile(style):
                given.append("--style")
                many = True
        option, equals, value = argument.partition("=")
        is_style = bool(given) and given[-1] == "--style"
        style = argument if is_style else value if option == "--style" and equals else ""
        given.append(argument)
    return [*given, "--each"] if many and takes_photos else given


def _is_named_as_picture(name: str) -> bool:
    return (mimetypes.guess_type(name)[0] or "").startswith("image/")


def _refuse_words(style: str, word: str, context: Any) -> None:
    title = shlex.quote(f"{style} {word}")
    context.fail(
        f"{word!r} behind a style is no picture. The words of one name stand in quotes: --style "
        f"{title}; for several, repeat --style"
    )


def explain(error: Any, context: Any) -> NoReturn:
    """Raise an error of usage again, or one that says what is missing and where it is had."""
    missing = getattr(getattr(error, "param", None), "name", "")
    if missing == "style" and getattr(error, "param_type", "") is None:
        refuse_no_style(error.ctx)
    if getattr(error, "option_name", "") == "--style" and "argument" in error.message:
        refuse_no_style(context)
    if missing and "Missing" in error.format_message() and (example := _example(error.ctx)):
        error.ctx.fail(f"{error.format_message()} For example: {example}")
    raise error


def _example(context: Any) -> str:
    """Return the first example of a command; empty if it has none."""
    lines = (context.command.epilog or "").splitlines()
    return next((line.strip() for line in lines if line.startswith("  adain ")), "")


def refuse_no_style(context: Any) -> None:
    """Raise an error of usage that says what a style is, and where paintings are seen."""
    examples = " or ".join((", ".join(EXAMPLE_STYLES[:-1]), EXAMPLE_STYLES[-1]))
    context.fail(
        f"Missing option '--style': the painting whose style it takes, such as {examples}, or a "
        "picture of your own. 'adain sheet PHOTO' shows the photo in many, 'adain gallery list' "
        "names all"
    )
