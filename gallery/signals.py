"""Ctrl-C and SIGTERM: raised while a command runs, noted where an exception would do harm."""

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)
"""Signals that stop a job on a cluster or a container; they end it like Ctrl-C: with a summary,
and tidy."""

RETRY_SECONDS = 0.02
"""How soon an interrupt is tried again that could not be raised."""

_received: list[int] = []


def note_interrupts() -> None:
    """Only note Ctrl-C and SIGTERM from now on, until `interruptible` raises them."""
    _handle(_note)
    sys.unraisablehook = _retry_lost


def was_interrupted() -> bool:
    """Return whether the command was interrupted, whatever became of the exception."""
    return bool(_received)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise interrupts as KeyboardInterrupt in the block, also one that was noted before it.

    After the block the command has ended: its exit code stands, and a Ctrl-C that comes too late
    does not change it. Does nothing in a process that did not call `note_interrupts`.
    """
    if _note not in map(signal.getsignal, STOPPING):
        yield
        return
    try:
        _handle(_raise)
        if _received:
            raise KeyboardInterrupt
        yield
    finally:
        # Whoever stopped it once can also stop what hangs at its end.
        _handle(signal.SIG_DFL if _received else signal.SIG_IGN)


@contextmanager
def stop_on_interrupt() -> Iterator[list[int]]:
    """Collect the first Ctrl-C (or SIGTERM) instead of raising; a second one raises as usual.

    Only the main thread receives signals: in another one nothing is collected.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, frame: object) -> None:
        received.append(number)
        signal.signal(number, previous[number])

    previous: dict[int, Any] = {number: signal.signal(number, note) for number in _heeded()}
    try:
        yield received
    finally:
        for caught, handler in previous.items():
            signal.signal(caught, handler)


@contextmanager
def hold_interrupts() -> Iterator[list[int]]:
    """Let the first Ctrl-C (or SIGTERM) take effect after the block rather than amid it.

    Gives the list of those received, for a block that ends earlier then.
    """
    received: list[int] = []
    try:
        with stop_on_interrupt() as received:
            yield received
    finally:
        if received:
            signal.raise_signal(received[0])


def _handle(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    for number in _heeded():
        signal.signal(number, handler)


def _heeded() -> list[int]:
    """Return the signals that are not ignored, as Ctrl-C is by what a script runs with `&`."""
    return [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]


def _note(number: int, frame: FrameType | None) -> None:
    _received.append(number)


def _raise(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    # Modules that are half imported turn the exception into others, swallow it or abort.
    if _is_importing(frame):
        _retry(number)
    else:
        raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False


def _retry(number: int) -> None:
    main = _thread.get_ident()

    def later() -> None:
        time.sleep(RETRY_SECONDS)
        if sys.platform == "win32":
            _thread.interrupt_main(number)
        elif callable(signal.getsignal(number)):  # Else the command has ended meanwhile.
            signal.pthread_kill(main, number)  # Also wakes what waits for the web, say.

    _thread.start_new_thread(later, ())  # Unlike one of `threading`, it takes no locks.


def _retry_lost(error: "sys.UnraisableHookArgs") -> None:
    """Raise anew an interrupt that came while an object was deleted, where none can be raised."""
    if issubclass(error.exc_type, KeyboardInterrupt):
        _retry(signal.SIGINT)
    else:
        sys.__unraisablehook__(error)
