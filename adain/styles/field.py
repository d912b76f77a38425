"""Which style holds where in a photo."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adain.styles.statistics import StyleStatistics


@dataclass(frozen=True, eq=False)
class StyleField:
    """Which style holds where in a photo, and how strongly.

    Where the masks add up to more than 1, the styles share the place in their proportion. Where
    they add up to less, the photo keeps the rest, as at a lower strength: a single style with a
    mask is a strength for each pixel.

    Attributes:
        styles: `K` styles, each of one painting or blend: statistics of shape `(1, C)`.
        masks: Where each holds, `(K, H, W)`: floating point in [0, 1], or uint8 with 255 for 1.
            None for a single style that holds everywhere.
        strength: Strength at each pixel, `(H, W)`, of the same types; None for 1 everywhere.

    Raises:
        ValueError: If the shapes do not fit together, or a value is outside [0, 1].
    """

    styles: tuple[StyleStatistics, ...]
    masks: NDArray[Any] | None = None
    strength: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        count = len(self.styles)
        if self.masks is None and (self.strength is None or count != 1):
            raise ValueError("a style field needs masks, or one style and a strength")
        if self.masks is not None and (self.masks.ndim != 3 or len(self.masks) != count):
            raise ValueError(
                f"expected masks of shape ({count}, H, W) for {count} styles, "
                f"got {self.masks.shape}"
            )
        for values in (self.masks, self.strength):
            if values is not None:
                self.check_size(*values.shape[-2:])
                _check_share(values)

    @property
    def size(self) -> tuple[int, int]:
        """Return the height and width of the photos that this is for, in pixels."""
        given = self.strength if self.masks is None else self.masks
        assert given is not None
        return given.shape[-2], given.shape[-1]

    def check_size(self, height: int, width: int) -> None:
        """Raise ValueError if this is not for photos of this size."""
        if self.size != (height, width):
            raise ValueError(
                f"the masks are {self.size[1]}x{self.size[0]} pixels, not {width}x{height}"
            )

    def shares(
        self, top: int, bottom: int, left: int = 0, right: int | None = None
    ) -> NDArray[np.float32]:
        """Return the share of each style at each pixel of a part of the photo.

        Args:
            top: First row.
            bottom: End of the rows. Those beyond the last are mirrored, as the photo is.
            left: First column.
            right: End of the columns, mirrored likewise; by default that of the photo.

        Returns:
            Shape `(K, bottom - top, right - left)`.
        """
        height, width = self.size
        rows = _mirrored(top, bottom, height)
        columns = _mirrored(left, width if right is None else right, width)
        shares = np.ones((1, len(rows), len(columns)), np.float32)
        if self.masks is not None:
            shares = _share(self.masks[:, rows[:, None], columns])
            shares /= shares.sum(0).clip(1)
        if self.strength is not None:
            shares = shares * _share(self.strength[rows[:, None], columns])
        return shares

    def extent(self, top: int, bottom: int) -> NDArray[np.float32]:
        """Return how far each pixel of some rows is painted, `(bottom - top, W)`."""
        extent: NDArray[np.float32] = self.shares(top, bottom).sum(0)
        return extent


def _mirrored(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Return positions along a side, mirrored beyond the last."""
    return size - 1 - np.abs(np.arange(start, stop) - (size - 1))


def _check_share(values: NDArray[Any]) -> None:
    if values.dtype == np.uint8:
        return
    if values.dtype.kind != "f" or not (values.min() >= 0 and values.max() <= 1):
        raise ValueError("masks and strengths must be uint8, or floating point from 0 to 1")


def _share(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return values of uint8 or floating point in [0, 1]."""
    share = values.astype(np.float32)
    return share / np.float32(255) if values.dtype == np.uint8 else share
