"""Renders as jobs of the web service: watched, cancelled, interrupted and taken up again."""

import json
import sys
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
from pictures import picture
from PIL import Image
from serving import running

from adain.engine.loading import load_model
from adain.engine.model import Model
from gallery.database.engine import connect, upgrade
from gallery.database.gallery import starter_gallery
from gallery.database.jobs import Jobs
from gallery.errors import DatabaseError
from gallery.web.app import create_app
from gallery.web.settings import ServeConfig
from gallery.web.watched import Watched


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture
def serving(model: Model, tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """Serve with jobs in a file; gives the address, and what stops the server."""
    with ExitStack() as stack:

        def start() -> tuple[str, Callable[[], None]]:
            engine = connect(f"sqlite:///{tmp_path}/jobs.db")
            upgrade(engine, lambda session: None)
            jobs = stack.enter_context(closing(Jobs(engine)))
            gallery = stack.enter_context(closing(starter_gallery()))
            served = stack.enter_context(ExitStack())
            app = create_app(ServeConfig(), model, gallery, (), jobs)
            root, _ = served.enter_context(running(app))
            return root, served.close

        yield start


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def submit(root: str, query: str = "style=irises", **files: bytes) -> str:
    parts = {"photo": picture(), **files}
    answer = requests.post(f"{root}/api/v1/jobs?method=render&format=png&{query}", files=parts)
    assert answer.status_code == 202, answer.text
    assert answer.json()["method"] == "render"
    return root + answer.headers["Location"]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let steps take a tenth of a second, until it is set."""
    from adain.optimizing.perceptual import PerceptualLoss

    fast, evaluate = threading.Event(), PerceptualLoss.evaluate

    def delayed(self: PerceptualLoss, image: Any) -> Any:
        fast.wait(0.1)
        return evaluate(self, image)

    monkeypatch.setattr(PerceptualLoss, "evaluate", delayed)
    return fast


def test_a_render_is_followed_to_its_end(serving: Callable[[], Any]) -> None:
    root, _ = serving()
    where = submit(root)
    events = requests.get(f"{where}/events", stream=True).iter_lines(decode_unicode=True)
    told = [json.loads(line.removeprefix("data:")) for line in events if line.startswith("data:")]
    assert told[-1]["state"] == "done" and told[-1]["progress"] == 1
    losses = [loss for event in told for loss in event["losses"]]
    assert [loss["step"] for loss in losses] == list(range(1, len(losses) + 1))
    assert losses[-1]["loss"] < losses[0]["loss"]
    assert requests.get(where).json()["losses"] == losses
    result = Image.open(BytesIO(requests.get(f"{where}/result").content))
    assert (result.format, result.size) == ("PNG", (64, 48))
    once = requests.post(f"{root}/api/v1/stylize?style=irises&format=png", data=picture()).content
    difference = np.asarray(result).astype(int) - np.asarray(Image.open(BytesIO(once))).astype(int)
    assert np.abs(difference).mean() > 1


def test_a_painting_that_is_sent_along_is_rendered_with_its_picture(
    serving: Callable[[], Any],
) -> None:
    grey = np.random.default_rng(0).integers(60, 190, (48, 64, 1), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(np.concatenate((grey + 20, grey, grey - 20), 2)).save(buffer, "PNG")
    query, painting = "time_limit=5&preserve_color=luminance", picture(96, 96, seed=3)
    where = submit(serving()[0], query, photo=buffer.getvalue(), painting=painting)
    wait_for(lambda: requests.get(where).json()["state"] == "done")
    assert requests.get(f"{where}/preview").status_code == 204
    result = np.asarray(Image.open(BytesIO(requests.get(f"{where}/result").content))).astype(int)
    assert np.abs(result[..., 1] - grey[..., 0]).mean() > 5
    assert np.abs(result[..., 0] - result[..., 2] - 40).mean() < 5  # The colour is the photo's.


def test_a_render_grows_makes_way_and_is_cancelled(
    serving: Callable[[], Any], slow: threading.Event
) -> None:
    root, _ = serving()
    where = submit(root)
    wait_for(lambda: requests.get(where).json()["preview"] is not None)
    now = requests.get(where).json()
    assert now["state"] == "running" and 0 < now["progress"] < 1
    assert Image.open(BytesIO(requests.get(root + now["preview"]).content)).size == (64, 48)
    answer = requests.post(f"{root}/api/v1/stylize?style=irises", data=picture(), timeout=20)
    assert answer.status_code == 200
    assert requests.get(where).json()["state"] == "running"  # It was not waited for.
    assert requests.delete(where).json()["state"] == "cancelled"
    assert requests.get(f"{where}/preview").status_code == 204
    metrics = f"{root}/api/v1/metrics"
    wait_for(lambda: "adain_painting 0.0" in requests.get(metrics).text)


@pytest.mark.parametrize("lease", [10.0, 0.0])
def test_a_database_that_is_away_ends_a_render_only_with_its_lease(
    serving: Callable[[], Any],
    slow: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    lease: float,
) -> None:
    root, _ = serving()
    monkeypatch.setattr("gallery.web.jobs.RENEW_SECONDS", 0.1)
    where = submit(root)
    wait_for(lambda: requests.get(where).json()["preview"] is not None)
    renew, calls = Jobs.renew, []

    def away(self: Jobs, *arguments: Any, **options: Any) -> bool:
        calls.append(arguments)
        if len(calls) <= 3:
            raise DatabaseError("the disk is away")
        return renew(self, *arguments, **options)

    monkeypatch.setattr("gallery.web.jobs.LEASE_SECONDS", lease)
    monkeypatch.setattr(Jobs, "renew", away)
    if lease:
        wait_for(lambda: len(calls) > 4)
        slow.set()
        wait_for(lambda: requests.get(where).json()["state"] == "done")
    else:
        # Given up, so that whoever takes the job next does not do it twice at a time.
        metrics = f"{root}/api/v1/metrics"
        wait_for(lambda: "adain_painting 0.0" in requests.get(metrics).text)
        assert len(calls) == 1
        slow.set()


def test_what_cannot_be_kept_now_is_kept_later() -> None:
    watched = Watched()
    watched.keep("preview", b"1")
    watched.keep("checkpoint", b"1")
    watched.tell(0.5, 0, {"loss": 1, "content": 1, "style": 1})
    with pytest.raises(DatabaseError), watched.news() as news:
        watched.keep("preview", b"2")
        assert news.keys() == {"preview", "checkpoint", "losses"}
        raise DatabaseError("the disk is away")
    with watched.news() as news:
        assert (news["preview"], news["checkpoint"]) == (b"2", b"1")
    with watched.news() as news:
        assert news.keys() == {"losses"}


def test_a_result_waits_for_a_database_that_is_away(
    serving: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = serving()
    monkeypatch.setattr("gallery.web.jobs.RENEW_SECONDS", 0.1)
    calls: list[str] = []

    def failing(name: str) -> Callable[..., Any]:
        method = getattr(Jobs, name)

        def away(self: Jobs, *arguments: Any) -> Any:
            calls.append(name)
            if calls.count(name) <= 2:
                raise DatabaseError("the disk is away")
            return method(self, *arguments)

        return away

    for name in ("renew", "finish", "fail"):
        monkeypatch.setattr(Jobs, name, failing(name))
    for photo, state in ((picture(), "done"), (b"no picture", "failed")):
        answer = requests.post(f"{root}/api/v1/jobs?style=irises", files={"photo": photo})
        where = root + answer.headers["Location"]
        wait_for(lambda: requests.get(where).json()["state"] == state)  # noqa: B023
    assert (calls.count("finish"), calls.count("fail")) == (3, 3)


def test_a_fault_while_a_render_is_watched_ends_it_and_no_other_job(
    serving: Callable[[], Any], slow: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = serving()
    monkeypatch.setattr("gallery.web.jobs.RENEW_SECONDS", 0.1)
    where = submit(root)
    wait_for(lambda: requests.get(where).json()["preview"] is not None)
    with monkeypatch.context() as broken:
        broken.setattr(Jobs, "renew", lambda *arguments: 1 / 0)
        metrics = f"{root}/api/v1/metrics"
        wait_for(lambda: "adain_painting 0.0" in requests.get(metrics).text)
    requests.delete(where)
    slow.set()
    other = (
        root
        + requests.post(f"{root}/api/v1/jobs?style=irises", files={"photo": picture()}).headers[
            "Location"
        ]
    )
    wait_for(lambda: requests.get(other).json()["state"] == "done")


def test_a_server_that_stops_leaves_a_render_to_the_next_one(
    serving: Callable[[], Any], slow: threading.Event
) -> None:
    root, stop = serving()
    where = submit(root)
    wait_for(lambda: len(requests.get(where).json()["losses"]) >= 10)
    started = time.monotonic()
    with requests.get(f"{where}/events", stream=True) as events:
        stop()
        assert events.raw.read() is not None  # The stream ended by itself.
    assert time.monotonic() - started < 10
    other, _ = serving()
    where = where.replace(root, other)
    before = len(requests.get(where).json()["losses"])
    assert before >= 10
    slow.set()
    wait_for(lambda: requests.get(where).json()["state"] == "done")
    losses = requests.get(where).json()["losses"]
    assert len(losses) > before
    assert losses[before]["loss"] < 1.05 * losses[before - 1]["loss"] < losses[0]["loss"]


def test_what_a_render_cannot_take_is_told(serving: Callable[[], Any]) -> None:
    root, _ = serving()
    for query, files in [
        ("style=irises", {"photo": picture(), "strength": picture()}),
        ("style=irises&alpha=0.5", {"photo": picture()}),
        ("style=irises&stroke=2", {"photo": picture()}),
        ("style=irises=2&style=senecio=-1", {"photo": picture()}),
        ("style=irises&time_limit=1e6", {"photo": picture()}),
    ]:
        answer = requests.post(f"{root}/api/v1/jobs?method=render&{query}", files=files)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-parameter")


def test_without_torch_what_needs_it_is_refused(
    serving: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = serving()
    monkeypatch.setitem(sys.modules, "torch", None)
    for path, needs in (
        ("jobs?method=render&style=irises", "rendering"),
        ("features", "showing what a layer sees"),
    ):
        answer = requests.post(f"{root}/api/v1/{path}", files={"photo": picture()})
        assert (answer.status_code, answer.json()["code"]) == (501, "torch-missing")
        assert answer.json()["detail"].startswith(f"{needs} needs PyTorch; run: pip install")
    for path in ("stylize", "statistics"):
        assert requests.post(f"{root}/api/v1/{path}?style=irises", data=picture()).ok


def half(side: int) -> bytes:
    grey = np.zeros((48, 64), np.uint8)
    grey[:, 32 * side : 32 * (side + 1)] = 255
    buffer = BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("stored", [False, True])
def test_masks_say_where_each_style_of_a_render_goes(
    serving: Callable[[], Any], stored: bool
) -> None:
    root, _ = serving()
    style = [] if stored else [("painting", picture(96, 96, seed=3))]
    query = f"{root}/api/v1/jobs?method=render&format=png&feather=0&time_limit=5"
    query += "&style=irises" if stored else ""
    results = []
    for mask in (half(0), half(1)):
        parts = [("photo", picture()), *style, ("mask", mask)]
        answer = requests.post(query, files=parts)
        assert answer.status_code == 202, answer.text
        where = root + answer.headers["Location"]
        wait_for(lambda where=where: requests.get(where).json()["state"] == "done")  # type: ignore[misc]
        result = Image.open(BytesIO(requests.get(f"{where}/result").content))
        results.append(np.asarray(result.convert("RGB")).astype(int))
    bare = np.asarray(Image.open(BytesIO(picture()))).astype(int)
    left, right = results
    assert np.abs(left[:, 32:] - bare[:, 32:]).max() <= 1  # Nothing goes there.
    assert np.abs(right[:, :32] - bare[:, :32]).max() <= 1
    assert np.abs(left[:, :32] - bare[:, :32]).mean() > 5
    assert np.abs(right[:, 32:] - bare[:, 32:]).mean() > 5
