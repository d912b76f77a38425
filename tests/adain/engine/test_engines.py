"""ONNX Runtime and torch give the same; the shipped graphs are those of the modules."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from adain.engine import onnx_engine
from adain.engine.loading import load_model
from adain.engine.model import Model
from adain.engine.onnx_engine import GRAPHS, OnnxEngine
from adain.engine.torch_engine import TorchEngine
from adain.errors import EngineError, TorchMissing, WeightsError
from adain.network.weights import ASSETS, SHIPPED_DECODER
from adain.painting.tiling import measure_pixels, paint_pixels, paint_tiles
from adain.styles.field import StyleField

SCRIPTS = Path(__file__).parents[3] / "scripts"


@cache
def shipped() -> Model:
    return load_model(device="cpu", threads=1)


@cache
def by_torch() -> Model:
    return replace(shipped(), engine=TorchEngine(shipped().weights))


def export() -> ModuleType:
    loader = SourceFileLoader("export_graphs", str(SCRIPTS / "export"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    with patch.object(sys, "path", [str(SCRIPTS), *sys.path]):
        loader.exec_module(module)
    return module


@settings(max_examples=12)
@given(
    height=st.integers(16, 120),
    width=st.integers(16, 120),
    alpha=st.floats(-1, 2),
    styles=st.integers(0, 3),
    seed=st.integers(0, 99),
    values=st.sampled_from([2**10, 2**14, onnx_engine.BAND_VALUES]),
)
def test_both_engines_give_the_same(
    height: int, width: int, alpha: float, styles: int, seed: int, values: int
) -> None:
    rng = np.random.default_rng(seed)
    photo = rng.random((height, width, 3), np.float32)
    paintings = [
        rng.random((40, 24, 3), np.float32) * rng.random(3, np.float32)
        for _ in range(max(1, styles))
    ]
    results = []
    for model in (shipped(), by_torch()):
        with patch.object(onnx_engine, "BAND_VALUES", values):  # In one band, and in many.
            measured = tuple(measure_pixels(model, painting) for painting in paintings)
            results.append([style.to_vector() for style in measured])
            masks = np.random.default_rng(seed).random((styles, height, width), np.float32)
            style = StyleField(measured, masks) if styles else measured[0]
            results[-1].append(paint_pixels(model, photo, style, alpha))
    for one, other in zip(*results, strict=True):
        assert np.abs(one - other).max() <= 1e-3 < 1 / 255


def test_threads_and_bands_change_nothing_that_shows() -> None:
    rng = np.random.default_rng(0)
    photo, painting = (rng.random((96, 72, 3), np.float32) for _ in range(2))
    results = []
    for values, threads in ((onnx_engine.BAND_VALUES, 1), (2**12, 3)):
        model = load_model(device="cpu", threads=threads)
        with patch.object(onnx_engine, "BAND_VALUES", values):
            results.append(paint_pixels(model, photo, measure_pixels(model, painting)))
    assert np.abs(results[0] - results[1]).max() <= 1e-5


def test_one_style_in_the_kernels_equals_a_blend_of_one() -> None:
    rng = np.random.default_rng(0)
    photo = rng.random((48, 64, 3), np.float32)
    style = measure_pixels(shipped(), rng.random((40, 24, 3), np.float32))
    field = StyleField((style,), np.ones((1, 48, 64), np.float32))
    blended = paint_pixels(shipped(), photo, field)
    assert np.abs(paint_pixels(shipped(), photo, style) - blended).max() <= 1e-4


@pytest.mark.slow
def test_the_shipped_graphs_are_those_of_the_modules() -> None:
    for name, graph in export().export_graphs(shipped().weights).items():
        file = GRAPHS / shipped().weights.graph(name)
        assert file.read_bytes() == graph, "run scripts/export"


def test_graphs_hold_no_weights() -> None:
    assert all(file.stat().st_size < 60_000 for file in GRAPHS.glob("*-*.onnx"))


def test_any_decoder_of_the_architecture_runs(tmp_path: Path) -> None:
    model = shipped()
    file = tmp_path / "own.safetensors"
    tensors = {
        name: value + np.float32(0.1) if name == "13.bias" else value
        for name, value in model.weights.decoder.items()
    }
    metadata = {
        "format": "adain-decoder/1",
        "architecture": json.dumps(model.weights.table),
        "encoder": model.fingerprint,
        "max_gain": "2.0",
    }
    save_file(tensors, file, metadata)
    own = load_model(file, "cpu")
    assert isinstance(own.engine, OnnxEngine) and own.digest != model.digest
    photo = np.full((32, 32, 3), 0.5, np.float32)
    style = measure_pixels(model, photo)
    before, after = (next(paint_tiles(m, photo, style)).pixels for m in (model, own))
    assert np.allclose(after, before + 0.1, atol=1e-5)


def test_the_digest_is_that_of_journals_of_the_first_version() -> None:
    # As batches of version 0.1 identified the weights; see gallery.use_cases.journal.
    digest = hashlib.sha256()
    for name, value in sorted(
        (f"{part}.{name}", value)
        for part, values in (
            ("encoder", shipped().weights.encoder),
            ("decoder", shipped().weights.decoder),
        )
        for name, value in values.items()
    ):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    assert shipped().digest == digest.digest()


@pytest.mark.parametrize("damage", ["truncated", "empty", "another kind"])
def test_a_damaged_graph_is_one_line(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in GRAPHS.glob("*.onnx"):
        data = file.read_bytes()
        broken = {"truncated": data[: len(data) // 2], "empty": b"", "another kind": b"PNG" * 99}
        (tmp_path / file.name).write_bytes(broken[damage])
    monkeypatch.setattr(onnx_engine, "GRAPHS", tmp_path)
    with pytest.raises(
        EngineError, match=r"^encode1-\w+\.onnx: .*reinstall the package$"
    ) as raised:
        measure_pixels(load_model(device="cpu"), np.zeros((32, 32, 3), np.float32))
    assert "\n" not in str(raised.value)


def test_without_graphs_torch_is_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_engine, "GRAPHS", tmp_path)
    assert isinstance(load_model(device="cpu").engine, TorchEngine)


def test_without_graphs_and_torch_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_engine, "GRAPHS", tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(TorchMissing, match=r"pip install 'adain\[torch\]'"):
        load_model(device="cpu")


def test_cuda_without_torch_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(TorchMissing, match=r"pip install 'adain\[torch\]'"):
        load_model(device="cuda")


def test_weights_of_another_version_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_file({"1.weight": np.zeros(3, np.float32)}, file, {"format": "adain-decoder/9"})
    with pytest.raises(WeightsError, match="expected adain-decoder/1, found adain-decoder/9"):
        load_model(file)
    shutil.copy(ASSETS / SHIPPED_DECODER, file)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(WeightsError, match=r"other\.safetensors: not a whole"):
        load_model(file)


def test_painting_never_imports_torch() -> None:
    code = """
import sys
sys.modules["torch"] = None
import numpy as np
import adain
noise = np.random.default_rng(0).random((40, 48, 3))
style = adain.measure_style(noise)
adain.stylize(noise, [style, style], masks=[noise, 1 - noise], strength=noise, stroke=2,
    preserve_color="luminance", photorealistic=True, smooth=0.5, sharpen=1, max_side=32)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "facts",
    [
        {"max_gain": "wide"},
        {"architecture": "[1, 2]"},
        {"architecture": json.dumps([["start"]])},
    ],
)
def test_facts_that_make_no_network_are_one_line(facts: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "hostile.safetensors"
    metadata = {
        "format": "adain-decoder/1",
        "architecture": json.dumps(shipped().weights.table),
        "encoder": shipped().fingerprint,
    }
    save_file(dict(shipped().weights.decoder), file, metadata | facts)
    with pytest.raises(WeightsError, match=r"^(hostile\.safetensors|the decoder): .*"):
        load_model(file, "cpu")
