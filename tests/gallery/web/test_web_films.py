"""Films as jobs of the web service: painted, limited, and taken up again by another server."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

pytest.importorskip("av")

from films import drawn, pictures_of, times_of, write_film
from serving import running

from adain.engine.loading import load_model
from adain.engine.model import Model
from adain.video import frames as frames_module
from gallery.client import Client, ServiceError
from gallery.database.engine import connect, upgrade
from gallery.database.gallery import starter_gallery
from gallery.database.jobs import Jobs
from gallery.web import films
from gallery.web.app import create_app
from gallery.web.settings import ServeConfig


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture
def serving(model: Model, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Serve with jobs in a file; gives the address, and what stops the server."""
    with ExitStack() as stack:

        def start(**settings: Any) -> tuple[str, Callable[[], None]]:
            engine = connect(f"sqlite:///{tmp_path}/jobs.db")
            upgrade(engine, lambda session: None)
            jobs = stack.enter_context(closing(Jobs(engine)))
            gallery = stack.enter_context(closing(starter_gallery()))
            served = stack.enter_context(ExitStack())
            app = create_app(ServeConfig(**settings), model, gallery, (), jobs)
            root, _ = served.enter_context(running(app))
            return root, served.close

        yield start


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_film_is_a_job_within_limits(serving: Callable[..., Any], tmp_path: Path) -> None:
    root, _ = serving(film_seconds=1, film_bytes=200_000, film_side=48)
    film = write_film(tmp_path / "a.mp4", 12)
    seen: list[tuple[str, float]] = []
    with Client(root) as client:
        limits = client.service().films
        assert limits and (limits.seconds, limits.bytes, limits.side) == (1, 200_000, 48)
        data = client.film(
            film.read_bytes(),
            ["irises"],
            on_change=lambda job: seen.append((job.state, job.progress)),
        )
        (tmp_path / "b.mp4").write_bytes(data)
        assert seen[-1] == ("done", 1)
        assert times_of(tmp_path / "b.mp4") == pytest.approx(times_of(film), abs=1e-6)
        assert times_of(tmp_path / "b.mp4", "audio")
        assert pictures_of(tmp_path / "b.mp4")[0].shape == (36, 48, 3)
        long = write_film(tmp_path / "long.mp4", 60, sound=None).read_bytes()
        part = client.film(long, ["irises"], begin=1.5, container="webp", stable=True)
        (tmp_path / "part.webp").write_bytes(part)
        with Image.open(tmp_path / "part.webp") as image:
            assert image.size == (48, 36)
        for bad, code in ((long, "film-too-long"), (b"text" * 99, "not-a-film")):
            with pytest.raises(ServiceError) as told:
                client.film(bad, ["irises"])
            assert told.value.code == code and str(tmp_path) not in str(told.value)
    big = requests.post(f"{root}/api/v1/jobs?method=film&style=irises", data=b"x" * 200_001)
    assert big.status_code == 413
    frame = requests.post(f"{root}/api/v1/frame?at=0.2", data=film.read_bytes())
    assert frame.headers["X-Picture-Size"] == "64x48" and frame.headers["X-Film-Seconds"] == "0.400"
    (tmp_path / "frame.jpg").write_bytes(frame.content)
    with Image.open(tmp_path / "frame.jpg") as image:
        assert np.abs(np.asarray(image).astype(int) - drawn(6)).mean() < 12


def test_another_server_goes_on_with_a_film(
    serving: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "WINDOW", 8)
    monkeypatch.setattr(films, "SEGMENT_SECONDS", 0.0)
    root, stop = serving()
    film = write_film(tmp_path / "a.mp4", 48, 160, 120, sound=None)
    answer = requests.post(
        f"{root}/api/v1/jobs?method=film&style=irises&stable=true", data=film.read_bytes()
    )
    assert answer.status_code == 202, answer.text
    place = f"/api/v1/jobs/{answer.json()['id']}"

    def progress() -> float:
        return float(requests.get(root + place).json()["progress"])

    wait_for(lambda: progress() > 0.2)
    preview = requests.get(f"{root}{place}/preview")
    assert preview.headers["Content-Type"] == "image/jpeg"
    stop()
    root, _ = serving()
    wait_for(lambda: progress() > 0)
    assert progress() > 0.15
    wait_for(lambda: requests.get(root + place).json()["state"] != "running")
    (tmp_path / "b.mp4").write_bytes(requests.get(f"{root}{place}/result").content)
    assert times_of(tmp_path / "b.mp4") == pytest.approx(times_of(film), abs=1e-6)
    cancelled = requests.post(
        f"{root}/api/v1/jobs?method=film&style=irises", data=film.read_bytes()
    )
    other = f"{root}/api/v1/jobs/{cancelled.json()['id']}"
    assert requests.delete(other).json()["state"] == "cancelled"
    wait_for(lambda: requests.post(f"{root}/api/v1/stylize?style=irises", data=frame_of(film)).ok)


def frame_of(film: Path) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    Image.fromarray(pictures_of(film)[0]).save(buffer, "PNG")
    return buffer.getvalue()
