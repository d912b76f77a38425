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

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adain.model import MIN_SIDE

STROKE_SIDE = 1024
"""Longer side in pixels at which larger photos are stylized, for strokes of size 1."""

MAX_SIDE = 8192
"""Longer side in pixels to which a photo is enlarged for finer strokes."""

STRIP_ROWS = 32
"""Rows of the result that are made at a time: the caches hold them, of any usual photo."""

BLOCK_COLUMNS = 16
"""Columns of the result that are made at a time: few sources make them, so few zeros count."""


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


def needed_side(result_side: int, stroke: float) -> int:
    """Return the longer side in pixels at which all is seen that counts for a smaller result."""
    return max(working_side(STROKE_SIDE, result_side, stroke), STROKE_SIDE, result_side)


def transfer_detail(photo: Tensor, working: Tensor, painted: Tensor) -> Tensor:
    """Enlarge a stylized photo by adding the detail that only the large photo has.

    Args:
        photo: Shape `(1, 3, H, W)`, in [0, 1].
        working: The photo scaled down, shape `(1, 3, h, w)`.
        painted: `working` stylized, of its shape.

    Returns:
        Shape `(1, 3, H, W)`, in [0, 1], on the device of `photo`.
    """
    height, width = photo.shape[2:]
    change = Enlarged((painted - working.to(painted)).to(photo), height, width)
    result = torch.empty_like(photo)
    # Strip by strip: beside photo and result nothing of their size is ever in memory.
    for rows in _strips(height):
        strip = change[rows].permute(2, 0, 1)
        result[0, :, rows] = strip.add_(photo[0, :, rows]).clamp_(0, 1)
    return result


def transfer_detail_to_levels(
    photo: NDArray[np.uint8], working: Tensor, painted: Tensor
) -> NDArray[np.uint8]:
    """Enlarge a stylized photo as `transfer_detail` does, from 8 bits a channel to 8 bits.

    Args:
        photo: Levels `(H, W, 3)`.
        working: The photo scaled down, shape `(1, 3, h, w)`, in [0, 1].
        painted: `working` stylized, of its shape.

    Returns:
        Levels `(H, W, 3)`.
    """
    height, width, _ = photo.shape
    change = Enlarged((painted - working.to(painted)).mul_(255), height, width)
    result = np.empty_like(photo)
    for rows in _strips(height):
        strip = torch.from_numpy(photo[rows]).float().add_(change[rows])
        torch.from_numpy(result[rows]).copy_(strip.round_().clamp_(0, 255))
    return result


def _strips(height: int) -> Iterator[slice]:
    for top in range(0, height, STRIP_ROWS):
        yield slice(top, min(top + STRIP_ROWS, height))


class Enlarged:
    """Rows `(H, W, C)` of an image enlarged by bicubic interpolation, on the image's device.

    They are those of `torch.nn.functional.interpolate(image, (height, width), mode="bicubic")`,
    several times faster: as matrix products of few rows or columns, first of the whole width.

    Args:
        image: Shape `(1, C, h, w)`; fastest in `torch.channels_last`.
        height: Height of the enlarged image.
        width: Width of the enlarged image.
    """

    def __init__(self, image: Tensor, height: int, width: int) -> None:
        _, channels, old_height, old_width = image.shape
        self._vertical, self._shape = _Bicubic(old_height, height), (width, channels)
        horizontal = _Bicubic(old_width, width)
        lines = image[0].permute(1, 2, 0).reshape(old_height, -1)
        self._wide = lines.new_empty(old_height, width * channels)
        for left in range(0, width, BLOCK_COLUMNS):
            columns = slice(left, min(left + BLOCK_COLUMNS, width))
            sources, weights = horizontal.matrix(columns)
            # The channels lie side by side, and each has the same weights.
            spread = torch.kron(weights, torch.eye(channels)).to(lines)
            torch.mm(
                lines[:, _times(sources, channels)],
                spread.T,
                out=self._wide[:, _times(columns, channels)],
            )

    def __getitem__(self, rows: slice) -> Tensor:
        sources, weights = self._vertical.matrix(rows)
        lines = weights.to(self._wide).mm(self._wide[sources])
        return lines.view(len(lines), *self._shape)


def _times(positions: slice, channels: int) -> slice:
    return slice(positions.start * channels, positions.stop * channels)


class _Bicubic:
    """What makes `new` positions along a side of `old` ones: each is made of four."""

    def __init__(self, old: int, new: int) -> None:
        centers = (torch.arange(new, dtype=torch.float64) + 0.5) * (old / new) - 0.5
        taps = centers.floor()[:, None] + torch.arange(-1, 3)
        self._weights = _cubic(centers[:, None] - taps).float()
        self._taps = taps.clamp(0, old - 1).long()

    def matrix(self, places: slice) -> tuple[slice, Tensor]:
        """Return the old positions that some new ones are made of, and the matrix for it."""
        taps = self._taps[places]
        low, high = int(taps[0, 0]), int(taps[-1, -1]) + 1
        matrix = self._weights.new_zeros(len(taps), high - low)
        return slice(low, high), matrix.scatter_add_(1, taps - low, self._weights[places])


def _cubic(distance: Tensor) -> Tensor:
    """Return Keys' kernel, with the parameter that `interpolate` uses: -0.75."""
    x = distance.abs()
    near = 1.25 * x**3 - 2.25 * x**2 + 1
    far = -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0))
