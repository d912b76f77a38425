"""Films in one call: `adain.stylize_frames`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray

from adain.config import DEFAULT_MODEL, Controls, Repainting, check_alpha
from adain.engine.model import Model
from adain.painting.library import Style, loaded_network, measure_style
from adain.styles.statistics import StyleStatistics, stack_styles
from adain.video.direction import FADE, Direction
from adain.video.frames import RATE, paint_frames


def stylize_frames(
    frames: Iterable[NDArray[Any]],
    style: Style | Sequence[Style] | Mapping[float, Style],
    *,
    alpha: float = Repainting.alpha,
    masks: Iterable[NDArray[Any]] | None = None,
    controls: Controls = Controls(),
    rate: float = RATE,
    fade: float = FADE,
    stable: bool = False,
    exact: bool = False,
    jobs: int = 1,
    memory: int | None = None,
    model: str | Path | Model = DEFAULT_MODEL,
    device: str = "auto",
) -> Iterator[NDArray[Any]]:
    """Repaint the frames of a film so that what stays the same in them is painted the same.

    Nothing but the frames is read or written; about 60 are held at a time.

    Args:
        frames: One after the other, each of one shape: `(H, W, 3)`, or 4 with transparency, uint8,
            uint16 or floating point in [0, 1]; sides of at least 16 pixels.
        style: From `measure_style`, or a painting as `stylize` takes it; with masks one for each;
            or by the second from which on it holds: `{0: first, 12: second}`.
        alpha: Strength: 0 keeps the frames, 1 is the full style; from -1 to 3.
        masks: One array for each frame, `(K, H, W)` in [0, 1] or uint8: where each of `K` styles
            holds in it. Of one style it is the strength at each pixel.
        controls: How frames are repainted; its own masks hold for all of them.
        rate: Frames a second, for styles by time.
        fade: Seconds in which one style becomes the next.
        stable: Whether each result also follows the last one along the optical flow.
        exact: Whether the network computes with float32, as for photos, not with 8-bit numbers,
            which take half the time.
        jobs: Frames that are worked on at the same time.
        memory: Bytes that may be used beside the network and the frames; by default up to half
            of what is free.
        model: As for `stylize`.
        device: The same.

    Returns:
        Iterator over as many results of the same shape and type.

    Raises:
        EngineError: If `stable` is asked for and OpenCV is not installed.
        ImageError: If an array is no frame, or a painting or mask cannot be read.
        MaskError: If a mask does not fit, or there are fewer than frames.
        WeightsError: If there is no such model.
        ValueError: If frames differ in shape, or a number is out of its range.

    Example:
        >>> frames = [adain.load_image("photo.jpg").to_array()] * 3
        >>> [frame.shape for frame in stylize_frames(frames, "painting.jpg")]
        [(45, 60, 3), (45, 60, 3), (45, 60, 3)]
    """
    check_alpha(alpha)
    network = loaded_network(model, device)

    def measured(one: Style) -> StyleStatistics:
        return one if isinstance(one, StyleStatistics) else measure_style(one, model=network)

    if isinstance(style, Mapping):
        styles = tuple((float(at), measured(one)) for at, one in sorted(style.items()))
    else:
        several = isinstance(style, Sequence) and not isinstance(style, str | bytes)
        each = cast("Sequence[Style]", style if several else [style])
        styles = ((0.0, stack_styles([measured(one) for one in each])),)
    direction = Direction(styles, ((0.0, alpha),), fade)
    return paint_frames(
        network, frames, direction, rate=rate, controls=controls, masks=masks, stable=stable,
        exact=exact, jobs=jobs, memory=memory,
    )  # fmt: skip
