import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shipping import ship
from typer.testing import CliRunner, Result

from adain.engine import loading
from adain.engine.model import Model
from adain.imaging.picture import Picture
from adain.painting.measuring import measure_style
from gallery.cli import app
from gallery.cli.batch import _Log
from gallery.database.paintings import Painting
from gallery.database.style_files import StyleFile
from gallery.use_cases.batch import BatchJob, BatchStep
from gallery.use_cases.journal import JOURNAL, Journal

Run = Callable[..., Result]

ROOT = Path(__file__).parents[3]


def draw(path: Path, seed: int = 0, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def results(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def entries(folder: Path) -> list[str]:
    lines = (folder / JOURNAL).read_text().split("\n")
    return [json.loads(line)["output"] for line in lines if line]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for i, name in enumerate(("a.png", "b.png", "cats/c.png")):
        draw(Path("in", name), i)
    draw(Path("mosaic.png"), 8)
    return folder


@pytest.fixture
def run(tiny_model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `adain batch in out` with a tiny model and a gallery of three styles."""
    monkeypatch.setattr(loading, "load_model", lambda *_, **options: tiny_model)
    names = ("irises", "senecio", "melancholy")
    paintings = tuple(
        Painting(name, name, sha256=f"{i:064}", pixel_sha256=f"{i:064}")
        for i, name in enumerate(names)
    )
    noise = np.random.default_rng(0).random((len(names), 32, 32, 3), np.float32)
    vectors = [measure_style(tiny_model, Picture(each)).to_vector() for each in noise]
    shipped = StyleFile(paintings, np.concatenate(vectors), tiny_model.fingerprint)
    ship(shipped, monkeypatch)
    return lambda *arguments: CliRunner().invoke(app, ["batch", "in", "out", *arguments])


def test_paths_are_printed_and_a_second_run_skips(run: Run) -> None:
    first = run("--style", "mosaic.png")
    assert (first.exit_code, first.stderr) == (0, "adain: done=2 skipped=0 failed=0\n")
    assert sorted(first.stdout.split()) == ["out/a.mosaic.png", "out/b.mosaic.png"]
    again = run("--style", "mosaic.png", "-r")
    assert (again.exit_code, again.stdout) == (0, "out/cats/c.mosaic.png\n")
    assert again.stderr == "adain: done=1 skipped=2 failed=0\n"


def test_many_styles_at_once(run: Run) -> None:
    for i in range(10):  # More than a mixture may have.
        draw(Path(f"styles/{i}.png"), i)
    Path("list.txt").write_text("irises\nstyles/1.png  # again\n")
    every = {f"out/a.{i}.png" for i in range(10)}
    only = ("--include", "a.png")
    for arguments in (
        ["--style", "styles/"],
        ["--style", "styles/*.png"],
        ["--style", *(f"styles/{i}.png" for i in range(10))],
    ):
        found = run(*arguments, *only, "--dry-run")
        assert set(found.stdout.split()) == every, found.stderr
    listed = run("--styles-from", "list.txt", "--style", "mosaic.png", *only)
    expected = ["out/a.1.png", "out/a.irises.png", "out/a.mosaic.png"]
    assert sorted(listed.stdout.split()) == expected, listed.stderr


def test_styles_for_parts_of_photos_make_one_result(run: Run) -> None:
    parts = ("--style", "irises@subject", "--style", "mosaic.png@background")
    result = run(*parts)
    assert result.exit_code == 0, result.output
    made = {"a.irises+mosaic.png", "b.irises+mosaic.png"}
    assert {name for name in results(Path("out")) if name.endswith(".png")} == made
    assert "a.png: no person found" in result.stderr
    assert "skipped=2" in run(*parts).stderr
    other = ("--style", "irises@face", "--style", "mosaic.png@background")
    assert "done=2" in run(*other).stderr


def test_styles_that_are_none_give_one_line(run: Run) -> None:
    Path("empty").mkdir()
    empty = run("--style", "empty")
    assert (empty.exit_code, empty.stderr.count("\n")) == (5, 1)
    assert "a folder without pictures" in empty.stderr
    none = run()
    assert none.exit_code == 2 and "Missing option '--style': the painting" in none.stderr


def test_the_exit_code_tells_whether_some_or_all_failed(run: Run) -> None:
    Path("in/bad.png").write_text("nothing")
    some = run("--style", "mosaic.png")
    assert (some.exit_code, some.stderr.count("\n")) == (3, 2)
    assert some.stderr.endswith("adain: done=2 skipped=0 failed=1\n")
    assert run("--style", "mosaic.png", "--include", "bad*").exit_code == 4
    nothing = run("--style", "mosaic.png", "--include", "*.jpg")
    assert (nothing.exit_code, "no photos" in nothing.stderr) == (0, True)


def test_a_dry_run_writes_nothing(run: Run) -> None:
    result = run("--style", "mosaic.png", "--dry-run", "-r")
    assert (result.exit_code, result.stderr) == (0, "adain: new=3 skipped=0 failed=0\n")
    assert "out/cats/c.mosaic.png" in result.stdout.split()
    assert not Path("out").exists()
    run("--style", "mosaic.png")
    result = run("--style", "mosaic.png", "--dry-run", "-r")
    assert result.stdout.split() == ["out/cats/c.mosaic.png"]


def test_json_and_the_report_say_what_became_of_each(run: Run) -> None:
    Path("in/bad.png").write_text("nothing")
    result = run("--style", "mosaic.png", "--json", "--report", "report.jsonl")
    assert Path("report.jsonl").read_text() == result.stdout
    rows = {row["photo"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert (rows["a.png"]["status"], rows["a.png"]["width"]) == ("done", 40)
    assert rows["bad.png"]["status"] == "failed" and "bad.png" in rows["bad.png"]["error"]


def test_a_report_without_a_place_is_refused_before_anything_is_made(run: Run) -> None:
    for report in ("gone/report.jsonl", "in"):
        result = run("--style", "mosaic.png", "--report", report)
        assert (result.exit_code, result.stderr.count("\n")) == (4, 1)
        assert f"{report}: cannot be written" in result.stderr
        assert not Path("out").exists()
    assert run("--style", "mosaic.png", "--report", "out/report.jsonl").exit_code == 0
    assert len(Path("out/report.jsonl").read_text().splitlines()) == 2


def test_styles_of_the_gallery_at_random(run: Run) -> None:
    options = ("--style", "random", "--per-photo", "2", "--seed", "7", "-r")
    assert run(*options).stderr == "adain: done=6 skipped=0 failed=0\n"
    assert run(*options).stderr == "adain: done=0 skipped=6 failed=0\n"
    assert len({name.partition(".")[0] for name in entries(Path("out"))}) == 3


@pytest.mark.parametrize(
    "options",
    [
        ("--assign", "best"),
        ("--per-photo", "2"),
        ("--jobs", "0"),
        ("--format", "gif"),
        ("--watch", "--dry-run"),
        ("--seed", "7"),
        ("--style", "random"),
        ("--style", "mosaic.png=2"),
        ("--style", "irises@face", "--assign", "nearest"),
        ("--style", "irises@face", "--only", "face"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_written(run: Run, options: Sequence[str]) -> None:
    assert run("--style", "mosaic.png", *options).exit_code == 2
    assert not Path("out").exists()


def test_folders_that_make_no_sense_are_refused(run: Run, folder: Path) -> None:
    for source, output in (("gone", "out"), ("in", "in/../in"), ("in", "mosaic.png")):
        arguments = ["batch", source, output, "--style", "mosaic.png"]
        assert CliRunner().invoke(app, arguments).exit_code == 2


# Processes: with the shipped network, and killed


def start(folder: Path, *arguments: str, **options: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "gallery", "batch", "in", "out", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def has_results(folder: Path, count: int) -> bool:
    return len(list(folder.glob("*.png"))) >= count


def finish(process: "subprocess.Popen[str]") -> tuple[str, str]:
    return process.communicate(timeout=120)


def handles_signals(process: "subprocess.Popen[str]") -> bool:
    """Return whether the command has begun, which handles SIGTERM; before, Python starts."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < end and process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.fixture
def photos(folder: Path) -> int:
    """Add photos until there are enough to kill a run in their middle."""
    for i in range(22):
        draw(folder / "in" / f"p{i:02}.png", i, (160, 120))
    return 24


def test_killed_in_the_middle_nothing_is_lost_and_nothing_done_twice(
    folder: Path, photos: int
) -> None:
    out = folder / "out"
    for kills in range(1, 4):
        process = start(folder, "--style", "mosaic.png")
        wait_for(partial(has_results, out, 4 * kills), process)
        process.send_signal(signal.SIGKILL)
        finish(process)
        for path in out.glob("*.png"):
            Image.open(path).load()
    made = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert 12 <= len(made) < photos
    process = start(folder, "--style", "mosaic.png")
    _, errors = finish(process)
    assert process.returncode == 0
    assert errors == f"adain: done={photos - len(made)} skipped={len(made)} failed=0\n"
    assert all((out / name).stat().st_mtime_ns == changed for name, changed in made.items())
    assert len(results(out)) == photos + 1
    assert not list(out.rglob(".adain*"))


def test_two_runs_on_one_folder_share_the_work(folder: Path, photos: int) -> None:
    both = [start(folder, "--style", "mosaic.png", "--jobs", "1") for _ in range(2)]
    errors = [finish(process)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    done = [int(line.partition("done=")[2].partition(" ")[0]) for line in errors]
    assert sum(done) == photos
    written = entries(folder / "out")
    assert len(written) == len(set(written)) == photos
    assert len(results(folder / "out")) == photos + 1


def test_the_work_of_a_killed_run_is_taken_over_by_one_that_waits(folder: Path) -> None:
    out = folder / "out"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from gallery.use_cases.journal import Journal\n"
        "journal = Journal(Path('out')); journal.work_folder().joinpath('half').write_text('x')\n"
        "with journal.claim('a.mosaic.png') as ours: print(ours, flush=True); time.sleep(600)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    holder = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"True\n"
    process = start(folder, "--style", "mosaic.png")
    try:
        wait_for((out / "b.mosaic.png").exists, process)
        time.sleep(1.5)
        assert process.poll() is None and not (out / "a.mosaic.png").exists()
    finally:
        holder.kill()
        holder.communicate()
    assert finish(process)[1] == "adain: done=2 skipped=0 failed=0\n"
    assert not list(out.rglob(".adain*"))


def test_a_full_disk_leaves_nothing_behind_and_the_next_run_goes_on(folder: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    process = start(folder, "--style", "mosaic.png", preexec_fn=limit)
    _, errors = finish(process)
    assert process.returncode == 4
    assert "Traceback" not in errors and errors.count("mosaic.png: cannot be written") == 2
    assert results(folder / "out") == {JOURNAL}
    process = start(folder, "--style", "mosaic.png")
    assert finish(process)[1] == "adain: done=2 skipped=0 failed=0\n"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root mounts")
@pytest.mark.parametrize("size", ["8k", "40k"])
def test_a_disk_that_fills_up_for_real_keeps_what_is_whole(folder: Path, size: str) -> None:
    out = folder / "out"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(out)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        draw(folder / "in" / "large.png", 7, (400, 300))
        process = start(folder, "--style", "mosaic.png", "--jobs", "1")
        _, errors = finish(process)
        assert process.returncode in (3, 4)
        assert "Traceback" not in errors and "free space" in errors
        assert "large.mosaic.png" not in results(out)
        for path in out.glob("*.png"):
            Image.open(path).load()
        assert not list(out.rglob(".adain*"))
        subprocess.run(["mount", "-o", "remount,size=8m", str(out)], check=True)
        process = start(folder, "--style", "mosaic.png")
        _, errors = finish(process)
        assert process.returncode == 0 and "failed=0" in errors
        assert len(results(out)) == 3 + 1
    finally:
        subprocess.run(["umount", str(out)], check=True)


def test_a_journal_that_a_full_disk_cut_short_goes_on(folder: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))

    (folder / "out").mkdir()
    (folder / "out" / JOURNAL).write_text("\n" * 7900)
    process = start(folder, "--style", "mosaic.png", "--jobs", "1", preexec_fn=limit)
    _, errors = finish(process)
    assert process.returncode == 4 and "check the free space" in errors
    assert results(folder / "out") == {JOURNAL}
    process = start(folder, "--style", "mosaic.png")
    assert finish(process)[1] == "adain: done=2 skipped=0 failed=0\n"
    journal = Journal(folder / "out", read_only=True)
    assert journal.entry("a.mosaic.png") and journal.entry("b.mosaic.png")


def test_a_watched_folder_is_served_until_ctrl_c(folder: Path) -> None:
    process = start(folder, "--style", "mosaic.png", "--watch")
    wait_for((folder / "out" / "b.mosaic.png").exists, process)
    draw(folder / "in" / "late.png", 5)
    wait_for((folder / "out" / "late.mosaic.png").exists, process)
    process.send_signal(signal.SIGINT)
    output, errors = finish(process)
    assert process.returncode == 0
    assert errors == "adain: stopped watching\nadain: done=3 skipped=0 failed=0\n"
    assert len(output.split()) == 3
    assert not list((folder / "out").rglob(".adain*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_ends_what_is_begun(
    folder: Path, photos: int, number: signal.Signals
) -> None:
    process = start(folder, "--style", "mosaic.png")
    wait_for(lambda: len(list((folder / "out").glob("*.png"))) >= 3, process)
    process.send_signal(number)
    output, errors = finish(process)
    assert process.returncode == 130
    done = len(output.split())
    assert errors == f"adain: done={done} skipped=0 failed=0\nadain: interrupted\n"
    assert not list((folder / "out").rglob(".adain*"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_an_interrupt_at_any_moment_is_one_line(folder: Path) -> None:
    """While modules load, options are read, photos are made, and at the very end."""
    command = ("--style", "mosaic.png", "--dry-run")
    first = time.monotonic()
    finish(start(folder, *command))
    whole = time.monotonic() - first
    for part in (0, 0.05, 0.3, 0.5, 0.7, 0.9, 1.0):
        process = start(folder, *command)
        wait_for(partial(handles_signals, process), process)
        time.sleep(part * whole)
        process.send_signal(signal.SIGINT)
        _, errors = finish(process)
        assert process.returncode in (0, 130), errors
        assert errors.splitlines()[-1] == (
            "adain: interrupted" if process.returncode else "adain: new=2 skipped=0 failed=0"
        )
        assert "Traceback" not in errors


def test_what_is_counted_is_printed_whenever_ctrl_c_comes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupting(io.StringIO):
        def flush(self) -> None:
            signal.raise_signal(signal.SIGINT)

    log = _Log(as_json=False, report=Interrupting(), debug=False)
    with pytest.raises(KeyboardInterrupt):
        log.step(BatchStep(BatchJob("a.png", 0), "done", tmp_path / "a.png"))
    assert capsys.readouterr().out == f"{tmp_path / 'a.png'}\n"
    assert log.summary() == "done=1 skipped=0 failed=0"


def test_what_is_not_found_in_a_photo_is_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    step = BatchStep(BatchJob("a.png", 0), "done", Path("a.png"), note="no face found to keep")
    for quiet in (False, True):
        _Log(as_json=True, report=None, debug=False, quiet=quiet).step(step)
        printed = capsys.readouterr()
        assert printed.err == ("" if quiet else "adain: a.png: no face found to keep\n")
        assert json.loads(printed.out)["note"] == "no face found to keep"


@pytest.mark.slow
def test_ray_makes_the_same_and_runs_again_for_nothing(folder: Path) -> None:
    pytest.importorskip("ray")
    (folder / "in" / "bad.png").write_text("nothing")
    for summary in ("done=3 skipped=0 failed=1", "done=0 skipped=3 failed=1"):
        process = start(folder, "--style", "mosaic.png", "-r", "--ray", "local")
        try:
            _, errors = process.communicate(timeout=150)
        finally:
            process.kill()
        assert process.returncode == 3
        assert errors.endswith(f"adain: {summary}\n")
        assert errors.count("\n") == 2, "Ray prints nothing of its own"
    plain = start(folder, "--style", "mosaic.png", "-r")
    assert "done=0 skipped=3 failed=1" in finish(plain)[1]
    assert not list((folder / "out").rglob(".adain*"))
