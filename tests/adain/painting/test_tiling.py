import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from adain.engine.device import free_memory
from adain.errors import ImageTooLargeError
from adain.imaging.picture import Picture
from adain.imaging.pillow import to_image
from adain.network.decoder import Decoder, DecoderTable
from adain.network.encoder import Encoder, EncoderConfig
from adain.network.model import StyleTransferModel
from adain.network.weights import load_model
from adain.painting.tiling import (
    StripPlan,
    fits_whole,
    memory_limit,
    plan_strips,
    stylize_rows,
    stylize_strips,
)
from adain.styles.field import StyleField
from adain.styles.recoloring import StyleColors
from adain.styles.statistics import StyleStatistics

TABLES: tuple[DecoderTable, ...] = (
    (
        ("start", "relu4_1"),
        ("conv", 8, 8),
        ("upsample", "nearest"),
        ("add", "relu3_1", 8, 8),
        ("conv", 8, 6),
        ("conv", 6, 4),
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


def some_colors() -> StyleColors:
    """Return what takes the colours of styles from the first channels, which is wrong but does."""
    colors = StyleColors(52)
    colors.weight[:3, :3] = torch.eye(3)
    colors.weight[4:7, [3, 6, 8]] = 0.1 * torch.eye(3)
    return colors


@cache
def small_model(table: int) -> StyleTransferModel:
    torch.manual_seed(table)
    encoder, decoder = (
        Encoder(EncoderConfig((4, 4, 8, 8), ())),
        Decoder(TABLES[table], max_gain=1.2, colors=some_colors() if table % 2 == 0 else None),
    )
    for parameter in [*encoder.parameters(), *decoder.parameters()]:
        if parameter.ndim == 4:  # So that what is deep is seen in the result, too.
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    return StyleTransferModel(encoder, decoder).requires_grad_(False).eval()


@cache
def shipped_model() -> StyleTransferModel:
    return load_model()


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise that gets brighter downwards, so that a strip differs from the whole."""
    noise = np.random.default_rng(seed).random((height, width, 3))
    return np.rint(255 * noise * np.linspace(0.2, 1, height)[:, None, None]).astype(np.uint8)


def pixels(rows: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(rows).permute(2, 0, 1)[None] / 255


def painting(model: StyleTransferModel, seed: int) -> StyleStatistics:
    colors = torch.rand(1, 3, 1, 1, generator=torch.Generator().manual_seed(seed))
    return model.measure_style(colors * pixels(photo(24, 32, seed)))


def in_strips(
    model: StyleTransferModel, image: Any, *arguments: Any, **options: Any
) -> torch.Tensor:
    return torch.cat(list(stylize_strips(model, image, *arguments, **options)), dim=2)


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


@dataclass(frozen=True)
class Case:
    """A photo, a style or field, and a way to cut it up."""

    height: int
    width: int
    rows: int
    alpha: float
    kept: int
    seed: int
    masks: int
    strength: bool
    uint8: bool

    def style(self, model: StyleTransferModel) -> StyleStatistics | StyleField:
        styles = tuple(painting(model, self.seed + i) for i in range(max(1, self.masks)))
        if not self.masks and not self.strength:
            return styles[0]
        generator = torch.Generator().manual_seed(self.seed)
        maps = torch.rand(self.masks + 1, self.height, self.width, generator=generator)
        maps = maps.mul(255).byte() if self.uint8 else maps
        return StyleField(
            styles, maps[1:] if self.masks else None, maps[0] if self.strength else None
        )


cases = st.builds(
    Case,
    height=st.integers(16, 150),
    width=st.integers(16, 70),
    rows=st.integers(1, 12).map(lambda strides: 8 * strides),
    alpha=st.floats(-1, 2),
    kept=st.integers(0, 4),
    seed=st.integers(0, 99),
    masks=st.integers(0, 3),
    strength=st.booleans(),
    uint8=st.booleans(),
)


@settings(max_examples=60)
@given(cases, st.sampled_from(range(len(TABLES))))
def test_strips_equal_the_whole(case: Case, table: int) -> None:
    model = small_model(table)
    rows, style = photo(case.height, case.width, case.seed), case.style(model)
    whole = model.stylize(pixels(rows), style, case.alpha)
    plan = StripPlan(case.rows, model.decoder.layers[: case.kept])
    strips = in_strips(model, rows, style, case.alpha, plan=plan)
    assert difference(strips, whole) <= 1e-3 < 1 / 255


@settings(max_examples=4)
@given(cases)
def test_strips_equal_the_whole_with_the_shipped_weights(case: Case) -> None:
    model = shipped_model()
    rows, style = photo(case.height, case.width, case.seed), case.style(model)
    whole = model.stylize(pixels(rows), style, case.alpha)
    plan = StripPlan(case.rows, model.decoder.layers[: case.kept])
    assert difference(in_strips(model, rows, style, case.alpha, plan=plan), whole) <= 1e-3


@pytest.mark.slow
def test_a_large_photo_in_strips_equals_the_whole() -> None:
    model = shipped_model()
    rows, style = photo(803, 905), painting(model, 1)
    whole = np.asarray(to_image(model.stylize(pixels(rows), style))).astype(int)
    strips = stylize_strips(model, rows, style, plan=StripPlan(160, model.decoder.layers[:2]))
    levels = np.concatenate([np.asarray(to_image(strip)) for strip in strips])
    assert np.abs(levels - whole).max() <= 1


def test_the_statistics_of_a_strip_would_not_do() -> None:
    # Else the tests above could not tell global statistics from local ones.
    model, rows = small_model(0), photo(96, 48)
    style = painting(model, 1)
    whole = model.stylize(pixels(rows), style)[:, :, :32]
    assert difference(model.stylize(pixels(rows[:32]), style), whole) > 0.02


def test_floating_point_photos_are_taken_as_they_are() -> None:
    model, rows = small_model(0), photo(40, 33)
    style, plan = painting(model, 1), StripPlan(16)
    floats = pixels(rows)[0].permute(1, 2, 0).numpy()
    assert torch.equal(
        in_strips(model, floats, style, plan=plan), in_strips(model, rows, style, plan=plan)
    )


def test_a_photo_that_is_mapped_from_a_file_is_read_in_strips(tmp_path: Any) -> None:
    model, rows = small_model(0), photo(64, 40)
    np.save(tmp_path / "photo.npy", rows)
    mapped = np.load(tmp_path / "photo.npy", mmap_mode="r")
    style, plan = painting(model, 1), StripPlan(16)
    assert torch.equal(
        in_strips(model, mapped, style, plan=plan), in_strips(model, rows, style, plan=plan)
    )


def live_bytes() -> int:
    """Return the memory of all tensors that something still refers to."""
    tensors = [each for each in gc.get_objects() if type(each) is torch.Tensor]
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage() for each in tensors}
    return sum(storage.nbytes() for storage in storages.values())


def test_only_a_few_strips_are_alive_at_a_time() -> None:
    model, rows = small_model(0), photo(400, 32)
    style, before = painting(model, 1), live_bytes()
    alive = []

    class Source:
        shape = rows.shape

        def __getitem__(self, part: slice) -> NDArray[np.uint8]:
            if part.start % 96 == 0:
                alive.append(live_bytes() - before)
            return rows[part]

    for _ in stylize_strips(model, Source(), style, plan=StripPlan(8)):
        pass
    relu1_1 = 4 * 4 * 400 * 32
    assert 0 < max(alive) < relu1_1 / 2


def test_the_caller_may_train_between_two_strips() -> None:
    model = small_model(0)
    for _ in stylize_strips(model, photo(40, 32), painting(model, 1), plan=StripPlan(8)):
        assert torch.is_grad_enabled()


@pytest.mark.parametrize("alpha", [float("nan"), 1e6])
def test_alpha_must_be_finite(alpha: float) -> None:
    model = small_model(0)
    with pytest.raises(ValueError, match="alpha"):
        in_strips(model, photo(40, 32), painting(model, 1), alpha)


@pytest.mark.parametrize("shape", [(40, 32), (40, 32, 4), (15, 32, 3), (40, 8, 3)])
def test_impossible_photos_are_refused_at_once(shape: tuple[int, ...]) -> None:
    model = small_model(0)
    with pytest.raises(ValueError, match=r"shape|at least 16"):
        stylize_strips(model, np.zeros(shape, np.uint8), painting(model, 1))


@pytest.mark.parametrize("rows", [0, 4, 12, -8])
def test_strips_are_multiples_of_the_stride(rows: int) -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        StripPlan(rows)


def test_masks_of_another_size_are_refused_at_once() -> None:
    model = small_model(0)
    field = StyleField((painting(model, 1),), strength=torch.ones(32, 40))
    with pytest.raises(ValueError, match="masks are 40x32 pixels, not 32x40"):
        stylize_strips(model, photo(40, 32), field)
    with pytest.raises(ValueError, match="masks are 40x32 pixels, not 32x40"):
        model.stylize(pixels(photo(40, 32)), field)


MEBIBYTE = 2**20


@given(
    width=st.integers(16, 65_535),
    height=st.integers(16, 65_535),
    memory=st.integers(0, 2**36),
    field=st.booleans(),
)
def test_a_plan_takes_no_more_memory_than_it_may(
    width: int, height: int, memory: int, field: bool
) -> None:
    model = shipped_model()
    try:
        plan = plan_strips(model, width, height, memory, field)
    except ImageTooLargeError:
        # Never for less than 64 KB a column, and so no photo that a computer can hold.
        assert memory < 2**16 * (width + 8)
        return
    kept = {"relu4_1": 8, "relu3_1": 16, "relu2_1": 32}
    assert sum(kept[layer] for layer in plan.kept) * width * height <= memory
    assert plan.rows * width * 192 <= memory


def test_more_memory_keeps_more_features_and_larger_strips() -> None:
    model = shipped_model()
    room = (90, 250, 450, 800, 2000)
    plans = [plan_strips(model, 4096, 2160, memory * MEBIBYTE) for memory in room]
    assert [plan.rows for plan in plans] == [8, 64, 64, 64, 128], "features come first"
    assert [len(plan.kept) for plan in plans] == [0, 0, 2, 3, 3]
    assert plans[4].kept == ("relu4_1", "relu3_1", "relu2_1")


def test_too_little_memory_names_what_is_needed() -> None:
    with pytest.raises(ImageTooLargeError, match=r"4096x2160 pixels need \d+ MiB .* 10 MiB"):
        plan_strips(shipped_model(), 4096, 2160, 10 * MEBIBYTE)


def test_small_photos_go_in_one_piece_if_they_fit() -> None:
    model = shipped_model()
    assert fits_whole(model, 1024, 1024, 1000 * MEBIBYTE)
    assert not fits_whole(model, 1024, 1024, 100 * MEBIBYTE)
    assert not fits_whole(model, 4096, 4096, 2**40)


def test_the_memory_limit_is_a_share_of_what_is_free_by_default() -> None:
    model = small_model(0)
    assert memory_limit(model, 5) == 5
    assert 0 < memory_limit(model) < free_memory(torch.device("cpu"))


def test_rows_in_strips_equal_those_in_one_piece() -> None:
    model, style = small_model(0), painting(small_model(0), 1)
    rows = photo(90, 50)
    whole, *rest = stylize_rows(model, rows, style)
    strips = list(stylize_rows(model, rows, style, memory=300_000))
    assert not rest and len(strips) > 2, "more memory would take one piece"
    assert difference(torch.cat(strips, 2), whole) <= 1e-3


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_the_rows_can_be_those_of_a_picture(dtype: torch.dtype) -> None:
    model, rows = small_model(0), photo(64, 40)
    levels = {
        torch.uint8: torch.from_numpy(rows),
        torch.uint16: torch.from_numpy(rows.astype(np.uint16) * 257),
        torch.float32: torch.from_numpy(rows) / 255,
    }[dtype]
    picture = Picture(levels.permute(2, 0, 1)[None])
    style, plan = painting(model, 1), StripPlan(16)
    expected = in_strips(model, rows, style, plan=plan)
    assert difference(in_strips(model, picture, style, plan=plan), expected) <= 1e-5


def test_progress_rises_to_one() -> None:
    model = small_model(0)
    shares: list[float] = []
    report: Callable[[float], None] = shares.append
    for _ in stylize_strips(
        model, photo(99, 40), painting(model, 1), plan=StripPlan(16), progress=report
    ):
        pass
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) > 8


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = load_model()
    field = StyleField((painting(model, 1), painting(model, 2)), torch.rand(2, 100, 60))
    expected = in_strips(model, photo(100, 60), field, plan=StripPlan(16))
    result = in_strips(model.cuda(), photo(100, 60), field, plan=StripPlan(16))
    assert difference(result.cpu(), expected) <= 2 / 255
