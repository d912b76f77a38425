"""Pictures of the web and of archives into the gallery, through the command."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from pictures import picture
from shipping import ship
from typer.testing import CliRunner, Result

from adain.engine import loading
from adain.engine.model import Model
from gallery.cli import app
from gallery.config import IngestConfig, database_url
from gallery.database.engine import open_database
from gallery.database.gallery import Gallery, make_gallery
from gallery.database.paintings import Painting
from gallery.database.style_files import StyleFile
from gallery.errors import DownloadError
from gallery.ingest import download
from gallery.ingest.pipeline import ingest
from gallery.ingest.sources import Candidate

Run = Callable[..., Result]


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The files of a web of its own by their URLs; `asked` counts what was fetched."""
    files: dict[str, bytes] = {}

    class Fake:
        def __init__(self, config: download.DownloadConfig) -> None:
            self.config = config

        def download(self, url: str, accept: str = "") -> bytes:
            files["asked"] = files.get("asked", b"") + b"."
            if url not in files:
                raise DownloadError(f"{url}: the server answers 404 Not Found")
            return files[url]

        def close(self) -> None:
            files["closed"] = b"yes"

    monkeypatch.setattr(download, "Downloader", Fake)
    return files


@pytest.fixture
def run(tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    empty = StyleFile((), np.zeros((0, 1), np.float32), "")
    ship(empty, monkeypatch)
    monkeypatch.setattr(loading, "load_model", lambda *_, **options: tiny_model)
    monkeypatch.chdir(tmp_path)
    return partial(CliRunner().invoke, app)


def manifest(web: dict[str, bytes], **changes: object) -> None:
    """Three lines, of which the last is not there."""
    web["https://a.org/1.png"], web["https://a.org/2.png"] = (
        picture(40, 30, seed=1),
        picture(40, 30, seed=2),
    )
    rows = [{"url": f"https://a.org/{i}.png", "title": f"Work {i}", "rights": "CC0-1.0",
             "credit": "Gift", "page_url": f"https://a.org/{i}"} for i in (1, 2, 3)]  # fmt: skip
    rows[0].update(changes)  # type: ignore[arg-type]
    Path("m.jsonl").write_text("\n".join(map(json.dumps, rows)))


def test_pictures_of_the_web_need_to_be_asked_for(run: Run, web: dict[str, bytes]) -> None:
    manifest(web)
    result = run(["ingest", "m.jsonl", "-q"])
    assert result.exit_code == 4 and "asked" not in web
    assert "m.jsonl:1: its picture is on the web; add --fetch" in result.stderr


def test_only_the_styles_stay_and_a_second_run_fetches_nothing_known(
    run: Run, web: dict[str, bytes], tmp_path: Path
) -> None:
    manifest(web)
    result = run(["ingest", "m.jsonl", "--fetch"])
    assert (result.exit_code, result.stdout) == (3, "work-1\nwork-2\n")
    assert "m.jsonl:3: https://a.org/3.png: the server answers 404 Not Found\n" in result.stderr
    assert result.stderr.endswith("added=2 known=0 failed=1\n")
    assert len(web["asked"]) == 3 and web["closed"]
    gallery = Gallery(open_database(database_url()))
    painting = gallery.find("work-1")
    assert (painting.path, painting.rights, painting.credit) == (None, "CC0-1.0", "Gift")
    assert not list(tmp_path.glob("**/*.png"))
    again = run(["ingest", "m.jsonl", "--fetch"])
    assert again.stderr.endswith("added=0 known=2 failed=1\n") and len(web["asked"]) == 4


def test_kept_pictures_are_files_like_others(run: Run, web: dict[str, bytes]) -> None:
    manifest(web)
    web["https://a.org/2.png"] = b"no picture"
    assert run(["ingest", "m.jsonl", "--fetch", "--keep", "kept/here"]).exit_code == 3
    (path,) = Path("kept/here").iterdir()  # What is no picture is not kept.
    assert path.name.startswith("work-1-") and path.read_bytes() == web["https://a.org/1.png"]
    painting = Gallery(open_database(database_url())).find("work-1")
    assert painting.path == str(path.absolute())
    asked = len(web["asked"])
    # The first is there, the second is still none, the third is still missing.
    assert "known=1" in run(["ingest", "m.jsonl", "--fetch", "--keep", "kept/here"]).stderr
    assert len(web["asked"]) == asked + 2


def test_pictures_can_be_kept_later(run: Run, web: dict[str, bytes]) -> None:
    manifest(web)
    run(["ingest", "m.jsonl", "--fetch"])
    assert "known=2" in run(["ingest", "m.jsonl", "--fetch", "--keep", "kept"]).stderr
    assert len(list(Path("kept").iterdir())) == 2
    painting = Gallery(open_database(database_url())).find("work-1")
    assert painting.path is not None and Path(painting.path).is_file()


def test_a_dry_run_keeps_nothing(run: Run, web: dict[str, bytes], database: Path) -> None:
    manifest(web)
    result = run(["ingest", "m.jsonl", "--fetch", "--keep", "kept", "--dry-run"])
    assert "new=2" in result.stderr and not database.exists() and not Path("kept").exists()


def test_a_digest_of_the_manifest_is_compared(run: Run, web: dict[str, bytes]) -> None:
    manifest(web, sha256="0" * 64)
    result = run(["ingest", "m.jsonl", "--fetch", "--keep", "kept"])
    assert "m.jsonl:1: differs from the sha256" in result.stderr
    assert [path.name[:7] for path in Path("kept").iterdir()] == ["work-2-"]
    manifest(web, sha256=hashlib.sha256(web["https://a.org/1.png"]).hexdigest())
    assert "added=1 known=1" in run(["ingest", "m.jsonl", "--fetch"]).stderr


def test_wrong_combinations_are_usage_errors(run: Run, web: dict[str, bytes]) -> None:
    manifest(web)
    assert run(["ingest", "m.jsonl", "--keep", "kept"]).exit_code == 2
    assert run(["ingest", "m.jsonl", "--fetch", "--contact", "a\nb"]).exit_code == 2
    Path("file").touch()
    result = run(["ingest", "m.jsonl", "--fetch", "--keep", "file"])
    assert result.exit_code == 4 and "file: cannot be made" in result.stderr


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A manifest of one picture on a web server of this machine."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "moon.png").write_bytes(picture(40, 30, seed=1))

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/moon.png"
        (tmp_path / "m.jsonl").write_text(json.dumps({"url": url}))
        yield url
        server.shutdown()


def test_a_picture_comes_from_a_server(
    run: Run, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = partial(download.Downloader, permits=lambda _: True, ports=None)
    monkeypatch.setattr(download, "Downloader", allowed)
    result = run(["ingest", "m.jsonl", "--fetch", "--keep", "kept"])
    assert (result.exit_code, result.stdout) == (0, "moon\n")
    assert [path.read_bytes() for path in Path("kept").iterdir()] == [
        Path("served/moon.png").read_bytes()
    ]


def test_the_command_fetches_nothing_from_this_machine(
    run: Run, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(["ingest", "m.jsonl", "--fetch", "-q"])
    assert result.exit_code == 4 and "is not one of the web" in result.stderr
    allowed = partial(download.Downloader, ports=None)
    monkeypatch.setattr(download, "Downloader", allowed)
    result = run(["ingest", "m.jsonl", "--fetch", "-q"])
    assert result.exit_code == 4 and "the address is not public" in result.stderr


def test_an_interrupt_does_not_wait_for_the_web(
    run: Run, tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery, stopped = make_gallery(database_url()), threading.Event()
    reads: list[Callable[[], bytes]] = [partial(picture, 40, 30), lambda: b"x" * stopped.wait(60)]
    candidates = [Candidate("", Painting("", "title"), read=read) for read in reads]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gallery.ingest.pipeline.measure_style", interrupt)
    monkeypatch.setattr("gallery.ingest.pipeline.BATCH", 1)
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            ingest(gallery, candidates * 4, tiny_model, IngestConfig(jobs=1), lambda _: None)
        assert time.monotonic() - start < 20
    finally:
        stopped.set()


def test_an_archive_is_read_without_unpacking(run: Run, tmp_path: Path) -> None:
    data = picture(40, 30, seed=1)
    with ZipFile("p.zip", "w") as archive:
        archive.writestr("a/moon.png", data)
        archive.writestr("a/copy.png", data)
        archive.writestr("bad.png", b"no picture")
        archive.writestr("../out.png", data)
    result = run(["ingest", "p.zip", "--json"])
    found = {row["source"]: row["status"] for row in map(json.loads, result.stdout.splitlines())}
    assert found == {
        "p.zip/../out.png": "failed",
        "p.zip/a/copy.png": "added",
        "p.zip/a/moon.png": "known",
        "p.zip/bad.png": "failed",
    }
    assert result.exit_code == 3 and "p.zip/bad.png: " in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"p.zip", "data", "cache"}
