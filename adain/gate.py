"""Decide whether one pass is good enough, or an optimisation should go on from it.

The measures need no second result beside the one that is judged: the photo and the style are
what it is compared with.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from adain.losses import LUMINANCE, content_loss, style_loss
from adain.model import STYLE_LAYERS, Encoder
from adain.normalization import StyleStatistics
from adain.quality import CONTENT_LAYER

SIDE = 512
"""Longest side in pixels at which pictures are to be judged: about what a person sees at once."""

BLUR = 2.0
"""Standard deviation in pixels of the blur that fine detail is the difference to."""

FLAT = 0.02
"""Root mean square of fine detail under which an area of a photo is flat: noise, no texture."""


@dataclass(frozen=True)
class PassMeasure:
    """How good a result is.

    Attributes:
        style: Distance of its channel statistics to the style, over that of the photo: 0 is the
            style, 1 is a photo that was not touched.
        content: Distance of its features at `relu4_1` to the photo's, over their mean square.
        speckle: Root mean square of fine detail where the photo is flat, in parts of the range
            of a pixel; 0 if the photo is flat nowhere.
    """

    style: float
    content: float
    speckle: float


@torch.no_grad()
def measure_pass(
    encoder: Encoder, photo: Tensor, result: Tensor, style: StyleStatistics
) -> PassMeasure:
    """Measure a result against its photo and its style.

    Args:
        encoder: What styles are measured with.
        photo: Shape `(1, 3, H, W)`, RGB in [0, 1], sides of at least 16 pixels.
        result: The same shape.
        style: One style of the encoder.

    Raises:
        ValueError: If the shapes differ.
    """
    if photo.shape != result.shape or photo.ndim != 4 or len(photo) != 1:
        raise ValueError(
            f"expected two equal shapes (1, 3, H, W), got {tuple(photo.shape)} and "
            f"{tuple(result.shape)}"
        )
    seen, painted = encoder(photo, STYLE_LAYERS), encoder(result, STYLE_LAYERS)
    untouched = style_distance(seen, style)
    # A photo in its own style is as near as it can be: the power of the style is the yardstick.
    power = sum(
        (style[layer].mean.square() + style[layer].std.square()).mean().item()
        for layer in STYLE_LAYERS
    )
    content = content_loss(painted[CONTENT_LAYER], seen[CONTENT_LAYER])
    return PassMeasure(
        style=style_distance(painted, style) / max(untouched, 0.01 * power),
        content=(content / seen[CONTENT_LAYER].square().mean().clamp_min(1e-12)).item(),
        speckle=_speckle(photo, result),
    )


def style_distance(features: dict[str, Tensor], style: StyleStatistics) -> float:
    """Return the distance of channel statistics to a style, summed over `STYLE_LAYERS`."""
    return sum(style_loss(features[layer], style[layer]).item() for layer in STYLE_LAYERS)


def _speckle(photo: Tensor, result: Tensor) -> float:
    seen, painted = _fine_energy(photo), _fine_energy(result)
    flat = torch.exp(-seen / FLAT**2)
    if flat.mean() < 1e-3:
        return 0.0
    return ((flat * painted).sum() / flat.sum()).sqrt().item()


def _fine_energy(image: Tensor) -> Tensor:
    """Return the local mean square `(1, 1, H, W)` of what a blur takes away from the luminance."""
    weights = torch.tensor(LUMINANCE, device=image.device).view(1, 3, 1, 1)
    grey = (image.float() * weights).sum(1, keepdim=True)
    return _blur((grey - _blur(grey)).square())


def _blur(plane: Tensor) -> Tensor:
    radius = round(3 * BLUR)
    offsets = torch.arange(-radius, radius + 1, device=plane.device, dtype=torch.float32)
    window = (-offsets.square() / (2 * BLUR**2)).exp()
    kernel = window / window.sum()
    plane = F.pad(plane, (radius,) * 4, mode="replicate")
    plane = F.conv2d(plane, kernel.view(1, 1, -1, 1))
    return F.conv2d(plane, kernel.view(1, 1, 1, -1))
