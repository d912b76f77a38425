"""The web service over a real server: what it answers, refuses and survives."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from numpy.typing import NDArray
from pictures import picture
from PIL import Image
from serving import running
from typer.testing import CliRunner, Result

from adain.config import Controls
from adain.engine.loading import load_model
from adain.engine.model import Model
from adain.imaging.picture import Picture
from adain.network.weights import ASSETS
from adain.painting.stylize import stylize_picture
from gallery.cli import app as cli
from gallery.cli.exits import ExitCode
from gallery.cli.serve import _hurried
from gallery.client import Client, ServiceError
from gallery.config import database_url
from gallery.database.engine import connect
from gallery.database.gallery import Gallery, make_gallery, starter_gallery
from gallery.database.paintings import Painting
from gallery.errors import DatabaseError, OutputError
from gallery.web.app import create_app
from gallery.web.keys import Key, add_key, load_keys
from gallery.web.middleware import SECURITY_HEADERS
from gallery.web.server import listen
from gallery.web.settings import ServeConfig

PAINT = "gallery.web.state.stylize_picture"


def pixels(data: bytes) -> NDArray[np.int_]:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def url(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    gallery = starter_gallery()
    with closing(gallery), running(create_app(ServeConfig(), model, gallery)) as (root, _):
        yield f"{root}/api/v1"


@pytest.fixture
def serving(model: Model, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Serve with other settings, for one test."""
    with ExitStack() as stack:

        def start(keys: Sequence[Key] = (), gallery: Gallery | None = None, **settings: Any) -> str:
            gallery = gallery or starter_gallery()
            stack.enter_context(closing(gallery))
            app = create_app(ServeConfig(**settings), model, gallery, keys)
            return stack.enter_context(running(app))[0] + "/api/v1"

        yield start


def assert_problem(answer: requests.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"]) == (code, status)
    assert problem["detail"] and "Traceback" not in problem["detail"]


# Painting


def test_a_raw_picture_comes_back_painted(url: str) -> None:
    answer = requests.post(f"{url}/stylize?style=irises&format=png", data=picture(70, 50))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["X-Style"] == "irises"
    assert "paint;dur=" in answer.headers["Server-Timing"]
    painted = Image.open(BytesIO(answer.content))
    assert (painted.format, painted.size) == ("PNG", (70, 50))


def test_strength_and_style_change_the_pixels(url: str) -> None:
    def paint(query: str) -> NDArray[np.int_]:
        return pixels(requests.post(f"{url}/stylize?format=png&{query}", data=picture()).content)

    full, soft = paint("style=irises"), paint("style=irises&alpha=0.2")
    other = paint("style=senecio")
    mixed = paint("style=irises=0.5&style=senecio=0.5")
    assert np.abs(full - soft).mean() > 5
    assert np.abs(full - other).mean() > 5
    assert np.abs(mixed - full).mean() > 1 and np.abs(mixed - other).mean() > 1
    np.testing.assert_array_equal(paint("style=irises=2&style=senecio=0"), full)


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "avif", "tiff", "bmp"])
def test_every_format_can_be_had(url: str, format: str) -> None:
    query = f"style=irises&max_side=32&format={format}"
    answer = requests.post(f"{url}/stylize?{query}", data=picture(format="JPEG"))
    image = Image.open(BytesIO(answer.content))
    assert (str(image.format).lower(), image.size) == (format, (32, 24))


def test_a_form_may_bring_a_painting_of_its_own(url: str) -> None:
    def paint(query: str, **files: bytes) -> NDArray[np.int_]:
        answer = requests.post(f"{url}/stylize?format=png&{query}", files=files)
        assert answer.status_code == 200, answer.text
        return pixels(answer.content)

    photo, painting = picture(), picture(128, 128, seed=3)
    named = paint("style=irises", photo=photo)
    own = paint("", photo=photo, painting=painting)
    both = paint("style=irises&painting_weight=1", photo=photo, painting=painting)
    none = paint("style=irises&painting_weight=0", photo=photo, painting=painting)
    assert np.abs(own - named).mean() > 5
    assert np.abs(both - named).mean() > 1 and np.abs(both - own).mean() > 1
    np.testing.assert_array_equal(none, named)


def grey(left: int, right: int, width: int = 64, height: int = 48) -> bytes:
    """A picture whose halves have these levels."""
    levels = np.repeat([left, right], width // 2)[None].repeat(height, 0).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "query",
    ["stroke=0.5", "preserve_color=luminance", "photorealistic=true", "smooth=1", "sharpen=2"],
)
def test_every_control_changes_the_picture(url: str, query: str) -> None:
    def paint(more: str) -> NDArray[np.int_]:
        answer = requests.post(f"{url}/stylize?style=irises&format=png{more}", data=picture(96, 96))
        assert answer.status_code == 200, answer.text
        return pixels(answer.content)

    assert np.abs(paint(f"&{query}") - paint("")).mean() > 0.5


def test_faces_are_kept_and_backgrounds_painted_alone(url: str) -> None:
    photo = (ASSETS / "photos" / "astronaut.jpg").read_bytes()

    def paint(query: str) -> NDArray[np.int_]:
        query = query if query.startswith("style=") else f"style=irises&{query}"
        answer = requests.post(f"{url}/stylize?format=png&{query}", data=photo)
        assert answer.status_code == 200, answer.text
        assert "X-Note" not in answer.headers
        return pixels(answer.content)

    original, plain = pixels(photo), paint("")
    y, x = (int(0.28 * original.shape[0]), int(0.44 * original.shape[1]))
    face, corner = np.s_[y : y + 20, x : x + 20], np.s_[:20, :20]
    kept, background = paint("keep=face%3D0"), paint("only=background")
    for result in (kept, background):
        assert np.abs(result - original)[face].mean() < 2 < np.abs(plain - original)[face].mean()
        assert np.abs(result - original)[corner].mean() > 5
    parted = paint("style=senecio@background&style=irises@subject")
    assert np.abs(parted - plain)[corner].mean() > 2 * np.abs(parted - plain)[face].mean()
    answer = requests.post(f"{url}/stylize?style=irises&keep=face", data=picture())
    assert answer.headers["X-Note"] == "no face found to keep"
    job = requests.post(f"{url}/jobs?style=irises&keep=face", data=picture()).json()
    where = f"{url}/jobs/{job['id']}"
    wait_for(lambda: requests.get(where).json()["state"] == "done")
    assert requests.get(where).json()["note"] == "no face found to keep"
    for query in ("keep=hat", "keep=face%3D2", "only=sky", "style=irises@face&only=face"):
        answer = requests.post(f"{url}/stylize?style=irises&{query}", data=photo)
        assert_problem(answer, 422, "invalid-parameter")


def test_what_was_found_is_shown(url: str) -> None:
    photo = (ASSETS / "photos" / "astronaut.jpg").read_bytes()
    answer = requests.post(f"{url}/regions", data=photo)
    assert (answer.headers["Content-Type"], answer.headers["X-Faces"]) == ("image/png", "1")
    mask = pixels(answer.content)
    height, width = pixels(photo).shape[:2]
    assert mask.shape[:2] == (height, width)
    with Client(url.removesuffix("/api/v1")) as client:
        assert client.find_regions(photo) == answer.content
    assert mask[int(0.3 * height), int(0.45 * width)].min() > 250 > 5 > mask[0, 0].max()
    background = pixels(requests.post(f"{url}/regions?part=background", data=photo).content)
    subject = pixels(requests.post(f"{url}/regions?part=subject", data=photo).content)
    assert np.abs(255 - background - subject).max() <= 1
    nothing = requests.post(f"{url}/regions", data=picture())
    assert (nothing.headers["X-Note"], nothing.headers["X-Faces"]) == ("no face found", "0")
    assert pixels(nothing.content).max() == 0
    assert_problem(requests.post(f"{url}/regions?part=sky", data=photo), 422, "invalid-parameter")
    assert_problem(requests.post(f"{url}/regions", data=b"text"), 415, "not-a-picture")


def test_masks_part_the_styles(url: str) -> None:
    # Wide enough that its ends are out of reach of what is beyond the middle.
    photo = picture(192, 144)

    def paint(query: str, *masks: bytes, **files: bytes) -> NDArray[np.int_]:
        parts = [("mask", mask) for mask in masks] + [("photo", photo), *files.items()]
        answer = requests.post(f"{url}/stylize?format=png&feather=0&{query}", files=parts)
        assert answer.status_code == 200, answer.text
        return pixels(answer.content)

    left, right = grey(255, 0, 192, 144), grey(0, 255, 192, 144)
    each = paint("style=irises&style=senecio", left, right)
    labels = paint("style=irises&style=senecio", right)
    np.testing.assert_allclose(each, labels, atol=1)
    assert np.abs(each - paint("style=senecio&style=irises", left, right)).mean() > 2
    own = paint("style=irises", left, right, painting=picture(128, 128, seed=3))
    assert np.abs(own - each)[:, 144:].mean() > 5 * np.abs(own - each)[:, :48].mean()
    half = paint("style=irises", strength=left)
    np.testing.assert_array_equal(half[:, 120:], pixels(photo)[:, 120:])
    assert np.abs(half - pixels(photo))[:, :72].mean() > 5


def test_masks_that_do_not_fit_are_problems(url: str) -> None:
    def ask(query: str, *masks: bytes) -> requests.Response:
        parts = [("photo", picture()), *(("mask", mask) for mask in masks)]
        return requests.post(f"{url}/stylize?{query}", files=parts)

    two, mask = "style=irises&style=senecio", grey(0, 255)
    assert_problem(ask(two, mask, mask, mask), 422, "invalid-parameter")
    assert_problem(ask("style=irises=2&style=senecio", mask), 422, "invalid-parameter")
    assert_problem(ask(f"{two}&only=person", mask), 422, "invalid-parameter")
    assert_problem(ask(two, grey(0, 255, 48, 48)), 422, "mask-mismatch")
    assert_problem(ask(two, picture()), 422, "mask-mismatch")
    assert_problem(ask(two, b"no picture"), 415, "not-a-picture")


def test_an_artist_is_a_style(url: str) -> None:
    answer = requests.post(f"{url}/stylize?style=artist:claude-monet", data=picture())
    assert answer.headers["X-Style"] == "claude-monet"


def test_a_name_is_never_taken_for_a_file_of_the_server(url: str, tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(picture(seed=5))
    answer = requests.post(f"{url}/stylize", params={"style": str(path)}, data=picture())
    assert_problem(answer, 404, "style-not-found")


@pytest.mark.parametrize(
    ("query", "body", "status", "code"),
    [
        ("style=irises", b"", 400, "bad-request"),
        ("style=irises", b"no picture", 415, "not-a-picture"),
        ("style=irises", picture()[:200], 415, "not-a-picture"),
        ("style=irises", picture(8, 8), 415, "not-a-picture"),
        ("style=zzzzzz", picture(), 404, "style-not-found"),
        ("", picture(), 422, "invalid-parameter"),
        ("style=irises&alpha=9", picture(), 422, "invalid-parameter"),
        ("style=irises&alpha=nan", picture(), 422, "invalid-parameter"),
        ("style=irises=1&style=senecio=-1", picture(), 422, "invalid-parameter"),
        ("style=irises=nan", picture(), 422, "invalid-parameter"),
        ("style=irises&format=gif", picture(), 422, "invalid-parameter"),
        ("style=irises&stroke=0.01", picture(), 422, "invalid-parameter"),
        ("style=irises&stroke=nan", picture(), 422, "invalid-parameter"),
        ("style=irises&smooth=2", picture(), 422, "invalid-parameter"),
        ("style=irises&preserve_color=some", picture(), 422, "invalid-parameter"),
        ("style=irises&max_side=2", picture(), 422, "invalid-parameter"),
        ("style=%00", picture(), 422, "invalid-parameter"),
        ("&".join(["style=irises"] * 9), picture(), 422, "invalid-parameter"),
        ("style=" + "a" * 300, picture(), 422, "invalid-parameter"),
    ],
)
def test_what_cannot_be_painted_is_a_problem(
    url: str, query: str, body: bytes, status: int, code: str
) -> None:
    assert_problem(requests.post(f"{url}/stylize?{query}", data=body), status, code)


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>'
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    "data",
    [SVG, EPS, b"%PDF-1.7\n", b"8BPS\0\1" + bytes(64), b"<!doctype html><img src=x>",
     *(picture(64, 64, format=format) for format in ("ICO", "PPM", "TGA", "SGI", "PCX", "DDS"))],
)  # fmt: skip
def test_only_formats_for_photos_are_opened(url: str, data: bytes) -> None:
    headers = {"Content-Type": "image/png"}  # What a client says of it does not matter.
    answer = requests.post(f"{url}/stylize?style=irises", data=data, headers=headers)
    assert_problem(answer, 415, "not-a-picture")


def test_what_goes_wrong_inside_is_only_in_the_log(
    serving: Callable[..., str],
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = serving()

    def fail(*_: Any, **__: Any) -> Any:
        raise ValueError("secret at /var/lib/secret")

    with monkeypatch.context() as patch:
        patch.setattr(PAINT, fail)
        answer = requests.post(f"{url}/stylize?style=irises", data=picture())
    assert_problem(answer, 500, "internal-error")
    assert "secret" not in answer.text
    assert SECURITY_HEADERS.items() <= answer.headers.items()
    assert f"request {answer.headers['X-Request-Id']}" in caplog.text and "secret" in caplog.text
    assert requests.post(f"{url}/stylize?style=irises", data=picture()).status_code == 200


def test_a_lack_of_memory_is_told(url: str, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise MemoryError

    ask = f"{url}/stylize?style=irises&format=png"
    usual = pixels(requests.post(ask, data=picture()).content)
    with monkeypatch.context() as patch:
        patch.setattr("adain.painting.looks.paint_tiles", fail)
        assert_problem(requests.post(ask, data=picture()), 422, "picture-too-large")
    np.testing.assert_array_equal(pixels(requests.post(ask, data=picture()).content), usual)


def test_a_malformed_form_is_a_problem(url: str) -> None:
    for body, kind in [
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
        (b"hello", "multipart/form-data"),
        (b"--x--", "multipart/form-data; boundary=x"),
    ]:
        headers = {"Content-Type": kind}
        answer = requests.post(f"{url}/stylize?style=irises", data=body, headers=headers)
        assert_problem(answer, 400, "bad-request")


# Limits


def bomb(side: int) -> bytes:
    """A PNG of one colour: small as a file, large as pixels."""
    buffer = BytesIO()
    Image.new("1", (side, side)).save(buffer, "PNG")
    return buffer.getvalue()


def test_bombs_are_refused_by_their_header(url: str) -> None:
    start = time.perf_counter()
    answer = requests.post(f"{url}/stylize?style=irises", data=bomb(12_000))
    assert_problem(answer, 422, "picture-too-large")
    assert time.perf_counter() - start < 10


def test_results_are_never_larger_than_the_limit(serving: Callable[..., str]) -> None:
    url = serving(max_side=64)
    answer = requests.post(f"{url}/stylize?style=irises&max_side=900", data=picture(200, 100))
    assert Image.open(BytesIO(answer.content)).size == (64, 32)


def test_large_bodies_are_refused_before_and_while_they_arrive(serving: Callable[..., str]) -> None:
    url = serving(max_body=10_000)
    assert_problem(requests.post(f"{url}/stylize?style=irises", data=bytes(20_000)), 413,
                   "body-too-large")  # fmt: skip
    chunks = (bytes(1000) for _ in range(1000))
    answer = requests.post(f"{url}/stylize?style=irises", data=chunks)
    assert_problem(answer, 413, "body-too-large")


def test_a_slow_upload_is_given_up(serving: Callable[..., str]) -> None:
    host, port = serving(upload_seconds=0.3).removeprefix("http://").split("/")[0].split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /api/v1/stylize?style=irises HTTP/1.1\r\nHost: localhost\r\n"
                       b"Content-Length: 1000\r\n\r\nabc")  # fmt: skip
        client.settimeout(10)
        assert b" 408 " in client.recv(4096).splitlines()[0]


def dribble(url: str, head: bytes, drop: bytes, seconds: float = 10) -> float:
    """Send a head, then a drop now and then; return when the server hung up."""
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    start = time.monotonic()
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head)
        client.settimeout(0.05)
        while time.monotonic() < start + seconds:
            try:
                client.sendall(drop)
                while client.recv(65536):
                    pass
                break
            except TimeoutError:
                continue
            except OSError:
                break
    return time.monotonic() - start


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b""),
        (b"GET /api/v1/health HTTP/1.1\r\n", b"X-Slow: 1\r\n"),
        # After an answer: the next head, and a body that nobody asked for.
        (b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /", b"a"),
        (b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n", b"a"),
    ],
)
def test_slow_heads_and_idle_connections_are_given_up(
    url: str, monkeypatch: pytest.MonkeyPatch, head: bytes, drop: bytes
) -> None:
    monkeypatch.setattr("gallery.web.protocol.HEADER_SECONDS", 1.0)
    assert 0.9 < dribble(url, head, drop, 20) < 10


def test_who_does_not_take_the_answer_is_given_up(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gallery.web.protocol.STUCK_SECONDS", 0.5)
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    query = "style=irises&max_side=2048&format=bmp"
    photo = picture(1500, 1500, format="JPEG")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        client.sendall(
            f"POST /api/v1/stylize?{query} HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Length: {len(photo)}\r\n\r\n".encode()
            + photo
        )
        assert client.recv(16).startswith(b"HTTP/1.1 200")
        time.sleep(2)
        client.settimeout(20)
        taken = 0
        with pytest.raises(ConnectionResetError):
            while data := client.recv(2**20):
                taken += len(data)
            raise ConnectionResetError
        assert taken < 6_000_000


def test_a_full_queue_says_when_to_come_back(
    serving: Callable[..., str], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, paint = threading.Event(), stylize_picture
    monkeypatch.setattr(PAINT, lambda *a, **k: (held.wait(20), paint(*a, **k))[1])
    url = serving(queue=2)

    def ask(_: int) -> requests.Response:
        return requests.post(f"{url}/stylize?style=irises", data=picture(16, 16))

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, i) for i in range(8)]
        while sum(answer.done() for answer in answers) < 5:
            time.sleep(0.02)
        held.set()
        results = [answer.result() for answer in answers]
    refused = [answer for answer in results if answer.status_code != 200]
    assert len(refused) == 5  # One is painted, two wait.
    for answer in refused:
        assert_problem(answer, 503, "busy")
        assert int(answer.headers["Retry-After"]) >= 1


def test_who_leaves_frees_the_place(
    serving: Callable[..., str], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, begun, paint, painted = threading.Event(), threading.Event(), stylize_picture, []

    def stylize(*args: Any, **options: Any) -> Any:
        begun.set()
        held.wait(20)
        painted.append(1)
        return paint(*args, **options)

    monkeypatch.setattr(PAINT, stylize)
    url = serving(queue=1)

    def ask(seconds: float) -> int:
        data = picture(16, 16)
        return requests.post(f"{url}/stylize?style=irises", data=data, timeout=seconds).status_code

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, 30)
        assert begun.wait(20)
        with pytest.raises(requests.Timeout):
            ask(0.5)  # It waited, and left.
        wait_for(lambda: depth(url) == 0)
        third = pool.submit(ask, 30)
        wait_for(lambda: depth(url) == 1)
        held.set()
        assert (first.result(), third.result()) == (200, 200)
    assert len(painted) == 2


def depth(url: str) -> float:
    """Return how many pictures wait for the network."""
    text = requests.get(f"{url}/metrics").text
    line = next(x for x in text.splitlines() if x.startswith("adain_queue_depth "))
    return float(line.split()[1])


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_deadline_ends_the_wait(
    serving: Callable[..., str], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()
    paint = stylize_picture
    monkeypatch.setattr(PAINT, lambda *a, **k: (held.wait(20), paint(*a, **k))[1])
    url = serving(deadline=0.2)
    answer = requests.post(f"{url}/stylize?style=irises", data=picture(16, 16))
    held.set()
    assert_problem(answer, 504, "too-late")


# Jobs


def test_a_job_is_accepted_followed_and_fetched(url: str) -> None:
    query = "style=irises&format=png&alpha=0.7"
    answer = requests.post(f"{url}/jobs?{query}", data=picture())
    assert answer.status_code == 202
    job = answer.json()
    where = url.removesuffix("/api/v1") + answer.headers["Location"]
    events = requests.get(f"{where}/events", stream=True)
    assert events.headers["Content-Type"].startswith("text/event-stream")
    lines = [line for line in events.iter_lines(decode_unicode=True) if line.startswith("data:")]
    last = json.loads(lines[-1].removeprefix("data:"))
    assert (last["id"], last["state"], last["progress"]) == (job["id"], "done", 1)
    result = requests.get(url.removesuffix("/api/v1") + last["result"])
    assert result.headers["Content-Type"] == "image/png"
    direct = requests.post(f"{url}/stylize?{query}", data=picture())
    assert result.content == direct.content
    assert requests.delete(where).json()["state"] == "done"
    assert_problem(requests.get(where), 404, "job-not-found")


def test_a_job_takes_masks_and_controls(url: str) -> None:
    query = "style=irises&style=senecio&format=png&preserve_color=linear&feather=0"
    parts = [("photo", picture()), ("mask", grey(255, 0)), ("mask", grey(0, 255))]
    job = requests.post(f"{url}/jobs?{query}", files=parts).json()
    where = f"{url}/jobs/{job['id']}"
    wait_for(lambda: requests.get(where).json()["state"] == "done")
    direct = requests.post(f"{url}/stylize?{query}", files=parts)
    assert requests.get(f"{where}/result").content == direct.content


def test_mistakes_in_a_job_are_told_at_once_or_by_the_job(url: str) -> None:
    assert_problem(requests.post(f"{url}/jobs?style=zzzzz", data=picture()), 404, "style-not-found")
    assert_problem(requests.post(f"{url}/jobs", data=picture()), 422, "invalid-parameter")
    assert_problem(requests.get(f"{url}/jobs/nothing"), 422, "invalid-parameter")
    assert_problem(requests.get(f"{url}/jobs/{'0' * 32}"), 404, "job-not-found")
    job = requests.post(f"{url}/jobs?style=irises", data=b"no picture").json()
    where = f"{url}/jobs/{job['id']}"
    wait_for(lambda: requests.get(where).json()["state"] == "failed")
    assert requests.get(where).json()["code"] == "not-a-picture"
    assert_problem(requests.get(f"{where}/result"), 409, "job-not-done")


def test_a_waiting_job_can_be_cancelled_and_people_go_first(
    serving: Callable[..., str], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, begun, paint = threading.Event(), threading.Event(), stylize_picture
    sizes: list[int] = []

    def stylize(model: Model, photo: Picture, *args: Any, **options: Any) -> Any:
        begun.set()
        held.wait(20)
        sizes.append(photo.width)
        return paint(model, photo, *args, **options)

    monkeypatch.setattr(PAINT, stylize)
    url = serving()

    def add(width: int) -> str:
        answer = requests.post(f"{url}/jobs?style=irises", data=picture(width, 32))
        return f"{url}/jobs/{answer.json()['id']}"

    with ThreadPoolExecutor() as pool:
        first = pool.submit(requests.post, f"{url}/stylize?style=irises", data=picture(32, 32))
        assert begun.wait(20)
        job, unwanted = add(40), add(48)
        assert requests.delete(unwanted).json()["state"] == "cancelled"
        wait_for(lambda: requests.get(job).json()["state"] == "running")
        person = pool.submit(requests.post, f"{url}/stylize?style=irises", data=picture(56, 32))
        wait_for(lambda: depth(url) == 2)
        held.set()
        assert (first.result().status_code, person.result().status_code) == (200, 200)
        wait_for(lambda: requests.get(job).json()["state"] == "done")
    assert sizes == [32, 56, 40]


# The gallery


def test_paintings_come_in_pages(url: str) -> None:
    seen: list[int] = []
    where: str | None = "/api/v1/paintings?limit=200&q="
    while where:
        page = requests.get(url.removesuffix("/api/v1") + where).json()
        seen += [painting["id"] for painting in page["paintings"]]
        where = page["next"]
    assert len(seen) == len(set(seen)) > 700 and seen == sorted(seen)


def test_search_artist_and_movement_narrow_the_list(url: str) -> None:
    def titles(**query: str) -> list[dict[str, object]]:
        return list(requests.get(f"{url}/paintings", params=query).json()["paintings"])

    assert all("Monet" in str(p["artist"]) for p in titles(q="monet"))
    assert all(p["artist"] == "Claude Monet" for p in titles(artist="claude-monet"))
    movement = requests.get(f"{url}/styles").json()["groups"][0]
    assert all(movement["name"] in str(p["styles"]) for p in titles(style=movement["slug"]))
    assert titles(q="zzzzzz") == []
    answer = requests.get(f"{url}/paintings", params={"artist": "monet", "style": "cubism"})
    assert_problem(answer, 422, "invalid-parameter")


def test_a_painting_is_nearest_to_itself(url: str) -> None:
    near = requests.get(f"{url}/paintings/irises/similar?limit=5").json()["paintings"]
    assert near[0]["slug"] == "irises" and near[0]["distance"] < 0.01
    distances = [painting["distance"] for painting in near]
    assert len(near) == 5 and distances == sorted(distances)


def test_no_answer_tells_where_a_picture_lies(serving: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "hidden-folder" / "waves.png"
    path.parent.mkdir()
    path.write_bytes(picture(128, 96))
    gallery = make_gallery(f"sqlite:///{tmp_path}/own.db")
    painting = Painting("", "Waves", "Nobody", sha256="a" * 64, pixel_sha256="b" * 64)
    gallery.add([replace(painting, path=str(path))])
    url = serving(gallery=gallery)
    answer = requests.get(f"{url}/paintings/waves")
    assert "hidden-folder" not in answer.text
    own = requests.get(url.removesuffix("/api/v1") + answer.json()["picture"])
    assert Image.open(BytesIO(own.content)).size == (128, 96)
    path.unlink()
    gone = requests.get(url.removesuffix("/api/v1") + answer.json()["picture"])
    assert_problem(gone, 404, "not-found")
    assert "hidden-folder" not in gone.text


def test_previews_differ_and_are_kept(url: str) -> None:
    first, second = (
        requests.get(f"{url}/paintings/{slug}/preview") for slug in ("irises", "senecio")
    )
    assert first.headers["Content-Type"] == "image/jpeg"
    assert np.abs(pixels(first.content) - pixels(second.content)).mean() > 5
    again = requests.get(f"{url}/paintings/irises/preview")
    assert again.content == first.content
    assert 'adain_previews_total{source="cache"} 1.0' in requests.get(f"{url}/metrics").text


@pytest.mark.parametrize(
    "path", ["paintings", "paintings/irises", "paintings/irises/preview", "artists", "example"]
)
def test_what_did_not_change_is_not_sent_again(url: str, path: str) -> None:
    first = requests.get(f"{url}/{path}")
    second = requests.get(f"{url}/{path}", headers={"If-None-Match": first.headers["ETag"]})
    assert (second.status_code, second.content) == (304, b"")
    other = requests.get(f"{url}/{path}", headers={"If-None-Match": '"other"'})
    assert other.content == first.content


def test_health_readiness_models_and_metrics(url: str) -> None:
    assert requests.get(f"{url}/health").json() == {"status": "ok"}
    assert requests.get(f"{url}/ready").json() == {"status": "ok"}
    assert requests.get(f"{url}/models").json()["models"][0]["parameters"] > 100_000
    assert requests.get(url).json()["max_side"] == 8192
    text = requests.get(f"{url}/metrics").text
    assert 'adain_requests_total{method="GET",route="/api/v1/health",status="200"}' in text


def test_health_does_not_depend_on_the_gallery(
    serving: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise DatabaseError("/var/lib/gallery.db: gone")

    url = serving()
    monkeypatch.setattr(Gallery, "page", fail)
    assert requests.get(f"{url}/health").status_code == 200
    answer = requests.get(f"{url}/ready")
    assert_problem(answer, 503, "gallery-unavailable")
    assert "gallery.db" not in answer.text and answer.headers["Retry-After"]


def test_questions_to_postgresql_end(postgresql: str) -> None:
    engine = connect(_hurried(database_url(postgresql)))
    with engine.execution_options(readonly=True).connect() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "5s"
    engine.dispose()
    assert _hurried("sqlite:////data/gallery.db") == "sqlite:////data/gallery.db"


@pytest.mark.parametrize("query", ["q=" + "a" * 201, "limit=201", "limit=0", "after=-1"])
def test_questions_have_limits(url: str, query: str) -> None:
    assert_problem(requests.get(f"{url}/paintings?{query}"), 422, "invalid-parameter")


@pytest.mark.parametrize("words", ["%", "_", "' OR 1=1 --", '"', "monet*", "NEAR(a b)", "\u202e"])
def test_words_are_only_words(url: str, words: str) -> None:
    answer = requests.get(f"{url}/paintings", params={"q": words})
    assert answer.status_code == 200
    found = answer.json()["paintings"]
    assert all(words.strip("*").lower() in json.dumps(each).lower() for each in found)


def test_unknown_addresses_and_methods_are_problems(url: str) -> None:
    assert requests.request("BREW", f"{url}/stylize").status_code == 405
    assert "BREW" not in requests.get(f"{url}/metrics").text
    assert_problem(requests.get(f"{url}/nothing"), 404, "not-found")
    assert_problem(requests.get(f"{url}/stylize"), 405, "method-not-allowed")
    assert_problem(requests.get(f"{url}/paintings/zzzzzz"), 404, "style-not-found")


# Who may come in


def test_every_answer_has_the_security_headers(url: str) -> None:
    for path in ("", "/paintings/zzzzzz", "/stylize", "/../..", "/paintings/irises/preview"):
        answer = requests.get(url + path)
        assert SECURITY_HEADERS.items() <= answer.headers.items()
        assert len(answer.headers["X-Request-Id"]) == 16
        assert "server" not in answer.headers
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8110", "", "localhost.evil.example"]
)
def test_another_host_name_is_refused(url: str, host: str) -> None:
    assert_problem(requests.get(url, headers={"Host": host}), 421, "wrong-host")


def test_pages_of_other_sites_may_not_use_it(url: str, serving: Callable[..., str]) -> None:
    foreign = {"Origin": "https://other.example"}
    answer = requests.post(f"{url}/stylize?style=irises", data=picture(), headers=foreign)
    assert_problem(answer, 403, "forbidden")
    named = serving(origins=("https://other.example",))
    answer = requests.post(f"{named}/stylize?style=irises", data=picture(), headers=foreign)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://other.example"
    answer = requests.get(named, headers={"Origin": "https://third.example"})
    assert_problem(answer, 403, "forbidden")


def test_keys_open_what_their_scope_allows(serving: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    secrets = {scope: add_key(path, scope, scope) for scope in ("read", "stylize", "admin")}
    assert not any(secret in path.read_text() for secret in secrets.values())
    assert path.stat().st_mode & 0o777 == 0o600
    url = serving(keys=load_keys(path))

    def ask(method: str, where: str, secret: str | None) -> int:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        data = picture(16, 16) if method == "POST" else None
        return requests.request(method, url + where, headers=headers, data=data).status_code

    paint = "/stylize?style=irises"
    table = {
        None: (200, 401, 401, 401),
        "wrong": (200, 401, 401, 401),
        secrets["read"]: (200, 200, 403, 403),
        secrets["stylize"]: (200, 200, 200, 403),
        secrets["admin"]: (200, 200, 200, 200),
    }
    for secret, expected in table.items():
        given = (
            ask("GET", "/health", secret),
            ask("GET", "/paintings?limit=1", secret),
            ask("POST", paint, secret),
            ask("GET", "/metrics", secret),
        )
        assert given == expected
    page = requests.get(url.removesuffix("/api/v1") + "/")
    assert page.status_code == 200


def test_administrators_add_and_remove_paintings(
    serving: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "keys.json"
    secrets = {scope: add_key(path, scope, scope) for scope in ("stylize", "admin")}
    gallery = make_gallery(f"sqlite:///{tmp_path}/gallery.db")
    url = serving(keys=load_keys(path), gallery=gallery)

    def ask(method: str, where: str, scope: str = "admin", **options: Any) -> requests.Response:
        headers = {"X-Api-Key": secrets[scope]}
        return requests.request(method, url + where, headers=headers, **options)

    facts = {"title": "<b>Waves</b>", "artist": "Anna", "year": 1901, "styles": ["Abstract"]}
    painting = picture(80, 60, seed=3)
    assert_problem(ask("POST", "/paintings", "stylize", params=facts, data=painting), 403,
                   "forbidden")  # fmt: skip
    added = ask("POST", "/paintings", params=facts, data=painting)
    assert added.status_code == 201, added.text
    document = added.json()
    assert (document["title"], document["artist"], document["years"]) == (
        "<b>Waves</b>", "Anna", "1901",
    )  # fmt: skip
    assert ask("GET", added.headers["Location"].removeprefix("/api/v1")).json() == document
    again = ask("POST", "/paintings", params={"title": "Other"}, data=painting)
    assert (again.status_code, again.json()["id"]) == (200, document["id"])
    photo, style = picture(seed=9), {"style": document["slug"], "format": "png"}
    named = ask("POST", "/stylize", params=style, data=photo)
    own = ask("POST", "/stylize?format=png", files={"photo": photo, "painting": painting})
    np.testing.assert_allclose(pixels(named.content), pixels(own.content), atol=1)
    assert_problem(ask("POST", "/paintings", params=facts, data=b"x"), 415, "not-a-picture")
    assert_problem(ask("POST", "/paintings", data=painting), 422, "invalid-parameter")
    where = f"/paintings/{document['slug']}"
    assert_problem(ask("DELETE", where, "stylize"), 403, "forbidden")
    assert_problem(ask("DELETE", "/paintings/wav"), 404, "style-not-found")
    assert ask("DELETE", where).json()["id"] == document["id"]
    assert_problem(ask("GET", where), 404, "style-not-found")


def test_who_asks_too_often_waits(serving: Callable[..., str], tmp_path: Path) -> None:
    secret = add_key(tmp_path / "keys.json", "someone", "read")
    url = serving(keys=load_keys(tmp_path / "keys.json"), reads_per_minute=3)
    headers = {"X-Api-Key": secret}
    answers = [requests.get(f"{url}/models", headers=headers) for _ in range(4)]
    assert [answer.status_code for answer in answers[:3]] == [200] * 3
    assert_problem(answers[3], 429, "too-many-requests")
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 20


def test_others_need_a_key_or_an_explicit_word(tiny_model: Model) -> None:
    gallery = starter_gallery()
    config = ServeConfig(host="0.0.0.0")
    with pytest.raises(ValueError, match="make a key"):
        create_app(config, tiny_model, gallery)
    key = Key("a", "0" * 64, "read")
    for app in (
        create_app(config, tiny_model, gallery, [key]),
        create_app(replace(config, insecure=True), tiny_model, gallery),
    ):
        app.state.state.close()
    gallery.close()


def test_the_openapi_document_names_every_operation_and_error(url: str) -> None:
    document = requests.get(f"{url}/openapi.json").json()
    assert {"/api/v1/stylize", "/api/v1/paintings/{slug}/similar"} <= document["paths"].keys()
    stylize = document["paths"]["/api/v1/stylize"]["post"]
    assert {"200", "404", "413", "415", "422", "429", "503", "504"} <= stylize["responses"].keys()
    assert "image/jpeg" in stylize["requestBody"]["content"]
    json.dumps(document)


# The client


def test_the_client_does_what_the_service_can(url: str) -> None:
    with Client(url.removesuffix("/api/v1")) as service:
        assert service.service().max_side == 8192
        painted = service.stylize(picture(40, 30), ["irises=1", "senecio=1"], alpha=0.7)
        assert Image.open(BytesIO(painted)).size == (40, 30)
        own = service.stylize(picture(40, 30), painting=picture(64, 64, seed=4))
        assert np.abs(pixels(own) - pixels(painted)).mean() > 1
        everything = list(service.paintings())
        assert len(everything) == len({painting.id for painting in everything}) > 700
        assert all("Monet" in painting.artist for painting in service.paintings("monet"))
        assert service.painting("irises").title == "Irises"
        near = service.similar("irises", 3)
        assert near[0].slug == "irises" and near[1].distance is not None
        assert Image.open(BytesIO(service.preview("irises"))).format == "JPEG"
        assert {"artist:claude-monet"} < {artist.style for artist in service.artists()}
        assert service.styles()
        with pytest.raises(ServiceError) as caught:
            service.painting("zzzzzz?")
        assert (caught.value.code, caught.value.status) == ("style-not-found", 404)


def test_the_client_comes_back_when_the_service_is_busy(
    serving: Callable[..., str], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, begun, paint = threading.Event(), threading.Event(), stylize_picture
    pauses: list[float] = []

    def stylize(*args: Any, **options: Any) -> Any:
        begun.set()
        held.wait(20)
        return paint(*args, **options)

    monkeypatch.setattr(PAINT, stylize)
    root = serving(queue=1).removesuffix("/api/v1")

    def ask() -> bytes:
        with Client(root) as service:
            return service.stylize(picture(16, 16), ["irises"])

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        held.set()
        time_sleep(0.5)

    time_sleep = time.sleep
    with ThreadPoolExecutor() as pool:
        first = pool.submit(ask)
        assert begun.wait(20)
        second = pool.submit(ask)
        wait_for(lambda: depth(f"{root}/api/v1") == 1)
        monkeypatch.setattr("gallery.client.time.sleep", pause)
        third = pool.submit(ask)
        assert first.result() == second.result() == third.result()
    assert pauses and min(pauses) >= 1


def test_the_client_says_when_nobody_or_somebody_else_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}") as service:
        with pytest.raises(ServiceError, match="does not answer") as caught:
            service.service()
        assert caught.value.code == "unreachable"


def test_the_client_shows_its_key(serving: Callable[..., str], tmp_path: Path) -> None:
    secret = add_key(tmp_path / "keys.json", "anna", "read")
    root = serving(keys=load_keys(tmp_path / "keys.json")).removesuffix("/api/v1")
    with Client(root, secret) as service:
        assert service.painting("irises").slug == "irises"
        with pytest.raises(ServiceError) as caught:
            service.stylize(picture(), ["irises"])
        assert caught.value.code == "forbidden"
    with Client(root) as service, pytest.raises(ServiceError) as caught:
        service.service()
    assert caught.value.code == "unauthorized"


def test_small_answers_leave_at_once() -> None:
    with (
        listen(ServeConfig(port=0)) as listener,
        socket.create_connection(listener.getsockname()[:2]),
        listener.accept()[0] as served,
    ):
        assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_client_paints_with_masks_and_renders(url: str) -> None:
    with Client(url.removesuffix("/api/v1")) as service:
        masks = (grey(255, 0), grey(0, 255))
        controls = Controls(masks=masks, feather=0, preserve_color="luminance")
        painted = service.stylize(picture(), ["irises", "senecio"], controls=controls)
        query = "style=irises&style=senecio&format=png&feather=0&preserve_color=luminance"
        parts = [("photo", picture()), *(("mask", mask) for mask in masks)]
        direct = requests.post(f"{url}/stylize?{query}", files=parts)
        np.testing.assert_array_equal(pixels(painted), pixels(direct.content))
        states = []
        rendered = service.render(
            picture(), ["irises"], time_limit=5, on_change=lambda job: states.append(job.state)
        )
        assert pixels(rendered).shape == (48, 64, 3) and states[-1] == "done"
        with pytest.raises(ServiceError, match="cannot be read"):
            service.render(b"no picture", ["irises"])
        rendered = service.render(
            picture(),
            painting=picture(seed=5),
            masks=masks[:1],
            feather=0,
            time_limit=5,
            format="png",
        )
        np.testing.assert_array_equal(pixels(rendered)[:, 32:], pixels(picture())[:, 32:])


def test_the_command_lets_a_server_paint(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, photo = url.removesuffix("/api/v1"), tmp_path / "photo.png"
    photo.write_bytes(picture())
    (tmp_path / "carpet.png").write_bytes(picture(96, 96, seed=4))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["stylize", str(photo), "--server", root, *arguments])

    result = run("--style", "irises", "--smooth", "0.5")
    assert result.exit_code == 0, result.output
    painted = tmp_path / "photo.irises.png"
    assert result.stdout.strip() == str(painted)
    answer = requests.post(f"{url}/stylize?style=irises&format=png&smooth=0.5", data=picture())
    np.testing.assert_array_equal(pixels(painted.read_bytes()), pixels(answer.content))
    again = run("--style", "irises")
    assert again.exit_code == ExitCode.FAILED and "--overwrite" in again.stderr
    own = run("--style", "irises=1", "--style", str(tmp_path / "carpet.png"), "--json")
    assert json.loads(own.stdout)["output"] == str(tmp_path / "photo.irises+carpet.png")
    for arguments, code, line in [
        (["--style", "zzzzzz"], ExitCode.FAILED, "zzzzzz"),
        (["--style", "irises", "--bits", "16"], ExitCode.USAGE, "--bits"),
        (["--style", "irises", "--key-file", "nothing"], ExitCode.FAILED, "nothing"),
    ]:
        failed = run(*arguments)
        assert failed.exit_code == code and line in failed.stderr
        assert "Traceback" not in failed.stderr


def test_the_command_sums_up_what_a_server_painted(url: str, tmp_path: Path) -> None:
    root, photo, missing = url.removesuffix("/api/v1"), tmp_path / "photo.png", tmp_path / "no.png"
    photo.write_bytes(picture())
    arguments = ["stylize", str(photo), str(missing), "--style", "irises", "--server", root]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == ExitCode.SOME_FAILED
    assert result.stderr.endswith("done=1 failed=1\n")
    debugged = CliRunner().invoke(cli, ["--debug", *arguments[:1], *arguments[2:]])
    assert isinstance(debugged.exception, OutputError)


def test_the_command_shows_its_key(
    serving: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = add_key(tmp_path / "keys.json", "anna", "stylize")
    root = serving(keys=load_keys(tmp_path / "keys.json")).removesuffix("/api/v1")
    photo, file = tmp_path / "photo.png", tmp_path / "key"
    photo.write_bytes(picture())
    file.write_text(secret + "\n")
    arguments = ["stylize", str(photo), "--style", "irises", "--server", root, "-o"]
    refused = CliRunner().invoke(cli, [*arguments, str(tmp_path / "0.png")])
    assert refused.exit_code == ExitCode.FAILED and "key" in refused.stderr
    options = ["--key-file", str(file)]
    assert CliRunner().invoke(cli, [*arguments, str(tmp_path / "1.png"), *options]).exit_code == 0
    monkeypatch.setenv("ADAIN_KEY", secret)
    assert CliRunner().invoke(cli, [*arguments, str(tmp_path / "2.png")]).exit_code == 0
