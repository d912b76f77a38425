"""The door before the handlers: who may come in, and how much they may bring.

    Envelope   request number, security headers, metrics; errors of the others become responses
      └─ Access   host name, origin, key and scope, rate
           └─ Bodies   size and time of uploads

Plain ASGI: nothing is buffered, and a handler still learns when its client leaves.
"""

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gallery.web.keys import MAY_CHANGE, Key, find_key
from gallery.web.metrics import Metrics
from gallery.web.problems import Problem, busy
from gallery.web.settings import ServeConfig

API = "/api/"

PUBLIC = ("/api/v1/health", "/api/v1/ready")
"""Paths that answer without a key: they tell nothing."""

ADMIN = ("/api/v1/metrics",)

FRAME, JOBS = "/api/v1/frame", "/api/v1/jobs"
"""Paths that take films."""

COLLECTION = "/api/v1/paintings"
"""Paths that only administrators change."""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
        "img-src 'self' blob: data:; "
        "connect-src 'self'; manifest-src 'self'; media-src 'self' blob:; worker-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    # Isolated, so that a device may use several cores.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}

KEY_PROTOCOL = "adain"
"""Subprotocol of a WebSocket; a key may follow it."""

REMEMBERED = 10_000
"""Clients whose rate is remembered; those not seen for longest are forgotten first."""

_log = logging.getLogger(__name__)


class Envelope:
    """Numbers requests, adds the security headers, counts, and answers refusals."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "websocket":
            try:
                await self._app(scope, receive, send)
            except Problem as problem:
                self._metrics.rejected.labels(problem.code).inc()
                await problem.response(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, begun = time.perf_counter(), 500, False
        number = secrets.token_hex(8)

        async def stamped(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = number
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, stamped)
        except Problem as problem:
            self._metrics.rejected.labels(problem.code).inc()
            await problem.response(scope, receive, stamped)
        except Exception:
            _log.exception("request %s", number)
            if begun:
                raise
            detail = "the log of the service tells more, under the number of this request"
            await Problem("internal-error", detail).response(scope, receive, stamped)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, _method(scope), status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - start)


class Access:
    """Lets in who may come in."""

    def __init__(self, app: ASGIApp, config: ServeConfig, keys: Sequence[Key]) -> None:
        self._app, self._config, self._keys = app, config, keys
        per_minute = {"read": config.reads_per_minute, "stylize": config.paints_per_minute}
        self._rates = {scope: Rate(number) for scope, number in per_minute.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or raise the `Problem` that refuses it."""
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            self._check_host(headers)
            self._check_origin(headers)
            if scope["path"].startswith(API) and scope["path"] not in PUBLIC:
                self._admit(scope, headers)
        await self._app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        try:
            name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        except ValueError:
            name = ""
        if not self._config.allows_host(name):
            raise Problem("wrong-host", "call the service by its own name, or add that name to it")

    def _check_origin(self, headers: Headers) -> None:
        # Browsers send it with whatever a page of another site makes them ask for.
        origin = headers.get("origin")
        if origin is None or origin in self._config.origins:
            return
        if urlsplit(origin).netloc != headers.get("host"):
            raise Problem("forbidden", "pages of other sites may not use this service")

    def _admit(self, scope: Scope, headers: Headers) -> None:
        path, method = scope["path"], scope.get("method")
        changes = path.startswith(COLLECTION) and method in ("POST", "DELETE")
        if not self._keys and (self._config.is_local or self._config.insecure):
            if changes and not self._config.is_local:
                raise Problem("forbidden", "only keys of administrators change the gallery")
            scope[MAY_CHANGE] = self._config.is_local
            return
        key = find_key(self._keys, _secret(headers))
        if key is None:
            raise Problem(
                "unauthorized",
                "give a key of this service, as 'Authorization: Bearer KEY'",
                {"WWW-Authenticate": "Bearer"},
            )
        paints = method not in ("GET", "HEAD")
        wanted = "stylize" if paints or scope["type"] == "websocket" else "read"
        if not key.allows("admin" if changes or path in ADMIN else wanted):
            raise Problem("forbidden", f"this key is not for that; its scope is {key.scope}")
        scope[MAY_CHANGE] = key.allows("admin")
        client = scope.get("client") or ("",)
        if seconds := self._rates[wanted].wait(key.name or client[0]):
            raise Problem(
                "too-many-requests",
                "ask less often",
                {"Retry-After": str(max(1, round(seconds)))},
            )


class Rate:
    """How often each client may ask: a bucket of tokens that fills steadily (a minute's worth)."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, now: float | None = None) -> float:
        """Take a token; return the seconds until there is one if there is none, else 0."""
        now = time.monotonic() if now is None else now
        tokens, last = self._buckets.pop(client, (float(self._per_minute), now))
        tokens = min(self._per_minute, tokens + (now - last) * self._per_minute / 60)
        lacking = max(0.0, 1 - tokens)
        self._buckets[client] = (tokens if lacking else tokens - 1, now)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return lacking * 60 / self._per_minute


class Bodies:
    """Counts what clients send, as it arrives, whatever they announced."""

    def __init__(self, app: ASGIApp, config: ServeConfig) -> None:
        self._app, self._config = app, config
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; reading too much of it raises the `Problem`."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit, taken, complete = self._limit(scope), 0, False
        seconds = self._config.upload_seconds * max(1, limit / self._config.max_body)
        late = time.monotonic() + seconds

        async def counted() -> Message:
            nonlocal taken, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout(late - time.monotonic()):
                    message = await receive()
            except TimeoutError as error:
                raise Problem("upload-too-slow", "send it faster") from error
            size = len(message.get("body", b""))
            taken, self._held = taken + size, self._held + size
            complete = not message.get("more_body", False)
            self._check(taken, limit)
            return message

        length = Headers(scope=scope).get("content-length", "0")
        if length.isascii() and length.isdigit():
            self._check(int(length), limit, self._held + int(length))
        try:
            await self._app(scope, counted, send)
        finally:
            self._held -= taken

    def _limit(self, scope: Scope) -> int:
        methods = parse_qs(scope["query_string"].decode("latin-1")).get("method", [])
        if scope["path"] == FRAME or (scope["path"] == JOBS and methods == ["film"]):
            return self._config.film_bytes
        return self._config.max_body

    def _check(self, size: int, limit: int, held: int = 0) -> None:
        if size > limit:
            raise Problem("body-too-large", f"send at most {limit:,} bytes")
        if max(held, self._held) > self._config.max_bodies:
            raise busy("many others are sending pictures", 2)


def _secret(headers: Headers) -> str:
    # A browser can give a WebSocket no other header of its choice.
    protocols = headers.get("sec-websocket-protocol", "").replace(",", " ").split()
    if KEY_PROTOCOL in protocols[:-1]:
        return protocols[protocols.index(KEY_PROTOCOL) + 1]
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def _method(scope: Scope) -> str:
    method = str(scope["method"])
    return method if method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT") else "other"
