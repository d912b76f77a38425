"""Decide whether one pass is good enough, or an optimisation should go on from it.

The measures need no second result beside the one that is judged: the photo and the style are
what it is compared with.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adain.config import STYLE_LAYERS
from adain.imaging.color import luma
from adain.imaging.filters import gaussian_blur
from adain.network.encoder import Encoder
from adain.network.losses import content_loss, style_loss
from adain.network.statistics import FeatureStatistics, style_tensors, to_tensor
from adain.quality.metrics import CONTENT_LAYER
from adain.styles.statistics import StyleStatistics

SIDE = 512
"""Longest side in pixels at which pictures are to be judged: about what a person sees at once."""

BLUR = 2.0
"""Standard deviation in pixels of the blur that fine detail is the difference to."""

FLAT = 0.04
"""Root mean square of fine detail, in parts of the range of a pixel, at which an area of a photo
counts by 1/e as flat."""


MAX_STYLE, MAX_SPECKLE = 2.2, 0.04
"""Beyond these a result is not good enough: what a tenth of 60 validation pairs exceeds in each
(`scripts/calibrate_gate`). They find what is far from usual, not what a viewer would have refined
(`scripts/gate_judgements.csv`): with that they agree on 34."""


@dataclass(frozen=True)
class PassMeasure:
    """How good a result is.

    Attributes:
        style: Distance of its channel statistics to the style, over that of the photo: 0 is the
            style, 1 is a photo that was not touched.
        content: Distance of its features at `relu4_1` to the photo's, over their mean square.
        speckle: Root mean square of the fine detail that was added where the photo is flat, in
            parts of the range of a pixel: hatches, grids and fringes.
    """

    style: float
    content: float
    speckle: float


@dataclass(frozen=True)
class Gate:
    """When one pass is good enough.

    Attributes:
        max_style: Largest `PassMeasure.style` that is accepted.
        max_speckle: Largest `PassMeasure.speckle` that is accepted.
    """

    max_style: float = MAX_STYLE
    max_speckle: float = MAX_SPECKLE


@dataclass(frozen=True)
class Verdict:
    """Whether a result is accepted, and why in words."""

    accepted: bool
    reason: str


@torch.no_grad()
def measure_pass(
    encoder: Encoder,
    photo: NDArray[np.float32],
    result: NDArray[np.float32],
    style: StyleStatistics,
) -> PassMeasure:
    """Measure a result against its photo and its style.

    Args:
        encoder: What styles are measured with.
        photo: Shape `(H, W, 3)`, RGB in [0, 1], sides of at least 16 pixels.
        result: The same shape.
        style: One style of the encoder.

    Raises:
        ValueError: If the shapes differ.
    """
    if photo.shape != result.shape or photo.ndim != 3:
        raise ValueError(
            f"expected two equal shapes (H, W, 3), got {photo.shape} and {result.shape}"
        )
    device = next(encoder.parameters()).device
    seen, painted = (
        encoder(to_tensor(pixels).to(device), STYLE_LAYERS) for pixels in (photo, result)
    )
    target = style_tensors(style, device)
    untouched = style_distance(seen, target)
    # A photo in its own style is as near as it can be: the power of the style is the yardstick.
    power = sum(
        (channels.mean.square() + channels.std.square()).mean().item()
        for channels in target.values()
    )
    content = content_loss(painted[CONTENT_LAYER], seen[CONTENT_LAYER])
    return PassMeasure(
        style=style_distance(painted, target) / max(untouched, 0.01 * power),
        content=(content / seen[CONTENT_LAYER].square().mean().clamp_min(1e-12)).item(),
        speckle=_speckle(photo, result),
    )


def decide(measure: PassMeasure, gate: Gate = Gate()) -> Verdict:
    """Return whether a result is good enough as it is."""
    faults = [
        f"{name} {value:.3f} is over {limit:g}"
        for name, value, limit in (
            ("style loss", measure.style, gate.max_style),
            ("speckle", measure.speckle, gate.max_speckle),
        )
        if not value <= limit  # Not `>`: NaN is a fault.
    ]
    if faults:
        return Verdict(False, " and ".join(faults))
    figures = f"style loss {measure.style:.3f} and speckle {measure.speckle:.3f}"
    return Verdict(True, f"{figures} are within {gate.max_style:g} and {gate.max_speckle:g}")


def style_distance(features: Mapping[str, Tensor], style: Mapping[str, FeatureStatistics]) -> float:
    """Return the distance of channel statistics to a style, summed over `STYLE_LAYERS`."""
    return sum(style_loss(features[layer], style[layer]).item() for layer in STYLE_LAYERS)


def _speckle(photo: NDArray[np.float32], result: NDArray[np.float32]) -> float:
    seen, painted = _fine_energy(photo), _fine_energy(result)
    flat = np.exp(-seen / FLAT**2)
    return math.sqrt((flat * (painted - seen).clip(min=0)).mean())


def _fine_energy(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the local mean square `(H, W)` of what a blur takes away from the luminance."""
    grey = luma(pixels)[..., 0]
    return gaussian_blur((grey - gaussian_blur(grey, BLUR)) ** 2, BLUR)
