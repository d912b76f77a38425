"""Servers for tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from gallery.web.server import Server, address, listen
from gallery.web.settings import ServeConfig


@contextmanager
def running(app: FastAPI) -> Iterator[tuple[str, Server]]:
    """Serve an application on a free port of this machine; gives its address and the server."""
    listener, started = listen(ServeConfig(port=0)), threading.Event()
    server = Server(app, started.set)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    assert started.wait(30)
    try:
        yield address(listener), server
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
