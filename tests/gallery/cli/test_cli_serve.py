"""`adain serve` as its users run it, and the keys for it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image
from typer.testing import CliRunner

from gallery.cli import app
from gallery.cli.exits import ExitCode


def picture(side: int) -> bytes:
    buffer = BytesIO()
    Image.effect_noise((side, side), 90).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


@contextmanager
def serving(*options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "gallery", "serve", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    try:
        assert process.stdout
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_sigterm_finishes_what_was_accepted_and_ends_well() -> None:
    with serving() as (process, url):
        assert url.startswith("http://127.0.0.1:")
        answers: list[requests.Response] = []

        def ask() -> None:
            data = picture(1500)
            answers.append(requests.post(f"{url}/api/v1/stylize?style=irises", data=data))

        thread = threading.Thread(target=ask)
        thread.start()
        until = time.monotonic() + 30
        while "adain_painting 1.0" not in requests.get(f"{url}/api/v1/metrics").text:
            assert thread.is_alive() and time.monotonic() < until
        process.send_signal(signal.SIGTERM)
        thread.join(60)
        assert answers[0].status_code == 200
        assert Image.open(BytesIO(answers[0].content)).size == (1500, 1500)
        assert process.wait(30) == 0


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["serve", "--port", port])
    assert result.exit_code == ExitCode.FAILED
    assert "cannot listen there" in result.stderr and len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "make a key"),
        (["--port", "70000"], "port must be"),
        (["--max-side", "5"], "max-side must be"),
        (["--origin", "*"], "origins"),
        (["--device", "tpu"], "unknown device"),
    ],
)
def test_mistakes_are_told_before_anything_is_served(
    options: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["serve", *options])
    assert result.exit_code == ExitCode.USAGE
    assert words in " ".join(result.stderr.split())


def test_keys_are_made_listed_and_removed(tmp_path: Path) -> None:
    def key(*arguments: str) -> Any:
        return CliRunner().invoke(
            app, ["key", *arguments, "--keys", str(tmp_path / "k" / "k.json")]
        )

    made = key("add", "anna", "--scope", "read")
    assert made.exit_code == 0 and made.stdout.startswith("adain_")
    assert key("list").stdout == "anna  read\n"
    assert key("add", "anna").exit_code == ExitCode.FAILED
    assert key("add", "ben", "--scope", "king").exit_code == ExitCode.USAGE
    assert key("remove", "anna").exit_code == 0
    assert key("list").stdout == ""
    assert key("remove", "anna").exit_code == ExitCode.FAILED


def test_a_damaged_file_of_keys_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    for text in ("{", '{"a": 1}', '[{"name": "a", "sha256": "short", "scope": "read"}]', "[3]"):
        path.write_text(text)
        result = CliRunner().invoke(app, ["serve", "--keys", str(path)])
        assert result.exit_code == ExitCode.FAILED
        assert "file of keys" in result.stderr


@pytest.mark.slow
def test_what_was_accepted_survives_a_kill(database: Path) -> None:
    """Nothing that got a 202 is lost: another process does it."""
    with serving() as (process, url):
        where = []
        for i in range(6):
            answer = requests.post(f"{url}/api/v1/jobs?style=irises", data=picture(900 + i))
            assert answer.status_code == 202
            where.append(answer.headers["Location"])
        process.kill()
    with serving() as (_, url):
        until = time.monotonic() + 90
        for i, path in enumerate(where):
            while (job := requests.get(url + path).json())["state"] != "done":
                assert job["state"] in ("queued", "running") and time.monotonic() < until
                time.sleep(0.2)
            image = Image.open(BytesIO(requests.get(url + job["result"]).content))
            assert image.size == (900 + i, 900 + i)
    assert database.exists()
