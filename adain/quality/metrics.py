"""Measures of a result: how near it is to the painting's style and to the photo's content.

They need an encoder, the judge, and pixels. A judge that took no part in training is the fairer
one: a network learns to please the features that it was trained on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from adain.config import LOSS_LAYERS
from adain.network.encoder import Encoder
from adain.network.losses import content_loss, gram_loss, gram_matrix, style_loss
from adain.network.pixel_losses import chroma_curvature_loss, luma, palette_loss
from adain.network.statistics import FeatureStatistics, layer_statistics, to_tensor

CONTENT_LAYER = "relu4_1"

WINDOW = 11
"""Side of the structural similarity's Gaussian window in pixels (Wang et al., section III-C)."""

SIGMA = 1.5
"""Standard deviation of that window in pixels."""

COARSE_SCALES = (2, 4, 8, 16)
"""Parts of the size at which structure is compared besides the full one."""


@dataclass(frozen=True)
class Reference:
    """The target of results for one photo and one painting, on the judge's device.

    Attributes:
        photo: Shape `(1, 3, H, W)`, RGB in [0, 1].
        painting: Likewise, of any size.
        content: The photo's features at `CONTENT_LAYER`.
        style: The painting's statistics at `LOSS_LAYERS`.
        grams: The painting's Gram matrices at `LOSS_LAYERS`.
    """

    photo: Tensor
    painting: Tensor
    content: Tensor
    style: Mapping[str, FeatureStatistics]
    grams: Mapping[str, Tensor]


@dataclass(frozen=True)
class Quality:
    """Measures of one result.

    Attributes:
        style_loss: Distance of the channel statistics to the painting's, summed over layers.
        gram_loss: Distance of the Gram matrices to the painting's, summed over layers.
        content_loss: Distance of the features at `CONTENT_LAYER` to the photo's.
        ssim: Structural similarity to the photo, 1 for the photo itself.
        coarse_similarity: That of areas, brightness aside.
        palette_loss: Distance of the colours to the painting's.
        chroma_curvature: Coloured dots and fringes; paintings and photos have next to none.
    """

    style_loss: float
    gram_loss: float
    content_loss: float
    ssim: float
    coarse_similarity: float
    palette_loss: float
    chroma_curvature: float


@torch.no_grad()
def measure_reference(
    judge: Encoder, photo: NDArray[np.float32], painting: NDArray[np.float32]
) -> Reference:
    """Measure a photo and a painting once, for any number of results.

    Args:
        judge: Encoder to `relu5_1`; its embedded features judge, or its raw ones where it has
            no `embed` heads.
        photo: Shape `(H, W, 3)`, RGB in [0, 1], sides of at least 32 pixels.
        painting: Likewise, of any size.

    Raises:
        ValueError: If the judge ends before `relu5_1` or has heads for some layers only.
    """
    device = next(judge.parameters()).device
    seen, style = (to_tensor(pixels).to(device) for pixels in (photo, painting))
    painted = judge_features(judge, style)
    return Reference(
        photo=seen,
        painting=style,
        content=judge_features(judge, seen)[CONTENT_LAYER],
        style=layer_statistics(painted),
        grams={layer: gram_matrix(value) for layer, value in painted.items()},
    )


@torch.no_grad()
def measure_quality(judge: Encoder, result: NDArray[np.float32], reference: Reference) -> Quality:
    """Measure one result `(H, W, 3)`, RGB in [0, 1], of the reference photo's size."""
    image = to_tensor(result).to(reference.photo.device)
    features = judge_features(judge, image)
    return Quality(
        style_loss=sum(
            style_loss(value, reference.style[layer]).item() for layer, value in features.items()
        ),
        gram_loss=sum(
            gram_loss(value, reference.grams[layer]).item() for layer, value in features.items()
        ),
        content_loss=content_loss(features[CONTENT_LAYER], reference.content).item(),
        ssim=structural_similarity(image, reference.photo).item(),
        coarse_similarity=coarse_similarity(image, reference.photo).item(),
        palette_loss=palette_loss(image, reference.painting).item(),
        chroma_curvature=chroma_curvature_loss(image).item(),
    )


def judge_features(judge: Encoder, image: Tensor) -> dict[str, Tensor]:
    """Return the features of `(N, 3, H, W)` at `LOSS_LAYERS` that measures work on.

    Raises:
        ValueError: See `measure_reference`.
    """
    heads = len(judge.config.embed_widths)
    if heads not in (0, len(LOSS_LAYERS)):
        raise ValueError(f"the judge embeds {heads} of {len(LOSS_LAYERS)} layers; expected all")
    features = judge(image, LOSS_LAYERS)
    return judge.embed(features) if heads else features


def structural_similarity(image: Tensor, target: Tensor) -> Tensor:
    """Return the mean structural similarity of the luminance of two pictures.

    Wang et al., "Image quality assessment: from error visibility to structural similarity",
    IEEE Transactions on Image Processing, 2004, equation 13: a Gaussian window of 11x11 pixels,
    over the positions where it lies wholly inside the picture.

    Args:
        image: Shape `(N, 3, H, W)`, RGB in [0, 1], sides of at least `WINDOW` pixels.
        target: The same shape.

    Returns:
        One number per picture, `(N,)`, at most 1.

    Raises:
        ValueError: If the shapes differ or a side is too small.
    """
    return similarity_map(image, target).mean(dim=(1, 2))


def similarity_map(image: Tensor, target: Tensor) -> Tensor:
    """Return the structural similarity around each position, `(N, H - 10, W - 10)`, at most 1."""
    luminance, structure = _similarity(image, target)
    return luminance * structure


def coarse_similarity(image: Tensor, target: Tensor) -> Tensor:
    """Return whether areas of two pictures are light or dark in the same places, `(N,)`.

    The mean over `COARSE_SCALES` of structural similarity's second factor, which leaves
    brightness out; multi-scale structural similarity (Wang, Simoncelli and Bovik, Asilomar 2003)
    multiplies these. At most 1.

    Args:
        image: Shape `(N, 3, H, W)`, RGB in [0, 1], sides of at least 22 pixels.
        target: The same shape.
    """
    factors = [_similarity(*pair)[1].mean(dim=(1, 2)) for pair in coarse_pairs(image, target)]
    return torch.stack(factors).mean(0)


def coarse_pairs(image: Tensor, target: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return two pictures at each of `COARSE_SCALES` at which they hold a window."""
    return [
        (F.avg_pool2d(image, scale), F.avg_pool2d(target, scale))
        for scale in COARSE_SCALES
        if min(image.shape[2:]) >= scale * WINDOW
    ]


def _similarity(image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two factors of equation 13 at every position, each `(N, H - 10, W - 10)`."""
    if image.shape != target.shape or image.ndim != 4 or image.shape[1] != 3:
        shapes = f"{tuple(image.shape)} and {tuple(target.shape)}"
        raise ValueError(f"expected two equal shapes (N, 3, H, W), got {shapes}")
    if min(image.shape[2:]) < WINDOW:
        raise ValueError(f"sides must be at least {WINDOW} pixels, got {tuple(image.shape)}")
    x, y = luma(image.float()), luma(target.float())
    # Variances are small differences of averages, which half precision would drown.
    with torch.autocast(image.device.type, enabled=False):
        # One call for all five averages; they share the window.
        averages = _window_average(torch.cat([x, y, x * x, y * y, x * y], 1))
    mean_x, mean_y, xx, yy, xy = averages.unbind(1)
    variance_x, variance_y = xx - mean_x * mean_x, yy - mean_y * mean_y
    covariance = xy - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return luminance, structure


def _window_average(planes: Tensor) -> Tensor:
    """Average `(N, C, H, W)` under the window, one axis after the other: it is separable."""
    offsets = torch.arange(WINDOW, device=planes.device, dtype=torch.float32) - WINDOW // 2
    window = (-offsets.square() / (2 * SIGMA**2)).exp()
    kernel = (window / window.sum()).expand(planes.shape[1], 1, WINDOW)
    down = F.conv2d(planes, kernel[:, :, :, None], groups=planes.shape[1])
    return F.conv2d(down, kernel[:, :, None, :], groups=planes.shape[1])
