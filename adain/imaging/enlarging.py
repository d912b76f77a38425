"""Enlarging by bicubic interpolation, row by row."""

import numpy as np
from numpy.typing import NDArray

from adain.imaging.interpolation import Interpolation


class Enlarged:
    """Rows `(H, W, C)` of an image enlarged by bicubic interpolation.

    Positions beyond the border repeat it; the kernel is Keys' of parameter -0.75, as in PyTorch.

    Args:
        image: Shape `(h, w, C)`.
        height: Height of the enlarged image.
        width: Width of the enlarged image.
    """

    def __init__(self, image: NDArray[np.float32], height: int, width: int) -> None:
        self._vertical = Interpolation.bicubic(image.shape[0], height)
        self._wide = Interpolation.bicubic(image.shape[1], width).columns(image)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        top, bottom, _ = rows.indices(len(self._vertical.taps))
        return self._vertical.rows(lambda *lines: self._wide[slice(*lines)], top, bottom)
