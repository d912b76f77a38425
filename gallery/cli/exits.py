"""Exit codes, and the one place where errors become lines on standard error."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from adain.errors import AdainError, ImageTooLargeError, WeightsError
from gallery.cli.streams import complain
from gallery.errors import GalleryError, OutputError, SchemaError, StyleNotFound, StylesError
from gallery.signals import interruptible, was_interrupted


class ExitCode(IntEnum):
    """Exit codes of the command; the table in `gallery/README.md` explains each."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    SOME_FAILED = 3
    FAILED = 4
    NOT_FOUND = 5
    TOO_LARGE = 6
    WEIGHTS = 7
    SCHEMA = 8
    INTERRUPTED = 130


class Commands(TyperGroup):
    """Commands whose errors end as one line and an exit code; `--debug` lets them through."""

    def invoke(self, ctx: Any) -> Any:  # Not typer.Context: the base takes a private parent of it.
        """Run the command that was asked for."""
        try:
            with interruptible():
                return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError):
            raise
        except KeyboardInterrupt as error:
            raise _interrupted() from error
        except Exception as error:
            if was_interrupted():  # A library can turn the exception into another one.
                raise _interrupted() from error
            if debugging(ctx):
                raise
            complain(describe(error))
            raise typer.Exit(exit_code([error])) from error


@contextmanager
def resumable() -> Iterator[None]:
    """Tell who interrupts the block how to go on."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or was_interrupted():
            raise _interrupted("; the same command goes on from here") from error
        raise


@contextmanager
def usage() -> Iterator[None]:
    """Make the wrong values and contradictions that the caller gave errors of usage."""
    try:
        yield
    except (ValueError, OutputError) as error:
        raise typer.BadParameter(str(error)) from error


def debugging(ctx: typer.Context) -> bool:
    """Return whether `--debug` was given."""
    return bool(ctx.find_root().params.get("debug"))


def describe(error: Exception) -> str:
    """Return the line that tells a person what went wrong."""
    if isinstance(error, AdainError | GalleryError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}; 'adain --debug ...' shows where"


def exit_code(errors: Sequence[Exception], done: int = 0) -> ExitCode:
    """Return the code for these errors, given how many photos were done all the same."""
    if not errors:
        return ExitCode.DONE
    if done:
        return ExitCode.SOME_FAILED
    codes = {_exit_code(error) for error in errors}
    return codes.pop() if len(codes) == 1 else ExitCode.FAILED


def _interrupted(remedy: str = "") -> typer.Exit:
    complain(f"interrupted{remedy}")
    return typer.Exit(ExitCode.INTERRUPTED)


def _exit_code(error: Exception) -> ExitCode:
    match error:
        case ImageTooLargeError():
            return ExitCode.TOO_LARGE
        case WeightsError() | StylesError():
            return ExitCode.WEIGHTS
        case SchemaError():
            return ExitCode.SCHEMA
        case StyleNotFound():
            return ExitCode.NOT_FOUND
        case AdainError() | GalleryError():
            return ExitCode.FAILED
        case _:
            return ExitCode.UNEXPECTED
