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
from PIL import Image

from adain.device import free_memory
from adain.errors import ImageTooLargeError
from adain.images import to_image
from adain.model import Decoder, DecoderTable, Encoder, EncoderConfig, StyleTransferModel
from adain.normalization import StyleField, StyleStatistics
from adain.tiling import (
    Plan,
    fits_whole,
    memory_limit,
    plan_strips,
    stylize_image,
    stylize_strips,
)
from adain.weights import load_model

TABLES: tuple[DecoderTable, ...] = (
    (
        ("start", "relu4_1"),
        ("conv", 8, 8),
        ("upsample", "nearest"),
        ("add", "relu3_1", 8, 8),
        ("conv", 8, 6),
        ("conv", 6, 4),
        ("upsample", "nearest"),
        ("add", "relu2_1", 4, 4),
        ("upsample", "nearest"),
        ("add", "relu1_1", 4, 4),
        ("conv", 4, 4),
        ("image", 4),
    ),
    (
        ("start", "relu4_1"),
        ("upsample", "bilinear"),
        ("conv", 8, 4),
        ("upsample", "bilinear"),
        ("upsample", "nearest"),
        ("add", "relu1_1", 4, 4),
        ("image", 4),
    ),
    (("start", "relu3_1"), ("upsample", "nearest"), ("upsample", "bilinear"), ("image", 8)),
    (("start", "relu1_1"), ("image", 4)),
)
"""With skips at every level; bilinear; shallow; without any scale."""


@cache
def small_model(table: int) -> StyleTransferModel:
    torch.manual_seed(table)
    encoder, decoder = Encoder(EncoderConfig((4, 4, 8, 8), ())), Decoder(TABLES[table])
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


@settings(max_examples=150)
@given(cases, st.sampled_from(range(len(TABLES))))
def test_strips_equal_the_whole(case: Case, table: int) -> None:
    model = small_model(table)
    rows, style = photo(case.height, case.width, case.seed), case.style(model)
    whole = model.stylize(pixels(rows), style, case.alpha)
    plan = Plan(case.rows, model.decoder.layers[: case.kept])
    strips = in_strips(model, rows, style, case.alpha, plan=plan)
    assert difference(strips, whole) <= 1e-3 < 1 / 255
