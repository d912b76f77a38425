"""A camera, painted as it goes: frames come one by one, and what follows is not known.

What is measured on a frame holds for those after it, as long as they show much the same; then what
is measured anew takes its place within a few frames, or at once where the camera was turned away.
"""

from collections.abc import Callable
from typing import Any

from adain.config import Controls
from adain.engine.model import Model
from adain.imaging.picture import Picture
from adain.imaging.resizing import scale_image
from adain.painting.looks import Look, measure_look
from adain.painting.strokes import working_side
from adain.painting.stylize import stylize_picture
from adain.styles.statistics import StyleStatistics
from adain.video.frames import is_same
from adain.video.shots import Glance

FOLLOWING = 8
"""Frames within which one look becomes the next."""


class Camera:
    """Paints the frames of one camera in their order, in place of `stylize_picture`."""

    def __init__(self) -> None:
        self._wanted: object = None
        self._look: Look | None = None
        self._next: Look | None = None
        self._left = 0
        self._seen: Glance | None = None
        self._last: Glance | None = None

    def __call__(
        self,
        model: Model,
        photo: Picture,
        style: StyleStatistics,
        *,
        alpha: float = 1.0,
        max_side: int | None = None,
        controls: Controls = Controls(),
        notice: Callable[[str], None] | None = None,
    ) -> Picture:
        """Repaint a frame; arguments and errors are those of `stylize_picture`.

        Where faces, people or masks say what is painted, each frame is a photo of its own.
        """
        options: dict[str, Any] = {"max_side": max_side, "controls": controls}
        if controls.finds_regions or controls.masks or controls.strength is not None:
            return stylize_picture(model, photo, style, alpha=alpha, notice=notice, **options)
        side = max(photo.width, photo.height)
        working = scale_image(
            photo, working_side(side, min(side, max_side or side), controls.stroke)
        )
        wanted = (
            id(model), style.to_vector().tobytes(), style.adapters, alpha, controls, working.shape
        )  # fmt: skip
        look = self._follow(model, working, style, alpha, controls, wanted)
        return stylize_picture(model.quantized, photo, style, look=look, **options)

    def _follow(
        self,
        model: Model,
        frame: Picture,
        style: StyleStatistics,
        alpha: float,
        controls: Controls,
        wanted: object,
    ) -> Look:
        """Return the look of the next frame."""
        glance, last = Glance.of(frame.levels), self._last
        self._last = glance
        begins = self._look is None or wanted != self._wanted
        if begins or last is None or not last.resembles(glance, 1.0):
            self._look, self._next = _measured(model, frame, style, alpha, controls), None
            self._wanted, self._seen = wanted, glance
        assert self._look is not None and self._seen is not None
        if self._next is None and not is_same(self._seen, glance):
            self._next, self._left = _measured(model, frame, style, alpha, controls), FOLLOWING
            self._seen = glance
        if self._next is not None:
            self._look = self._look.blend(self._next, 1 / self._left)
            self._left -= 1
            if self._left == 0:
                self._next = None
        return self._look


def _measured(
    model: Model, frame: Picture, style: StyleStatistics, alpha: float, controls: Controls
) -> Look:
    return measure_look(model, [frame], style, alpha, controls, painter=model.quantized)
