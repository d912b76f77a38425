from dataclasses import replace

import numpy as np
import pytest

from adain.engine.loading import load_model
from adain.engine.model import Model
from adain.errors import WeightsError
from adain.painting.tiling import measure_pixels, paint_pixels, paint_tiles
from adain.styles.adapter import Adapter
from adain.styles.field import StyleField
from adain.styles.statistics import StyleStatistics, interpolate_styles, stack_styles

RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.random((48, 72, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(device="cpu", threads=1)


@pytest.fixture(scope="module")
def plain(model: Model) -> StyleStatistics:
    return measure_pixels(model, RANDOM.random((64, 64, 3)).astype(np.float32))


def learnt(model: Model, seed: int = 0) -> Adapter:
    random = np.random.default_rng(seed)
    rows = {k: v for k, v in model.weights.decoder.items() if k[0].isdecimal()}
    tensors = {
        name if value.ndim == 1 else f"{name}.scale": 0.1
        * random.normal(size=len(value)).astype(np.float32)
        for name, value in rows.items()
    }
    return Adapter(model.base, tensors)


def adapted(model: Model, style: StyleStatistics, seed: int = 0) -> StyleStatistics:
    return replace(style, adapters=(learnt(model, seed),))


def test_a_pass_with_an_adapter_is_that_of_the_merged_weights(
    model: Model, plain: StyleStatistics
) -> None:
    style = adapted(model, plain)
    merged = learnt(model).merged(model.weights.decoder)
    weights = replace(model.weights, decoder=merged)
    other = replace(model, weights=weights, engine=model.engine.with_decoder(weights))
    painted = paint_pixels(model, PHOTO, style)
    np.testing.assert_allclose(painted, paint_pixels(other, PHOTO, plain), atol=1e-5)
    assert np.abs(painted - paint_pixels(model, PHOTO, plain)).max() > 0.02


def test_without_strength_nothing_is_adapted(model: Model, plain: StyleStatistics) -> None:
    painted = paint_pixels(model, PHOTO, adapted(model, plain), 0.0)
    np.testing.assert_array_equal(painted, paint_pixels(model, PHOTO, plain, 0.0))


def test_tiles_show_no_seams(model: Model, plain: StyleStatistics) -> None:
    photo = RANDOM.random((280, 248, 3)).astype(np.float32)
    style = adapted(model, plain)
    whole = paint_pixels(model, photo, style)
    least = (2 * model.reach + 8) ** 2
    tiles = list(paint_tiles(model, photo, style, tile_pixels=least))
    assert len(tiles) > 1
    for top, left, pixels in tiles:
        part = whole[top : top + pixels.shape[0], left : left + pixels.shape[1]]
        np.testing.assert_allclose(pixels.clip(0, 1), part, atol=1 / 255)


def test_each_region_has_its_own(model: Model, plain: StyleStatistics) -> None:
    styles = adapted(model, plain, 1), adapted(model, plain, 2), plain
    masks = np.zeros((3, *PHOTO.shape[:2]), np.uint8)
    masks[0, :, :24], masks[1, :, 24:48], masks[2, :, 48:] = 255, 255, 255
    painted = paint_pixels(model, PHOTO, StyleField(styles, masks))
    for i, style in enumerate(styles):
        # One decoder for all regions, of which only its own is looked at.
        same = replace(style, adapters=style.adapters)
        alone = paint_pixels(model, PHOTO, StyleField((same,) * 3, masks))
        part = slice(24 * i, 24 * i + 24)
        np.testing.assert_allclose(painted[:, part], alone[:, part], atol=1e-4)


def test_half_a_strength_lies_between_photo_and_adapter(
    model: Model, plain: StyleStatistics
) -> None:
    style = adapted(model, plain)
    shade = np.zeros(PHOTO.shape[:2], np.uint8)
    shade[:, 36:] = 255
    painted = paint_pixels(model, PHOTO, StyleField((style,), strength=shade))
    base = paint_pixels(model, PHOTO, StyleField((plain,), strength=shade))
    np.testing.assert_allclose(painted[:, :36], base[:, :36], atol=1e-4)
    assert np.abs(painted[:, 36:] - base[:, 36:]).max() > 0.02


def test_mixtures_and_batches_keep_what_was_learnt(model: Model, plain: StyleStatistics) -> None:
    style = adapted(model, plain)
    batch = stack_styles([style, plain])
    assert [each.adapter for each in batch.split()] == [style.adapter, None]
    mixed = interpolate_styles([style, plain], [1, 1]).adapter
    assert mixed is not None and mixed != style.adapter
    halved = {name: value / 2 for name, value in learnt(model).tensors.items()}
    for name, value in mixed.tensors.items():
        np.testing.assert_allclose(value, halved[name], atol=1e-6)


def test_an_adapter_of_another_decoder_is_named(model: Model, plain: StyleStatistics) -> None:
    other = replace(learnt(model), base="0123456789abcdef")
    with pytest.raises(WeightsError, match="0123456789abcdef"):
        paint_pixels(model, PHOTO, replace(plain, adapters=(other,)))
