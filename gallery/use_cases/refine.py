"""The use case behind `adain stylize --quality auto|best`: one pass, judged, and optimised."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adain.config import FACE, Controls
from adain.engine.model import Model
from adain.imaging.picture import Picture, to_unit
from adain.imaging.resizing import resize_image
from adain.network.loading import load_network
from adain.optimizing.config import GatysConfig
from adain.optimizing.gatys import Step
from adain.optimizing.targets import Paintings
from adain.painting.looks import paint_matched
from adain.painting.stylize import Painter, stylize_picture
from adain.painting.tiling import paint_pixels
from adain.quality.faces import MIN_LIKENESS, face_likeness
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
        keeps_faces: Whether faces were kept because the one pass damages them.
    """

    picture: Picture
    way: str
    reason: str
    measure: PassMeasure | None
    keeps_faces: bool = False


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
    notice: Callable[[str], None] | None = None,
) -> Refinement:
    """Repaint a photo as well as it needs.

    Where it is judged, and one pass damages a face, faces are kept.

    Args:
        model: The network.
        photo: From `load_image`.
        style: One style.
        paintings: The paintings of the style with weights; None renders with `style` alone.
        judged: Whether one pass is kept where the gate accepts it; else the photo is rendered.
        max_side: Longest side of the result in pixels; None keeps the photo's size.
        controls: Colours, smoothing and sharpening, and whether faces are kept; no masks, parts of
            the photo and strengths.
        gate: When one pass is good enough.
        config: How to render.
        progress: Told the share of the work that is done, in [0, 1].
        notice: As for `stylize_picture`.

    Raises:
        ImageTooLargeError: If the memory does not suffice.
        OptimizationError: If not even the one pass has a finite loss.
    """
    measure, reason = None, "asked for"
    if judged and paintings is None:
        reason = "no picture of the style is at hand to render with"
    elif paintings is None:
        reason += "; no picture of the style is at hand, without which one pass may look better"
    elif judged:
        measure = measure_photo(model, photo, style)
        verdict = decide(measure, gate)
        reason = verdict.reason
    damage = damaged_faces(model, photo, style) if judged and controls.kept is None else ""
    if damage:
        controls, reason = replace(controls, keep=FACE), f"{reason}; {damage}"
    if judged and (paintings is None or verdict.accepted):
        picture = stylize_picture(
            model,
            photo,
            style,
            max_side=max_side,
            controls=controls,
            progress=progress,
            notice=notice,
        )
        return Refinement(picture, "one pass", reason, measure, bool(damage))
    picture = stylize_picture(
        model,
        photo,
        style,
        max_side=max_side,
        controls=controls,
        painter=_painter(model, paintings, config, progress),
        notice=notice,
    )
    return Refinement(picture, "render", reason, measure, bool(damage))


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


def damaged_faces(model: Model, photo: Picture, style: StyleStatistics) -> str:
    """Return in words which faces one pass damages, as it looks at `SIDE` pixels; empty if none."""
    from adain.painting.regions import find_faces

    small = resize_image(photo, SIDE)
    faces = find_faces(small)
    if not faces:
        return ""
    painted = stylize_picture(model, small, style)
    likeness = face_likeness(small.pixels, painted.pixels, faces)
    damaged = [each for each in likeness if not each >= MIN_LIKENESS]
    if not damaged:
        return ""
    of = "the face" if len(likeness) == 1 else f"{len(damaged)} of {len(likeness)} faces"
    return f"{of} would be damaged (likeness {min(damaged):.2f} is under {MIN_LIKENESS:g}): kept"


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
        kept = style if isinstance(style, StyleField) else None
        if isinstance(style, StyleField):
            (style,) = style.styles
        start = paint_pixels(model, picture.pixels, style, alpha)
        target = style if paintings is None else paintings
        job = RenderJob(picture, target, start, config, {}, load_network(model).encoder)
        total = total_steps(job)

        def watch(step: Step) -> None:
            progress(step.done / total)

        rendered = render_job(job, on_step=watch).image
        if kept is None:
            return rendered
        # A render has no strength: what is kept is that of one pass.
        weaker = to_unit(paint_matched(model, None, None, picture, kept, alpha))
        left = 1 - kept.extent(0, picture.height)
        share = left / max(float(left.max()), 1e-6)
        return rendered + share[..., None] * (weaker - rendered)

    return paint
