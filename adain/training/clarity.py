"""Clarity: a decoder learns what a filter would make of its pictures.

Losses on features leave relief where the photo is flat, and weak contours; in blind trials these
cost more than anything else. A filter that sees photo and result mends them, but would take
longer than the pass. The decoder sees the photo, too, so it can learn the filter, which is free.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.config import STYLE_LAYERS
from adain.network.decoder import Decoder
from adain.network.encoder import Encoder
from adain.network.losses import total
from adain.network.pixel_losses import luma
from adain.network.statistics import layer_statistics
from adain.training.decoder import DecoderTraining

STRENGTHS = {"relu3_1": 0.75, "relu4_1": 0.75}
"""How far normalization goes towards the style at the deep layers. They give relief rather than
strokes: at 1.7 and 1.8 viewers found skin crumpled, and chose the peer's more often."""

DETAIL = 0.75
"""Share of what is finer than the photo's own shapes that stays where the photo is flat."""

CALM_RADIUS, CALM_EPS = 4, 2e-3
"""Of the guided filter that tells what is finer: radius in pixels, and variance of a flat area."""

CONTOUR, CONTOUR_SLOPE = 0.8, 0.05
"""Unsharp masking at contours, and the slope of the photo's luminance that is one."""

FLAT, WIDE = 0.25, 0.3
"""Unsharp masking everywhere, and that of contours at a larger radius."""

DRAWING, LIGHT = 0.13, 0.5
"""How strongly the photo's local contrast is drawn, by the result's own, and its share on the light
side: painters draw with dark lines."""

DRAWN = ((2.0, 0.06), (6.0, 0.04))
"""Radius in pixels of what is drawn, and local contrast that counts as noise."""


class ClarityTraining(DecoderTraining):
    """Teach a decoder to paint what `clear` makes of its pictures before.

    Args:
        encoder: Frozen.
        photos: Validation photos `(P, 3, S, S)`.
        paintings: Validation paintings `(Q, 3, S, S)`.
        decoder: Trained further in place, normalizing by `STRENGTHS` first.
    """

    def __init__(
        self, encoder: Encoder, photos: Tensor, paintings: Tensor, decoder: Decoder
    ) -> None:
        temper(decoder, encoder)
        super().__init__(encoder, photos, paintings, decoder)
        self.before = deepcopy(decoder).requires_grad_(False)

    def forward(self, photos: Tensor, paintings: Tensor) -> dict[str, Tensor]:
        """Paint each photo in the style of the painting of the same index; return the losses."""
        with torch.no_grad():
            style = layer_statistics(self.encoder(paintings, STYLE_LAYERS))
            features = self.encoder(self._recolor(photos, paintings), STYLE_LAYERS)
            wanted = clear(self._decode(features, style, self.before).float(), photos)
        result = self._decode(features, style).float()
        return {"loss": pixel_loss(result, wanted)}


def pixel_loss(images: Tensor, wanted: Tensor) -> Tensor:
    """Return how far pictures `(N, 3, H, W)` are from others, in colours and in slopes."""
    slopes = total(F.l1_loss(images.diff(dim=d), wanted.diff(dim=d)) for d in (2, 3))
    return F.l1_loss(images, wanted) + slopes


@torch.no_grad()
def temper(decoder: Decoder, encoder: Encoder) -> None:
    """Let normalization go as far as `STRENGTHS` say, in place: p + s (n - p) in place of n.

    A projection of normalized features n and the photo's own p gives just this with other weights;
    one of normalized features alone stays as it is.
    """
    start = decoder.table[0]
    decoder.start_strength = round(decoder.start_strength * STRENGTHS[start[1]], 4)
    decoder.table = ((*start[:2], decoder.start_strength), *decoder.table[1:])
    for i, (operation, *arguments) in enumerate(decoder.table):
        if operation != "add" or arguments[0] not in STRENGTHS:
            continue
        projection, factor = decoder.get_submodule(str(i)), STRENGTHS[arguments[0]]
        assert isinstance(projection, nn.Conv2d)
        if projection.in_channels != 2 * encoder.widths[arguments[0]]:
            continue
        normalized, own = projection.weight.chunk(2, dim=1)
        own += (1 - factor) * normalized
        normalized *= factor


def clear(results: Tensor, photos: Tensor) -> Tensor:
    """Return results `(N, 3, H, W)` with calm flats, clear contours and the photo's drawing.

    Args:
        results: As the decoder gives them, unclamped.
        photos: The same shape, RGB in [0, 1].
    """
    guide = luma(photos)
    contours = find_contours(guide, CONTOUR_SLOPE)
    calm = _guided(results, guide)
    y = calm + (DETAIL + (1 - DETAIL) * 0.6 * contours) * (results - calm)
    sharp = (CONTOUR * contours + FLAT) * (y - blur(y, 1.2)) + WIDE * contours * (y - blur(y, 3))
    y = y + sharp
    fine, coarse = (_local_contrast(guide, *each) for each in DRAWN)
    lines = (fine + coarse).clamp(-2.5, 2.5)
    lines = torch.where(lines > 0, LIGHT * lines, lines)
    return y + DRAWING * luma(y).std(dim=(1, 2, 3), keepdim=True) * lines


def find_contours(guide: Tensor, slope: float) -> Tensor:
    """Return where luminance `(N, 1, H, W)` has contours, from 0 to 1, reached at this slope."""
    return (blur(_slope(blur(guide, 1.2)), 1.5) / slope).clamp(0, 1)


def _local_contrast(guide: Tensor, sigma: float, noise: float) -> Tensor:
    """Return how far each position is from its surroundings, by what is usual around it."""
    away = guide - blur(guide, sigma)
    return away / (blur(away.square(), 2 * sigma).sqrt() + noise)


def _guided(image: Tensor, guide: Tensor) -> Tensor:
    """Return the guided filter (He, Sun and Tang, ECCV 2010, equations 5, 6 and 8)."""
    mean = _mean(guide)
    variance = _mean(guide * guide) - mean * mean
    averages = _mean(image)
    slope = (_mean(image * guide) - mean * averages) / (variance + CALM_EPS)
    return _mean(slope) * guide + _mean(averages - slope * mean)


def _mean(image: Tensor) -> Tensor:
    side = 2 * CALM_RADIUS + 1
    return F.avg_pool2d(F.pad(image, (CALM_RADIUS,) * 4, "reflect"), side, 1)


def _slope(image: Tensor) -> Tensor:
    across = F.pad(image[..., 2:] - image[..., :-2], (1, 1, 0, 0)) / 2
    down = F.pad(image[..., 2:, :] - image[..., :-2, :], (0, 0, 1, 1)) / 2
    return (across.square() + down.square()).sqrt()


def blur(image: Tensor, sigma: float) -> Tensor:
    """Return pictures `(N, C, H, W)` blurred by a Gaussian of `sigma` pixels."""
    radius, channels = int(3 * sigma + 0.5), image.shape[1]
    offsets = torch.arange(-radius, radius + 1, device=image.device)
    window = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = (window / window.sum()).expand(channels, 1, -1)
    padded = F.pad(image, (radius,) * 4, "reflect")
    down = F.conv2d(padded, kernel[..., None], groups=channels)
    return F.conv2d(down, kernel[..., None, :], groups=channels)
