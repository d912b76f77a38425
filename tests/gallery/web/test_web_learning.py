"""Learning a painting as a job of the web service."""

import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from pictures import picture
from serving import running

from adain.engine.loading import load_model
from gallery.config import database_url
from gallery.database.gallery import Gallery, make_gallery
from gallery.web.app import create_app
from gallery.web.keys import add_key, load_keys
from gallery.web.settings import ServeConfig


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[str, Gallery]]:
    with (
        closing(make_gallery(database_url(f"{tmp_path}/gallery.db"))) as gallery,
        running(create_app(ServeConfig(), load_model(), gallery)) as (root, _),
    ):
        yield f"{root}/api/v1", gallery


def job_of(root: str, answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    place = answer.headers["Location"].removeprefix("/api/v1")
    until = time.monotonic() + 300  # A busy machine is slow, not wrong.
    while (job := requests.get(root + place).json())["state"] in ("queued", "running"):
        assert time.monotonic() < until
        time.sleep(0.1)
    return dict(job)


def test_a_painting_is_learnt_and_painted_with(service: tuple[str, Gallery]) -> None:
    root, _ = service
    photo: dict[str, Any] = {"data": picture(), "params": {"style": "melancholy", "format": "png"}}
    before = requests.post(f"{root}/stylize", **photo).content
    assert not requests.get(f"{root}/paintings/melancholy").json()["learnt"]
    painting = picture(96, 80)
    answer = requests.post(f"{root}/paintings/melancholy/learn?steps=2", data=painting)
    job = job_of(root, answer)
    assert (job["method"], job["state"], job["progress"]) == ("learn", "done", 1.0)
    assert [loss["step"] for loss in job["losses"]] == [1, 2]
    example = requests.get(root + job["result"].removeprefix("/api/v1"))
    assert example.headers["Content-Type"] == "image/jpeg"
    assert requests.get(f"{root}/paintings/melancholy").json()["learnt"]
    listed = requests.get(f"{root}/paintings", params={"learnt": "true", "q": "melancholy"})
    assert "melancholy" in [each["slug"] for each in listed.json()["paintings"]]
    assert requests.post(f"{root}/stylize", **photo).content != before
    photo["params"]["adapter"] = "false"
    assert requests.post(f"{root}/stylize", **photo).content == before


@pytest.mark.parametrize(
    ("query", "data", "status", "code"),
    [
        ("melancholy/learn", b"", 400, "bad-request"),
        ("melancholy/learn", b"no picture", 415, "not-a-picture"),
        ("melancholy/learn", picture(31, 40), 400, "bad-request"),
        ("nobody-knows-this/learn", picture(), 404, "style-not-found"),
        ("melancholy/learn?steps=0", picture(), 422, "invalid-parameter"),
    ],
    ids=["empty", "text", "tiny", "unknown", "steps"],
)
def test_what_cannot_be_learnt_is_said(
    service: tuple[str, Gallery], query: str, data: bytes, status: int, code: str
) -> None:
    answer = requests.post(f"{service[0]}/paintings/{query}", data=data)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_one_is_learnt_at_a_time_and_can_be_cancelled(service: tuple[str, Gallery]) -> None:
    root, gallery = service
    first = requests.post(f"{root}/paintings/melancholy/learn?steps=600", data=picture(96, 80))
    second = requests.post(f"{root}/paintings/irises/learn", data=picture(96, 80))
    assert second.json()["code"] == "busy" and second.headers["Retry-After"]
    place = root + first.headers["Location"].removeprefix("/api/v1")
    assert requests.delete(place).json()["state"] == "cancelled"
    assert not any(each.name == "melancholy" for each in gallery.adapters())


def test_the_service_says_who_may_teach_it(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keys = {scope: add_key(file, scope, scope) for scope in ("stylize", "admin")}
    with (
        closing(make_gallery(database_url(f"{tmp_path}/gallery.db"))) as gallery,
        running(create_app(ServeConfig(), load_model(), gallery, keys=load_keys(file))) as (url, _),
    ):
        for scope, key in keys.items():
            known = requests.get(f"{url}/api/v1", headers={"X-API-Key": key}).json()
            assert known["learns"] == (scope == "admin")
        colors = requests.get(f"{url}/api/v1/paintings/irises", headers={"X-API-Key": key}).json()
    assert len(colors["colors"]) == 8 and all(
        re.fullmatch("#[0-9a-f]{6}", each) for each in colors["colors"]
    )
