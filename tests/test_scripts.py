import csv
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import torch
from pictures import picture
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from adain.engine.model import Model
from adain.errors import WeightsError
from adain.network.encoder import Encoder
from adain.network.loading import (
    fingerprint,
    load_encoder,
    load_network,
    save_decoder,
    save_encoder,
)
from gallery.database.gallery import starter_gallery
from gallery.database.paintings import Painting
from gallery.database.style_files import StyleFile, load_styles

SCRIPTS = Path(__file__).parents[1] / "scripts"

PEER_PIXELS = [
    0.97273, 0.25977, 0.82904, 0.18954, 0.72555, 0.30999, 0.21434, 0.69921, 0.57236,
    0.92188, 0.24273, 0.82323, 0.23891, 0.73563, 0.23777, 0.24221, 0.73757, 0.59484,
    0.68949, 0.26317, 0.72803, 0.19645, 0.61038, 0.24684, 0.24409, 0.74772, 0.48651,
]  # fmt: skip
"""Pixels of the authors' TestNet (EndyWon/MicroAST at 5a6c905) with their weights."""

OURS = ["ours, alpha 0.5", "ours, alpha 0.75", "ours, alpha 1"]


def load_script(name: str) -> ModuleType:
    """Load a program of `scripts/`, which has no suffix, without running it."""
    loader = SourceFileLoader(name, str(SCRIPTS / name))
    spec = spec_from_loader(name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.path.insert(0, str(SCRIPTS))
    try:
        loader.exec_module(module)
    finally:
        sys.path.remove(str(SCRIPTS))
    return module


@pytest.fixture(scope="module")
def evaluation() -> ModuleType:
    return load_script("evaluate")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return load_script("benchmark")


@pytest.fixture
def peers(evaluation: ModuleType) -> ModuleType:
    return sys.modules["peers"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three photos and two paintings of noise, and one of each that is for training."""
    folder = tmp_path / "data"
    folder.mkdir()
    for table, count, seed in (("photos", 3, 0), ("styles", 2, 10)):
        rows = [("file", "split", "style")]
        for i in range(count + 1):
            pixels = torch.rand(40, 52, 3, generator=torch.Generator().manual_seed(seed + i))
            Image.fromarray(pixels.mul(255).byte().numpy()).save(folder / f"{table}{i}.png")
            rows.append((f"{table}{i}.png", "train" if i == count else "val", "noise"))
        with (folder / f"{table}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return folder


@pytest.fixture
def model_options(tmp_path: Path, tiny_model: Model) -> list[str]:
    """Options that name the files of a tiny model, whose every layer tells pictures apart."""
    network = load_network(tiny_model)
    torch.manual_seed(0)
    for parameter in (*network.encoder.parameters(), *network.decoder.parameters()):
        nn.init.normal_(parameter, std=0.3)
    encoder, decoder = tmp_path / "encoder.safetensors", tmp_path / "decoder.safetensors"
    save_encoder(network.encoder, encoder)
    save_decoder(network.decoder, decoder, fingerprint(load_encoder(encoder)))
    return ["--model", str(decoder), "--encoder", str(encoder)]


@pytest.fixture
def microast_weights(tmp_path: Path, peers: ModuleType) -> Path:
    """Seeded random weights of MicroAST, in files such as its authors' are converted to."""
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.manual_seed(2)
    model = peers.MicroAst()
    for name in peers.MICROAST_FILES:
        part = model.get_submodule(name[len("peer_microast_") : -len(".safetensors")])
        convolutions = [module for module in part.modules() if isinstance(module, nn.Conv2d)]
        tensors = {
            f"layer.{i}.{key}": value
            for i, convolution in enumerate(convolutions)
            for key, value in convolution.state_dict().items()
        }
        save_file(tensors, folder / name)
    return folder


def noise(seed: int, size: int = 32) -> Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed))


def evaluate(evaluation: ModuleType, out: Path, *arguments: str | Path) -> list[dict[str, Any]]:
    """Run the evaluation; return the rows of its JSON file."""
    options = ["--size", "32", "--pairs", "3", "-o", str(out), *map(str, arguments)]
    evaluation.main(options)
    rows: list[dict[str, Any]] = json.loads((out / "evaluation.json").read_text())["rows"]
    return rows


def names(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [row["row"] for row in rows]


def test_without_weights_the_peer_is_left_out_and_the_table_says_so(
    evaluation: ModuleType,
    data: Path,
    model_options: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = evaluate(evaluation, tmp_path / "out", "--data", data, *model_options)
    assert names(rows) == ["photo itself", *OURS]
    table = capsys.readouterr().out
    assert "MicroAST: left out" in table and "the model's own encoder" in table
    assert [line.split(" | ")[0] for line in table.splitlines()[-4:]] == [
        f"| {name}" for name in ["photo itself", *OURS]
    ]


def test_the_photo_itself_loses_no_content(
    evaluation: ModuleType, data: Path, model_options: list[str], tmp_path: Path
) -> None:
    photo, *others = evaluate(evaluation, tmp_path / "out", "--data", data, *model_options)
    assert photo["content_loss"] == 0 and photo["ssim"] == 1 and photo["milliseconds"] is None
    for row in others:
        assert all(math.isfinite(value) for key, value in row.items() if key != "row")
        assert row["content_loss"] > 0 and row["ssim"] < 1 and row["milliseconds"] > 0


def test_every_pair_is_in_the_csv_file_and_on_the_sheet(
    evaluation: ModuleType,
    data: Path,
    model_options: list[str],
    microast_weights: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    rows = evaluate(
        evaluation, out, "--data", data, "--weights", microast_weights, "--full", *model_options
    )
    assert names(rows) == ["photo itself", "MicroAST", *OURS]
    with (out / "evaluation.csv").open(newline="") as file:
        records = list(csv.DictReader(file))
    assert len(records) == 3 * 5
    assert {record["photo"] for record in records} == {"photos0.png", "photos1.png", "photos2.png"}
    assert all(math.isfinite(float(record["gram_loss"])) for record in records)
    with Image.open(out / "contact-sheet.png") as sheet:
        assert sheet.size == (6 * 32, 28 + 3 * 32)
    assert len(list((out / "pictures").iterdir())) == 3 * 6


def test_another_network_can_judge(
    evaluation: ModuleType,
    data: Path,
    model_options: list[str],
    tiny_encoder: Encoder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    preprocess = {
        "preprocess.weight": torch.eye(3)[:, :, None, None],
        "preprocess.bias": torch.zeros(3),
    }
    save_file({**tiny_encoder.state_dict(), **preprocess}, tmp_path / "judge.safetensors")
    judge = ("--judge", tmp_path / "judge.safetensors")
    rows = evaluate(evaluation, tmp_path / "out", "--data", data, *judge, *model_options, "--json")
    printed = json.loads(capsys.readouterr().out)
    assert printed["rows"] == rows
    assert any("embedded features of judge.safetensors" in line for line in printed["caption"])


def test_pairs_are_reproducible_distinct_and_even(evaluation: ModuleType, data: Path) -> None:
    def choose(pairs: int, seed: int = 0) -> list[tuple[Path, Path]]:
        chosen: list[tuple[Path, Path]] = evaluation.choose_pairs(
            evaluation.Options(data, pairs=pairs, seed=seed)
        )
        return chosen

    assert choose(4) == choose(4) == choose(6)[:4]
    assert len(set(choose(100))) == 6
    assert len({photo for photo, _ in choose(3)}) == 3
    assert any(choose(3, seed) != choose(3) for seed in range(1, 5))


@pytest.mark.parametrize("script", ["evaluation", "benchmark"])
def test_a_mistake_gives_one_line(
    script: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    options = {"evaluation": ["--data", str(tmp_path)], "benchmark": ["--parts", "network"]}[script]
    with pytest.raises(SystemExit, match=r"no such weights file") as caught:
        request.getfixturevalue(script).main([*options, "--model", str(tmp_path / "x.safetensors")])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", ["30", "24", "-8"])
def test_sizes_that_do_not_fit_are_refused(
    evaluation: ModuleType, benchmark: ModuleType, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for script, options in (
        (evaluation, ["--data", ".", "--size"]),
        (benchmark, ["--sizes", "64"]),
    ):
        with pytest.raises(SystemExit):
            script.parse([*options, size])
        assert "multiple" in capsys.readouterr().err


BENCHMARKS = ["benchmark", "benchmark_batch", "benchmark_gallery", "benchmark_web"]


@pytest.mark.parametrize("script", BENCHMARKS)
def test_what_measures_painting_starts_without_torch(script: str) -> None:
    code = (
        "import runpy, sys; sys.modules['torch'] = None; folder, script = sys.argv[1:];"
        "sys.path.insert(0, folder); runpy.run_path(f'{folder}/{script}')"
    )
    subprocess.run([sys.executable, "-c", code, str(SCRIPTS), script], check=True)


def run_benchmark(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str], *options: str
) -> list[dict[str, Any]]:
    """Run parts of the benchmark at tiny sizes; return the rows of its JSON."""
    benchmark.main(["--repeats", "1", "--loads", "0", "--photos", "64x48", *options, "--json"])
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["rows"]
    return rows


def test_the_network_is_timed_on_each_engine_beside_those_of_others(
    benchmark: ModuleType, microast_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--sizes", "32", "64", "--threads", "1", "--weights", str(microast_weights)]
    rows = run_benchmark(benchmark, capsys, "--parts", "network", *options)
    assert [row["setting"] for row in rows] == ["32 px, 1 thread"] * 7 + ["64 px, 1 thread"] * 7
    assert [row["what"] for row in rows[:7]] == [
        "ONNX Runtime, known style",
        "ONNX Runtime, with the style",
        "torch, known style",
        "torch, with the style",
        "MicroAST, known style",
        "MicroAST, with the style",
        "pytorch-AdaIN's architecture, with the style",
    ]
    assert rows[0]["ratio"] == rows[7]["ratio"] == 1
    assert all(row["seconds"] > 0 and row["ratio"] > 0 for row in rows)


def test_without_torch_only_onnx_runtime_is_timed(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "find_spec", lambda _: None)
    rows = run_benchmark(benchmark, capsys, "--parts", "network", "--sizes", "32")
    assert [row["setting"] for row in rows] == ["32 px, 1 thread"] * 2 + ["32 px, 2 threads"] * 2
    assert {row["what"].partition(",")[0] for row in rows} == {"ONNX Runtime"}


@pytest.mark.slow
def test_whole_commands_are_compared_with_a_peer(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--parts", "command", "serve", "batch", "--count", "2"]
    rows = run_benchmark(benchmark, capsys, *options, "--peer", "cp {painting} {result}")
    assert [row["what"] for row in rows] == [
        "adain, a picture",
        "adain, a gallery style",
        "peer",
        "adain serve, first picture",
        "adain batch",
        "peer",
    ]
    assert all(row["seconds"] > 0 for row in rows)
    assert [row["ratio"] for row in rows if row["what"] == "peer"] == [1, 1]
    if sys.platform == "linux":
        assert all(row["peak"] > 2**20 for row in rows)


def test_a_peer_that_is_not_installed_is_left_out(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.Options(peer="cp").peer_command[:2] == ["cp", "{photo}"]
    monkeypatch.setattr(benchmark, "launch", lambda _: benchmark.Usage(0.5, 2**20))
    monkeypatch.setattr(benchmark, "PARTS", {"imports": benchmark.measure_imports})
    benchmark.main(["--parts", "imports", "--peer", "no-such-program", "--loads", "0"])
    text = capsys.readouterr().out
    assert "- peer: left out, no-such-program is not installed" in text
    assert "| `import adain` |  | 0 | 500 ms |  | 1 MiB |  |" in text


def test_a_command_that_fails_ends_the_benchmark_in_one_line(benchmark: ModuleType) -> None:
    failing = ["--parts", "command", "--photos", "64x48", "--peer", "false"]
    with pytest.raises(SystemExit, match="ended with 1") as caught:
        benchmark.main([*failing, "--repeats", "1"])
    assert "\n" not in str(caught.value)


def test_variants_take_turns_and_the_first_turn_does_not_count(benchmark: ModuleType) -> None:
    calls: list[str] = []

    def run(name: str) -> Any:
        calls.append(name)
        return benchmark.Usage(len(calls))

    usages = benchmark.take_turns({name: partial(run, name) for name in "ab"}, 3)
    assert "".join(calls) == "ab" * 4
    assert [usage.seconds for usage in usages["a"]] == [3, 5, 7]


def test_the_memory_of_a_command_is_its_own(benchmark: ModuleType) -> None:
    held = bytearray(b"1") * 2**27  # Of this process; not of what it starts.
    small, large = (
        benchmark.launch([sys.executable, "-c", f"bytearray(b'1') * {size}"]).peak
        for size in (1, 2**26)
    )
    assert small < 2**26 < large < len(held)


def test_busy_processes_end_with_what_they_were_for(benchmark: ModuleType) -> None:
    before = psutil.Process().children()
    with pytest.raises(KeyboardInterrupt), benchmark.busy(2):
        assert len(psutil.Process().children()) == len(before) + 2
        raise KeyboardInterrupt
    assert len(psutil.Process().children()) == len(before)


def test_a_batch_is_benchmarked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = load_script("benchmark_batch")
    monkeypatch.setattr(script, "find_spec", lambda _: None)  # The peer takes long.
    script.main(["--photos", "3", "--smallest", "32", "--largest", "64", "--few", "1"])
    table = capsys.readouterr().out
    assert {row.split(" | ")[0] for row in table.splitlines() if row.startswith("| ")} == {
        "|",
        *(f"| {name}" for name in ("network", "network, full size", "batch", "loop")),
    }


@pytest.mark.slow
def test_a_service_is_benchmarked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = load_script("benchmark_web")
    monkeypatch.setattr(script, "sliders", lambda *_: None)  # Needs a browser.
    options = ["--sizes", "64", "--requests", "2", "--clients", "2", "--seconds", "1"]
    script.main(options)
    table = capsys.readouterr().out
    assert "| cold start to the first picture |" in table and "frames a second" in table
    assert "2 clients for 1 s" in table


def test_peers_do_as_much_work_as_published(peers: ModuleType, microast_weights: Path) -> None:
    photo, microast = noise(0), peers.load_microast(microast_weights)
    style = microast.measure_style(noise(1))
    assert sum(parameter.numel() for parameter in microast.parameters()) == 471_987
    with FlopCounterMode(display=False) as counter:
        microast.stylize(photo, style)
    assert counter.get_total_flops() / 2 == pytest.approx(27_772 * 32**2, rel=0.001)
    full_width = peers.FullWidthAdain()
    with FlopCounterMode(display=False) as counter:
        full_width.stylize(photo, noise(1))
    assert counter.get_total_flops() / 2 == pytest.approx(3 * 241_344 * 32**2, rel=0.001)


def test_microast_paints_what_its_authors_code_paints(peers: ModuleType, shared_data: Path) -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    photo = torch.stack([0.5 + 0.4 * (x / 9 + c).sin() * (y / 7).cos() for c in range(3)])[None]
    painting = torch.stack([0.5 + 0.4 * (x * y / 99 + c).sin() for c in range(3)])[None]
    model = peers.load_microast(shared_data / "weights")
    result = model.stylize(photo, model.measure_style(painting))
    expected = torch.tensor(PEER_PIXELS)
    torch.testing.assert_close(result[0, :, 8::24, 8::24].flatten(), expected, atol=1e-4, rtol=0)


def test_weights_of_another_network_are_refused(peers: ModuleType, microast_weights: Path) -> None:
    name = peers.MICROAST_FILES[-1]
    save_file({"layer.0.weight": torch.zeros(1)}, microast_weights / name)
    with pytest.raises(WeightsError, match="not the tensors of MicroAST"):
        peers.load_microast(microast_weights)


def test_the_full_width_network_keeps_the_size_of_the_photo(peers: ModuleType) -> None:
    assert peers.FullWidthAdain().stylize(noise(0, 40), noise(1, 32)).shape == (1, 3, 40, 40)


def test_renders_are_compared_pair_by_pair(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = load_script("benchmark_render")
    quick = replace(script.GatysConfig(), first_iterations=3, min_side=32)
    ways = script.ways

    def quick_ways(steps: int) -> dict[str, Any]:
        return {**ways(steps), script.OURS: script.Way("one-pass", quick)}

    monkeypatch.setattr(script, "ways", quick_ways)
    out = tmp_path / "out"
    options = ["--data", str(data), "--size", "32", "--pairs", "2", "--steps", "4", "-o", str(out)]
    script.main([*options, "--sizes", "--json"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert len(rows) == 4 and rows[0]["way"] == script.OURS
    assert rows[0]["ours_there"] == rows[0]["ours_passes"] == rows[0]["there"] == 1
    assert rows[0]["passes"] == 3 and "(2/2)" in (out / "rows.md").read_text()
    assert rows[0]["reached"] == 2
    assert all(row["seconds"] > 0 and math.isfinite(row["loss"]) for row in rows)
    with (out / "curves.csv").open(newline="") as file:
        steps = [row["way"] for row in csv.DictReader(file)]
    assert len(steps) == 2 * (3 + 4 + 4 + 8)
    assert len(list(out.glob("*.png"))) == 2 * (2 + 4)


def test_a_curve_knows_when_a_loss_was_reached() -> None:
    script = load_script("benchmark_render")
    curve = script.Curve(0, "", (1.0, 2.0, 3.0), (0.5, 1.5, 2.5), (9.0, 5.0, 6.0))
    assert (curve.seconds_to(6), curve.seconds_to(4)) == (2.0, None)
    assert (curve.passes_to(6), curve.passes_to(4)) == (1.5, None)


def test_settings_are_compared_on_one_sheet(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = load_script("benchmark_render")
    monkeypatch.setenv("ADAIN_MODELS", str(tmp_path))
    quick = replace(script.GatysConfig(), first_iterations=3)
    names = list(script.settings())
    assert "optimizer adam" in names and not any(name.startswith("network") for name in names)
    chosen = {"default": script.Setting(quick), "other": script.Setting(quick)}
    monkeypatch.setattr(script, "settings", lambda: chosen)
    out = tmp_path / "out"
    options = ["--data", str(data), "--size", "32", "--pairs", "2", "--sheet", "-o", str(out)]
    script.main(options)
    table = capsys.readouterr().out
    assert "| one pass | 0 |" in table and "| default | 3 |" in table
    with (out / "sheet.csv").open(newline="") as file:
        records = list(csv.DictReader(file))
    assert [record["setting"] for record in records] == ["one pass", "default", "other"] * 2
    assert float(records[1]["loss"]) < float(records[0]["loss"])
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.size == (5 * 32, 2 * (32 + 24))
    assert len(list(out.glob("*.png"))) == 1 + 2 * 3


@pytest.mark.slow
def test_an_ablation_trains_each_variant_once_and_compares_them(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ablation = load_script("ablate")
    out = tmp_path / "out"
    options = ["--data", str(data), "--size", "64", "--steps", "1", "-o", str(out)]
    ablation.main([*options, "--only", "one-level", "no-tv"])
    table = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in table[2:]] == [
        "| statistics matched at relu4_1 alone, no skips",
        "| no total variation loss",
    ]
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.size == (4 * ablation.SIDE, 5 * ablation.SIDE)
    weights = (out / "no-tv" / "decoder.safetensors").stat().st_mtime_ns
    ablation.main([*options, "--only", "no-tv"])
    assert (out / "no-tv" / "decoder.safetensors").stat().st_mtime_ns == weights


def test_a_gallery_is_benchmarked(capsys: pytest.CaptureFixture[str]) -> None:
    script = load_script("benchmark_gallery")
    parts = ["lookup", "search", "similar", "artist", "size"]
    script.main(["--parts", *parts, "--paintings", "910", "--repeats", "2"])
    table = capsys.readouterr().out
    rows = [row.split(" | ") for row in table.splitlines() if row.startswith("| ")]
    figures = {row[0].removeprefix("| "): row[-1].removesuffix(" |") for row in rows}
    assert figures["an artist of 28 works, cached"].endswith(" ms")
    assert float(figures["similar, top 10"].split()[0]) > 0
    assert 1920 < int(figures["database"].split()[0].replace(",", "")) < 5000


def test_synthetic_paintings_have_statistics_between_real_ones() -> None:
    script, starter = load_script("benchmark_gallery"), load_styles()
    styles = script.synthesize(starter, 1000, 50)
    assert len({painting.sha256 for painting in styles.paintings}) == 50
    assert (styles.vectors >= starter.vectors.min(0)).all()
    assert (styles.vectors <= starter.vectors.max(0)).all()
    assert {painting.artist for painting in styles.paintings} == {script.BUSIEST}


def test_the_evaluation_takes_other_programs(
    evaluation: ModuleType, data: Path, model_options: list[str], tmp_path: Path
) -> None:
    copy = f"{sys.executable} -c 'import shutil, sys; shutil.copy(*sys.argv[1:])'"
    peer = f"Copy={copy} {{painting}} {{result}}"
    rows = evaluate(evaluation, tmp_path / "out", "--data", data, *model_options, "--peer", peer)
    row = next(row for row in rows if row["row"] == "Copy")
    assert row["milliseconds"] is None
    # What it copies is the painting: nothing is nearer to that.
    assert row["style_loss"] == min(row["style_loss"] for row in rows)
    failing = f"Broken={sys.executable} -c 'raise SystemExit(\"no model\")' {{result}}"
    with pytest.raises(SystemExit, match="no model"):
        evaluate(evaluation, tmp_path / "x", "--data", data, *model_options, "--peer", failing)


def pairs_of(key: dict[str, dict[str, dict[str, str]]]) -> set[str]:
    return {facts["pair"] for facts in key["viewer-1"].values()}


def test_a_blind_trial_counts_what_the_viewers_preferred(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = load_script("blind_trial")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    levels = {"photo-itself": 0, "painting": 80, "ours-alpha-1": 160, "MicroAST": 240}
    for pair in range(24):
        for row, level in levels.items():
            Image.new("RGB", (32, 32), (level,) * 3).save(pictures / f"{pair:03d}-{row}.png")
    script.main([str(tmp_path), "--pairs", "20"])
    trial = tmp_path / "trial"
    key = json.loads((trial / "key.json").read_text())
    worst = min(facts["pair"] for facts in key["viewer-1"].values())
    for viewer, sheets in key.items():
        purposes = [facts["purpose"] for facts in sheets.values()]
        assert [purposes.count(each) for each in ("first", "again", "caught")] == [20, 2, 1]
        answers = ["sheet,answer"]
        for sheet, facts in sheets.items():
            with Image.open(trial / viewer / f"{sheet}.png") as picture:
                for letter, left in (("A", 16), ("B", 56)):
                    assert picture.getpixel((left, 100)) == (levels[facts[letter]],) * 3
            # Ours but for one pair; the second viewer prefers the photo where it is offered.
            ours = "A" if facts["A"] == "ours-alpha-1" else "B"
            other = facts["pair"] == worst or (viewer, facts["purpose"]) == ("viewer-2", "caught")
            answers.append(f"{sheet},{'AB'.replace(ours, '') if other else ours}")
        with pytest.raises(SystemExit, match=f"{viewer}: sheet 000 has ''"):
            script.main([str(tmp_path), "--score"])
        (trial / viewer / "answers.csv").write_text("\n".join(answers) + "\n")
    script.main([str(tmp_path), "--score"])
    score = capsys.readouterr().out
    assert "viewer-2: ours-alpha-1 in 19 of 20; the same choice again in 2 of 2" in score
    assert "the photo itself preferred in 1 of 1" in score
    assert "in 38 of 40 choices (95%, interval 76% to 99%, by pair: proven)" in score
    assert f"MicroAST preferred by all in pairs {worst}" in score
    figures = ["pair,photo,painting,row,milliseconds,style_loss,ssim"]
    for pair in range(24):  # What was chosen is always the sharper one, and half the time nearer.
        far = (pair + 1) % 2 + 1
        for row, loss, ssim in (("ours-alpha-1", far, 0.2), ("MicroAST", 1.5, 0.4)):
            figures.append(f"{pair},a.jpg,b.jpg,{row},9,{loss},{ssim}")
    (tmp_path / "evaluation.csv").write_text("\n".join(figures) + "\n")
    script.main([str(tmp_path), "--score", "--keep", str(tmp_path / "kept.csv")])
    score = capsys.readouterr().out
    assert "ssim: 95% (76% to 99%); ours-alpha-1 has the lower one in 100%" in score
    nearer = sum(int(each) % 2 == (each != worst) for each in pairs_of(key))
    assert f"style_loss: {nearer / 20:.0%} (" in score
    kept = (tmp_path / "kept.csv").read_text().splitlines()
    assert len(kept) == 41 and kept[1].startswith("a.jpg,b.jpg,")
    with pytest.raises(SystemExit, match="holds a trial"):
        script.main([str(tmp_path)])
    with pytest.raises(SystemExit, match="run evaluate --full"):
        script.main([str(pictures)])


def test_the_interval_of_a_preference_counts_pairs_not_choices() -> None:
    script = load_script("blind_trial")
    # 37 of 60 by one viewer: 49 to 73 %.
    low, high = script.wilson([1.0] * 37 + [0.0] * 23, 1)
    assert (round(low, 2), round(high, 2)) == (0.49, 0.73)
    # A second viewer who always agrees tells nothing new; one who decides freely does.
    assert script.wilson([1.0] * 37 + [0.0] * 23, 2) == (low, high)
    assert script.wilson([1.0] * 20 + [0.5] * 34 + [0.0] * 6, 2)[0] > low


# build_gallery


def test_the_famous_works_are_in_the_public_domain_and_in_the_gallery() -> None:
    works = load_script("build_gallery").famous_works()
    shipped = {painting.slug: painting for painting in load_styles().paintings}
    assert len(works) >= 100
    for work in works:
        there = shipped[work.slug]
        assert (there.title, there.artist, there.tags) == (work.title, work.artist, work.tags)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("starry night", "starry-night"),
        ("scream", "the-scream"),
        ("great wave", "the-great-wave"),
        ("sunflowers", "sunflowers"),
        ("mona lisa", "mona-lisa"),
        ("gioconda", "mona-lisa"),
        ("the kiss", "the-kiss"),
        ("pearl earring", "girl-with-a-pearl-earring"),
    ],
)
def test_famous_works_are_found_by_what_people_call_them(name: str, slug: str) -> None:
    assert starter_gallery().find(name).slug == slug


def test_famous_works_come_first_and_take_their_slugs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = load_script("build_gallery")
    works = [Painting("a", "A", "X", styles=("s",)), Painting("b", "B", "Y", styles=("t",))]
    monkeypatch.setattr(script, "famous_works", lambda: works)
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(picture(64, 64, format="JPEG"))
    styles = load_styles()
    former = (replace(styles.paintings[0], slug="a", title="Old", artist="Z"),
              replace(styles.paintings[1], slug="b", artist="Y", year=1))  # fmt: skip
    made = script.add_famous(StyleFile(former, styles.vectors[:2], styles.encoder), tmp_path)
    assert [(p.slug, p.artist) for p in made.paintings] == [("a", "X"), ("b", "Y"), ("old-z", "Z")]
    assert made.paintings[1].width == 64 and made.vectors.shape == styles.vectors[:3].shape
