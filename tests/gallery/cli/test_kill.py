"""An ingest that is killed at any moment loses nothing that it has acknowledged."""

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from gallery.config import database_url
from gallery.database.engine import integrity, open_database
from gallery.database.gallery import Gallery, starter_gallery

ROUNDS, SOURCES, PICTURES, SHARED = 50, 15, 24, 4

# Forks a run for each line of arguments, so that a round need not import anything.
SERVER = """
import contextlib, io, json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import TINY_DECODER, TINY_ENCODER
import numpy as np
import torch
from adain.engine import loading
from adain.network.decoder import Decoder
from adain.network.encoder import Encoder
from adain.network.loading import fingerprint, save_decoder, save_encoder
from gallery.ingest import download
from gallery.ingest import pipeline as ingest
from gallery.cli import app
import alembic.command

torch.set_num_threads(1)
torch.manual_seed(0)
encoder = Encoder(TINY_ENCODER)
files = Path("tiny.encoder.safetensors"), Path("tiny.decoder.safetensors")
save_encoder(encoder, files[0], dtype=np.float32)
save_decoder(Decoder(TINY_DECODER), files[1], fingerprint(encoder))
model = loading.load_model("tiny.decoder.safetensors", "cpu")
loading.load_model = lambda *_, **options: model
ingest.BATCH = 4
Downloader, config = download.Downloader, download.DownloadConfig(interval=0)
download.Downloader = lambda _: Downloader(config, permits=lambda _: True, ports=None)
try:
    with contextlib.redirect_stdout(io.StringIO()):  # Imports what is left.
        app(["ingest", "--dry-run", "--quiet", "--device", "cpu", "web/0.png"])
except SystemExit:
    print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(os.open("acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
        os.write(1, b"\\n")  # The last line may have lost its end.
        try:
            app(["ingest", "--json", "-q", "--jobs", "2", "--device", "cpu", *json.loads(line)])
        except SystemExit as end:
            os._exit(end.code)  # Without what the parent registered for its own end.
        finally:
            os._exit(99)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Runs:
    """Runs of `adain ingest` in processes that begin at once."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "acknowledged"
        self._log.touch()
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(Path(__file__).parents[2])],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._read() == "ready"

    def acknowledged(self) -> list[str]:
        """Return the digests of the pictures that were said to be in the gallery."""
        lines = [line for line in self._log.read_text().splitlines() if line.endswith("}")]
        return [row["sha256"] for row in map(json.loads, lines) if row["status"] != "failed"]

    def run(self, *arguments: str, until: int | None = None, pause: float = 0) -> int:
        """Return the exit code; negative if it was killed, after so many pictures and seconds."""
        before = len(self.acknowledged())
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(arguments) + "\n")
        process = int(self._read())
        if until is not None:
            while len(self.acknowledged()) - before < until and not self._ended(0.002):
                pass
            if not self._ended(pause):
                with contextlib.suppress(ProcessLookupError):  # It may end at this very moment.
                    os.kill(process, signal.SIGKILL)
        return int(self._read())

    def close(self) -> None:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(20)
        self._server.stdout.close()

    def _read(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()

    def _ended(self, seconds: float) -> bool:
        assert self._server.stdout is not None
        return bool(select.select([self._server.stdout], [], [], seconds)[0])


@pytest.fixture
def runs(tmp_path: Path, database: Path, pictures: str) -> Iterator[Runs]:
    runs = Runs(tmp_path)
    yield runs
    runs.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Iterator[str]:
    """The URL of a folder of pictures, all different."""
    folder = tmp_path / "web"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for i in range(SOURCES * (PICTURES - SHARED) + SHARED):
        pixels = generator.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def sources(tmp_path: Path, url: str) -> list[list[str]]:
    """Return the arguments of folders, archives and manifests, each with pictures of the next."""
    made = []
    for i in range(SOURCES):
        first = i * (PICTURES - SHARED)
        files = [tmp_path / "web" / f"{n}.png" for n in range(first, first + PICTURES)]
        if i % 3 == 0:
            (tmp_path / f"{i}").mkdir()
            for file in files:
                os.link(file, tmp_path / f"{i}" / file.name)
            made.append([f"{i}"])
        elif i % 3 == 1:
            with ZipFile(tmp_path / f"{i}.zip", "w") as archive:
                for file in files:
                    archive.write(file, file.name)
            made.append([f"{i}.zip"])
        else:
            rows = [json.dumps({"url": f"{url}/{file.name}"}) for file in files]
            (tmp_path / f"{i}.jsonl").write_text("\n".join(rows))
            made.append([f"{i}.jsonl", "--fetch", "--keep", "kept"])
    return made


def check(acknowledged: Sequence[str]) -> None:
    engine = open_database(database_url())
    assert integrity(engine) == []
    gallery = Gallery(engine)
    assert set(acknowledged) <= {painting.sha256 for painting in gallery.page(limit=10_000)}
    assert gallery.damaged_vectors() == []
    gallery.close()


@pytest.mark.slow
def test_killed_at_fifty_moments_it_loses_nothing(
    tmp_path: Path, database: Path, runs: Runs, pictures: str
) -> None:
    generator = random.Random(os.environ.get("ADAIN_TEST_SEED", "0"))
    choices = sources(tmp_path, pictures)
    killed = 0
    while killed < ROUNDS:
        arguments = generator.choice(choices)
        code = runs.run(
            *arguments, until=generator.randrange(PICTURES), pause=generator.uniform(0, 0.1)
        )
        assert code in (0, -signal.SIGKILL)
        killed += code != 0
        if database.exists() and killed % 10 == 0:
            check(runs.acknowledged())
    for stray in tmp_path.rglob(".adain-*"):
        os.utime(stray, (0, 0))  # Of young ones it is not known that nobody writes them.
    for arguments in choices:
        assert runs.run(*arguments) == 0
    check(runs.acknowledged())
    gallery = Gallery(open_database(database_url()))
    found = [p for p in gallery.page(limit=10_000) if p.source != "starter" and p.width == 32]
    everything = {file.read_bytes() for file in (tmp_path / "web").iterdir()}
    assert len(found) == len({p.pixel_sha256 for p in found}) == len(everything)
    assert len(gallery.hashes()[0]) == len(starter_gallery().hashes()[0]) + len(everything)
    gallery.close()
    kept = [path.read_bytes() for path in (tmp_path / "kept").iterdir()]
    assert len(kept) == len(set(kept)) == SOURCES // 3 * PICTURES and set(kept) <= everything
    assert not list(tmp_path.rglob(".adain-*"))
    names = {path.name for path in database.parent.iterdir()}
    assert names <= {"gallery.db", "gallery.db-wal", "gallery.db-shm"}
