"""Enlarging by bicubic interpolation, row by row."""

import torch
from torch import Tensor

BLOCK = 16
"""Rows or columns that are made at a time: few sources make them, so few zeros count."""


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
        for left in range(0, width, BLOCK):
            columns = slice(left, min(left + BLOCK, width))
            sources, weights = horizontal.matrix(columns)
            # The channels lie side by side, and each has the same weights.
            spread = torch.kron(weights, torch.eye(channels)).to(lines)
            torch.mm(
                lines[:, _times(sources, channels)],
                spread.T,
                out=self._wide[:, _times(columns, channels)],
            )

    def __getitem__(self, rows: slice) -> Tensor:
        top, bottom, _ = rows.indices(self._vertical.new)
        enlarged = self._wide.new_empty(bottom - top, self._wide.shape[1])
        for first in range(top, bottom, BLOCK):
            block = slice(first, min(first + BLOCK, bottom))
            sources, weights = self._vertical.matrix(block)
            lines = enlarged[block.start - top : block.stop - top]
            torch.mm(weights.to(self._wide), self._wide[sources], out=lines)
        return enlarged.view(-1, *self._shape)


def _times(positions: slice, channels: int) -> slice:
    return slice(positions.start * channels, positions.stop * channels)


class _Bicubic:
    """What makes `new` positions along a side of `old` ones: each is made of four."""

    def __init__(self, old: int, new: int) -> None:
        self.new = new
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
