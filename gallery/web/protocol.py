"""HTTP/1.1 as uvicorn speaks it, without endless patience for slow clients."""

import asyncio
from typing import Any

from h11 import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
"""How long a client may take for the head of a request, and for what it sends unasked."""

STUCK_SECONDS = 30.0
"""How long a client may take nothing of an answer."""


class PatientProtocol(H11Protocol):
    """Closes connections that send a request, or take an answer, too slowly.

    uvicorn has no such limits: its only timer ends with the first byte. The body of a request
    that is being answered is timed in `gallery.web.middleware`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._left = False
        """Whether the connection belongs to another protocol."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._head = self.loop.call_later(HEADER_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Take what came; while nothing of it is being answered, the time runs."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head = _cancelled(self._head)
        elif self._head is None and not self._left and not self.transport.is_closing():
            self._head = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def handle_websocket_upgrade(self, event: Request) -> None:
        """Leave the connection to another protocol."""
        self._left = True
        self._head = _cancelled(self._head)
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        """Note that the client does not take what it is sent."""
        super().pause_writing()
        self._stuck = self.loop.call_later(STUCK_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that it does."""
        self._stuck = _cancelled(self._stuck)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._head, self._stuck = _cancelled(self._head), _cancelled(self._stuck)
        super().connection_lost(exc)


def _cancelled(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Stop a timer; return what takes its place."""
    if timer is not None:
        timer.cancel()
    return None
