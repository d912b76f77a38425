"""The use case and the command `adain render`."""

import hashlib
import inspect
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file
from typer.testing import CliRunner, Result

from adain.engine.loading import load_model
from adain.errors import how_to_install
from adain.imaging.reading import load_image
from adain.network import pretrained
from adain.network.weights import MODELS_VARIABLE
from adain.optimizing.config import GatysConfig, LossConfig
from adain.optimizing.gatys import Step
from adain.optimizing.perceptual import PerceptualLoss
from adain.styles.colors import ColorDistribution
from adain.styles.statistics import StyleStatistics
from gallery.cli import app
from gallery.cli.render import render
from gallery.database.style_files import load_styles
from gallery.use_cases import render as use_case
from gallery.use_cases.checkpoints import FIRST_FORMAT, checkpoint_path

PREVIOUS = Path(__file__).parents[2] / "data" / "previous_version"

Run = Callable[..., Result]

QUICK = ("--max-side", "64", "--min-side", "32", "--first-iterations", "4", "--iterations", "3")


def draw(path: Path, size: tuple[int, int] = (96, 72), seed: int = 0) -> None:
    """Write a picture of soft shapes."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the photo a.png and the paintings b.png and c.png."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        draw(Path(name), seed=seed)
    return folder


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights, with a vgg11 and a squeezenet1_1 as torchvision publishes them."""
    from torchvision import models

    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv(MODELS_VARIABLE, str(folder))
    digests = {name: "00000000" for name in pretrained.NETWORKS}
    torch.manual_seed(0)
    for name in ("vgg11", "squeezenet1_1"):
        network = models.get_model(name, weights=None).features
        state = {f"features.{key}": value for key, value in network.state_dict().items()}
        path = folder / "new.pth"
        torch.save(state, path)
        digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        path.rename(folder / f"{name}-{digests[name]}.pth")
    monkeypatch.setattr(
        pretrained, "network_url", lambda name: f"https://example.org/{name}-{digests[name]}.pth"
    )
    return folder


@pytest.fixture
def run() -> Run:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["render", "a.png", "--style", "b.png", *arguments])

    return invoke


def pixels(path: str) -> "np.typing.NDArray[np.int16]":
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(np.int16)


def files() -> set[str]:
    return {path.name for path in Path().iterdir()}


def test_a_render_lies_beside_its_photo_and_its_path_is_printed(run: Run) -> None:
    result = run(*QUICK)
    assert (result.exit_code, result.stdout) == (0, "a.b.render.png\n"), result.stderr
    assert "finished: steps=7" in result.stderr
    with Image.open("a.b.render.png") as image:
        assert (image.size, image.mode) == ((64, 48), "RGB")
    assert files() == {"a.png", "b.png", "c.png", "a.b.render.png"}


def test_json_tells_sizes_steps_and_losses(run: Run) -> None:
    facts = json.loads(run(*QUICK, "--json", "--quiet").stdout)
    assert (facts["width"], facts["height"], facts["steps"]) == (64, 48, 7)
    assert facts["ended"] == "finished" and facts["output"] == "a.b.render.png"
    assert set(facts["losses"]) == {"loss", "content", "style", "tv"}


@pytest.mark.parametrize("init", ["one-pass", "photo", "noise", "c.png"])
def test_every_start_gives_a_picture_of_its_own(run: Run, init: str) -> None:
    assert run(*QUICK, "--init", init, "-o", "own.png").exit_code == 0
    assert run(*QUICK, "--init", "b.png", "-o", "other.png").exit_code == 0
    assert np.abs(pixels("own.png") - pixels("other.png")).max() > 0


def test_it_is_nearer_to_the_painting_than_one_pass(run: Run) -> None:
    size = ("--max-side", "64", "--json")
    first = json.loads(run(*size, "--first-iterations", "1", "-o", "1.png").stdout)
    last = json.loads(run(*size, "--first-iterations", "12", "-o", "2.png").stdout)
    assert last["losses"]["loss"] < 0.7 * first["losses"]["loss"]


def test_little_memory_gives_the_same_picture(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(Path("a.png"), (64, 320))
    size = ["--max-side", "320", "--min-side", "320", "--first-iterations", "3"]
    size += ["--precision", "float32", "--style-loss", "gram"]
    assert run(*size, "-o", "whole.png").exit_code == 0
    # As if features took so much that a strip of 32 rows, and 80 around it, takes 2 GB.
    monkeypatch.setattr(use_case, "resident_memory", lambda: 0)
    monkeypatch.setattr("adain.optimizing.strips.FEATURE_BYTES", 2e9 / (192 * 80 * 72.5))
    result = run(*size, "--memory", "2G", "-o", "strips.png")
    assert result.exit_code == 0, result.stderr
    assert np.abs(pixels("strips.png") - pixels("whole.png")).max() <= 2


def test_styles_are_mixed(run: Run) -> None:
    result = run(*QUICK, "--style", "c.png=2")
    assert (result.exit_code, result.stdout) == (0, "a.b+c.render.png\n")
    assert run(*QUICK, "--style", "c.png=0").exit_code == 2


def test_a_stored_style_is_used_by_its_statistics(run: Run) -> None:
    arguments = ["render", "a.png", "--style", "irises", *QUICK]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (0, "a.irises.render.png\n"), result.stderr
    assert "irises: no picture of it is at hand" in result.stderr
    result = CliRunner().invoke(app, [*arguments, "--style-loss", "gram", "--overwrite"])
    assert result.exit_code == 2 and "needs a picture of irises" in result.stderr


def test_a_painting_of_the_gallery_gives_its_picture_where_it_is(run: Run) -> None:
    assert CliRunner().invoke(app, ["ingest", "b.png"]).exit_code == 0
    arguments = ["render", "a.png", "--style", "b", *QUICK, "-o", "gallery.png"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and "no picture" not in result.stderr
    assert run(*QUICK, "-o", "file.png").exit_code == 0
    assert np.array_equal(pixels("gallery.png"), pixels("file.png"))


@pytest.mark.usefixtures("networks")
def test_networks_of_torchvision_measure_the_losses(run: Run) -> None:
    assert run(*QUICK, "-o", "own.png").exit_code == 0
    for name in ("vgg11", "squeezenet1_1"):
        result = run(*QUICK, "--network", name, "-o", f"{name}.png", "--time-limit", "0")
        assert result.exit_code == 0, result.stderr
        result = run(*QUICK, "--resume", "-o", f"{name}.png")
        assert result.exit_code == 4 and "a run with another encoder" in result.stderr
        result = run(*QUICK, "--network", name, "-o", f"{name}.png", "--resume")
        assert result.exit_code == 0 and "steps=3" in result.stderr
        assert np.abs(pixels(f"{name}.png") - pixels("own.png")).max() > 0


def test_a_network_that_cannot_be_used_gives_one_line(run: Run, networks: Path) -> None:
    result = run(*QUICK, "--network", "vgg19")
    assert result.exit_code == 7 and result.stderr.count("\n") == 1
    assert "adain weights download vgg19; or bring vgg19-00000000.pth" in result.stderr
    (path,) = networks.glob("vgg11*")
    path.write_bytes(path.read_bytes()[:-1])
    result = run(*QUICK, "--network", "vgg11")
    assert result.exit_code == 7 and "its sha256 begins with" in result.stderr
    assert run(*QUICK, "--network", "vgg99").exit_code == 2
    stored = CliRunner().invoke(
        app, ["render", "a.png", "--style", "irises", *QUICK, "--network", "vgg11"]
    )
    assert stored.exit_code == 2 and "needs a picture of irises" in stored.stderr
    assert files() == {"a.png", "b.png", "c.png"}


@pytest.mark.parametrize(
    "look", [("--preserve-color", "luminance"), ("--photorealistic",), ("--sharpen", "2")]
)
def test_the_look_is_applied_to_the_result_alone(run: Run, look: tuple[str, ...]) -> None:
    assert run(*QUICK, "-o", "plain.png", "--time-limit", "0").exit_code == 0
    assert run(*QUICK, *look, "-o", "look.png", "--time-limit", "0").exit_code == 0
    assert np.abs(pixels("look.png") - pixels("plain.png")).max() > 4
    # What goes on from a checkpoint is the picture without it.
    assert run(*QUICK, "-o", "look.png", "--resume").exit_code == 0
    assert run(*QUICK, "-o", "plain.png", "--resume").exit_code == 0
    assert np.array_equal(pixels("look.png"), pixels("plain.png"))


def test_kept_colors_are_those_of_the_photo(run: Run) -> None:
    assert run(*QUICK, "--preserve-color", "linear", "-o", "kept.png").exit_code == 0
    with Image.open("a.png") as photo:
        expected = np.asarray(photo.resize((64, 48))).reshape(-1, 3).mean(0)
    assert np.abs(pixels("kept.png").reshape(-1, 3).mean(0) - expected).max() < 4
    assert run(*QUICK, "--preserve-color", "sepia").exit_code == 2


def test_masks_say_where_styles_go(run: Run) -> None:
    half = np.zeros((72, 96), np.uint8)
    half[:, :48] = 255
    for name, grey in (("left.png", half), ("right.png", 255 - half), ("none.png", half * 0)):
        Image.fromarray(grey).save(name)
    left = run(*QUICK, "--mask", "left.png", "--feather", "0", "-o", "half.png")
    assert left.exit_code == 0, left.stderr
    with Image.open("a.png") as photo:
        expected = np.asarray(photo.resize((64, 48), Image.Resampling.LANCZOS)).astype(np.int16)
    difference = np.abs(pixels("half.png") - expected).mean((0, 2))
    assert difference[34:].max() < 3 and difference[:30].min() > 5
    two = (*QUICK, "--style", "c.png", "--mask", "left.png", "--mask", "right.png")
    assert run(*two, "-o", "two.png").exit_code == 0
    stored = (*QUICK, "--style", "irises", "--mask", "left.png", "--mask", "right.png")
    assert run(*stored, "-o", "stored.png").exit_code == 0
    apart = np.abs(pixels("stored.png") - pixels("two.png")).mean((0, 2))
    assert apart[34:].mean() > 1.5 * apart[:30].mean()
    result = run(*two, "--time-limit", "0", "-o", "swapped.png")
    swapped = (*QUICK, "--style", "c.png", "--mask", "right.png", "--mask", "left.png")
    result = run(*swapped, "--resume", "-o", "swapped.png")
    assert result.exit_code == 4 and "another regions" in result.stderr
    assert run(*swapped, "--overwrite", "-o", "swapped.png").exit_code == 0
    assert np.abs(pixels("two.png") - pixels("swapped.png")).mean() > 5


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--mask", "b.png", "--mask", "c.png"), 4, "2 masks for 1 styles"),
        (("--mask", "none.png"), 4, "a style has no place"),
        (("--mask", "none.png", "--style", "c.png=2"), 2, "leave their weights away"),
    ],
)
def test_masks_that_do_not_fit_give_one_line(
    run: Run, arguments: tuple[str, ...], code: int, message: str
) -> None:
    Image.new("L", (96, 72)).save("none.png")
    result = run(*QUICK, *arguments)
    assert result.exit_code == code, result.output
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_losses_are_drawn_and_steps_are_animated(run: Run) -> None:
    result = run(*QUICK, "--plot", "losses.png", "--animate", "steps.webp")
    assert result.exit_code == 0, result.stderr
    with Image.open("losses.png") as plot:
        assert plot.size == (960, 600)
    with Image.open("steps.webp") as animation:
        assert animation.size == (64, 48) and getattr(animation, "n_frames", 1) == 7


def test_no_step_at_all_can_be_drawn_and_animated(run: Run) -> None:
    result = run(*QUICK, "--time-limit", "0", "--plot", "losses.png", "--animate", "steps.webp")
    assert result.exit_code == 0, result.stderr


def test_a_resumed_render_equals_an_unbroken_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(*QUICK, "-o", "whole.png").exit_code == 0
    watch = use_case.Recorder.watch

    def interrupt(self: use_case.Recorder, step: Step) -> None:
        watch(self, step)
        if len(self.curve) == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(use_case.Recorder, "watch", interrupt)
        result = run(*QUICK, "-o", "broken.png")
    assert (result.exit_code, result.stdout) == (130, "broken.png\n")
    assert "interrupted; the picture so far is saved" in result.stderr
    assert checkpoint_path(Path("broken.png")).exists()
    result = run(*QUICK, "-o", "broken.png", "--resume")
    assert result.exit_code == 0 and "steps=2" in result.stderr
    assert np.array_equal(pixels("broken.png"), pixels("whole.png"))
    assert not checkpoint_path(Path("broken.png")).exists()


def test_save_every_keeps_picture_and_checkpoint(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(use_case.Recorder, "finish", fail)
        result = run(*QUICK, "--save-every", "2", "-o", "saved.png")
    assert result.exit_code == 1 and "power cut" in result.stderr
    assert pixels("saved.png").shape == (48, 64, 3)
    assert run(*QUICK, "-o", "saved.png", "--resume").exit_code == 0
    assert run(*QUICK, "-o", "whole.png").exit_code == 0
    assert np.array_equal(pixels("saved.png"), pixels("whole.png"))


def test_a_checkpoint_of_another_run_is_refused(run: Run) -> None:
    assert run(*QUICK, "--time-limit", "0", "-o", "x.png").exit_code == 0
    result = run(*QUICK, "--resume", "-o", "x.png", "--content-weight", "3", "--init", "photo")
    assert result.exit_code == 4
    assert "a run with another content_weight, init; give the same" in result.stderr


def test_a_checkpoint_of_the_first_format_goes_on(run: Run) -> None:
    """Its digests of pixels are those of torch, which nothing else computes to the bit."""
    assert run(*QUICK, "--time-limit", "0", "-o", "x.png").exit_code == 0
    path = checkpoint_path(Path("x.png"))
    with safe_open(path, framework="np") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    kept = json.loads(metadata["run"]) | {"photo": "0" * 16, "init": "1" * 16}
    metadata |= {"format": FIRST_FORMAT, "run": json.dumps(kept)}
    save_file(tensors, path, metadata)
    for options, other in (
        (("--content-weight", "3"), "content_weight"),
        (("--init", "noise"), "init"),
    ):
        result = run(*QUICK, "--resume", "-o", "x.png", *options)
        assert result.exit_code == 4 and f"a run with another {other}; give" in result.stderr
    larger = run(*QUICK, "--resume", "-o", "x.png", "--max-side", "72")
    assert larger.exit_code == 4 and "a picture of another size" in larger.stderr
    assert run(*QUICK, "--resume", "-o", "x.png").exit_code == 0


def test_digests_of_files_are_those_of_earlier_versions() -> None:
    with safe_open(PREVIOUS / "render.png.checkpoint", framework="np") as file:
        kept = json.loads(file.metadata()["run"])
    photo = load_image(PREVIOUS / "photos" / "photo.png")
    styles = load_styles(PREVIOUS / "styles.safetensors")
    index = [painting.slug for painting in styles.paintings].index("cafe-terrace-at-night")
    widths = load_model().widths
    style = StyleStatistics.from_vector(styles.vectors[index : index + 1], widths)
    run = use_case._identify(kept["encoder"], photo, style, None, GatysConfig(), None)
    assert (run["photo"], run["style"]) == (kept["photo"], kept["style"])
    colors = ColorDistribution(np.full((1, 3), 0.5), 0.1 * np.eye(3)[None])
    style = replace(style, colors=colors)
    run = use_case._identify(kept["encoder"], photo, style, None, GatysConfig(), None)
    assert run["style"] == kept["style"]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make loss or gradient NaN from an evaluation on, for a while."""

    def arrange(first: int, count: int = 1, gradient: bool = False) -> None:
        evaluate, calls = PerceptualLoss.evaluate, 0

        def break_down(
            self: PerceptualLoss, image: torch.Tensor
        ) -> tuple[dict[str, float], torch.Tensor]:
            nonlocal calls
            calls += 1
            losses, slope = evaluate(self, image)
            if not first <= calls < first + count:
                return losses, slope
            return (losses, slope * np.nan) if gradient else ({**losses, "loss": np.nan}, slope)

        monkeypatch.setattr(PerceptualLoss, "evaluate", break_down)

    return arrange


@pytest.mark.parametrize("gradient", [False, True])
def test_numbers_that_are_not_finite_are_said_and_cost_one_step(
    run: Run, broken: Callable[..., None], gradient: bool
) -> None:
    broken(3, gradient=gradient)
    result = run(*QUICK, "--json")
    assert result.exit_code == 0, result.stderr
    words = "adain: the loss or its gradient is not finite: back to the last good picture, half"
    assert result.stderr.count(words) == 1
    facts = json.loads(result.stdout)
    assert facts["ended"] == "finished" and np.isfinite(list(facts["losses"].values())).all()


@pytest.mark.parametrize("gradient", [False, True])
def test_numbers_that_stay_so_leave_the_last_good_picture(
    run: Run, broken: Callable[..., None], gradient: bool
) -> None:
    broken(3, count=100, gradient=gradient)
    result = run(*QUICK, "--json", "--quiet", "-o", "kept.png")
    assert result.exit_code == 0 and json.loads(result.stdout)["ended"] == "diverged"
    assert result.stderr == "adain: the loss stayed infinite; the last good picture is saved\n"
    assert run(*QUICK, "--init", "photo", "-o", "other.png").exit_code == 4
    assert files() == {"a.png", "b.png", "c.png", "kept.png"}
    assert pixels("kept.png").std() > 10


@pytest.mark.parametrize("gradient", [False, True])
def test_a_start_without_a_finite_loss_gives_one_line(
    run: Run, broken: Callable[..., None], gradient: bool
) -> None:
    broken(1, gradient=gradient)
    result = run(*QUICK)
    assert result.exit_code == 4 and result.stderr.count("\n") == 1, result.stderr
    assert "give smaller weights" in result.stderr and files() == {"a.png", "b.png", "c.png"}


def test_a_plot_that_cannot_be_drawn_is_found_before_the_work(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(*QUICK, "--plot", "losses.png")
    assert result.exit_code == 4 and "install adain with its extra 'plot'" in result.stderr
    assert files() == {"a.png", "b.png", "c.png"}


@pytest.mark.parametrize("damage", ["missing", "empty", "half", "other"])
def test_a_checkpoint_that_cannot_be_used_gives_one_line(run: Run, damage: str) -> None:
    assert run(*QUICK, "--time-limit", "0", "-o", "x.png").exit_code == 0
    path = checkpoint_path(Path("x.png"))
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "half": data[: len(data) // 2], "other": b"x" * 99}[damage])
    result = run(*QUICK, "--resume", "-o", "x.png")
    assert result.exit_code == 4 and result.stderr.count("\n") == 1
    assert "leave --resume away" in result.stderr and "Traceback" not in result.output


def test_without_torch_one_line_says_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = run(*QUICK)
    assert result.exit_code == 4
    assert result.stderr == f"adain: rendering needs PyTorch; run: {how_to_install('torch')}\n"


def test_files_that_exist_are_found_before_the_work(run: Run) -> None:
    Path("c.webp").touch()
    for option, name in (("-o", "c.png"), ("--plot", "c.png"), ("--animate", "c.webp")):
        result = run(*QUICK, option, name)
        assert result.exit_code == 4 and f"{name}: exists already" in result.stderr
    assert run(*QUICK, "-o", "c.png", "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--content-weight", "-1"), 2, "content-weight must be from 0"),
        (("--layer-weights", "1,2"), 2, "a weight for each of relu1_1"),
        (("--layer-weights", "a"), 2, "numbers with commas"),
        (("--optimizer", "newton"), 2, "optimizer must be pyramid"),
        (("--time-limit", "nan"), 2, "time-limit must be from 0"),
        (("--max-side", "4"), 2, "max-side must be at least 16"),
        (("--save-every", "0"), 2, "save-every must be at least 1"),
        (("--content-weight", "0", "--style-weight", "0"), 2, "cannot both be 0"),
        (("--style-weight", "inf"), 2, "style-weight must be from 0"),
        (("--layer-weights", "0,0,0,0,0"), 2, "cannot all be 0"),
        (("--layer-weights", "1,nan,1,1,1"), 2, "each of layer-weights must be from 0"),
        (("--style-scale", "0"), 2, "style-scale must be from 0.05"),
        (("--min-side", "8"), 2, "min-side must be from 32"),
        (("--iterations", "0"), 2, "iterations must be from 1"),
        (("--learning-rate", "0"), 2, "learning-rate must be from"),
        (("--memory", "lots"), 2, "memory must be a size such as 2G"),
        (("--memory", "1M"), 6, "a.png: to render 64x48 pixels takes"),
        (("--style", "b.png=nan"), 2, "style weights must be finite"),
        (("--style", "thin.png"), 4, "thin.png"),
        (("--init", "empty.png"), 4, "empty.png"),
        (("-o", "-"), 2, "a render needs files"),
        (("--init", "nowhere.png"), 4, "nowhere.png: cannot be read"),
        (("--plot", "no/where.png"), 4, "no: no such folder"),
        (("--plot", "losses.txt"), 2, "losses.txt: no format has this suffix"),
        (("--animate", "steps.gif"), 2, "steps.gif: animations are WebP"),
        (("--style", "no such painting"), 5, "no such painting"),
        (("--content-weight", "1e6", "--model", "none"), 7, "no model named"),
    ],
)
def test_bad_input_gives_one_clear_line(
    run: Run, arguments: tuple[str, ...], code: int, message: str
) -> None:
    draw(Path("thin.png"), (300, 2))
    Path("empty.png").touch()
    before = files()
    result = run(*QUICK, *arguments)
    assert result.exit_code == code, result.output
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.output and files() == before


def test_the_defaults_of_the_command_are_those_of_the_library() -> None:
    options = inspect.signature(render).parameters
    for field in (*fields(GatysConfig), *fields(LossConfig)):
        if field.name in ("loss", "layer_weights", "style_loss", "content_weight"):
            continue  # The last two depend on the style.
        assert options[field.name].default == field.default, field.name
    weights = tuple(map(float, options["layer_weights"].default.split(",")))
    assert weights == LossConfig().layer_weights


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_leaves_a_whole_file() -> None:
    command = [sys.executable, "-m", "gallery", "render", "a.png", "--style", "b.png"]
    endless = ["--max-side", "64", "--first-iterations", "100000", "--patience", "100000"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen(
        [*command, *endless, "--save-every", "1", "-o", "out.png"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    killer = threading.Timer(100, process.kill)
    killer.start()
    while not Path("out.png").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    killer.cancel()
    assert (process.returncode, output) == (130, "out.png\n"), errors
    assert pixels("out.png").shape == (48, 64, 3)
    assert files() == {"a.png", "b.png", "c.png", "out.png", "out.png.checkpoint"}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_a_killed_render_goes_on_from_what_it_saved(run: Run) -> None:
    """Killed while it writes, again and again, it leaves whole files; the result is the same."""
    options = [*QUICK, "--first-iterations", "40", "--patience", "1000"]
    assert run(*options, "-o", "whole.png").exit_code == 0
    command = [sys.executable, "-m", "gallery", "render", "a.png", "--style", "b.png", *options]
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "OMP_NUM_THREADS": "1",
    }
    checkpoint = checkpoint_path(Path("out.png"))
    for attempt in range(3):
        before = checkpoint.read_bytes() if checkpoint.exists() else b""
        process = subprocess.Popen(
            [*command, "--save-every", "1", "-o", "out.png", *(["--resume"] if attempt else [])],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
        limit = time.monotonic() + 100
        while time.monotonic() < limit and process.poll() is None:
            if checkpoint.exists() and checkpoint.read_bytes() != before:
                break
            time.sleep(0.01)
        time.sleep(0.03 * attempt)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert pixels("out.png").shape == (48, 64, 3)
    assert run(*options, "--resume", "-o", "out.png").exit_code == 0
    assert np.array_equal(pixels("out.png"), pixels("whole.png"))
