"""Live painting over a WebSocket: frames come in as they like, paintings go out, none is late.

client ── settings (JSON), frames ──> newest frame ── the network's thread ──> painting
                                         │
                                         └─ older ones are dropped
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from adain.imaging.reading import ImageLimits
from adain.video.camera import Camera
from gallery.use_cases.styles import ResolvedStyle
from gallery.web.documents import ROOT
from gallery.web.middleware import KEY_PROTOCOL, Rate
from gallery.web.parameters import StylizeParameters
from gallery.web.problems import Problem, busy, translate
from gallery.web.state import AppState, Painted
from gallery.web.uploads import Upload

MAX_FRAME = 2**20
"""Bytes of a message."""

MAX_SIDE = 1024
"""Pixels of a side of a frame."""

MAX_SETTINGS = 16 * 1024
"""Characters of the settings."""

MESSAGES_PER_SECOND = 60
"""Messages that a client may send in the long run; a minute's worth of it at once."""

IDLE_SECONDS = 60
"""A client that sends nothing for so long gives its place up."""

FRAME_LIMITS = ImageLimits(max_bytes=MAX_FRAME, max_pixels=MAX_SIDE**2, max_side=MAX_SIDE)

POLICY, TOO_BIG, TRY_LATER, UNEXPECTED = 1008, 1009, 1013, 1011
"""Codes with which a connection is closed (RFC 6455, section 7.4)."""

Submit = Callable[[Callable[[], Painted]], "Future[Painted]"]

_log = logging.getLogger(__name__)


def create_live_api(state: AppState) -> APIRouter:
    """Return the route of live painting."""
    api = APIRouter(prefix=ROOT)
    connections = 0
    state.metrics.watch("adain_live_connections", "Live connections", lambda: connections)

    @api.websocket("/live")
    async def live(socket: WebSocket) -> None:
        nonlocal connections
        try:
            if connections >= state.config.live:
                raise busy(f"{connections} live connections are open already", 10)
            with state.worker.place() as submit:
                connections += 1
                try:
                    await _paint_live(state, socket, submit)
                finally:
                    connections -= 1
        except Problem as problem:
            state.metrics.rejected.labels(problem.code).inc()
            await socket.send_denial_response(problem.response)

    return api


async def _paint_live(state: AppState, socket: WebSocket, submit: Submit) -> None:
    offered = socket.scope["subprotocols"]
    await socket.accept(KEY_PROTOCOL if KEY_PROTOCOL in offered else None)
    session = _Session(state, socket, submit)
    painter = asyncio.create_task(session.paint())
    reader = asyncio.create_task(session.read())
    done, _ = await asyncio.wait((painter, reader), return_when=asyncio.FIRST_COMPLETED)
    for task in (painter, reader):
        task.cancel()
    await asyncio.gather(painter, reader, return_exceptions=True)
    for task in done:
        error = task.exception()
        if error is not None and not isinstance(error, WebSocketDisconnect | _Closed):
            _log.error("live", exc_info=error)
            await _close(socket, UNEXPECTED, "the log of the service tells more")


@dataclass
class _Frame:
    number: int
    data: bytes


class _Closed(Exception):
    """The service closed the connection."""


class _Session:
    """One connection: the settings that hold, and the newest frame."""

    def __init__(self, state: AppState, socket: WebSocket, submit: Submit) -> None:
        self._state, self._socket, self._submit = state, socket, submit
        self._rate = Rate(60 * MESSAGES_PER_SECOND)
        self._parameters: StylizeParameters | None = None
        self._styles: list[ResolvedStyle] = []
        self._frame: _Frame | None = None
        self._arrived = asyncio.Event()
        self._number = self._dropped = 0
        self._camera = Camera()

    async def read(self) -> None:
        """Take what the client sends, until it leaves."""
        while True:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    message = await self._socket.receive()
            except TimeoutError:
                await self._refuse(TRY_LATER, f"nothing was sent for {IDLE_SECONDS} seconds")
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            if self._rate.wait(""):
                await self._refuse(POLICY, f"send at most {MESSAGES_PER_SECOND} messages a second")
            if message.get("bytes") is not None:
                self._take(message["bytes"])
            else:
                await self._set(message.get("text") or "")

    async def paint(self) -> None:
        """Paint the newest frame, again and again."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            frame, self._frame = self._frame, None
            assert frame is not None
            try:
                painted = await self._paint(frame)
            except Exception as error:
                problem = translate(error)
                if problem.code == "internal-error":
                    raise
                await self._tell(code=problem.code, detail=problem.detail, frame=frame.number)
                continue
            self._state.metrics.frames.labels("painted").inc()
            milliseconds = round(1000 * painted.seconds, 1)
            await self._tell(frame=frame.number, dropped=self._dropped, milliseconds=milliseconds)
            await self._socket.send_bytes(painted.data)

    def _take(self, data: bytes) -> None:
        self._number += 1
        if self._frame is not None:
            self._dropped += 1
            self._state.metrics.frames.labels("dropped").inc()
        self._frame = _Frame(self._number, data)
        self._arrived.set()

    async def _set(self, text: str) -> None:
        if len(text) > MAX_SETTINGS:
            await self._refuse(TOO_BIG, f"settings have at most {MAX_SETTINGS} characters")
        try:
            parameters = StylizeParameters.model_validate_json(text)
            parameters.weights(Upload(b""))
            slug, styles = await self._state.styles(parameters)
        except Exception as error:
            problem = translate(error)
            if problem.code == "internal-error":
                raise
            await self._tell(code=problem.code, detail=problem.detail)
            return
        self._parameters, self._styles = parameters, styles
        await self._tell(style=slug)

    async def _paint(self, frame: _Frame) -> Painted:
        if self._parameters is None:
            raise Problem("invalid-parameter", "style: send the settings before the first frame")
        paint = self._state.paint
        upload, styles = Upload(frame.data), self._styles
        work = partial(paint, self._parameters, upload, styles, FRAME_LIMITS, self._camera)
        future = self._submit(work)
        try:
            return await asyncio.wrap_future(future)
        finally:
            future.cancel()

    async def _tell(self, **values: Any) -> None:
        await self._socket.send_json(values)

    async def _refuse(self, code: int, reason: str) -> None:
        await _close(self._socket, code, reason)
        raise _Closed


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    with suppress(RuntimeError, WebSocketDisconnect):  # It may be closed already.
        await socket.close(code, reason)
