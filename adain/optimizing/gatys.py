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

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from adain.config import MIN_SIDE
from adain.errors import OptimizationError
from adain.network.statistics import to_pixels, to_tensor
from adain.optimizing.checkpoint import Checkpoint, advance, restore
from adain.optimizing.config import GatysConfig
from adain.optimizing.perceptual import PerceptualLoss, prepare_loss
from adain.optimizing.pyramid import Pyramid
from adain.optimizing.strips import strip_rows
from adain.optimizing.targets import Paintings
from adain.styles.statistics import StyleStatistics

STATE_BYTES = 500
"""For each pixel: pictures, and the ten steps that L-BFGS remembers."""

MAX_FAILURES = 5
"""Times that a picture is restored before a run ends with it."""


@dataclass(frozen=True)
class Step:
    """Losses and picture of one step; the argument of the callback.

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
        preview: Makes the picture as it is now, `(H, W, 3)` in [0, 1] at full size.
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
    preview: Callable[[], NDArray[np.float32]]
    checkpoint: Checkpoint


@dataclass(frozen=True)
class Rendering:
    """The result of a run.

    Attributes:
        image: Shape `(H, W, 3)` in [0, 1], at the photo's size whatever ended the run.
        ended: `finished`, `stopped` (by the caller), `time limit` or `diverged`.
        iterations: Steps in all, of this run.
        seconds: What it took.
        losses: Those of the last step; none if there was no step.
        checkpoint: What a run that was stopped can go on from.
    """

    image: NDArray[np.float32]
    ended: str
    iterations: int
    seconds: float
    losses: Mapping[str, float]
    checkpoint: Checkpoint


def optimize_image(
    encoder: nn.Module,
    photo: NDArray[np.float32],
    style: Paintings | StyleStatistics,
    config: GatysConfig = GatysConfig(),
    *,
    start: NDArray[np.float32] | None = None,
    regions: NDArray[np.float32] | None = None,
    resume: Checkpoint | None = None,
    memory: int | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Rendering:
    """Repaint a photo by optimising its pixels.

    What does not fit into the memory goes through the network in strips, to the same result.

    Args:
        encoder: The perceptual network to `relu5_1`, frozen, on the device that computes: an
            `Encoder`, whose `embed` heads are used if it has them, or another that is called as
            it is.
        photo: Shape `(H, W, 3)`, RGB in [0, 1], sides of at least 16 pixels.
        style: Paintings with weights, or a stored style, which needs the style loss `statistics`;
            with regions one row for each.
        config: How.
        start: Picture of the photo's shape to begin with; None begins with seeded noise.
        regions: How much each style counts at each pixel, shape `(styles, H, W)` in [0, 1]; None
            mixes them everywhere.
        resume: Where an earlier run with the same arguments was.
        memory: Bytes that may be used beside the arguments; None is about half of what is free.
        on_step: Called after each step.
        should_stop: Asked before each step; a true answer ends the run with what there is.

    Raises:
        ValueError: If shapes or weights do not fit, or a stored style meets another style loss.
        ImageTooLargeError: If the memory is too small for this photo.
        OptimizationError: If not even the start has a finite loss, or `resume` is of a picture of
            another size.
    """
    _check_arguments(photo, style, config, start)
    _check_regions(photo, style, regions)
    height, width = photo.shape[:2]
    if memory is not None:
        memory -= STATE_BYTES * height * width
    strip_rows(encoder, height, width, memory)  # Refuses before the work.
    device = next(encoder.parameters()).device
    areas = None if regions is None else torch.from_numpy(regions)[:, None].to(device)
    pyramid = Pyramid(
        to_tensor(photo).to(device), None if start is None else to_tensor(start).to(device), config
    )
    point = resume or pyramid.first()
    _check_size(point, pyramid)
    deadlines = pyramid.deadlines(point.scale)
    run = _Run(pyramid, config, on_step, should_stop, deadlines, time.perf_counter())
    outcome = _Outcome(point, "", 0, {})
    for scale in range(point.scale, len(pyramid.sizes)):
        if scale > outcome.point.scale:
            outcome = replace(outcome, point=pyramid.enlarge(outcome.point))
        small = pyramid.resized_photo(scale)
        places = None if areas is None else F.interpolate(areas, small.shape[2:], mode="area")
        objective = prepare_loss(encoder, small, style, config.loss, places, memory)
        outcome = run.optimize_scale(objective, outcome)
        if outcome.ended not in ("finished", "late"):
            break
    ended = "time limit" if outcome.ended == "late" else outcome.ended
    return Rendering(
        image=to_pixels(pyramid.full(outcome.point)),
        ended=ended,
        iterations=outcome.iterations,
        seconds=time.perf_counter() - run.began,
        losses=outcome.losses,
        checkpoint=outcome.point,
    )


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

    pyramid: Pyramid
    config: GatysConfig
    on_step: Callable[[Step], None]
    should_stop: Callable[[], bool]
    deadlines: Sequence[float]
    began: float

    def optimize_scale(self, objective: PerceptualLoss, outcome: _Outcome) -> _Outcome:
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
                point = advance(point, measured["loss"], gradient, self.config, progress)
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
                point = restore(good, point.rate / 2)
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
                preview=lambda: to_pixels(self.pyramid.full(point)),
                checkpoint=point,
            )
        )


def _check_arguments(
    photo: NDArray[np.float32],
    style: Paintings | StyleStatistics,
    config: GatysConfig,
    start: NDArray[np.float32] | None,
) -> None:
    if photo.ndim != 3 or photo.shape[2] != 3 or min(photo.shape[:2]) < MIN_SIDE:
        raise ValueError(
            f"expected a photo of shape (H, W, 3), sides of at least {MIN_SIDE}, got {photo.shape}"
        )
    if start is not None and start.shape != photo.shape:
        raise ValueError(f"expected a start of shape {photo.shape}, got {start.shape}")
    if isinstance(style, StyleStatistics):
        if config.loss.style_loss != "statistics":
            raise ValueError(
                "a stored style has means and standard deviations alone; use the style loss "
                f"'statistics', not {config.loss.style_loss!r}"
            )
    elif not style or not all(math.isfinite(weight) and weight > 0 for _, weight in style):
        weights = [weight for _, weight in style]
        raise ValueError(f"expected paintings with positive weights, got weights {weights}")


def _check_size(point: Checkpoint, pyramid: Pyramid) -> None:
    sizes = dict(enumerate(pyramid.sizes))
    if tuple(point.tensors["image"].shape[2:]) != sizes.get(point.scale):
        raise OptimizationError(
            "the checkpoint is of a picture of another size; give that size again, or begin anew"
        )


def _check_regions(
    photo: NDArray[np.float32],
    style: Paintings | StyleStatistics,
    regions: NDArray[np.float32] | None,
) -> None:
    if regions is None:
        return
    count = len(style.to_vector() if isinstance(style, StyleStatistics) else style)
    expected = (count, *photo.shape[:2])
    if regions.shape != expected:
        raise ValueError(f"expected regions of shape {expected}, got {regions.shape}")
    if not (
        np.isfinite(regions).all() and (regions >= 0).all() and (regions.max((1, 2)) > 0).all()
    ):
        raise ValueError("expected regions of weights of at least 0, none of them empty")
