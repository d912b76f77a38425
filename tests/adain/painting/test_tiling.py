from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from adain.config import STRIDE
from adain.engine.device import free_memory
from adain.engine.loading import load_model
from adain.engine.model import Model, ModelWeights
from adain.engine.torch_engine import TorchEngine
from adain.errors import ImageTooLargeError
from adain.imaging.picture import Picture
from adain.network.decoder import Decoder, DecoderTable, StyleModulation
from adain.network.encoder import Encoder, EncoderConfig
from adain.network.weights import ModelFiles
from adain.painting.tiling import (
    measure_pixels,
    memory_limit,
    paint_pixels,
    paint_tiles,
    plan_tiles,
)
from adain.styles.field import StyleField
from adain.styles.statistics import StyleStatistics

WIDTHS = (4, 4, 8, 8)

TABLES: tuple[DecoderTable, ...] = (
    (
        ("start", "relu4_1"),
        ("conv", 8, 8),
        ("residual", 8),
        ("upsample", "nearest"),
        ("add", "relu3_1", 8, 8),
        ("residual", 8),
        ("conv", 8, 4),
        ("upsample", "nearest"),
        ("add", "relu2_1", 8, 4),
        ("upsample", "nearest"),
        ("add", "relu1_1", 4, 4),
        ("conv", 4, 4),
        ("image", 4),
    ),
    (
        ("start", "relu4_1", 0.4),
        ("upsample", "bilinear"),
        ("conv", 8, 4),
        ("upsample", "bilinear"),
        ("upsample", "nearest"),
        ("add", "relu1_1", 8, 4),
        ("image", 4),
    ),
    (("start", "relu3_1"), ("upsample", "nearest"), ("upsample", "bilinear"), ("image", 8)),
    (("start", "relu1_1"), ("image", 4)),
)
"""With skips at every level, some of the photo's own features, too; bilinear; shallow; without any
scale."""


@cache
def small_model(table: int) -> Model:
    """A model of random weights; the first is modulated, every second recolors."""
    torch.manual_seed(table)
    encoder, decoder = Encoder(EncoderConfig(WIDTHS, ())), Decoder(TABLES[table], 1.2)
    if table == 0:
        outputs = 2 * (8 + 2 * 8 + 2 * 8 + 4 + 4)
        decoder = Decoder(TABLES[0], 1.2, modulation=StyleModulation(48, 5, outputs))
    for module in (encoder, decoder):
        for parameter in module.parameters():
            if parameter.ndim == 4:  # So that what is deep is seen in the result, too.
                torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    features, painter = (
        {name: value.detach().numpy() for name, value in module.state_dict().items()}
        for module in (encoder, decoder)
    )
    if table % 2 == 0:  # Wrong colours, but some.
        weight = np.zeros((52, 9), np.float32)
        weight[:3, :3], weight[4:7, [3, 6, 8]] = np.eye(3), 0.1 * np.eye(3)
        painter |= {"colors.weight": weight, "colors.bias": np.zeros(9, np.float32)}
    config = {"widths": WIDTHS, "embed_widths": ()}
    weights = ModelWeights(features, painter, config, TABLES[table], 1.2, "small")
    files = ModelFiles(Path("small.decoder"), Path("small.encoder"))
    return Model("small", files, weights, TorchEngine(weights))


@cache
def shipped_model() -> Model:
    return load_model(device="cpu", threads=1)


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise that gets brighter downwards, so that a tile differs from the whole."""
    noise = np.random.default_rng(seed).random((height, width, 3))
    return np.rint(255 * noise * np.linspace(0.2, 1, height)[:, None, None]).astype(np.uint8)


def pixels(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    return rows.astype(np.float32) / np.float32(255)


def painting(model: Model, seed: int) -> StyleStatistics:
    colors = np.random.default_rng(seed).random(3, np.float32)
    return measure_pixels(model, colors * pixels(photo(24, 32, seed)))


def paint(model: Model, image: Any, *arguments: Any, **options: Any) -> NDArray[np.float32]:
    result = np.full(image.shape, np.nan, np.float32)
    for top, left, tile in paint_tiles(model, image, *arguments, **options):
        result[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return result


def difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.clip(0, 1) - b.clip(0, 1)).max())


@dataclass(frozen=True)
class Case:
    """A photo, a style or field, and a size of tiles beyond their margins."""

    height: int
    width: int
    room: int
    alpha: float
    memory: int
    seed: int
    masks: int
    strength: bool
    uint8: bool

    def style(self, model: Model) -> StyleStatistics | StyleField:
        styles = tuple(painting(model, self.seed + i) for i in range(max(1, self.masks)))
        if not self.masks and not self.strength:
            return styles[0]
        size = (self.masks + 1, self.height, self.width)
        maps: NDArray[Any] = np.random.default_rng(self.seed).random(size, np.float32)
        maps = (maps * 255).astype(np.uint8) if self.uint8 else maps
        return StyleField(
            styles, maps[1:] if self.masks else None, maps[0] if self.strength else None
        )

    def tile(self, model: Model) -> int:
        return (2 * model.reach + self.room) ** 2


cases = st.builds(
    Case,
    height=st.integers(16, 280),
    width=st.integers(16, 280),
    room=st.integers(4, 12).map(lambda strides: STRIDE * strides),
    alpha=st.floats(-1, 2),
    memory=st.sampled_from([2**24, 2**32]),
    seed=st.integers(0, 99),
    masks=st.integers(0, 3),
    strength=st.booleans(),
    uint8=st.booleans(),
)


@settings(max_examples=25)
@given(cases, st.sampled_from(range(len(TABLES))))
def test_tiles_equal_the_whole(case: Case, table: int) -> None:
    model = small_model(table)
    rows, style = photo(case.height, case.width, case.seed), case.style(model)
    whole = paint(model, rows, style, case.alpha)
    memory = max(case.memory, 2 * model.engine.tile_bytes * case.tile(model))
    tiles = paint(model, rows, style, case.alpha, memory=memory, tile_pixels=case.tile(model))
    assert difference(tiles, whole) <= 1e-3 < 1 / 255


@settings(max_examples=4)
@given(cases)
def test_tiles_equal_the_whole_with_the_shipped_weights(case: Case) -> None:
    model = shipped_model()
    rows, style = photo(case.height, case.width, case.seed), case.style(model)
    whole = paint(model, rows, style, case.alpha)
    tiles = paint(model, rows, style, case.alpha, tile_pixels=case.tile(model))
    assert difference(tiles, whole) <= 1e-3


@settings(max_examples=25)
@given(
    height=st.integers(16, 5000),
    width=st.integers(16, 5000),
    reach=st.integers(5, 20).map(lambda strides: STRIDE * strides),
    room=st.integers(8, 4000),
)
def test_tiles_cover_a_photo_once_and_fit(height: int, width: int, reach: int, room: int) -> None:
    pixels = (2 * reach + room) ** 2
    grid = plan_tiles(height, width, reach, pixels, 1)
    size = (grid[-1][-1].bottom, grid[-1][-1].right)
    assert size == (height + -height % STRIDE, width + -width % STRIDE)
    assert [row[0].top for row in grid] == [0, *(row[0].bottom for row in grid[:-1])]
    for row in grid:
        assert [box.left for box in row] == [0, *(box.right for box in row[:-1])]
        assert all(box.grown(reach, *size).pixels <= pixels for box in row)


def test_a_photo_that_fits_is_one_tile() -> None:
    assert [len(row) for row in plan_tiles(1000, 900, 72, 2**20, 1)] == [1]
    assert sum(map(len, plan_tiles(1000, 1100, 72, 2**20, 1))) > 1


def test_margins_of_a_print_cost_little() -> None:
    grid = plan_tiles(8000, 12000, 72, 2**22, 1)
    work = sum(box.grown(72, 8000, 12000).pixels for row in grid for box in row)
    assert work < 1.2 * 8000 * 12000


def test_the_statistics_of_a_part_would_not_do() -> None:
    # Else the tests above could not tell global statistics from local ones.
    model, rows = small_model(0), photo(96, 48)
    style = painting(model, 1)
    whole = paint(model, rows, style)[:32]
    assert difference(paint(model, rows[:32], style), whole) > 0.02


def test_margins_that_are_too_small_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = small_model(0), photo(320, 40)
    whole, tile = paint(model, rows, painting(model, 1)), (2 * model.reach + 64) * 40
    monkeypatch.setitem(vars(model), "reach", 8)
    tiles = paint(model, rows, painting(model, 1), tile_pixels=tile // 2)
    assert difference(tiles, whole) > 1 / 255


def test_floating_point_photos_are_taken_as_they_are() -> None:
    model, rows = small_model(0), photo(40, 33)
    style = painting(model, 1)
    assert np.array_equal(paint(model, pixels(rows), style), paint(model, rows, style))


def test_a_photo_that_is_mapped_from_a_file_is_read_in_tiles(tmp_path: Path) -> None:
    model, rows = small_model(0), photo(64, 40)
    np.save(tmp_path / "photo.npy", rows)
    mapped = np.load(tmp_path / "photo.npy", mmap_mode="r")
    style = painting(model, 1)
    assert np.array_equal(paint(model, mapped, style), paint(model, rows, style))


@pytest.mark.parametrize("alpha", [float("nan"), 1e6])
def test_alpha_must_be_finite(alpha: float) -> None:
    model = small_model(0)
    with pytest.raises(ValueError, match="alpha"):
        paint_tiles(model, photo(40, 32), painting(model, 1), alpha)


@pytest.mark.parametrize("shape", [(40, 32), (40, 32, 4), (15, 32, 3), (40, 8, 3)])
def test_impossible_photos_are_refused_at_once(shape: tuple[int, ...]) -> None:
    model = small_model(0)
    with pytest.raises(ValueError, match=r"shape|at least 16"):
        paint_tiles(model, np.zeros(shape, np.uint8), painting(model, 1))
    with pytest.raises(ValueError, match=r"shape|at least 16"):
        measure_pixels(model, np.zeros(shape, np.float32))


def test_masks_of_another_size_are_refused_at_once() -> None:
    model = small_model(0)
    field = StyleField((painting(model, 1),), np.ones((1, 40, 32), np.float32))
    with pytest.raises(ValueError, match="masks are 32x40 pixels, not 32x48"):
        paint_tiles(model, photo(48, 32), field)


def test_too_little_memory_names_what_is_needed() -> None:
    model = shipped_model()
    with pytest.raises(ImageTooLargeError, match=r"4096x2160 pixels need \d+ MiB .* 2 MiB"):
        paint_tiles(model, photo(2160, 4096), painting(model, 1), memory=2 * 2**20)


def test_the_memory_limit_is_a_share_of_what_is_free_by_default() -> None:
    model = small_model(0)
    assert memory_limit(model, 5) == 5
    assert 0 < memory_limit(model) < free_memory("cpu")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_rows_can_be_those_of_a_picture(dtype: type) -> None:
    model, rows = small_model(0), photo(64, 40)
    levels: dict[type, NDArray[Any]] = {
        np.uint8: rows,
        np.uint16: rows.astype(np.uint16) * 257,
        np.float32: pixels(rows),
    }
    style = painting(model, 1)
    result = paint(model, Picture(levels[dtype]), style)
    assert difference(result, paint(model, rows, style)) <= 1e-5


def test_progress_rises_to_one() -> None:
    model = small_model(0)
    shares: list[float] = []
    tile = (2 * model.reach + 8) * 40
    paint(model, photo(499, 40), painting(model, 1), tile_pixels=tile, progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) > 8


@settings(max_examples=25)
@given(height=st.integers(16, 90), width=st.integers(16, 90))
def test_the_result_has_exactly_the_size_of_the_photo(height: int, width: int) -> None:
    model = small_model(1)
    result = paint_pixels(model, pixels(photo(height, width)), painting(model, 1))
    assert result.shape == (height, width, 3)
    assert result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize("table", [1, 3])
def test_alpha_zero_does_not_depend_on_the_style(table: int) -> None:
    model, rows = small_model(table), photo(40, 48)
    one, other = (paint(model, rows, painting(model, seed), 0.0) for seed in (1, 2))
    assert np.array_equal(one, other)


def test_painting_changes_neither_photo_nor_style() -> None:
    model, rows = small_model(0), pixels(photo(40, 48))
    style = painting(model, 1)
    before = rows.copy(), style.to_vector()
    paint(model, rows, style, 0.5)
    assert np.array_equal(rows, before[0]) and np.array_equal(style.to_vector(), before[1])


def test_a_style_carries_the_colours_of_its_painting() -> None:
    image = pixels(photo(40, 48))
    colors = painting(small_model(0), 3).colors
    assert colors is not None
    measured = measure_pixels(small_model(0), image).colors
    assert measured is not None
    flat = image.reshape(-1, 3).astype(np.float64)
    assert np.allclose(measured.mean[0], flat.mean(0), atol=1e-6)
    assert np.allclose(measured.covariance[0], np.cov(flat.T, bias=True), atol=1e-6)
