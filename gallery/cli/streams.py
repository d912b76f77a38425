"""Output of the command: data on standard output, the rest on standard error."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from gallery.errors import OutputError


class Advance(Protocol):
    """Moves a progress bar on, by one or by a part of one."""

    def __call__(self, amount: float = 1) -> None:
        """Move it."""


def emit(data: str | bytes) -> None:
    """Write a line, or bytes as they are, to standard output at once.

    Raises:
        OutputError: If the device is full, say.
        BrokenPipeError: If nobody reads any more.
    """
    try:
        if isinstance(data, str):
            print(data, flush=True)
        else:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    except OSError as error:
        _discard_output()
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(
            f"standard output: cannot be written ({error.strerror}); check the free space"
        ) from error


def complain(message: str) -> None:
    """Print one line on standard error, whatever a file name in it may hold."""
    line = "".join(c if c.isprintable() else " " for c in message)
    print(f"adain: {line}", file=sys.stderr)


@contextmanager
def progress(total: int | None, hidden: bool, label: str = "stylizing") -> Iterator[Advance]:
    """Show a bar on standard error if that is a terminal; gives the function that advances it."""
    if hidden or not sys.stderr.isatty():
        yield lambda amount=1: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        *Progress.get_default_columns(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        # Redirection would send paths to standard error; a shared terminal needs it all the same.
        redirect_stdout=sys.stdout.isatty(),
    )
    with bar:
        task = bar.add_task(label, total=total, rate="")

        def advance(amount: float = 1) -> None:
            bar.advance(task, amount)
            # Not the bar's own speed: pictures that are written together arrive together.
            done, seconds = bar.tasks[0].completed, bar.tasks[0].elapsed
            bar.update(task, rate=f"{done / seconds:.1f}/s" if seconds else "")

        yield advance


def shares(advance: Advance) -> Callable[[float], None]:
    """Return what takes the share of one item that is done, and moves the bar on."""
    done = 0.0

    def report(share: float) -> None:
        nonlocal done
        advance(share - done)
        done = share

    return report


@contextmanager
def byte_progress(label: str, hidden: bool) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar of bytes on a terminal; gives the function that takes those done and the total."""
    if hidden or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(
        *columns, TransferSpeedColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _discard_output() -> None:
    """Send what the buffer still holds nowhere, or flushing it at exit would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
