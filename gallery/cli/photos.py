"""Many photos, one after the other: results and errors told as they come, and the exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import DEVNULL
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from gallery.cli.exits import debugging, describe, exit_code
from gallery.cli.streams import complain, emit, progress, shares

if TYPE_CHECKING:
    from gallery.use_cases.outputs import Output

Paint = Callable[["Output", Callable[[float], None]], dict[str, Any]]
"""Makes one result and returns the facts about it; reports shares from 0 to 1 on the way."""


OPENING = 5.0
"""Seconds after which a program that opens a picture is taken to have done so."""

MAX_SHOWN = 8
"""Results that are shown; a window for each of a hundred helps nobody."""


def paint_each(
    ctx: typer.Context,
    outputs: "Sequence[Output]",
    paint: Paint,
    as_json: bool,
    quiet: bool,
    shown: bool = False,
) -> NoReturn:
    """Paint photos; go on after one that fails, unless `--debug` was given; then exit.

    Args:
        ctx: Of the command.
        outputs: What is painted, and where it goes.
        paint: Makes one of them.
        as_json: Whether to print facts, not paths.
        quiet: Whether there is neither a progress bar nor a summary.
        shown: Whether the results are shown when they are done.
    """
    errors: list[Exception] = []
    painted: list[Path] = []
    with progress(len(outputs), hidden=quiet) as advance:
        for item in outputs:
            report = shares(advance)
            try:
                facts = paint(item, report)
                if item.path:
                    painted.append(item.path)
                    emit(json.dumps(facts) if as_json else str(item.path))
            except BrokenPipeError:
                raise
            except Exception as error:
                if debugging(ctx):
                    raise
                errors.append(error)
                complain(describe(error))
                if as_json:
                    emit(json.dumps({"photo": item.photo, "error": describe(error)}))
            report(1)
    done = len(outputs) - len(errors)
    if len(outputs) > 1 and not quiet:
        complain(f"done={done} failed={len(errors)}")
    if shown:
        show(painted[:MAX_SHOWN])
    raise typer.Exit(exit_code(errors, done))


def show(pictures: Sequence[Path]) -> None:
    """Show pictures with what the system shows them with; say so where it has nothing."""
    for picture in pictures:
        if not _open(picture.absolute()):
            complain(f"{picture}: nothing here shows pictures; open it yourself")
            return


def _open(file: Path) -> bool:
    """Open a file as a double click would; return whether that worked, as far as is known."""
    if sys.platform == "win32":
        os.startfile(file)
        return True
    program = "open" if sys.platform == "darwin" else "xdg-open"
    try:
        process = subprocess.Popen([program, file], stdout=DEVNULL, stderr=DEVNULL)
        return process.wait(OPENING) == 0
    except subprocess.TimeoutExpired:
        return True  # It stays as long as its window.
    except OSError:
        return False
