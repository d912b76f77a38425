"""Many photos, one after the other: results and errors told as they come, and the exit code."""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from gallery.cli.exits import debugging, describe, exit_code
from gallery.cli.streams import complain, emit, progress, shares

if TYPE_CHECKING:
    from gallery.use_cases.outputs import Output

Paint = Callable[["Output", Callable[[float], None]], dict[str, Any]]
"""Makes one result and returns the facts about it; reports shares from 0 to 1 on the way."""


def paint_each(
    ctx: typer.Context, outputs: "Sequence[Output]", paint: Paint, as_json: bool, quiet: bool
) -> NoReturn:
    """Paint photos; go on after one that fails, unless `--debug` was given; then exit."""
    errors: list[Exception] = []
    with progress(len(outputs), hidden=quiet) as advance:
        for item in outputs:
            report = shares(advance)
            try:
                facts = paint(item, report)
                if item.path:
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
    raise typer.Exit(exit_code(errors, done))
