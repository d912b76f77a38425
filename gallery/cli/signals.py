"""Ctrl-C as a request rather than an exception."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_on_interrupt() -> Iterator[list[int]]:
    """Collect the first Ctrl-C (or SIGTERM) instead of raising; a second one raises as usual."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        received.append(number)
        signal.signal(number, previous[number])

    previous: dict[int, Any] = {
        int(number): signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield received
    finally:
        for caught, handler in previous.items():
            signal.signal(caught, handler)


def ignore_interrupts() -> None:
    """Let no Ctrl-C (or SIGTERM) change how a process ends that has done its work."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """Let the first Ctrl-C (or SIGTERM) take effect after the block rather than amid it."""
    with stop_on_interrupt() as received:
        yield
    if received:
        signal.raise_signal(received[0])
