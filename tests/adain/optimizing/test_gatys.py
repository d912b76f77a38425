import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from adain.errors import ImageTooLargeError, OptimizationError
from adain.network.encoder import Encoder
from adain.network.statistics import layer_statistics, to_style, to_tensor
from adain.optimizing.config import GatysConfig, LossConfig
from adain.optimizing.gatys import MAX_FAILURES, Rendering, Step, optimize_image
from adain.optimizing.optimizers import OPTIMIZERS, PyramidAdam, State
from adain.optimizing.perceptual import PerceptualLoss, prepare_loss
from adain.optimizing.pyramid import scale_sizes
from adain.optimizing.strips import REACH, bytes_per_pixel
from adain.styles.statistics import StyleStatistics

Optimize = Callable[..., Rendering]

Pixels = NDArray[np.float32]


def noise(seed: int, height: int = 48, width: int = 64) -> Pixels:
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def style_of(encoder: Encoder, *paintings: Pixels) -> StyleStatistics:
    return to_style(layer_statistics(encoder(torch.cat([to_tensor(each) for each in paintings]))))


PHOTO, PAINTING, START = noise(0), noise(1, 40, 40), noise(2)

CONFIG = GatysConfig(min_side=32, first_iterations=6, iterations=4, patience=100)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def encoder(tiny_encoder: Encoder) -> Encoder:
    return tiny_encoder.requires_grad_(False)


@pytest.fixture
def optimize(encoder: Encoder) -> Optimize:
    def run(config: GatysConfig = CONFIG, **arguments: Any) -> Rendering:
        given = {"photo": PHOTO, "style": [(PAINTING, 1.0)], "start": START, **arguments}
        return optimize_image(encoder, config=config, **given)

    return run


@pytest.fixture
def broken_after(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the loss infinite from an evaluation on, for a while."""

    def arrange(first: int, count: int = 1) -> None:
        evaluate, calls = PerceptualLoss.evaluate, 0

        def break_down(self: PerceptualLoss, image: Tensor) -> tuple[dict[str, float], Tensor]:
            nonlocal calls
            calls += 1
            losses, gradient = evaluate(self, image)
            if first <= calls < first + count:
                return {**losses, "loss": math.inf}, gradient
            return losses, gradient

        monkeypatch.setattr(PerceptualLoss, "evaluate", break_down)

    return arrange


def record(steps: list[Step]) -> Callable[[Step], None]:
    return steps.append


# It paints


@pytest.mark.parametrize("start", [PHOTO, START, None], ids=["photo", "picture", "noise"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_loss_goes_down_from_every_start(
    optimize: Optimize, encoder: Encoder, optimizer: str, start: Pixels | None
) -> None:
    rate = 5e-4 if optimizer == "gradient-descent" else 0.02
    config = replace(
        CONFIG, optimizer=optimizer, learning_rate=rate, first_iterations=15, iterations=15
    )
    steps: list[Step] = []
    result = optimize(config, start=start, on_step=record(steps))
    assert result.image.shape == PHOTO.shape and result.ended == "finished"
    assert result.image.min() >= 0 and result.image.max() <= 1
    for scale in (0, 1):
        losses = [step.losses["loss"] for step in steps if step.scale == scale]
        assert min(losses[-3:]) < losses[0]
    if start is not None:
        objective = prepare_loss(encoder, to_tensor(PHOTO), [(PAINTING, 1.0)], config.loss)
        before, after = (objective.losses(to_tensor(each)) for each in (start, result.image))
        assert after["loss"] < before["loss"]


@pytest.mark.parametrize("style_loss", ["wasserstein", "gram", "statistics"])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_every_style_loss_brings_the_style_nearer(
    optimize: Optimize, style_loss: str, pooling: str
) -> None:
    loss = LossConfig(style_loss=style_loss, pooling=pooling, content_weight=0)
    steps: list[Step] = []
    config = replace(CONFIG, loss=loss, min_side=64, first_iterations=20)
    optimize(config, style=[(PAINTING / 3, 1.0)], on_step=record(steps))
    assert steps[-1].losses["style"] < 0.5 * steps[0].losses["style"]


def test_a_stored_style_needs_the_loss_of_statistics(optimize: Optimize, encoder: Encoder) -> None:
    style = style_of(encoder, noise(1))
    loss = LossConfig(style_loss="statistics", content_weight=0)
    steps: list[Step] = []
    optimize(replace(CONFIG, loss=loss), style=style, on_step=record(steps))
    assert steps[-1].losses["style"] < steps[0].losses["style"]
    with pytest.raises(ValueError, match="use the style loss 'statistics', not 'gram'"):
        optimize(replace(CONFIG, loss=LossConfig(style_loss="gram")), style=style)


def test_the_result_of_a_stored_style_is_that_of_its_painting(
    optimize: Optimize, encoder: Encoder
) -> None:
    painting = noise(1, 64, 64)
    config = replace(CONFIG, loss=LossConfig(style_loss="statistics"), min_side=64)
    style = style_of(encoder, painting)
    stored, measured = optimize(config, style=style), optimize(config, style=[(painting, 2.0)])
    np.testing.assert_allclose(stored.image, measured.image, atol=1e-5)


def test_two_paintings_pull_by_their_weights(encoder: Encoder) -> None:
    other = noise(5) ** 3
    objectives = [
        prepare_loss(encoder, to_tensor(PHOTO), style, LossConfig(style_loss="gram"))
        for style in ([(PAINTING, 3.0)], [(PAINTING, 3.0), (other, 1.0)], [(other, 0.1)])
    ]
    grams = [objective.regions[0].style["relu3_1"].target.gram for objective in objectives]  # type: ignore[union-attr]
    torch.testing.assert_close(grams[1], 0.75 * grams[0] + 0.25 * grams[2])


def test_regions_take_the_style_of_their_own_painting(encoder: Encoder) -> None:
    """A picture made of both paintings has little style to change; much with regions swapped."""
    paintings = [noise(5), 0.3 * noise(6)]
    left = torch.zeros(2, 1, 48, 64)
    left[0, ..., :32], left[1, ..., 32:] = 1, 1
    image = np.concatenate((paintings[0][:, :32], paintings[1][:, 32:]), axis=1)
    style = [(painting, 1.0) for painting in paintings]
    stored = style_of(encoder, *paintings)
    for kind, styles in (
        ("gram", style), ("wasserstein", style), ("statistics", style), ("statistics", stored),
    ):  # fmt: skip
        loss = LossConfig(style_loss=kind, content_weight=0)
        right, swapped = (
            prepare_loss(encoder, to_tensor(PHOTO), styles, loss, regions).evaluate(
                to_tensor(image)
            )[0]["style"]
            for regions in (left, left.flip(0))
        )
        assert right < 0.3 * swapped


def test_regions_that_do_not_fit_are_refused(encoder: Encoder) -> None:
    style = [(noise(5), 1.0)]
    whole = np.ones((1, *PHOTO.shape[:2]), np.float32)
    for regions, words in (
        (whole[..., 1:], "shape"),
        (whole.repeat(2, 0), "shape"),
        (whole * 0, "none of them empty"),
        (-whole, "at least 0"),
    ):
        with pytest.raises(ValueError, match=words):
            optimize_image(encoder, PHOTO, style, CONFIG, regions=regions)
    statistics = replace(CONFIG, loss=LossConfig(style_loss="statistics"))
    with pytest.raises(ValueError, match="shape"):
        stored = style_of(encoder, noise(5))
        optimize_image(encoder, PHOTO, stored, statistics, regions=whole.repeat(2, 0))


@pytest.mark.parametrize("kind", ["gram", "wasserstein", "statistics"])
@pytest.mark.parametrize("masked", [False, True])
def test_strips_have_the_loss_and_the_gradient_of_the_whole(
    encoder: Encoder, kind: str, masked: bool
) -> None:
    photo, painting, image = noise(0, 331, 70), noise(1, 250, 90), to_tensor(noise(2, 331, 70))
    style = [(painting, 1.0), (photo[:, ::-1] ** 2, 2.0)]
    regions = None
    if masked:
        regions = torch.zeros(2, 1, 331, 70)
        regions[0, :, :150], regions[1, :, 150:, 20:] = 1, 0.7
    loss = LossConfig(
        style_loss=kind, tv_weight=0.3, layer_weights=(1, 2, 0, 1, 1), precision="float32"
    )
    whole = prepare_loss(encoder, to_tensor(photo), style, loss, regions)
    row = 96 * bytes_per_pixel(encoder)
    memory = math.ceil(row * (2 * REACH + 64))
    strips = prepare_loss(encoder, to_tensor(photo), style, loss, regions, memory)
    assert len(whole.network.strips(352)) == 1 and len(strips.network.strips(352)) == 6
    (losses, gradient), (expected, slope) = strips.evaluate(image), whole.evaluate(image)
    # Rounding counts in the Wasserstein distance, a small difference of large sums.
    rounding = 1e-3 if kind == "wasserstein" else 1e-5
    assert losses == pytest.approx(expected, rel=rounding)
    assert (gradient - slope).norm() < 30 * rounding * slope.norm()
    assert strips.losses(image)["loss"].item() == pytest.approx(losses["loss"], rel=rounding)


def test_the_outermost_pixels_count_as_much_as_others(encoder: Encoder) -> None:
    photo, painting = to_tensor(noise(0, 96, 96)), noise(1, 64, 64)
    objective = prepare_loss(encoder, photo, [(painting, 1.0)], LossConfig())
    _, gradient = objective.evaluate((photo + 0.1 * to_tensor(noise(2, 96, 96))).clamp(0, 1))
    power = gradient.square().mean(1)[0]
    inside = power[20:-20, 20:-20].mean()
    for border in (power[0], power[-1], power[:, 0], power[:, -1]):
        assert border.mean() > 0.25 * inside


def test_too_little_memory_is_refused_before_the_work(optimize: Optimize) -> None:
    with pytest.raises(ImageTooLargeError, match="to render 64x48 pixels takes"):
        optimize(memory=500 * 48 * 64 + 1000)


def test_total_variation_smooths(optimize: Optimize) -> None:
    smooth = replace(CONFIG, loss=LossConfig(tv_weight=100))
    rough, calm = optimize(), optimize(smooth)
    assert calm.losses["tv"] < 0.9 * rough.losses["tv"]


def test_a_layer_without_weight_does_not_count(encoder: Encoder) -> None:
    photo, image = to_tensor(PHOTO), to_tensor(START).requires_grad_()
    loss = LossConfig(layer_weights=(1, 0, 0, 0, 0), content_weight=0, style_loss="gram")
    losses = prepare_loss(encoder, photo, [(PAINTING, 1.0)], loss).losses(image)
    first = LossConfig(layer_weights=(5, 0, 0, 0, 0), content_weight=0, style_loss="gram")
    same = prepare_loss(encoder, photo, [(PAINTING, 1.0)], first).losses(image)
    torch.testing.assert_close(losses["loss"], same["loss"])


@pytest.mark.parametrize("size", [(16, 16), (17, 90), (33, 47)])
def test_any_size_keeps_its_shape(optimize: Optimize, size: tuple[int, int]) -> None:
    config = replace(CONFIG, first_iterations=1, iterations=1)
    photo = noise(0, *size)
    assert optimize(config, photo=photo, start=photo).image.shape == photo.shape


def test_no_argument_is_changed(optimize: Optimize) -> None:
    photo, painting, start = PHOTO.copy(), PAINTING.copy(), START.copy()
    optimize(photo=photo, style=[(painting, 1.0)], start=start)
    assert np.array_equal(photo, PHOTO) and np.array_equal(painting, PAINTING)
    assert np.array_equal(start, START)


# Scales


def test_scales_double_up_to_the_size_itself() -> None:
    assert scale_sizes(512, 512, 256) == [(256, 256), (512, 512)]
    assert scale_sizes(300, 200, 256) == [(300, 200)]
    assert scale_sizes(1000, 20, 250) == [(250, 16), (500, 16), (1000, 20)]


def test_the_detail_of_the_start_survives_the_scales(optimize: Optimize) -> None:
    """Steps of no length give the start back, though it was shrunk on the way."""
    still = replace(CONFIG, optimizer="gradient-descent", learning_rate=1e-6)
    assert np.abs(optimize(still).image - START).max() < 1e-3


def test_steps_tell_scale_size_and_losses(optimize: Optimize) -> None:
    steps: list[Step] = []
    result = optimize(on_step=record(steps))
    assert [step.scale for step in steps] == [0] * 6 + [1] * 4
    assert [step.iteration for step in steps] == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4]
    assert {step.size for step in steps} == {(24, 32), (48, 64)}
    assert all(step.preview().shape == PHOTO.shape for step in steps)
    assert np.array_equal(steps[-1].preview(), result.image)
    loss = CONFIG.loss
    for step in steps:
        terms = step.losses
        total = loss.content_weight * terms["content"] + loss.style_weight * terms["style"]
        assert terms["loss"] == pytest.approx(total, rel=1e-4)
    assert result.iterations == 10 and result.losses == steps[-1].losses


# How it ends


def test_a_scale_ends_when_the_loss_falls_no_more(optimize: Optimize) -> None:
    steps: list[Step] = []
    config = replace(CONFIG, first_iterations=50, iterations=50, patience=3, tolerance=1.0)
    result = optimize(config, on_step=record(steps))
    assert result.ended == "finished" and [step.scale for step in steps] == [0] * 4 + [1] * 4


def test_the_time_limit_is_shared_among_the_scales(
    optimize: Optimize, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("adain.optimizing.gatys.time.perf_counter", lambda: now)

    def tick(step: Step) -> None:
        nonlocal now
        now += 1
        steps.append(step)

    steps: list[Step] = []
    config = replace(CONFIG, first_iterations=40, iterations=30, time_limit=20)
    result = optimize(config, on_step=tick)
    # Of 20 seconds a quarter of 40 steps in 40 / 4 + 30 leaves 5 for the first scale.
    assert [step.scale for step in steps] == [0] * 5 + [1] * 15
    assert (result.ended, result.seconds) == ("time limit", 20)


@pytest.mark.parametrize("seconds", [None, 20.0])
def test_the_optimiser_knows_what_steps_or_time_are_left(
    optimize: Optimize, monkeypatch: pytest.MonkeyPatch, seconds: float | None
) -> None:
    now, seen = 0.0, []

    class Watched(PyramidAdam):
        def step(
            self, image: Tensor, loss: float, gradient: Tensor, state: State, progress: float = 0
        ) -> tuple[Tensor, State]:
            nonlocal now
            now += 1
            seen.append(progress)
            return super().step(image, loss, gradient, state, progress)

    monkeypatch.setattr("adain.optimizing.gatys.time.perf_counter", lambda: now)
    monkeypatch.setattr("adain.optimizing.checkpoint.OPTIMIZERS", {"pyramid": Watched})
    optimize(replace(CONFIG, first_iterations=40, iterations=30, time_limit=seconds))
    scales = (5, 15) if seconds else (40, 30)
    assert seen == pytest.approx([i / count for count in scales for i in range(count)])


def test_no_time_at_all_gives_the_start(optimize: Optimize) -> None:
    result = optimize(replace(CONFIG, time_limit=0))
    assert (result.ended, result.iterations) == ("time limit", 0)
    np.testing.assert_allclose(result.image, START, atol=1e-6)


@pytest.mark.parametrize("after", [0, 3, 8])
def test_stopping_gives_what_there_is_at_full_size(optimize: Optimize, after: int) -> None:
    steps: list[Step] = []
    result = optimize(on_step=record(steps), should_stop=lambda: len(steps) == after)
    assert (result.ended, result.iterations) == ("stopped", after)
    assert result.image.shape == PHOTO.shape
    if steps:
        assert np.array_equal(result.image, steps[-1].preview())


# The same every time


@pytest.mark.parametrize("start", [START, None], ids=["picture", "noise"])
def test_a_run_repeats_to_the_bit(optimize: Optimize, start: Pixels | None) -> None:
    assert np.array_equal(optimize(start=start).image, optimize(start=start).image)


def test_the_seed_decides_the_noise(optimize: Optimize) -> None:
    other = replace(CONFIG, seed=1)
    assert not np.array_equal(optimize(start=None).image, optimize(other, start=None).image)
    assert np.array_equal(optimize().image, optimize(other).image)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("after", [1, 5, 6, 7, 9])
def test_a_resumed_run_equals_an_unbroken_one(
    optimize: Optimize, optimizer: str, after: int
) -> None:
    rate = 5e-4 if optimizer == "gradient-descent" else 0.02
    config = replace(CONFIG, optimizer=optimizer, learning_rate=rate, averaging=0.9)
    steps: list[Step] = []
    whole = optimize(config)
    broken = optimize(config, on_step=record(steps), should_stop=lambda: len(steps) == after)
    again: list[Step] = []
    resumed = optimize(config, resume=broken.checkpoint, on_step=record(again))
    assert np.array_equal(resumed.image, whole.image)
    assert len(again) == whole.iterations - after


def test_a_checkpoint_of_another_size_is_refused(optimize: Optimize) -> None:
    point = optimize(should_stop=lambda: True).checkpoint
    for size in ((50, 64), (16, 16)):
        with pytest.raises(OptimizationError, match="a picture of another size"):
            optimize(photo=noise(0, *size), start=None, resume=point)


# Numbers that are not finite


def test_after_an_infinite_loss_the_last_good_picture_is_restored_and_said(
    optimize: Optimize, broken_after: Callable[..., None]
) -> None:
    broken_after(4)
    steps: list[Step] = []
    result = optimize(on_step=record(steps))
    notes = [step for step in steps if step.note]
    assert len(notes) == 1 and "back to the last good picture" in notes[0].note
    assert notes[0].checkpoint.rate == CONFIG.learning_rate / 2
    assert np.array_equal(notes[0].preview(), steps[1].preview())
    assert result.ended == "finished" and np.isfinite(result.image).all()
    assert result.losses["loss"] < steps[0].losses["loss"]


def test_losses_that_stay_infinite_end_with_the_last_good_picture(
    optimize: Optimize, broken_after: Callable[..., None]
) -> None:
    broken_after(4, count=100)
    steps: list[Step] = []
    result = optimize(on_step=record(steps))
    assert result.ended == "diverged" and len(steps) == 3 + MAX_FAILURES
    assert np.array_equal(result.image, steps[1].preview())


def test_an_infinite_loss_at_a_new_scale_keeps_the_picture_of_the_last(
    optimize: Optimize, broken_after: Callable[..., None]
) -> None:
    broken_after(7, count=100)
    steps: list[Step] = []
    result = optimize(on_step=record(steps))
    assert result.ended == "diverged" and len(steps) == 6
    np.testing.assert_allclose(result.image, steps[-1].preview(), atol=1e-6)


def test_a_start_without_a_finite_loss_is_an_error(
    optimize: Optimize, broken_after: Callable[..., None]
) -> None:
    broken_after(1)
    with pytest.raises(OptimizationError, match="is not a finite number; give smaller weights"):
        optimize()


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"photo": np.zeros((3, 32, 32))}, r"photo of shape \(H, W, 3\)"),
        ({"photo": np.zeros((32, 8, 3))}, "at least 16"),
        ({"start": noise(0, 48, 48)}, r"start of shape \(48, 64, 3\), got \(48, 48, 3\)"),
        ({"style": []}, "positive weights"),
        ({"style": [(PAINTING, -1.0)]}, r"positive weights, got weights \[-1.0\]"),
        ({"style": [(PAINTING, math.nan)]}, "positive weights"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    optimize: Optimize, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        optimize(**arguments)


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimizer": "newton"},
        {"learning_rate": 0},
        {"learning_rate": math.nan},
        {"averaging": 1.0},
        {"min_side": 8},
        {"iterations": 0},
        {"first_iterations": 0},
        {"tolerance": -0.1},
        {"patience": 0},
        {"time_limit": -1},
        {"time_limit": math.inf},
        {"seed": -1},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong)).replace('_', '-')} must be .*got"):
        GatysConfig(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"content_weight": math.inf}, "content-weight must be from 0"),
        ({"style_weight": -1}, "style-weight must be from 0"),
        ({"content_weight": 0, "style_weight": 0}, "cannot both be 0"),
        ({"layer_weights": (1, 1)}, "a weight for each of relu1_1"),
        ({"layer_weights": (0, 0, 0, 0, 0)}, "cannot all be 0"),
        ({"layer_weights": (1, 1, math.nan, 1, 1)}, "each of layer-weights"),
        ({"content_layer": "relu9_1"}, "content-layer must be relu1_1"),
        ({"style_loss": "mrf"}, "style-loss must be wasserstein"),
        ({"pooling": "min"}, "pooling must be max or average"),
        ({"precision": "float16"}, "precision must be auto"),
        ({"style_scale": 0}, "style-scale must be from"),
    ],
)
def test_impossible_losses_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossConfig(**wrong)
