"""Several server processes on one gallery: whichever dies, what it accepted is done."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO

import pytest
import requests
from pictures import picture
from PIL import Image

from gallery.database.jobs import LEASE_SECONDS

pytestmark = pytest.mark.slow

JOBS = "/api/v1/jobs?style=irises&format=png"
RENDER = f"{JOBS}&method=render&time_limit=60"


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest) -> None:
    """Choose the database that all servers of a test use."""
    if request.param == "postgresql":
        request.getfixturevalue("postgresql")


@contextmanager
def serving(count: int) -> Iterator[list[tuple[subprocess.Popen[str], str]]]:
    """Servers that were started at the same time, with their addresses."""
    with ExitStack() as stack:
        servers = []
        for _ in range(count):
            server = subprocess.Popen(
                [sys.executable, "-m", "gallery", "serve", "--port", "0"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            stack.callback(server.communicate)
            stack.callback(server.kill)
            servers.append(server)
        yield [(server, server.stdout.readline().strip()) for server in servers if server.stdout]


def submit(root: str, query: str, data: bytes) -> str:
    answer = requests.post(root + query, data=data, timeout=30)
    assert answer.status_code == 202, answer.text
    return answer.headers["Location"]


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def state(root: str, where: str) -> str:
    answer = requests.get(root + where, timeout=30)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["state"])


def size(root: str, where: str) -> tuple[int, int]:
    return Image.open(BytesIO(requests.get(f"{root}{where}/result", timeout=30).content)).size


def test_a_job_is_seen_followed_and_cancelled_by_every_server(shared: None) -> None:
    with serving(2) as [(_, one), (_, other)]:
        where = submit(one, RENDER, picture(400, 300))
        wait_for(lambda: len(requests.get(other + where).json()["losses"]) > 2)
        assert requests.get(f"{other}{where}/preview").status_code == 200
        with requests.get(f"{other}{where}/events", stream=True, timeout=30) as events:
            lines = events.iter_lines(decode_unicode=True)
            first = json.loads(next(lines).removeprefix("data:"))
            assert first["state"] == "running" and first["losses"]
            assert requests.delete(other + where).json()["state"] == "cancelled"
            told = [json.loads(line[5:]) for line in lines if line.startswith("data:")]
        assert told[-1]["state"] == "cancelled"
        # Whoever rendered it notices, and is free for others.
        where = submit(other, JOBS, picture(64, 48))
        wait_for(lambda: state(one, where) == "done", 30)
        assert size(one, where) == size(other, where) == (64, 48)


@contextmanager
def rendering() -> Iterator[tuple[subprocess.Popen[str], str, str, str]]:
    """Two servers and a render: the one that works on it, its address, the other's, the job."""
    with serving(2) as [(first, one), (second, other)]:
        where = submit(one, RENDER, picture(400, 300))
        wait_for(lambda: len(requests.get(one + where).json()["losses"]) > 2)
        wait_for(lambda: paints(one) or paints(other))
        if paints(one):
            yield first, one, other, where
        else:
            yield second, other, one, where


def paints(root: str) -> bool:
    return "adain_painting 1.0" in requests.get(f"{root}/api/v1/metrics", timeout=30).text


def losses(root: str, where: str) -> list[float]:
    told = requests.get(root + where, timeout=30).json()["losses"]
    assert [loss["step"] for loss in told] == list(range(1, len(told) + 1))
    return [loss["loss"] for loss in told]


def test_a_server_that_is_killed_leaves_its_job_to_the_other(shared: None) -> None:
    with rendering() as (working, one, other, where):
        others = [submit(one, JOBS, picture(64 + i, 48, seed=i)) for i in range(6)]
        working.kill()
        working.wait()
        begun, before = time.monotonic(), len(losses(other, where))
        assert state(other, where) == "running"
        wait_for(lambda: len(losses(other, where)) > before)
        assert time.monotonic() - begun > LEASE_SECONDS / 2  # Until then nobody else may have it.
        requests.delete(other + where)
        wait_for(lambda: all(state(other, each) == "done" for each in others))
        assert [size(other, each) for each in others] == [(64 + i, 48) for i in range(6)]


def test_nothing_that_was_acknowledged_is_lost_whenever_a_server_dies(shared: None) -> None:
    chance, accepted, sent = random.Random(0), list[tuple[str, int]](), 0
    with serving(4) as [(_, other), *dying]:
        for killed, one in dying:
            timer = threading.Timer(chance.uniform(0.1, 1.0), killed.kill)
            with suppress(requests.RequestException):
                while killed.poll() is None:
                    sent += 1
                    answer = requests.post(one + JOBS, data=picture(64 + sent, 48), timeout=30)
                    if answer.status_code == 202:
                        accepted.append((answer.headers["Location"], 64 + sent))
                        if timer.ident is None:  # Not before there is something to lose.
                            timer.start()
            timer.join()
        wait_for(lambda: all(state(other, where) == "done" for where, _ in accepted))
        for where, width in accepted:
            assert size(other, where) == (width, 48)


def test_a_server_that_is_told_to_stop_drains_and_hands_its_render_on(shared: None) -> None:
    with rendering() as (working, one, other, where):
        answers: list[requests.Response] = []
        data = picture(1400, 1300)

        def ask() -> None:
            query = "/api/v1/stylize?style=irises&format=png"
            answers.append(requests.post(one + query, data=data, timeout=60))

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.5)
        working.send_signal(signal.SIGTERM)
        assert working.wait(30) == 0
        thread.join()
        assert answers[0].status_code == 200
        assert Image.open(BytesIO(answers[0].content)).size == (1400, 1300)
        # It was given back, so nobody waits for a lease; and it goes on where it was.
        wait_for(lambda: paints(other), LEASE_SECONDS / 2)
        before = len(losses(other, where))
        assert before > 2
        wait_for(lambda: len(losses(other, where)) > before)
        told = losses(other, where)
        assert told[before] < told[0]
