"""8-bit numbers: what they round, what they paint, and where there are none."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adain.engine import onnx_engine, quantizing
from adain.engine.loading import load_model
from adain.engine.model import Model
from adain.engine.onnx_engine import GRAPHS
from adain.engine.quantizing import (
    LEVELS,
    Quantized,
    can_be_quantized,
    quantize,
    quantized_stage,
)
from adain.imaging.reading import load_image
from adain.painting.tiling import (
    NOWHERE,
    UNCHANGED,
    Maps,
    measure_maps,
    measure_pixels,
    paint_tiles,
)
from adain.styles.field import StyleField
from adain.styles.statistics import StyleStatistics

KERNELS = [f"{kind}{depth}" for kind in ("encode", "decode", "blend") for depth in range(1, 5)]


@cache
def shipped() -> Model:
    return load_model(device="cpu")


@cache
def photo() -> np.ndarray:
    return load_image(GRAPHS / "photos" / "coffee.jpg").pixels[:184, :248]


@cache
def painting() -> StyleStatistics:
    return measure_pixels(shipped(), load_image(GRAPHS / "photos" / "rocket.jpg").pixels)


def painted(
    model: Model, style: StyleStatistics | StyleField, maps: Maps, pixels: int = 2**22
) -> np.ndarray:
    result = np.zeros_like(photo())
    for top, left, tile in paint_tiles(model, photo(), style, maps=maps, tile_pixels=pixels):
        result[top : top + tile.shape[0], left : left + tile.shape[1]] = tile.clip(0, 1)
    return 255 * result


@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.floats(-50, 0),
    st.floats(0.01, 300),
    st.integers(0, 99),
)
def test_levels_are_within_half_a_step(
    inputs: int, outputs: int, low: float, high: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(0, 10.0 ** rng.integers(-4, 2), (outputs, inputs, 3, 3)).astype(np.float32)
    bias = rng.normal(0, 1, outputs).astype(np.float32)
    stage = Quantized({}, {}, ["c"], ["c"])
    made = quantize({"c.weight": weight, "c.bias": bias}, stage, {"c": (low, high)})
    steps = made["c.weight.scale"][:, None, None, None]
    assert made["c.weight.levels"].dtype == np.int8
    assert np.abs(made["c.weight.levels"]).max() <= LEVELS
    assert np.all(np.abs(made["c.weight.levels"] * steps - weight) <= 0.501 * steps)
    restored = made["c.bias.levels"] * made["c.bias.scale"]
    assert np.allclose(restored, bias, atol=0.501 * made["c.bias.scale"].max())
    # Zero is a level of its own, as what is clipped by a ReLU must be.
    assert 0 <= made["c.zero"] <= 255
    assert made["c.scale"] * 255 == pytest.approx(high - low, rel=1e-5)


def test_sums_of_two_products_fit_into_16_bits() -> None:
    assert 2 * 255 * LEVELS < 2**15


@pytest.mark.parametrize("name", KERNELS)
def test_every_stage_has_its_ranges_and_its_graph(name: str) -> None:
    weights = shipped().weights
    ranges = quantizing.read_ranges(weights)
    assert ranges is not None
    stage = quantized_stage(name, weights)
    assert set(stage.ranges) <= set(ranges)
    assert all(low <= 0 < high for low, high in ranges.values())
    assert set(stage.kernels) <= set(stage.reads)
    assert (GRAPHS / weights.graph(f"quantized_{name}")).is_file()


def test_pictures_differ_by_a_few_levels() -> None:
    maps = measure_maps(shipped(), [photo()], painting())
    exact, near = (painted(each, painting(), maps) for each in (shipped(), shipped().quantized))
    change = np.abs(exact - near)
    assert 0 < change.mean() < 4
    assert np.quantile(change, 0.99) < 20
    # No tint: what differs is texture.
    assert np.abs((exact - near).mean((0, 1))).max() < 1.5


def test_several_styles_are_blended() -> None:
    other = measure_pixels(shipped(), photo()[:, ::-1] ** 2)
    ramp = np.linspace(0, 1, photo().shape[1], dtype=np.float32)
    shares = np.stack([np.broadcast_to(each, photo().shape[:2]) for each in (ramp, 1 - ramp)])
    field = StyleField((painting(), other), np.ascontiguousarray(shares))
    maps = measure_maps(shipped(), [photo()], field)
    exact, near = (painted(each, field, maps) for each in (shipped(), shipped().quantized))
    assert 0 < np.abs(exact - near).mean() < 4


@settings(max_examples=5)
@given(st.sampled_from([2**12, 2**15, onnx_engine.BAND_VALUES]), st.sampled_from([2**15, 2**22]))
def test_bands_and_tiles_change_nothing(values: int, pixels: int) -> None:
    maps = measure_maps(shipped(), [photo()], painting())
    with patch.object(onnx_engine, "BAND_VALUES", values):
        result = painted(shipped().quantized, painting(), maps, pixels)
    # Next to a half, a last bit of float32 decides for one level or the next.
    away = np.abs(result - painted(shipped().quantized, painting(), maps))
    assert np.quantile(away, 0.99) < 1 and away.max() < 12


def test_nothing_is_measured() -> None:
    tile = np.zeros((32, 48, 3), np.float32)
    encoded = shipped().quantized.engine.encode(tile, UNCHANGED, NOWHERE, (0, 32, 0, 48))
    assert not encoded.moments
    assert [each.dtype for each in encoded.features[1:]] == [np.uint8] * 3


def test_what_was_learnt_is_quantized_too() -> None:
    import gallery

    style = gallery.style("starry-night", model=shipped())
    assert style.adapter is not None
    maps = measure_maps(shipped(), [photo()], style)
    exact, near = (painted(each, style, maps) for each in (shipped(), shipped().quantized))
    plain = painted(shipped().quantized, replace(style, adapters=()), maps)
    assert np.abs(exact - near).mean() < 4 < np.abs(plain - near).mean()


def test_other_weights_have_none(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny_model.quantized is tiny_model
    weights = shipped().weights
    assert can_be_quantized(weights) and not can_be_quantized(tiny_model.weights)
    changed = replace(weights, decoder={**weights.decoder, "13.bias": np.zeros(3, np.float32)})
    assert quantizing.read_ranges(changed) is None
    for content in ("", "{}", json.dumps({"measured": "other"})):
        (tmp_path / "ranges.json").write_text(content)
        monkeypatch.setattr(quantizing, "RANGES", tmp_path / "ranges.json")
        assert quantizing.read_ranges(weights) is None
