"""Strokes that keep their size against the picture, whatever its resolution.

The network paints strokes of a size in pixels: a large photo would get fine ones, and its
preview coarse ones. So every photo is stylized at about the same number of pixels, and the
result is brought to the photo's size with the photo's own fine detail:

    photo (H, W) ── resize ── working (h, w) ── the network ── painted (h, w)
                                                                  │
    result (H, W) = photo + enlarge(painted - working) ───────────┘

Scaled down again, the result is `painted`: preview and print are the same picture. Where the
network changes nothing, the result is the photo to the bit.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from adain.model import MIN_SIDE

STROKE_SIDE = 1024
"""Longer side in pixels at which larger photos are stylized, for strokes of size 1."""

MAX_SIDE = 8192
"""Longer side in pixels to which a photo is enlarged for finer strokes."""


STRIP_ROWS = 128
"""Rows of the result that are made at a time."""


def working_side(photo_side: int, result_side: int, stroke: float) -> int:
    """Return the longer side in pixels at which a photo is stylized.

    It does not depend on the size of the result unless `stroke` is 0. A photo smaller than
    `STROKE_SIDE` is stylized as it is, for strokes of size 1.

    Args:
        photo_side: Longer side of the photo.
        result_side: Longer side of the result.
        stroke: Size of the strokes: 2 doubles it, 0.5 halves it; 0 is the finest.
    """
    if stroke == 0:
        return result_side
    side = round(min(photo_side, STROKE_SIDE) / stroke)
    return min(max(side, MIN_SIDE), max(MAX_SIDE, photo_side))


def transfer_detail(photo: Tensor, working: Tensor, painted: Tensor) -> Tensor:
    """Enlarge a stylized photo by adding the detail that only the large photo has.

    Args:
        photo: Shape `(1, 3, H, W)`, in [0, 1].
        working: The photo scaled down, shape `(1, 3, h, w)`.
        painted: `working` stylized, of its shape.

    Returns:
        Shape `(1, 3, H, W)`, in [0, 1], on the device of `photo`.
    """
    change = (painted - working.to(painted)).to(photo)
    height, width = photo.shape[2:]
    result = torch.empty_like(photo)
    # Strip by strip: beside photo and result nothing of their size is ever in memory.
    for top in range(0, height, STRIP_ROWS):
        rows = slice(top, min(top + STRIP_ROWS, height))
        enlarged = enlarge_rows(change, height, width, rows)
        result[:, :, rows] = enlarged.add_(photo[:, :, rows]).clamp_(0, 1)
    return result


def enlarge_rows(image: Tensor, height: int, width: int, rows: slice) -> Tensor:
    """Return some rows of an image enlarged by bicubic interpolation.

    Args:
        image: Shape `(1, C, h, w)`.
        height: Height of the enlarged image.
        width: Width of the enlarged image.
        rows: Rows of the enlarged image, as `slice(top, bottom)`.

    Returns:
        Shape `(1, C, bottom - top, width)`: those rows of
        `torch.nn.functional.interpolate(image, (height, width), mode="bicubic")`.
    """
    places = torch.arange(rows.start, rows.stop, dtype=torch.float64, device=image.device)
    places = (places + 0.5) * (image.shape[2] / height) - 0.5
    first = places.floor()
    strip = image.new_zeros((*image.shape[:2], len(places), image.shape[3]))
    for tap in range(-1, 3):
        weights = _cubic(places - first - tap)[:, None].to(image)
        sources = (first + tap).clamp(0, image.shape[2] - 1).long()
        strip.addcmul_(image.index_select(2, sources), weights)
    return F.interpolate(strip, (len(places), width), mode="bicubic")


def _cubic(distance: Tensor) -> Tensor:
    """Return Keys' kernel, with the parameter that `interpolate` uses: -0.75."""
    x = distance.abs()
    near = 1.25 * x**3 - 2.25 * x**2 + 1
    far = -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0))
