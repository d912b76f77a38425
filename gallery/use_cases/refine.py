"""The use case behind `adain stylize --quality auto|best`: one pass, judged, and optimised."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adain.config import Controls
from adain.engine.model import Model
from adain.imaging.picture import Picture
from adain.imaging.resizing import resize_image
from adain.network.loading import load_network
from adain.optimizing.config import GatysConfig
from adain.optimizing.gatys import Step
from adain.optimizing.targets import Paintings
from adain.painting.stylize import Painter, stylize_picture
from adain.painting.tiling import paint_pixels
from adain.quality.gate import SIDE, Gate, PassMeasure, decide, measure_pass
from adain.styles.field import StyleField
from adain.styles.statistics import StyleStatistics
from gallery.use_cases.render import STORED_LOSS, RenderJob, render_job, total_steps

CONFIG = GatysConfig(iterations=100)
"""Fewer steps than `adain render` takes: here photos may be many."""


@dataclass(frozen=True)
class Refinement:
    """A result, and how it was made.

    Attributes:
        picture: The result.
        way: `one pass` or `render`.
        reason: Why, for a person.
        measure: What the one pass was judged by; None if it was not.
    """

    picture: Picture
    way: str
    reason: str
    measure: PassMeasure | None


def stylize_refined(
    model: Model,
    photo: Picture,
    style: StyleStatistics,
    paintings: Paintings | None,
    *,
    judged: bool,
    max_side: int | None = None,
    controls: Controls = Controls(),
    gate: Gate = Gate(),
    config: GatysConfig = CONFIG,
    progress: Callable[[float], None] = lambda share: None,
) -> Refinement:
    """Repaint a photo as well as it needs.

    Args:
        model: The network.
        photo: From `load_image`.
        style: One style.
        paintings: The paintings of the style with weights; None renders with `style` alone.
        judged: Whether one pass is kept where the gate accepts it; else the photo is rendered.
        max_side: Longest side of the result in pixels; None keeps the photo's size.
        controls: Colours, smoothing and sharpening; no masks and no strengths.
        gate: When one pass is good enough.
        config: How to render.
        progress: Told the share of the work that is done, in [0, 1].

    Raises:
        ImageTooLargeError: If the memory does not suffice.
        OptimizationError: If not even the one pass has a finite loss.
    """
    measure, reason = None, "asked for"
    if judged and paintings is None:
        reason = "no picture of the style is at hand to render with"
    elif judged:
        measure = measure_photo(model, photo, style)
        verdict = decide(measure, gate)
        reason = verdict.reason
    if judged and (paintings is None or verdict.accepted):
        picture = stylize_picture(
            model, photo, style, max_side=max_side, controls=controls, progress=progress
        )
        return Refinement(picture, "one pass", reason, measure)
    picture = stylize_picture(
        model,
        photo,
        style,
        max_side=max_side,
        controls=controls,
        painter=_painter(model, paintings, config, progress),
    )
    return Refinement(picture, "render", reason, measure)


def measure_photo(model: Model, photo: Picture, style: StyleStatistics) -> PassMeasure:
    """Judge what one pass makes of a photo, as it looks at `adain.quality.gate.SIDE` pixels.

    That is before its colours are matched to those of the style: so the gate was calibrated.
    """

    def paint(
        picture: Picture, style: StyleStatistics | StyleField, alpha: float
    ) -> NDArray[np.generic]:
        return paint_pixels(model, picture.pixels, style, alpha)

    small = resize_image(photo, SIDE)
    painted = stylize_picture(model, photo, style, max_side=SIDE, painter=paint)
    return measure_pass(load_network(model).encoder, small.pixels, painted.pixels, style)


def _painter(
    model: Model,
    paintings: Paintings | None,
    config: GatysConfig,
    progress: Callable[[float], None],
) -> Painter:
    """Return what renders a picture from its one pass on."""
    if paintings is None:
        config = replace(config, loss=STORED_LOSS)

    def paint(
        picture: Picture, style: StyleStatistics | StyleField, alpha: float
    ) -> NDArray[np.generic]:
        assert not isinstance(style, StyleField)
        start = paint_pixels(model, picture.pixels, style, alpha)
        target = style if paintings is None else paintings
        job = RenderJob(picture, target, start, config, {}, load_network(model).encoder)
        total = total_steps(job)

        def watch(step: Step) -> None:
            progress(step.done / total)

        return render_job(job, on_step=watch).image

    return paint
