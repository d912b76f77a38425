"""Optimise a picture until a network sees the photo's content and the painting's style in it.

Gatys et al., "Image style transfer using convolutional neural networks" (CVPR 2016), from coarse
to fine. It starts from any picture, best from the result of one pass. What goes from a scale to
the next is the change to that start, not the picture, so its fine detail is never blurred:

    start ── shrink ── optimise ── change ── enlarge, add to the start ── optimise ── ... ── result
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.config import MIN_SIDE
from adain.errors import OptimizationError
from adain.optimizing.optimizers import OPTIMIZERS, State
from adain.optimizing.perceptual import (
    LossConfig,
    Objective,
    Paintings,
    check_choice,
    check_range,
    measure_objective,
    resize_pixels,
    strip_rows,
)
from adain.styles.statistics import StyleStatistics

STATE_BYTES = 500
"""For each pixel: pictures, and the ten steps that L-BFGS remembers."""

MAX_FAILURES = 5
"""Times that a picture is restored before a run ends with it."""


@dataclass(frozen=True)
class GatysConfig:
    """How a picture is optimised.

    Attributes:
        loss: What for.
        optimizer: `pyramid` (Adam on several sizes, with steps that get shorter),
            `pyramid-lbfgs`, `lbfgs`, `adam` or `gradient-descent`.
        learning_rate: Mean or first length of steps, in parts of the range of a pixel.
        averaging: Decay of the average over pictures that is the result; 0 takes the last one.
        min_side: About the longer side of the first scale in pixels; each next one doubles it.
        first_iterations: Steps at the first scale.
        iterations: Steps at each other scale.
        tolerance: A scale ends when `patience` steps lower the loss by less than this part.
        patience: See `tolerance`.
        time_limit: Seconds for everything; each scale gets its share. None is no limit.
        seed: Decides the noise that a run without a start begins with.
    """

    loss: LossConfig = LossConfig()
    optimizer: str = "pyramid"
    learning_rate: float = 0.015
    averaging: float = 0.5
    min_side: int = 256
    first_iterations: int = 40
    iterations: int = 180
    tolerance: float = 0.003
    patience: int = 20
    time_limit: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("optimizer", self.optimizer, tuple(OPTIMIZERS))
        check_range("learning_rate", self.learning_rate, 1e-6, 1)
        check_range("averaging", self.averaging, 0, 0.9999)
        check_range("min_side", self.min_side, 2 * MIN_SIDE, 65_535)
        check_range("first_iterations", self.first_iterations, 1, 100_000)
        check_range("iterations", self.iterations, 1, 100_000)
        check_range("tolerance", self.tolerance, 0, 1)
        check_range("patience", self.patience, 1, 100_000)
        check_range("seed", self.seed, 0, 2**63 - 1)
        if self.time_limit is not None:
            check_range("time_limit", self.time_limit, 0, 1e9)


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on as if it had never stopped.

    Attributes:
        scale: Index of the scale.
        iteration: Steps done at it.
        rate: Length of steps; it is halved after a loss that was not finite.
        tensors: `image`, `average` (the result so far), `losses` of the scale, and the state of
            the optimiser.
    """

    scale: int
    iteration: int
    rate: float
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class Step:
    """What one step did; the argument of the callback.

    Attributes:
        scale: Index of the scale, from 0.
        scales: How many there are.
        size: Height and width in pixels.
        iteration: Steps done at this scale, from 1.
        iterations: How many there may be.
        done: Steps of all scales that are used up; one that ended early leaves some out.
        seconds: Since the run began.
        losses: `content`, `style` and `tv` before weighting, and their weighted sum `loss`.
        note: What a person should know, or nothing.
        preview: Makes the picture as it is now, `(1, 3, H, W)` in [0, 1] at full size.
        checkpoint: What the run can go on from after this step.
    """

    scale: int
    scales: int
    size: tuple[int, int]
    iteration: int
    iterations: int
    done: int
    seconds: float
    losses: Mapping[str, float]
    note: str
    preview: Callable[[], Tensor]
    checkpoint: Checkpoint


@dataclass(frozen=True)
class Rendering:
    """The result of a run.

    Attributes:
        image: Shape `(1, 3, H, W)` in [0, 1], at the photo's size whatever ended the run.
        ended: `finished`, `stopped` (by the caller), `time limit` or `diverged`.
        iterations: Steps in all, of this run.
        seconds: What it took.
        losses: Those of the last step; none if there was no step.
        checkpoint: What a run that was stopped can go on from.
    """

    image: Tensor
    ended: str
    iterations: int
    seconds: float
    losses: Mapping[str, float]
    checkpoint: Checkpoint


def optimize_image(
    encoder: nn.Module,
    photo: Tensor,
    style: Paintings | StyleStatistics,
    config: GatysConfig = GatysConfig(),
    *,
    start: Tensor | None = None,
    regions: Tensor | None = None,
    resume: Checkpoint | None = None,
    memory: int | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Rendering:
    """Repaint a photo by optimising its pixels.

    What does not fit into the memory goes through the network in strips, to the same result.

    Args:
        encoder: The perceptual network to `relu5_1`, frozen: an `Encoder`, whose `embed` heads
            are used if it has them, or another that is called as it is.
        photo: Shape `(1, 3, H, W)`, RGB in [0, 1], sides of at least 16 pixels.
        style: Paintings with weights, or a stored style, which needs the style loss `statistics`;
            with regions one row for each.
        config: How.
        start: Picture of the photo's shape to begin with; None begins with seeded noise.
        regions: How much each style counts at each pixel, shape `(styles, 1, H, W)` in [0, 1];
            None mixes them everywhere.
        resume: Where an earlier run with the same arguments was.
        memory: Bytes that may be used beside the arguments; None is about half of what is free.
        on_step: Called after each step.
        should_stop: Asked before each step; a true answer ends the run with what there is.

    Raises:
        ValueError: If shapes or weights do not fit, or a stored style meets another style loss.
        ImageTooLargeError: If the memory is too small for this photo.
        OptimizationError: If not even the start has a finite loss.
    """
    _check_arguments(photo, style, config, start)
    _check_regions(photo, style, regions)
    if memory is not None:
        memory -= STATE_BYTES * photo.shape[2] * photo.shape[3]
    strip_rows(encoder, photo.shape[2], photo.shape[3], memory)  # Refuses before the work.
    pyramid = _Pyramid(photo, start, config)
    point = resume or pyramid.first()
    deadlines = pyramid.deadlines(point.scale)
    run = _Run(pyramid, config, on_step, should_stop, deadlines, time.perf_counter())
    outcome = _Outcome(point, "", 0, {})
    for scale in range(point.scale, len(pyramid.sizes)):
        if scale > outcome.point.scale:
            outcome = replace(outcome, point=pyramid.enlarge(outcome.point))
        small = pyramid.resized_photo(scale)
        places = None if regions is None else F.interpolate(regions, small.shape[2:], mode="area")
        objective = measure_objective(encoder, small, style, config.loss, places, memory)
        outcome = run.optimize_scale(objective, outcome)
        if outcome.ended not in ("finished", "late"):
            break
    ended = "time limit" if outcome.ended == "late" else outcome.ended
    return Rendering(
        image=pyramid.full(outcome.point),
        ended=ended,
        iterations=outcome.iterations,
        seconds=time.perf_counter() - run.began,
        losses=outcome.losses,
        checkpoint=outcome.point,
    )


def scale_sizes(height: int, width: int, min_side: int) -> list[tuple[int, int]]:
    """Return the height and width of each scale, coarse to fine, the last as given.

    >>> scale_sizes(768, 1024, 256)
    [(192, 256), (384, 512), (768, 1024)]
    """
    doublings = max(0, round(math.log2(max(height, width) / min_side)))
    return [
        (max(MIN_SIDE, round(height / 2**k)), max(MIN_SIDE, round(width / 2**k)))
        for k in range(doublings, -1, -1)
    ]


def scale_steps(config: GatysConfig, scales: int) -> list[int]:
    """Return the steps that each scale may take.

    >>> scale_steps(GatysConfig(first_iterations=40, iterations=180), 3)
    [40, 180, 180]
    """
    return [config.first_iterations] + [config.iterations] * (scales - 1)


@dataclass(frozen=True)
class _Pyramid:
    """The pictures of a run at every scale."""

    photo: Tensor
    start: Tensor | None
    config: GatysConfig

    @property
    def sizes(self) -> list[tuple[int, int]]:
        height, width = self.photo.shape[2:]
        return scale_sizes(height, width, self.config.min_side)

    def resized_photo(self, scale: int) -> Tensor:
        """Return the photo at a scale."""
        return resize_pixels(self.photo, self.sizes[scale]).clamp(0, 1)

    @property
    def steps(self) -> list[int]:
        """Return the steps that each scale may take."""
        return scale_steps(self.config, len(self.sizes))

    def deadlines(self, first: int) -> list[float]:
        """Return by when each scale must end, in seconds from the start at scale `first`.

        Each scale gets the share of the time limit that its steps cost, so that also a hurried
        run reaches the full size.
        """
        if self.config.time_limit is None:
            return [math.inf] * len(self.sizes)
        costs = [
            height * width * steps if scale >= first else 0
            for scale, (steps, (height, width)) in enumerate(
                zip(self.steps, self.sizes, strict=True)
            )
        ]
        return [
            self.config.time_limit * sum(costs[: scale + 1]) / sum(costs)
            for scale in range(len(costs))
        ]

    def base(self, size: tuple[int, int]) -> Tensor:
        """Return what changes are added to: the start, or nothing if there is none."""
        if self.start is None:
            return self.photo.new_zeros(1, 3, *size)
        return resize_pixels(self.start, size)

    def first(self) -> Checkpoint:
        """Return where a run begins."""
        image = self.base(self.sizes[0])
        if self.start is None:
            generator = torch.Generator().manual_seed(self.config.seed)
            image = (0.5 + 0.2 * torch.randn(image.shape, generator=generator)).to(image)
        return _beginning(0, image.clamp(0, 1), {}, self.config.learning_rate)

    def enlarge(self, point: Checkpoint) -> Checkpoint:
        """Return where the next scale begins."""
        size = self.sizes[point.scale + 1]
        state = OPTIMIZERS[self.config.optimizer]().enlarge(_optimizer_state(point), size)
        return _beginning(point.scale + 1, self.picture(point, size), state, point.rate)

    def full(self, point: Checkpoint) -> Tensor:
        """Return the picture of a point at full size."""
        return self.picture(point, self.sizes[-1])

    def picture(self, point: Checkpoint, size: tuple[int, int]) -> Tensor:
        """Return the picture of a point at the size of a scale."""
        image = point.tensors["average"]
        own = (image.shape[2], image.shape[3])
        if own == size:
            return image
        return (self.base(size) + resize_pixels(image - self.base(own), size)).clamp(0, 1)


@dataclass(frozen=True)
class _Outcome:
    """Where a scale ended, and why: `finished`, `late`, `stopped` or `diverged`."""

    point: Checkpoint
    ended: str
    iterations: int
    losses: Mapping[str, float]


@dataclass(frozen=True)
class _Run:
    """The loop over the steps of a scale."""

    pyramid: _Pyramid
    config: GatysConfig
    on_step: Callable[[Step], None]
    should_stop: Callable[[], bool]
    deadlines: Sequence[float]
    began: float

    def optimize_scale(self, objective: Objective, outcome: _Outcome) -> _Outcome:
        """Take the steps of the scale that `outcome.point` is at."""
        point, iterations, losses = outcome.point, outcome.iterations, outcome.losses
        good: Checkpoint | None = None
        failures = 0
        while not self._finished(point):
            if self.should_stop():
                return _Outcome(point, "stopped", iterations, losses)
            if time.perf_counter() - self.began >= self.deadlines[point.scale]:
                return _Outcome(point, "late", iterations, losses)
            measured, gradient = objective.evaluate(point.tensors["image"])
            if math.isfinite(measured["loss"]) and torch.isfinite(gradient).all():
                good, losses, note = point, measured, ""
                progress = self._progress(point)
                point = _advance(point, measured["loss"], gradient, self.config, progress)
                iterations += 1
            elif good is None and not iterations:
                raise OptimizationError(
                    "the loss of the first picture, or its gradient, is not a finite number; "
                    "give smaller weights"
                )
            elif good is None or failures == MAX_FAILURES:
                return _Outcome(good or point, "diverged", iterations, losses)
            else:
                failures += 1
                note = (
                    "the loss or its gradient is not finite: back to the last good picture, half "
                    "the step"
                )
                point = _restore(good, point.rate / 2)
            self._report(point, losses, note)
        return _Outcome(point, "finished", iterations, losses)

    def _progress(self, point: Checkpoint) -> float:
        """Return the share of the scale's steps, or of its time if that is more, that is used."""
        used = point.iteration / self.pyramid.steps[point.scale]
        if self.config.time_limit is None:
            return used
        begin, end = [0.0, *self.deadlines][point.scale : point.scale + 2]
        return min(1.0, max(used, (time.perf_counter() - self.began - begin) / (end - begin)))

    def _finished(self, point: Checkpoint) -> bool:
        """Return whether the steps are used up, or the loss falls no more."""
        if point.iteration >= self.pyramid.steps[point.scale]:
            return True
        losses, patience = point.tensors["losses"], self.config.patience
        if len(losses) <= patience:
            return False
        before, recent = losses[:-patience].min(), losses[-patience:].min()
        return bool(recent > (1 - self.config.tolerance) * before)

    def _report(self, point: Checkpoint, losses: Mapping[str, float], note: str) -> None:
        self.on_step(
            Step(
                scale=point.scale,
                scales=len(self.pyramid.sizes),
                size=self.pyramid.sizes[point.scale],
                iteration=point.iteration,
                iterations=self.pyramid.steps[point.scale],
                done=sum(self.pyramid.steps[: point.scale]) + point.iteration,
                seconds=time.perf_counter() - self.began,
                losses=losses,
                note=note,
                preview=lambda: self.pyramid.full(point),
                checkpoint=point,
            )
        )


def lay_out(tensor: Tensor) -> Tensor:
    """Lay pictures out alike, in a run and from a file: sums depend on the order of their terms."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _beginning(scale: int, image: Tensor, state: State, rate: float) -> Checkpoint:
    losses = torch.zeros(0, dtype=torch.float64)
    tensors = {"image": image, "average": image, "losses": losses, **_prefixed(state)}
    return Checkpoint(scale, 0, rate, {name: lay_out(value) for name, value in tensors.items()})


def _advance(
    point: Checkpoint, loss: float, gradient: Tensor, config: GatysConfig, progress: float
) -> Checkpoint:
    """Return the point after one step of the optimiser."""
    optimizer = OPTIMIZERS[config.optimizer](rate=point.rate)
    tensors = point.tensors
    before = _optimizer_state(point)
    image, state = optimizer.step(tensors["image"], loss, gradient, before, progress)
    losses = torch.cat([tensors["losses"], torch.tensor([loss], dtype=torch.float64)])
    # Without its factor the average would lean towards the first picture of the scale.
    decay = config.averaging * (1 - config.averaging**point.iteration)
    decay = decay / (1 - config.averaging ** (point.iteration + 1))
    average = torch.lerp(image, tensors["average"], decay)
    following = {"image": image, "average": average, "losses": losses, **_prefixed(state)}
    following = {name: lay_out(tensor) for name, tensor in following.items()}
    return Checkpoint(point.scale, point.iteration + 1, point.rate, following)


def _restore(good: Checkpoint, rate: float) -> Checkpoint:
    """Return a point that begins anew from a good picture, with smaller steps."""
    own = {name: good.tensors[name] for name in ("image", "average", "losses")}
    return Checkpoint(good.scale, good.iteration, rate, own)


def _optimizer_state(point: Checkpoint) -> State:
    prefix = "optimizer."
    return {
        name.removeprefix(prefix): value
        for name, value in point.tensors.items()
        if name.startswith(prefix)
    }


def _prefixed(state: State) -> State:
    return {f"optimizer.{name}": value for name, value in state.items()}


def _check_arguments(
    photo: Tensor, style: Paintings | StyleStatistics, config: GatysConfig, start: Tensor | None
) -> None:
    if photo.ndim != 4 or photo.shape[:2] != (1, 3) or min(photo.shape[2:]) < MIN_SIDE:
        raise ValueError(
            f"expected a photo of shape (1, 3, H, W), sides of at least {MIN_SIDE}, "
            f"got {tuple(photo.shape)}"
        )
    if start is not None and start.shape != photo.shape:
        raise ValueError(
            f"expected a start of shape {tuple(photo.shape)}, got {tuple(start.shape)}"
        )
    if isinstance(style, StyleStatistics):
        if config.loss.style_loss != "statistics":
            raise ValueError(
                "a stored style has means and standard deviations alone; use the style loss "
                f"'statistics', not {config.loss.style_loss!r}"
            )
    elif not style or not all(math.isfinite(weight) and weight > 0 for _, weight in style):
        weights = [weight for _, weight in style]
        raise ValueError(f"expected paintings with positive weights, got weights {weights}")


def _check_regions(
    photo: Tensor, style: Paintings | StyleStatistics, regions: Tensor | None
) -> None:
    if regions is None:
        return
    count = len(style.to_vector() if isinstance(style, StyleStatistics) else style)
    expected = (count, 1, *photo.shape[2:])
    if regions.shape != expected:
        raise ValueError(f"expected regions of shape {expected}, got {tuple(regions.shape)}")
    if not (
        regions.isfinite().all() and (regions >= 0).all() and (regions.amax((1, 2, 3)) > 0).all()
    ):
        raise ValueError("expected regions of weights of at least 0, none of them empty")
