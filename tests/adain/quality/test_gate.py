"""When one pass is good enough: the measures, the decision, `adain stylize --quality`."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from adain.config import Controls
from adain.engine.model import Model
from adain.imaging.picture import Picture
from adain.imaging.reading import load_image
from adain.network.encoder import Encoder
from adain.network.loading import load_network
from adain.network.statistics import layer_statistics, to_style, to_tensor
from adain.optimizing.config import GatysConfig
from adain.optimizing.gatys import Rendering, Step
from adain.painting.measuring import measure_style
from adain.painting.stylize import stylize_picture
from adain.quality.gate import Gate, PassMeasure, decide, measure_pass
from adain.styles.statistics import StyleStatistics
from gallery.cli import app
from gallery.config import QUALITIES, StylizeConfig
from gallery.use_cases import refine
from gallery.use_cases.refine import stylize_refined
from gallery.use_cases.render import RenderJob, render_job

SCRIPTS = Path(__file__).parents[3] / "scripts"

ANY, NONE = Gate(1e9, 1e9), Gate(-1, -1)
"""Gates that accept everything and nothing."""

QUICK = GatysConfig(min_side=32, first_iterations=3, iterations=2)

pytestmark = pytest.mark.usefixtures("one_thread")


Pixels = NDArray[np.float32]


def waves(height: int = 48, width: int = 64, phase: float = 0.0) -> Pixels:
    y, x, c = np.ogrid[:height, :width, :3]
    return (0.5 + 0.4 * np.sin(x / 9 + c + phase) * np.cos(y / 11 - c)).astype(np.float32)


def style_of(encoder: Encoder, painting: Pixels) -> StyleStatistics:
    return to_style(layer_statistics(encoder.requires_grad_(False)(to_tensor(painting))))


# Measures


def test_a_photo_is_far_from_the_style_and_near_itself(tiny_encoder: Encoder) -> None:
    photo, painting = waves(), waves(phase=2) ** 2
    style = style_of(tiny_encoder, painting)
    untouched = measure_pass(tiny_encoder, photo, photo, style)
    assert untouched.style == pytest.approx(1) and untouched.content == untouched.speckle == 0
    perfect = measure_pass(tiny_encoder, photo, painting, style)
    assert perfect.style == pytest.approx(0, abs=1e-6) and perfect.content > 0


def test_a_photo_in_its_own_style_needs_nothing(tiny_encoder: Encoder) -> None:
    style = style_of(tiny_encoder, waves())
    assert measure_pass(tiny_encoder, waves(), waves(), style).style == pytest.approx(0, abs=1e-6)


def test_speckle_is_what_is_added_where_the_photo_is_flat(tiny_encoder: Encoder) -> None:
    grey = np.full((64, 64, 3), 0.5, np.float32)
    noise: Pixels = 0.1 * np.random.default_rng(0).standard_normal(grey.shape, np.float32)
    half = noise.copy()
    half[:, 32:] = 0
    style = style_of(tiny_encoder, waves())

    def speckle(photo: Pixels, result: Pixels) -> float:
        return measure_pass(tiny_encoder, photo, result, style).speckle

    flat = speckle(grey, grey + noise)
    # The mean of three channels by their weights, without what the blur leaves.
    assert flat == pytest.approx(0.1 * np.sqrt(0.299**2 + 0.587**2 + 0.114**2), rel=0.15)
    assert speckle(grey, grey + half) == pytest.approx(flat / np.sqrt(2), rel=0.1)
    assert speckle(grey, grey + 0.5 * noise) == pytest.approx(flat / 2, rel=0.01)
    assert speckle(grey + noise, grey + 2 * noise) < 0.5 * flat  # It was not flat before.
    assert speckle(grey + noise, grey) == 0
    assert speckle(grey, grey + 0.2) == pytest.approx(0, abs=1e-6)


def test_shapes_that_differ_are_refused(tiny_encoder: Encoder) -> None:
    style = style_of(tiny_encoder, waves())
    for other in (waves(32), waves()[None], waves()[0]):
        with pytest.raises(ValueError, match="two equal shapes"):
            measure_pass(tiny_encoder, waves(), other, style)


# The decision


@pytest.mark.parametrize(
    ("style", "speckle", "accepted", "words"),
    [
        (0.1, 0.02, True, "style loss 0.100 and speckle 0.020 are within 0.1 and 0.02"),
        (0.2, 0.01, False, "style loss 0.200 is over 0.1"),
        (0.05, 0.03, False, "speckle 0.030 is over 0.02"),
        (0.2, 0.03, False, "style loss 0.200 is over 0.1 and speckle 0.030 is over 0.02"),
        (float("nan"), 0.0, False, "style loss nan"),
    ],
)
def test_a_result_passes_if_nothing_is_over_its_limit(
    style: float, speckle: float, accepted: bool, words: str
) -> None:
    verdict = decide(PassMeasure(style, 0.3, speckle), Gate(max_style=0.1, max_speckle=0.02))
    assert verdict.accepted is accepted and words in verdict.reason


# The use case


def refined(
    model: Model,
    photo: Picture,
    painting: Pixels | None,
    gate: Gate = NONE,
    *,
    judged: bool = True,
    max_side: int | None = None,
    controls: Controls = Controls(),
) -> refine.Refinement:
    style = measure_style(model, waves(phase=2) ** 2)
    return stylize_refined(
        model,
        photo,
        style,
        None if painting is None else [(painting, 1.0)],
        judged=judged,
        max_side=max_side,
        controls=controls,
        gate=gate,
        config=QUICK,
    )


def test_what_is_accepted_is_the_one_pass(tiny_model: Model) -> None:
    photo, painting = Picture(waves()), waves(phase=2) ** 2
    kept = refined(tiny_model, photo, painting, ANY)
    expected = stylize_picture(tiny_model, photo, measure_style(tiny_model, painting))
    assert kept.way == "one pass" and kept.measure is not None
    np.testing.assert_allclose(kept.picture.pixels, expected.pixels, atol=1e-5)


def test_what_is_refused_is_rendered_nearer_to_the_style(tiny_model: Model) -> None:
    photo, painting = Picture(waves()), waves(phase=2) ** 2
    shares: list[float] = []
    style = measure_style(tiny_model, painting)
    config = replace(QUICK, first_iterations=30, min_side=64)
    result = stylize_refined(
        tiny_model, photo, style, [(painting, 1.0)], judged=True, gate=NONE, config=config,
        progress=shares.append,
    )  # fmt: skip
    assert result.way == "render" and result.measure is not None
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)
    encoder = load_network(tiny_model).encoder
    after = measure_pass(encoder, photo.pixels, result.picture.pixels, style)
    assert after.style < result.measure.style


def test_best_asks_no_gate_and_works_with_statistics_alone(tiny_model: Model) -> None:
    photo = Picture(waves())
    for painting in (waves(phase=2) ** 2, None):
        result = refined(tiny_model, photo, painting, ANY, judged=False)
        assert (result.way, result.measure) == ("render", None)
        assert ("one pass may look better" in result.reason) == (painting is None)
        assert result.picture.pixels.shape == photo.pixels.shape


def test_a_style_without_a_picture_is_not_refined_unasked(tiny_model: Model) -> None:
    result = refined(tiny_model, Picture(waves()), None, NONE)
    assert result.way == "one pass" and "no picture of the style" in result.reason


def test_size_transparency_and_controls_are_those_of_one_pass(
    tiny_model: Model,
) -> None:
    opacity = np.ones((48, 64), np.float32)
    opacity[:, :10] = 0
    photo, painting = Picture(waves(), opacity, "a"), waves(phase=2) ** 2
    plain = refined(tiny_model, photo, painting, max_side=40).picture
    assert (plain.width, plain.height, plain.name) == (40, 30, "a")
    assert plain.transparency is not None and plain.transparency.shape == (30, 40)
    for controls in (Controls(preserve_color="linear"), Controls(smooth=1), Controls(sharpen=2)):
        other = refined(tiny_model, photo, painting, max_side=40, controls=controls).picture
        assert np.abs(other.pixels - plain.pixels).max() > 0.01


def test_large_photos_are_rendered_small_and_keep_their_size(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adain.painting.strokes.STROKE_SIDE", 64)
    sizes = []

    def record(job: RenderJob, on_step: Callable[[Step], None]) -> Rendering:
        sizes.append((job.photo.width, job.photo.height))
        return render_job(job, on_step=on_step)

    monkeypatch.setattr(refine, "render_job", record)
    result = refined(tiny_model, Picture(waves(96, 128)), waves(phase=2) ** 2)
    assert sizes == [(64, 48)] and result.picture.shape == (96, 128, 3)
    assert np.isfinite(result.picture.pixels).all()


# The command

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in a folder with a.png and b.png, with short renders."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for seed, (name, size) in enumerate((("a.png", (64, 48)), ("b.png", (60, 60)))):
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(name)
    monkeypatch.setattr(refine, "stylize_refined", partial(stylize_refined, config=QUICK))

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["stylize", *arguments])

    return invoke


def set_gate(monkeypatch: pytest.MonkeyPatch, gate: Gate) -> None:
    gated = partial(stylize_refined, config=QUICK, gate=gate)
    monkeypatch.setattr(refine, "stylize_refined", gated)


def pixels(path: str) -> Pixels:
    return load_image(Path(path)).pixels


def test_auto_says_what_it_chose_and_why(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("a.png", "--style", "b.png", "--quality", "auto", "--json")
    set_gate(monkeypatch, ANY)
    kept = run(*options, "-o", "kept.png")
    facts = json.loads(kept.stdout)
    assert facts["quality"] == "one pass" and "are within" in facts["reason"]
    assert set(facts["measure"]) == {"style", "content", "speckle"}
    assert kept.stderr == f"adain: a.png: one pass, {facts['reason']}\n"
    set_gate(monkeypatch, NONE)
    done = run(*options, "-o", "done.png")
    facts = json.loads(done.stdout)
    assert facts["quality"] == "render" and "is over" in facts["reason"]
    assert "a.png: render, " in done.stderr
    assert run("a.png", "--style", "b.png", "-o", "fast.png").exit_code == 0
    np.testing.assert_array_equal(pixels("kept.png"), pixels("fast.png"))
    assert np.abs(pixels("done.png") - pixels("fast.png")).max() > 0.02
    assert np.abs(pixels("done.png") - pixels("a.png")).max() > 0.02


def test_fast_is_the_default_and_says_nothing_of_quality(run: Run) -> None:
    plain = run("a.png", "--style", "b.png", "--json")
    assert "quality" not in json.loads(plain.stdout) and plain.stderr == ""
    named = run("a.png", "--style", "b.png", "--quality", "fast", "-o", "named.png")
    assert named.exit_code == 0
    np.testing.assert_array_equal(pixels("named.png"), pixels("a.b.png"))


def test_best_renders_pictures_and_stored_styles(run: Run) -> None:
    result = run("a.png", "--style", "b.png", "--quality", "best", "-o", "b/")
    assert (result.exit_code, result.stdout) == (0, "b/a.b.png\n"), result.stderr
    assert result.stderr == "adain: a.png: render, asked for\n"
    quiet = run("a.png", "--style", "irises", "--quality", "best", "--quiet", "-o", "i.png")
    assert (quiet.exit_code, quiet.stderr) == (0, "")
    auto = run("a.png", "--style", "irises", "--quality", "auto", "-o", "auto.png")
    assert "one pass, no picture of the style is at hand" in auto.stderr
    with Image.open("i.png") as image:
        assert '"quality": "best"' in str(image.text)  # type: ignore[attr-defined]


def test_colours_sizes_and_formats_work_with_best(run: Run) -> None:
    options = ["--preserve-color", "luminance", "--smooth", "0.5", "--photorealistic"]
    options += ["--bits", "16", "--max-side", "32", "--overwrite", "--keep-metadata"]
    result = run("a.png", "--style", "b.png=2", "--style", "b.png", "--quality", "best", *options)
    assert result.exit_code == 0, result.stderr
    assert pixels("a.b+b.png").shape == (24, 32, 3)


@pytest.mark.parametrize("quality", QUALITIES[1:])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--alpha", "0.5"), "--strength works with one pass only"),
        (("--alpha", "a.png"), "--strength works with one pass only"),
        (("--mask", "a.png"), "--mask works"),
        (("--stroke", "2"), "--stroke works"),
        (("--style-size", "256"), "--style-size works"),
        (("--memory", "1G"), "--memory works"),
        (("--style", "-"), "standard input"),
        (("--style", "irises=-0.5"), "positive"),
    ],
)
def test_what_a_render_cannot_do_is_refused(
    run: Run, quality: str, options: tuple[str, ...], words: str
) -> None:
    result = run("a.png", "--style", "b.png", "--quality", quality, *options)
    assert result.exit_code == 2 and words in " ".join(result.stderr.split()), result.stderr
    assert {path.name for path in Path().iterdir()} == {"a.png", "b.png"}


def test_qualities_are_named_when_one_is_wrong(run: Run) -> None:
    result = run("a.png", "--style", "b.png", "--quality", "good")
    assert result.exit_code == 2 and "fast, auto or best, got 'good'" in result.stderr
    with pytest.raises(ValueError, match="quality"):
        StylizeConfig(quality="")


def test_bad_photos_do_not_stop_the_others(run: Run) -> None:
    Image.new("RGB", (9, 9)).save("tiny.png")
    result = run("tiny.png", "a.png", "--style", "b.png", "--quality", "best", "-o", "out/")
    assert (result.exit_code, result.stdout) == (3, "out/a.b.png\n")
    assert "tiny.png" in result.stderr and "Traceback" not in result.output


# The calibration


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = SourceFileLoader("calibrate_gate", str(SCRIPTS / "calibrate_gate"))
    spec = spec_from_loader("calibrate_gate", loader)
    assert spec
    module = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.dont_write_bytecode", True)
        loader.exec_module(module)
    return module


@pytest.fixture
def research(tmp_path: Path, tiny_model: Model) -> list[str]:
    """Options for three photos and three paintings, and for a model of the tests."""
    for kind in ("photos", "styles"):
        (tmp_path / kind).mkdir()
        lines = ["file,split"]
        for i in range(3):
            coarse = np.random.default_rng(i).integers(0, 256, (5, 7, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((64, 48)).save(tmp_path / kind / f"{kind}{i}.png")
            lines.append(f"{kind}/{kind}{i}.png,val")
        (tmp_path / f"{kind}.csv").write_text("\n".join(lines))
    return ["--data", str(tmp_path), "-o", str(tmp_path / "out")]


def test_sheets_to_judge_show_no_figures_and_a_list_is_to_be_filled_in(
    script: ModuleType, research: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.main([*research, "--pairs", "3"])
    path = tmp_path / "out" / "judgements.csv"
    assert (tmp_path / "out" / "judge-001.png").is_file()
    with pytest.raises(SystemExit, match="line 2: refine must be yes or no"):
        script.main([*research, "--judgements", str(path)])
    path.write_text(path.read_text().replace(",,yes", ",yes,yes", 2).replace(",,", ",no,"))
    script.main([*research, "--judgements", str(path), "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts["blind"]["pairs"] == 3 and facts["blind"]["to refine"] == 2
    with (tmp_path / "out" / "measures.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3
    sheets = [(tmp_path / "out" / f"{name}.png").exists() for name in ("accepted", "refused")]
    assert any(sheets)
    path.write_text("photo,painting,refine\ngone.png,styles0.png,yes\n")
    with pytest.raises(SystemExit, match=r"gone\.png"):
        script.main([*research, "--judgements", str(path)])


def judged(script: ModuleType, style: float, speckle: float, refine: bool) -> object:
    image = Image.new("RGB", (8, 8))
    measure = PassMeasure(style, 0.1, speckle)
    return script.Judged(script.Pair("a", "b", refine), measure, (image,) * 3)


def test_the_best_gate_separates_what_can_be_separated(script: ModuleType) -> None:
    low, high = 0.01, 0.03
    results = [judged(script, 0.01 * i, high if i % 2 else low, bool(i % 2)) for i in range(8)]
    facts = script.calibrate(results)
    assert facts["fitted"]["max_speckle"] == pytest.approx(0.02)
    assert facts["all"]["fitted agreement"] == facts["all"]["left-out agreement"] == 1
    assert facts["all"]["AUC of speckle"] == 1 and facts["all"]["AUC of content"] == 0.5
    assert "| AUC of speckle | 1.00 | 1.00 |" in script.markdown(facts)


def test_the_judgements_can_be_read(script: ModuleType) -> None:
    pairs = script.read_judgements(SCRIPTS / "gate_judgements.csv")
    assert len(pairs) == 60 and all(pair.blind for pair in pairs)
    assert sum(bool(pair.refine) for pair in pairs) == 22


@pytest.mark.slow
def test_the_gate_agrees_with_the_judgements_as_documented(
    script: ModuleType, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--judgements", str(SCRIPTS / "gate_judgements.csv"), "-o", str(tmp_path)]
    script.main(["--data", str(shared_data / "data"), *options, "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts["all"]["agreement"] == pytest.approx(34 / 60, abs=0.02)
