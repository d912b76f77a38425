"""The HTTP server that runs the application."""

import logging
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from gallery.errors import GalleryError
from gallery.web.live import MAX_FRAME
from gallery.web.protocol import PatientProtocol
from gallery.web.settings import ServeConfig

DRAIN_SECONDS = 20
"""How long requests that were accepted may take once the server was told to stop."""

CONNECTIONS = 512
"""Beyond these, it answers 503 at once.

Not fewer: a browser holds six, most of them idle, and this 503 is uvicorn's own, which says neither
why nor when to come back. What requests may bring, wait and take is bounded by `ServeConfig`.
"""


class ServeError(GalleryError):
    """The server cannot listen where it was asked to."""


class Server(uvicorn.Server):
    """Serves an application until it is told to stop, then finishes what it accepted.

    Args:
        app: The application.
        ready: Called when it answers.
    """

    def __init__(self, app: FastAPI, ready: Callable[[], None]) -> None:
        options = uvicorn.Config(
            app,
            http=PatientProtocol,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            limit_concurrency=CONNECTIONS,
            proxy_headers=False,
            ws_max_size=MAX_FRAME,
            ws_per_message_deflate=False,  # Pictures are compressed already.
        )
        super().__init__(options)
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        self._app, self._ready = app, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what was accepted; what lasts longer is left for later, or for others."""
        self._app.state.runner.interrupt()
        await super().shutdown(sockets)


def listen(config: ServeConfig) -> socket.socket:
    """Return the socket that the service listens on.

    Raises:
        ServeError: If the address or the port is not to be had.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        listener = socket.create_server((config.host, config.port), family=family, backlog=256)
    except OSError as error:
        raise ServeError(
            f"{config.host} port {config.port}: cannot listen there ({error.strerror}); "
            "give another --port or --host"
        ) from error
    # Connections inherit it. Without, small answers wait for the client's delayed acknowledgement,
    # and asyncio sets it only on sockets that were made with their protocol's number.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _is_news(record: logging.LogRecord) -> bool:
    # uvicorn takes every WebSocket that is refused with a response for a mistake of ours.
    return "returned without completing handshake" not in record.getMessage()


def address(listener: socket.socket) -> str:
    """Return the URL of a socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
