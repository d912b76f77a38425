"""`adain video`: what it says, what it refuses, and a kill in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("av")
pytest.importorskip("cv2")

from films import times_of, write_film
from PIL import Image

from adain import __version__
from gallery.cli import app
from gallery.cli.video import parse_time
from gallery.use_cases import video

ROOT = Path(__file__).parents[3]

# A run of a tiny network whose segments are as short as can be; it tells each of them.
CHILD = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
import numpy as np, torch
from conftest import TINY_DECODER, TINY_ENCODER
from adain.config import Controls
from adain.engine.loading import load_model
from adain.network.decoder import Decoder
from adain.network.encoder import Encoder
from adain.network.loading import fingerprint, save_decoder, save_encoder
from adain.painting.tiling import measure_pixels
from adain.video import frames
from adain.video.direction import Direction
from gallery.use_cases.film_reading import open_film
from gallery.use_cases.film_writing import Target
from gallery.use_cases.video import VideoConfig, paint_film
torch.manual_seed(0)
encoder = Encoder(TINY_ENCODER)
files = Path("tiny.encoder.safetensors"), Path("tiny.decoder.safetensors")
save_encoder(encoder, files[0], dtype=np.float32)
save_decoder(Decoder(TINY_DECODER), files[1], fingerprint(encoder), dtype=np.float32)
model = load_model("tiny.decoder.safetensors", "cpu")
frames.WINDOW = 8
style = measure_pixels(model, np.random.default_rng(0).random((64, 64, 3), np.float32))
report = paint_film(
    model, open_film(Path("a.mp4")), Target.parse("b.mp4"), Direction(((0.0, style),)),
    Controls(), VideoConfig(segment_seconds=0, stable=True), {}, lambda n: print(n, flush=True),
)
print("done", report.frames, report.resumed)
"""


def test_a_film_is_painted_and_told(tmp_path: Path) -> None:
    source = write_film(tmp_path / "a.mp4", 12)
    mask = tmp_path / "mask.png"
    Image.new("L", (64, 48), 255).save(mask)
    command = ["video", str(source), str(tmp_path / "b.mp4"), "--style", "irises", "--stable"]
    result = CliRunner().invoke(app, [*command, "--json", "--mask", str(mask), "--stroke", "2"])
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["frames"], facts["width"], facts["resumed"]) == (12, 64, 0)
    assert "12 frames of 64x48" in result.stderr
    assert times_of(tmp_path / "b.mp4") == pytest.approx(times_of(source), abs=1e-6)
    parts = ["--style", "irises@person", "--style", "senecio@background", "--keep", "face"]
    result = CliRunner().invoke(app, ["video", str(source), str(tmp_path / "c.mp4"), *parts])
    assert result.exit_code == 0, result.output
    assert "no face found in any frame" in result.stderr
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 4 and "--overwrite" in result.output
    timed = ["--style-at", "0:00=irises", "--style-at", "0:00.2=senecio", "--fade", "0.1"]
    command = ["video", str(source), f"{tmp_path}/out/f_%03d.png", *timed, "--strength-at", "0=.5"]
    result = CliRunner().invoke(app, [*command, "-q", "--preview", "0.3s", "--max-side", "48"])
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out").glob("f_*.png"))) == 9
    again = CliRunner().invoke(app, [*command, "--preview", "0.3s"])
    assert again.exit_code == 4 and "--overwrite" in again.output
    timed = ["--style", "irises", "--style-at", "0:09=senecio", "--strength", "0.5"]
    result = CliRunner().invoke(app, ["video", str(source), str(tmp_path / "d.mp4"), *timed])
    assert "the film ends at 0.4 seconds" in result.stderr
    import av

    with av.open(str(tmp_path / "d.mp4")) as film:
        said = "irises, senecio; strength 0.5; model compact"
        assert film.metadata["comment"] == f"adain {__version__}: {said}"


def test_who_interrupts_a_film_is_told_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(video, "paint_film", interrupted)
    source = write_film(tmp_path / "a.mp4", 3)
    command = ["video", str(source), str(tmp_path / "b.mp4"), "--style", "irises"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 130 and "the same command goes on" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["a.mp4", "b.mp4"], "--style", 2),
        (["a.mp4", "b.avi", "--style", "irises"], ".webm", 2),
        (["a.mp4", "a.mp4", "--style", "irises"], "is the source", 2),
        (["a.mp4", "b.mp4", "--style", "irises", "--from", "2", "--to", "1"], "after", 2),
        (["a.mp4", "b.mp4", "--style", "irises", "--from", "x"], "1:02:03", 2),
        (["a.mp4", "b.mp4", "--style", "irises", "--preview", "x"], "one frame in N", 2),
        (["a.mp4", "b.mp4", "--style", "irises", "--style-at", "senecio"], "TIME=VALUE", 2),
        (["a.mp4", "b.mp4", "--style", "irises", "--strength-at", "0=9"], "alpha", 2),
        (["a.mp4", "b.mp4", "--style", "irises@face", "--only", "face"], "both say where", 2),
        (["a.mp4", "b.mp4", "--style", "x@face", "--style-at", "1=y"], "one style at a time", 2),
        (["a.mp4", "no/b.mp4", "--style", "irises"], "no such folder", 2),
        (["text.mp4", "b.mp4", "--style", "irises"], "not a film", 4),
        (["none.mp4", "b.mp4", "--style", "irises"], "no such file", 4),
        (["a.mp4", "b.mp4", "--style", "irisses"], "irisses", 5),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
    code: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(Path("a.mp4"), 3, sound=None)
    Path("text.mp4").write_text("text\n")
    result = CliRunner().invoke(app, ["video", *arguments])
    assert result.exit_code == code, result.output
    assert words in result.output and "Traceback" not in result.output
    assert sorted(os.listdir()) == ["a.mp4", "text.mp4"]


def test_times_are_read() -> None:
    assert [parse_time(text) for text in ("12.5", "0:12.5", "1:02:03")] == [12.5, 12.5, 3723]
    for text in ("", "x", "1:2:3:4", "-1", "nan"):
        with pytest.raises(ValueError, match="a time is"):
            parse_time(text)


def test_a_kill_loses_no_finished_segment(tmp_path: Path) -> None:
    source = write_film(tmp_path / "a.mp4", 60)
    command = [sys.executable, "-c", CHILD, str(ROOT / "tests"), str(ROOT)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        lines = 0
        while lines < 30 and child.stdout.readline():
            lines += 1
        child.send_signal(signal.SIGKILL)
    assert not (tmp_path / "b.mp4").exists()
    whole = len(list((tmp_path / "b.mp4.parts").glob("*.npz")))
    assert whole >= 2
    begun = time.time()
    finished = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True)
    assert finished.stdout.splitlines()[-1] == f"done 60 {8 * whole}", time.time() - begun
    assert times_of(tmp_path / "b.mp4") == pytest.approx(times_of(source), abs=1e-6)
    sound = times_of(tmp_path / "b.mp4", "audio")
    assert sound == pytest.approx(times_of(source, "audio"), abs=1e-3)
    assert not (tmp_path / "b.mp4.parts").exists()


def test_films_come_and_go_through_pipes(tmp_path: Path) -> None:
    source = write_film(tmp_path / "a.mkv", 6)
    options = ["--style", "irises", "--max-side", "48"]
    result = CliRunner().invoke(app, ["video", "-", "-", *options], input=source.read_bytes())
    assert result.exit_code == 0, result.stderr
    head, _, rest = result.stdout_bytes.partition(b"\n")
    assert head.startswith(b"YUV4MPEG2 W48 H36 F30000:1001 ") and len(rest) == 6 * (6 + 48 * 54)
    film = tmp_path / "b.mp4"
    again = CliRunner().invoke(app, ["video", "-", str(film), *options], input=result.stdout_bytes)
    assert again.exit_code == 0, again.output
    assert times_of(film) == pytest.approx(times_of(source), abs=1e-3)
    for given, words in ((b"text", "not a film"), (b"", "not a film")):
        wrong = CliRunner().invoke(
            app, ["video", "-", str(tmp_path / "c.mp4"), *options], input=given
        )
        assert wrong.exit_code == 4 and words in wrong.output
    assert not list(tmp_path.glob("c.mp4*"))
