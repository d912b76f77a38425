"""Files from the web: politely, and never from a private network.

A host gets one request at a time and a pause between two; when it asks to wait, it is waited for.
Every URL, also that of a redirect, must be plain http or https and lead to a public address.
Proxies and passwords of the environment are not used.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

import requests
from requests.utils import requote_uri
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from adain import __version__
from adain.errors import ImageTooLargeError
from gallery.errors import DownloadError
from gallery.ingest.connections import Guard, GuardedAdapter, is_public

PORTS = {"http": 80, "https": 443}

MAX_REDIRECTS = 3

PAUSES = (1.0, 2.0, 4.0)
"""Seconds before a second, third and last try, where the server does not say when."""

MAX_PAUSE = 120.0
"""Seconds that a server is waited for; one that asks for more is not asked again."""

UNREACHABLE = 3
"""After so many connections in a row that came to nothing a host is given up."""

CHUNK = 2**14

PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which another try makes sense."""


@dataclass(frozen=True)
class DownloadConfig:
    """How files are fetched.

    Attributes:
        contact: An e-mail address or a URL that hosts are told, to complain to.
        interval: Seconds between the beginnings of two requests to a host.
        max_bytes: Size of a file.
        connect_seconds: For a connection.
        read_seconds: Without a byte.
        total_seconds: For one request with its answer.
    """

    contact: str = ""
    interval: float = 1.0
    max_bytes: int = 64 * 2**20
    connect_seconds: float = 5.0
    read_seconds: float = 10.0
    total_seconds: float = 120.0

    def __post_init__(self) -> None:
        if not (self.contact.isascii() and (self.contact + " ").isprintable()):
            raise ValueError(f"contact must be printable ASCII, got {self.contact!r:.50}")


class _Passing(Exception):
    """Trouble after which another try makes sense, `after` so many seconds if that is known."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Downloader:
    """Fetches files; threads may share one.

    Args:
        config: Limits, pace and contact.
        permits: Decides on the address that a connection has reached.
        ports: The port of each scheme that may be used; all ports if None.
    """

    def __init__(
        self,
        config: DownloadConfig = DownloadConfig(),
        permits: Callable[[str], bool] = is_public,
        ports: Mapping[str, int] | None = PORTS,
    ) -> None:
        self._config = config
        self._permits = permits
        self._ports = ports
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def __enter__(self) -> "Downloader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cut what is under way; nothing is fetched any more."""
        self._stopped.set()
        for host in list(self._hosts.values()):
            host.guard.cut()

    def download(self, url: str, accept: str = "image/*") -> bytes:
        """Return the file at a URL; a connection that breaks is taken up again where it was.

        Args:
            url: Beginning with `http://` or `https://`.
            accept: The kind of file that is wanted; pages are refused for pictures.

        Raises:
            ImageTooLargeError: If it is larger than the limit.
            DownloadError: If it cannot be had.
        """
        part = _Part()
        for pause in (*PAUSES, None):
            try:
                return self._follow(url, accept, part)
            except _Passing as error:
                wait = pause if error.after is None else error.after
                if pause is None or wait is None or wait > MAX_PAUSE:
                    raise DownloadError(f"{_short(url)}: {error}; try again later") from error
                self._wait(wait)
        raise AssertionError("the last try returns or raises")

    def _follow(self, url: str, accept: str, part: "_Part") -> bytes:
        secure = False
        for _ in range(MAX_REDIRECTS + 1):
            target = self._check(url)
            if secure and target.scheme != "https":
                raise DownloadError(f"{_short(url)}: not https, but https led there")
            secure = target.scheme == "https"
            host = self._host(target)
            with host.lock:
                self._wait(host.next_time - time.monotonic())
                if self._stopped.is_set():
                    raise DownloadError(f"{_short(url)}: stopped")
                host.next_time = time.monotonic() + self._config.interval
                try:
                    location = host.get(url, accept, part)
                except _Passing as error:
                    host.rest(error.after or 0.0)
                    raise
            if location is None:
                return bytes(part.data)
            url = urljoin(url, requote_uri(location))
        raise DownloadError(f"{_short(url)}: redirects more than {MAX_REDIRECTS} times")

    def _check(self, url: str) -> Url:
        try:
            target = parse_url(url)
        except (LocationParseError, ValueError) as error:
            raise DownloadError(f"{_short(url)}: not a URL") from error
        if target.scheme not in PORTS or not target.host or not url.isprintable():
            raise DownloadError(f"{_short(url)}: not a URL that begins with http:// or https://")
        if target.auth is not None:
            raise DownloadError(f"{_short(url)}: a URL with a user or a password is not fetched")
        if self._ports is not None and target.port not in (None, self._ports[target.scheme]):
            raise DownloadError(f"{_short(url)}: port {target.port} is not one of the web")
        return target

    def _host(self, target: Url) -> "_Host":
        name = f"{target.scheme}://{target.netloc}"
        with self._lock:
            if name not in self._hosts:
                self._hosts[name] = _Host(str(target.host), self._config, self._permits)
            return self._hosts[name]

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self._stopped.wait(seconds)


@dataclass
class _Part:
    """The part of a file that has arrived; `validator` tells whether the rest belongs to it."""

    data: bytearray = field(default_factory=bytearray)
    validator: str = ""


class _Host:
    """One host: its connection, its pace, and whether it answers at all."""

    def __init__(self, name: str, config: DownloadConfig, permits: Callable[[str], bool]) -> None:
        self.lock = threading.Lock()
        self.next_time = 0.0
        self.guard = Guard(permits)
        self._name = name
        self._config = config
        self._failures = 0
        self._given_up = ""
        self._session = requests.Session()
        self._session.trust_env = False
        adapter = GuardedAdapter(self.guard)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        contact = f" ({config.contact})" if config.contact else ""
        program = f"adain/{__version__}{contact}"
        self._session.headers["User-Agent"] = f"{program} requests/{requests.__version__}"
        # Nothing to unpack, so nothing that unpacks without end.
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.headers["AIC-User-Agent"] = program
        self._session.headers["Connection"] = "close"

    def rest(self, seconds: float) -> None:
        """Leave the host alone for a while, or for good if that is too long."""
        if seconds > MAX_PAUSE:
            self._given_up = f"asked to be left alone for {seconds:.0f} s; try again later"
        else:
            self.next_time += seconds

    def get(self, url: str, accept: str, part: _Part) -> str | None:
        """Fetch a file, or the rest of it, into `part`; returns where a redirect points."""
        if self._given_up:
            raise DownloadError(f"{_short(url)}: {self._name} {self._given_up}")
        headers = {"Accept": accept}
        if part.data and part.validator:
            headers |= {"Range": f"bytes={len(part.data)}-", "If-Range": part.validator}
        else:
            part.data.clear()
        self.guard.expired = False
        timer = threading.Timer(self._config.total_seconds, self.guard.cut)
        timer.daemon = True
        timer.start()
        try:
            with self._request(url, headers) as response:
                if response.is_redirect:
                    return response.headers["Location"]
                self._read(response, url, accept, part)
        except (HTTPError, OSError) as error:
            raise _Passing(self._reason()) from error
        finally:
            timer.cancel()
            self.guard.release()
            # At one request a second nothing is lost, and every connection is checked.
            self._session.close()
        return None

    def _reason(self) -> str:
        seconds = self._config.total_seconds
        return f"took longer than {seconds:g} s" if self.guard.expired else "the connection broke"

    def _request(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        times = (self._config.connect_seconds, self._config.read_seconds)
        try:
            response = self._session.get(
                url, headers=headers, timeout=times, stream=True, allow_redirects=False
            )
        except DownloadError as error:
            raise DownloadError(f"{_short(url)}: {self._name}: {error}") from error
        except requests.exceptions.SSLError as error:
            reason = "has no valid certificate, or no secure connection"
            raise DownloadError(f"{_short(url)}: {self._name} {reason}") from error
        except requests.exceptions.ReadTimeout as error:
            raise _Passing("the server does not answer") from error
        except requests.exceptions.ConnectionError as error:
            if self.guard.connected:
                raise _Passing(self._reason()) from error
            self._failures += 1
            if self._failures >= UNREACHABLE:
                self._given_up = "could not be reached before"
            reason = "cannot be reached; check the network and the name"
            raise DownloadError(f"{_short(url)}: {self._name} {reason}") from error
        except (requests.exceptions.InvalidURL, LocationParseError, UnicodeError) as error:
            raise DownloadError(f"{_short(url)}: not a URL that can be fetched") from error
        except (requests.RequestException, HTTPError) as error:
            raise DownloadError(f"{_short(url)}: the server's answer makes no sense") from error
        self._failures = 0
        return response

    def _read(self, response: requests.Response, url: str, accept: str, part: _Part) -> None:
        _check_answer(response, url, accept, part)
        if response.status_code == 200:
            part.data.clear()
        part.validator = _validator(response)
        limit = self._config.max_bytes
        length = response.headers.get("Content-Length", "")
        total = len(part.data) + int(length) if length.isdecimal() else None
        if total is not None and total > limit:
            raise ImageTooLargeError(f"{_short(url)}: larger than the limit of {limit:,} bytes")
        # Not `stream`, which reads the lengths of chunks without a limit.
        while chunk := response.raw.read(CHUNK, decode_content=False):
            part.data += chunk
            if len(part.data) > limit:
                raise ImageTooLargeError(f"{_short(url)}: larger than the limit of {limit:,} bytes")
        if self.guard.expired or (total is not None and len(part.data) != total):
            raise _Passing(self._reason())


def _check_answer(response: requests.Response, url: str, accept: str, part: _Part) -> None:
    code = response.status_code
    answer = f"the server answers {code} {response.reason or ''}".strip()
    if code in PASSING:
        raise _Passing(answer, _retry_after(response))
    if code == 416 and part.data:
        part.validator = ""
        raise _Passing(answer, 0)
    if code == 206 and part.data:
        start = response.headers.get("Content-Range", "").partition("-")[0]
        if start != f"bytes {len(part.data)}":
            part.validator = ""
            raise _Passing("the server sends another part than was asked for", 0)
    elif code != 200:
        hint = "; tell it whom to ask with --contact" if code == 403 else ""
        raise DownloadError(f"{_short(url)}: {answer}{hint}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise DownloadError(f"{_short(url)}: the server sends it compressed, which was not wanted")
    kind = response.headers.get("Content-Type", "").lower()
    if accept.startswith("image/") and kind.startswith("text/html"):
        raise DownloadError(f"{_short(url)}: is {kind.partition(';')[0]}, not a picture")


def _validator(response: requests.Response) -> str:
    """Return what `If-Range` may hold (RFC 9110, 13.1.5): a strong tag, else a date."""
    tag = response.headers.get("ETag", "")
    if tag.startswith('"'):
        return tag
    return "" if tag else response.headers.get("Last-Modified", "")


def _retry_after(response: requests.Response) -> float | None:
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value[:9])
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def _short(url: str) -> str:
    return url if len(url) <= 200 else url[:199] + "…"
