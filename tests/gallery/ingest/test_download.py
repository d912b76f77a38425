import gzip
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import pytest

from adain.errors import ImageTooLargeError
from gallery.errors import DownloadError
from gallery.ingest import download as module
from gallery.ingest.connections import is_public
from gallery.ingest.download import DownloadConfig, Downloader

BODY = bytes(range(256)) * 400
TAG = f'"{hashlib.sha256(BODY).hexdigest()}"'

QUICK = DownloadConfig(interval=0, max_bytes=200_000, read_seconds=5, total_seconds=20)

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as the test says; notes the headers of every request."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers), time.monotonic()))
        answers = self.server.answers[self.path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        with suppress(BrokenPipeError, ConnectionResetError):
            self.close_connection = True
            answer(self)

    def reply(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        usual = {"Content-Length": str(len(body)), "Content-Type": "image/png"}
        for name, value in (usual | given).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A web server on this machine."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, dict[str, str], float]] = []
        self.answers: dict[str, list[Answer]] = {}

    def url(self, path: str, *answers: Answer) -> str:
        self.answers[path] = list(answers)
        return f"http://127.0.0.1:{self.server_port}{path}"

    @property
    def headers(self) -> list[dict[str, str]]:
        return [headers for _, headers, _ in self.seen]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> Downloader:
    """The only way to a server on this machine: an argument that no command passes."""
    monkeypatch.setattr(module, "PAUSES", (0.01, 0.01, 0.01))
    return Downloader(QUICK, permits=lambda address: address == "127.0.0.1", ports=None)


def whole(handler: Handler) -> None:
    handler.reply(200, BODY, ETag=TAG)


def redirect(target: str, code: int = 302) -> Answer:
    return lambda handler: handler.reply(code, Location=target)


def test_a_file_arrives_whole_and_the_host_knows_who_asks(server: Server) -> None:
    config = DownloadConfig(contact="me@example.org", interval=0)
    downloader = Downloader(config, permits=lambda _: True, ports=None)
    assert downloader.download(server.url("/a%20b.png", whole).replace("%20", " ")) == BODY
    (headers,) = server.headers
    assert "(me@example.org)" in headers["User-Agent"] and "adain/" in headers["User-Agent"]
    assert headers["Accept-Encoding"] == "identity"


def test_a_host_is_given_pauses(server: Server) -> None:
    downloader = Downloader(DownloadConfig(interval=0.2), lambda _: True, None)
    url = server.url("/1.png", whole)
    threads = [threading.Thread(target=downloader.download, args=(url,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = [moment for *_, moment in server.seen]
    assert min(b - a for a, b in pairwise(times)) > 0.15


def test_loopback_is_refused_before_a_byte_is_sent(server: Server) -> None:
    with pytest.raises(DownloadError, match="address is not public"):
        Downloader(QUICK, ports=None).download(server.url("/", whole))
    assert server.seen == []


def test_the_address_counts_that_was_reached(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public when it is first looked up and private when it is connected to."""
    lookups = iter(["93.184.216.34", "127.0.0.1"])
    asked = []

    def resolve(host: str, port: int, *_: object, **__: object) -> list[object]:
        asked.append((host, address := next(lookups)))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert is_public(resolve("rebind.example", 80)[0][4][0])  # type: ignore[index]
    url = server.url("/", whole).replace("127.0.0.1", "rebind.example")
    with pytest.raises(DownloadError, match=r"rebind\.example: the address is not public"):
        Downloader(QUICK, ports=None).download(url)
    assert server.seen == [] and asked[-1] == ("rebind.example", "127.0.0.1")


def test_redirects_are_followed_and_checked(server: Server, loopback: Downloader) -> None:
    target = server.url("/b.png", whole)
    assert loopback.download(server.url("/a.png", redirect("/b.png"))) == BODY
    assert loopback.download(server.url("/c.png", redirect(target, 308))) == BODY
    url = server.url("/loop", redirect("/loop"))
    with pytest.raises(DownloadError, match="redirects more than 3 times"):
        loopback.download(url)
    for target in (
        "file:///etc/passwd",
        "ftp://example.org/a",
        "http://u:p@127.0.0.1/",
        "gopher:x",
    ):
        with pytest.raises(DownloadError):
            loopback.download(server.url("/d", redirect(target)))


def test_https_does_not_lead_to_http(loopback: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._Host, "get", lambda *_: "http://example.org/b.png")
    for url in ("https://example.org/a.png", "HTTPS://example.org/a.png"):
        with pytest.raises(DownloadError, match="not https, but https led there"):
            loopback.download(url)


def test_no_connection_is_used_twice(server: Server) -> None:
    """Each is checked, and each can be cut."""
    checked = []

    def permits(address: str) -> bool:
        checked.append(address)
        return True

    downloader = Downloader(QUICK, permits, ports=None)

    def open_ended(handler: Handler) -> None:
        handler.reply(200, BODY)
        handler.close_connection = False

    for _ in range(3):
        assert downloader.download(server.url("/a.png", open_ended)) == BODY
    assert checked == ["127.0.0.1"] * 3


def test_redirects_to_private_addresses_are_refused(server: Server) -> None:
    def permits(address: str) -> bool:
        return is_public(address) or (address == "127.0.0.1" and not server.seen)

    downloader = Downloader(QUICK, permits, ports=None)
    inside = server.url("/admin", whole)
    with pytest.raises(DownloadError, match="not public"):
        downloader.download(server.url("/a", redirect(inside)))
    assert [path for path, *_ in server.seen] == ["/a"]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://example.org/a.png", "example.org/a.png", "", "http://",
        "http://example.com@127.0.0.1/", "http://user:word@example.org/", "javascript:alert(1)",
        "http://example.org:22/", "https://example.org:80/", "http://example.org:99999/",
        "http://[::1", "http://exa\nmple.org/", "http://example.org/\x00", "http://a b/",
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_not_tried(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("looked up")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(DownloadError):
        Downloader(QUICK).download(url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "[::1]", "localhost.",
             "%6cocalhost", "[::ffff:127.0.0.1]", "0", "[::]"]
)  # fmt: skip
def test_every_spelling_of_this_machine_is_refused(server: Server, host: str) -> None:
    downloader = Downloader(QUICK, ports=None)
    with pytest.raises(DownloadError):
        downloader.download(f"http://{host}:{server.server_port}/")
    assert server.seen == []


PUBLIC = ["8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1", "192.167.1.1",
          "192.169.0.1", "169.253.1.1", "126.255.255.255", "128.0.0.1", "223.255.255.255",
          "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808",
          "2a00::5efe:808:808"]  # fmt: skip
PRIVATE = ["0.0.0.0", "10.0.0.1", "127.0.0.1", "127.255.255.255", "100.64.0.1", "100.127.255.255",
           "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.0.0.8",
           "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
           "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "fe80::1",
           "fe80::1%eth0", "fc00::1", "fd00::1", "fec0::1", "ff02::1", "ff0e::1", "100::1",
           "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:7f00:1", "64:ff9b::a9fe:a9fe",
           "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::", "2001::1",
           "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "3fff::1", "5f00::1",
           "2a00::5efe:7f00:1", "2a00::200:5efe:a00:1"]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "public"),
    [(address, True) for address in PUBLIC] + [(address, False) for address in PRIVATE],
)
def test_the_table_of_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_proxies_of_the_environment_are_not_used(
    server: Server, loopback: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert loopback.download(server.url("/a.png", whole)) == BODY


def truncated(at: int, **headers: str) -> Answer:
    def answer(handler: Handler) -> None:
        handler.reply(200, BODY[:at], Content_Length=str(len(BODY)), **headers)

    return answer


def rest(handler: Handler) -> None:
    start = int(handler.headers["Range"].removeprefix("bytes=").rstrip("-"))
    assert handler.headers["If-Range"] == TAG
    value = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
    handler.reply(206, BODY[start:], Content_Range=value, ETag=TAG)


def test_a_broken_connection_is_taken_up_where_it_was(server: Server, loopback: Downloader) -> None:
    url = server.url("/a.png", truncated(5000, ETag=TAG), truncated(0, ETag=TAG), whole)
    server.answers["/a.png"][1:2] = [rest]
    assert loopback.download(url) == BODY
    assert [headers.get("Range") for headers in server.headers] == [None, "bytes=5000-"]


def test_without_a_strong_tag_it_begins_again(server: Server, loopback: Downloader) -> None:
    for headers in ({}, {"ETag": f"W/{TAG}"}):
        assert loopback.download(server.url("/a.png", truncated(70, **headers), whole)) == BODY
    assert [headers.get("Range") for headers in server.headers] == [None] * 4


def test_a_part_of_another_file_is_not_joined(server: Server, loopback: Downloader) -> None:
    def other(handler: Handler) -> None:
        handler.reply(206, b"x" * 10, Content_Range="bytes 0-9/10", ETag='"other"')

    broken = truncated(5000, ETag=TAG)
    assert loopback.download(server.url("/a.png", broken, other, whole)) == BODY
    assert loopback.download(server.url("/b.png", broken, whole)) == BODY  # 200: it has changed.

    def out_of_range(handler: Handler) -> None:
        handler.reply(416)

    assert loopback.download(server.url("/c.png", broken, out_of_range, whole)) == BODY


def test_a_connection_that_always_breaks_is_an_error(server: Server, loopback: Downloader) -> None:
    with pytest.raises(DownloadError, match="the connection broke; try again later"):
        loopback.download(server.url("/a.png", truncated(50)))
    assert len(server.seen) == 4
    with pytest.raises(DownloadError, match="the connection broke"):
        loopback.download(server.url("/b.png", lambda handler: None))


def test_the_server_says_when_to_come_back(
    server: Server, loopback: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(handler: Handler) -> None:
        handler.reply(429, Retry_After="1")

    assert loopback.download(server.url("/a.png", busy, whole)) == BODY
    first, second = (moment for *_, moment in server.seen)
    assert 0.9 < second - first < 5

    def much_later(handler: Handler) -> None:
        handler.reply(503, Retry_After="Fri, 01 Jan 2100 00:00:00 GMT")

    url = server.url("/b.png", much_later)
    with pytest.raises(DownloadError, match=r"answers 503 .*; try again later"):
        loopback.download(url)
    with pytest.raises(DownloadError, match=r"asked to be left alone for \d+ s; try again later"):
        loopback.download(url)
    assert len(server.seen) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 451, 206, 304])
def test_other_answers_are_final(server: Server, loopback: Downloader, code: int) -> None:
    with pytest.raises(DownloadError, match=f"the server answers {code}"):
        loopback.download(server.url("/a.png", lambda handler: handler.reply(code)))
    assert len(server.seen) == 1


def test_large_bodies_are_refused_at_the_header_or_while_they_come(
    server: Server, loopback: Downloader
) -> None:
    def declared(handler: Handler) -> None:
        handler.reply(200, b"x", Content_Length=str(10**12))

    def chunked(handler: Handler) -> None:
        handler.reply(200, Content_Length="", Transfer_Encoding="chunked")
        while True:
            handler.wfile.write(b"4000\r\n" + bytes(0x4000) + b"\r\n")

    def unlimited(handler: Handler) -> None:
        handler.reply(200, Content_Length="")
        while True:
            handler.wfile.write(bytes(10_000))

    for answer in (declared, chunked, unlimited):
        with pytest.raises(ImageTooLargeError, match="larger than the limit of 200,000 bytes"):
            loopback.download(server.url("/a.png", answer))
    assert len(server.seen) == 3


def test_slow_and_endless_answers_end(server: Server, loopback: Downloader) -> None:
    hasty = DownloadConfig(interval=0, read_seconds=0.3, total_seconds=0.6)
    impatient = Downloader(hasty, permits=lambda _: True, ports=None)

    def two_lengths(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "5")
        handler.send_header("Content-Length", "6")
        handler.end_headers()

    with pytest.raises(DownloadError, match="makes no sense"):
        loopback.download(server.url("/a.png", two_lengths))

    def drip(handler: Handler) -> None:
        handler.reply(200, Content_Length="1000")
        for _ in range(1000):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.1)

    def drip_headers(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(1000):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.1)

    def endless_length(handler: Handler) -> None:
        handler.reply(200, Content_Length="", Transfer_Encoding="chunked")
        while True:
            handler.wfile.write(b"0" * 10_000)

    def silent(handler: Handler) -> None:
        time.sleep(3)

    for answer in (drip, drip_headers, endless_length, silent):
        start = time.monotonic()
        with pytest.raises(DownloadError, match="try again later"):
            impatient.download(server.url("/a.png", answer))
        assert time.monotonic() - start < 10, answer


def test_compressed_answers_and_pages_are_refused(server: Server, loopback: Downloader) -> None:
    def bomb(handler: Handler) -> None:
        handler.reply(200, gzip.compress(bytes(10**7)), Content_Encoding="gzip")

    def page(handler: Handler) -> None:
        handler.reply(200, b"<html>", Content_Type="text/html; charset=utf-8")

    with pytest.raises(DownloadError, match="compressed"):
        loopback.download(server.url("/a.png", bomb))
    with pytest.raises(DownloadError, match="is text/html, not a picture"):
        loopback.download(server.url("/a.png", page))
    assert loopback.download(server.url("/a.json", page), accept="application/json") == b"<html>"


def test_a_host_that_cannot_be_reached_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    downloader = Downloader(QUICK, lambda _: True, None)
    for _ in range(3):
        with pytest.raises(DownloadError, match="cannot be reached; check"):
            downloader.download(url)
    with pytest.raises(DownloadError, match="could not be reached before"):
        downloader.download(url)


def test_closing_cuts_what_is_under_way(server: Server) -> None:
    def silent(handler: Handler) -> None:
        time.sleep(3)

    config = DownloadConfig(interval=0)
    downloader = Downloader(config, lambda _: True, None)
    errors: list[DownloadError] = []

    def fetch() -> None:
        try:
            downloader.download(server.url("/", silent))
        except DownloadError as error:
            errors.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    while not server.seen:
        time.sleep(0.01)
    start = time.monotonic()
    downloader.close()
    thread.join()
    assert time.monotonic() - start < 2 and len(errors) == 1


def test_a_contact_cannot_add_headers() -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        DownloadConfig(contact="me\r\nX-Evil: 1")
