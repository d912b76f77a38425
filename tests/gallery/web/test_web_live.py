"""Live painting over a WebSocket, and what the network sees."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import torch
from numpy.typing import NDArray
from PIL import Image
from serving import running
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from adain.engine.loading import load_model
from adain.engine.model import Model
from adain.network.encoder import Encoder
from adain.network.statistics import to_tensor
from adain.optimizing.inspection import feature_maps
from adain.painting.measuring import measure_style
from adain.painting.stylize import stylize_picture
from gallery.database.gallery import starter_gallery
from gallery.web.app import create_app
from gallery.web.features import feature_sheet
from gallery.web.keys import add_key, load_keys
from gallery.web.live import MAX_FRAME
from gallery.web.middleware import KEY_PROTOCOL
from gallery.web.server import Server
from gallery.web.settings import ServeConfig

SETTINGS = {"style": "irises", "format": "png"}


def frame(width: int = 64, height: int = 48, seed: int = 0, low: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(low, 256, (height, width, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def pixels(data: bytes) -> NDArray[np.int_]:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture
def serving(model: Model) -> Iterator[Callable[..., tuple[str, Server]]]:
    """Serve with other settings; gives the address and the server."""
    with ExitStack() as stack:

        def start(keys: Any = (), **settings: Any) -> tuple[str, Server]:
            gallery = stack.enter_context(closing(starter_gallery()))
            app = create_app(ServeConfig(**settings), model, gallery, keys)
            return stack.enter_context(running(app))

        yield start


def place(root: str) -> str:
    return root.replace("http:", "ws:") + "/api/v1/live"


def text(socket: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(socket.recv(timeout=30, decode=True)))


def picture(socket: ClientConnection) -> bytes:
    data = socket.recv(timeout=30)
    assert isinstance(data, bytes)
    return data


def test_frames_come_back_as_stylize_paints_them(serving: Callable[..., Any]) -> None:
    root, _ = serving()
    with connect(place(root), subprotocols=[Subprotocol(KEY_PROTOCOL)]) as socket:
        assert socket.subprotocol == KEY_PROTOCOL
        socket.send(json.dumps(SETTINGS))
        assert text(socket) == {"style": "irises"}
        socket.send(frame())
        told = text(socket)
        assert (told["frame"], told["dropped"]) == (1, 0) and told["milliseconds"] > 0
        first = picture(socket)
        answer = requests.post(f"{root}/api/v1/stylize", params=SETTINGS, data=frame())
        assert np.abs(pixels(first) - pixels(answer.content)).mean() < 4  # By 8-bit numbers.
        socket.send(json.dumps(SETTINGS | {"alpha": 0.2, "style": ["senecio"]}))
        assert text(socket) == {"style": "senecio"}
        socket.send(frame())
        assert text(socket)["frame"] == 2
        assert np.abs(pixels(picture(socket)) - pixels(first)).mean() > 5


def test_a_connection_outlives_the_time_for_a_head(
    serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gallery.web.protocol.HEADER_SECONDS", 1.0)
    with connect(place(serving()[0])) as socket:
        time.sleep(2)
        socket.send(json.dumps(SETTINGS))
        assert text(socket) == {"style": "irises"}


def test_only_the_newest_frame_is_painted(
    serving: Callable[..., Any], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, begun, paint = threading.Event(), threading.Event(), stylize_picture

    def stylize(*args: Any, **options: Any) -> Any:
        begun.set()
        held.wait(20)
        return paint(*args, **options)

    monkeypatch.setattr("adain.video.camera.stylize_picture", stylize)
    root, _ = serving()
    turned = frame(low=200)  # Far from the others: nothing of these is left in it.
    with connect(place(root)) as socket:
        socket.send(json.dumps(SETTINGS))
        text(socket)
        socket.send(frame())
        assert begun.wait(20)
        for seed in range(1, 19):
            socket.send(frame(seed=seed))
        socket.send(turned)
        socket.ping().wait(20)
        time.sleep(0.2)
        held.set()
        assert text(socket)["frame"] == 1
        picture(socket)
        last = text(socket)
        assert (last["frame"], last["dropped"]) == (20, 18)
        painted = pixels(picture(socket))
    answer = requests.post(f"{root}/api/v1/stylize", params=SETTINGS, data=turned)
    # By 8-bit numbers, noise; any other frame is 45 levels away.
    assert np.abs(painted - pixels(answer.content)).mean() < 8


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ("no json", "invalid-parameter"),
        ("{}", "invalid-parameter"),
        ('{"style": "zzzzzz"}', "style-not-found"),
        ('{"style": "irises", "alpha": 9}', "invalid-parameter"),
        ('{"style": "irises", "stroke": 0.01}', "invalid-parameter"),
        ('["irises"]', "invalid-parameter"),
    ],
)
def test_wrong_settings_are_told_and_the_old_ones_stay(
    serving: Callable[..., Any], settings: str, code: str
) -> None:
    with connect(place(serving()[0])) as socket:
        socket.send(settings)
        assert text(socket)["code"] == code
        socket.send(frame())
        assert text(socket)["code"] == "invalid-parameter"
        socket.send(json.dumps(SETTINGS))
        assert text(socket) == {"style": "irises"}
        socket.send(settings)
        assert text(socket)["code"] == code
        socket.send(frame())
        assert text(socket)["frame"] == 2 and picture(socket)


@pytest.mark.parametrize("data", [b"", b"no picture", frame()[:300], frame(1025, 16)])
def test_a_frame_that_is_none_is_told(serving: Callable[..., Any], data: bytes) -> None:
    with connect(place(serving()[0])) as socket:
        socket.send(json.dumps(SETTINGS))
        text(socket)
        socket.send(data)
        told = text(socket)
        assert told["code"] in ("not-a-picture", "picture-too-large") and told["frame"] == 1
        socket.send(frame())
        assert text(socket)["frame"] == 2 and picture(socket)


def closed(socket: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            socket.recv(timeout=30)
    assert caught.value.rcvd is not None
    return int(caught.value.rcvd.code)


def test_what_is_too_large_or_too_much_closes_the_connection(
    serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gallery.web.live.MESSAGES_PER_SECOND", 0.1)
    monkeypatch.setattr("gallery.web.live.IDLE_SECONDS", 0.5)
    root, _ = serving()
    with connect(place(root)) as socket:
        socket.send(bytes(MAX_FRAME + 1))
        assert closed(socket) == 1009
    with connect(place(root)) as socket:
        socket.send(" " * 20_000)
        assert closed(socket) == 1009
    with connect(place(root)) as socket:
        for _ in range(7):
            socket.send(b"frame")
        assert closed(socket) == 1008
    with connect(place(root)) as socket:
        assert closed(socket) == 1013


def refused(url: str, **options: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as caught, connect(url, **options):
        pass
    response = caught.value.response
    return response.status_code, json.loads(response.body)["code"]


def test_pages_of_other_sites_cannot_connect(serving: Callable[..., Any]) -> None:
    root, _ = serving(origins=("https://other.example",))
    url = place(root)
    assert refused(url, origin="https://third.example") == (403, "forbidden")
    for origin in ("https://other.example", root):
        with connect(url, origin=Origin(origin)) as socket:
            socket.send(json.dumps(SETTINGS))
            assert text(socket) == {"style": "irises"}


def test_a_connection_needs_a_key_and_a_place(serving: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    secrets = {scope: add_key(path, scope, scope) for scope in ("read", "stylize")}
    url = place(serving(keys=load_keys(path), live=1)[0])
    assert refused(url) == (401, "unauthorized")
    assert refused(url, subprotocols=[KEY_PROTOCOL, "wrong"]) == (401, "unauthorized")
    assert refused(url, subprotocols=[KEY_PROTOCOL, secrets["read"]]) == (403, "forbidden")
    key = {"Authorization": f"Bearer {secrets['stylize']}"}
    with connect(url, subprotocols=[KEY_PROTOCOL, secrets["stylize"]]) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == KEY_PROTOCOL
        assert refused(url, additional_headers=key) == (503, "busy")
    until = time.monotonic() + 10
    while True:
        try:
            with connect(url, additional_headers=key):
                return
        except InvalidStatus:
            assert time.monotonic() < until


def test_a_connection_takes_one_place_of_the_queue(
    serving: Callable[..., Any], model: Model
) -> None:
    root, _ = serving(queue=1)
    ask = f"{root}/api/v1/stylize?style=irises"
    with connect(place(root)) as socket:
        socket.send(json.dumps(SETTINGS))
        text(socket)
        assert requests.post(ask, data=frame()).json()["code"] == "busy"
        socket.send(frame())
        assert text(socket)["frame"] == 1
    until = time.monotonic() + 10
    while requests.post(ask, data=frame()).status_code != 200:
        assert time.monotonic() < until


def test_a_server_that_stops_says_so(serving: Callable[..., Any]) -> None:
    root, server = serving()
    with connect(place(root)) as socket:
        socket.send(json.dumps(SETTINGS))
        text(socket)
        server.should_exit = True
        assert closed(socket) == 1012


# Inside the network


def test_feature_maps_are_the_strongest_channels(tiny_encoder: Encoder) -> None:
    photo = np.random.default_rng(0).random((32, 48, 3), np.float32)
    with torch.no_grad():
        features = tiny_encoder(to_tensor(photo), ["relu2_1"])["relu2_1"][0].numpy()
    maps = feature_maps(tiny_encoder, photo, "relu2_1", 3)
    energies = np.square(features).sum((1, 2))
    assert [item.channel for item in maps] == np.argsort(-energies)[:3].tolist()
    assert maps[0].share == pytest.approx(energies.max() / energies.sum())
    best = features[maps[0].channel]
    np.testing.assert_allclose(maps[0].values * best.max(), best, rtol=1e-5)
    sheet, columns = feature_sheet(maps)
    assert columns == 2 and sheet.shape == (2 * 85 + 2, 2 * 128 + 2, 3)
    assert not sheet[87:, 130:].any()  # There is no fourth.


def test_a_photo_is_seen_by_a_layer(url: str) -> None:
    for layer, count in (("relu1_1", 9), ("relu5_1", 64)):
        answer = requests.post(f"{url}/features?layer={layer}&count={count}", data=frame())
        assert answer.headers["Content-Type"] == "image/png"
        assert len(set(answer.headers["X-Channels"].split(","))) == count
        sheet = Image.open(BytesIO(answer.content))
        columns = int(answer.headers["X-Columns"])
        assert sheet.width == columns * 130 - 2 and sheet.height == -(-count // columns) * 98 - 2
    assert requests.post(f"{url}/features?layer=relu9_1", data=frame()).status_code == 422
    thin = requests.post(f"{url}/features?layer=relu5_1", data=frame(800, 16))
    assert thin.status_code == 200


def test_statistics_of_photo_and_style(url: str, model: Model) -> None:
    answer = requests.post(f"{url}/statistics?style=irises", data=frame(), timeout=30).json()
    assert answer["style"] == "irises"
    assert [layer["name"] for layer in answer["layers"]] == [
        "relu1_1", "relu2_1", "relu3_1", "relu4_1",
    ]  # fmt: skip
    expected = measure_style(model, frame())["relu3_1"].mean[0]
    np.testing.assert_allclose(answer["layers"][2]["photo"]["mean"], expected, atol=1e-4)
    own = requests.post(f"{url}/statistics", files={"photo": frame(), "painting": frame()}).json()
    for layer in own["layers"]:
        np.testing.assert_allclose(layer["photo"]["std"], layer["style"]["std"], atol=1e-4)


@pytest.fixture
def url(serving: Callable[..., Any]) -> str:
    return f"{serving()[0]}/api/v1"
