"""Filters on the pixels of a result, some guided by the edges of its photo."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from adain.imaging.interpolation import Interpolation
from adain.imaging.picture import STRIP_PIXELS, RowReader, row_ranges

FINE_RADIUS = 32
"""Radius of a window up to which each pixel has affine functions of its own."""

BLOCK_RADIUS = 16
"""Radius of a larger window in blocks: the memory grows with its square."""

SMOOTH_REACH = 8
"""Pixels away that `smooth` looks, at its own radius."""

SHARPEN_REACH = 3
"""Pixels away that `sharpen` looks, at its own sigma."""

Planes = NDArray[np.float32]
"""Channels of an image, `(H, C, W)`: arithmetic is several times slower on short last axes."""

_ROW, _COLUMN = np.triu_indices(3)
"""Places of the six numbers that a symmetric matrix of three rows has."""


def smooth(
    image: NDArray[np.float32], amount: float, radius: int = 4, eps: float = 0.01
) -> NDArray[np.float32]:
    """Even out what is faint and fine, and keep edges: the image filtered with itself as guide.

    Args:
        image: Shape `(H, W, 3)`, in [0, 1].
        amount: From 0, no change, to 1.
        radius: Size in pixels of what is evened out.
        eps: Variance of what is evened out.
    """
    smoothed = guided_filter(image, image, radius, eps)
    smoothed -= image
    smoothed *= amount
    smoothed += image
    return smoothed.clip(0, 1, out=smoothed)


def sharpen(image: NDArray[np.float32], amount: float, sigma: float = 1.0) -> NDArray[np.float32]:
    """Add `amount` times what a Gaussian of `sigma` pixels takes away (unsharp mask)."""
    sharpened = gaussian_blur(image, sigma)
    np.subtract(image, sharpened, out=sharpened)
    sharpened *= amount
    sharpened += image
    return sharpened.clip(0, 1, out=sharpened)


def gaussian_blur(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Return an image `(H, W)` or `(H, W, C)` blurred by a Gaussian of `sigma` pixels.

    At the border the window is cut, so that a flat image stays as it is.
    """
    height, width = image.shape[:2]
    vertical, horizontal = (
        Interpolation.gaussian(size, sigma, blur_radius(sigma)) for size in (height, width)
    )
    blurred = np.empty_like(image)
    for top, bottom in row_ranges(height, width):
        strip = vertical.rows(lambda *rows: image[slice(*rows)], top, bottom)
        blurred[top:bottom] = horizontal.columns(strip)
    return blurred


def blur_radius(sigma: float) -> int:
    """Return how many pixels away a Gaussian of `sigma` pixels reaches."""
    return max(1, round(3 * sigma))


def guided_filter(
    guide: NDArray[np.float32], image: NDArray[np.float32], radius: int, eps: float
) -> NDArray[np.float32]:
    """Smooth an image where the guide is smooth, and keep its edges where the guide has some.

    In each window the result is an affine function of the guide's colours (He, Sun and Tang,
    "Guided Image Filtering", ECCV 2010, equations 14 to 16). Windows are cut at the border, so
    that it is filtered as exactly as the middle. A pixel depends on those within `2 * radius`.

    Args:
        guide: Shape `(H, W, 3)`, in [0, 1].
        image: Shape `(H, W, C)`.
        radius: A window has `2 * radius + 1` pixels a side.
        eps: Variance of the guide below which a window counts as flat.

    Returns:
        Shape `(H, W, C)`, beyond [0, 1] by a little where edges are strong.

    Raises:
        ValueError: If the sizes differ, `radius` is below 1 or `eps` is not positive.
    """
    if guide.shape[:2] != image.shape[:2] or radius < 1 or not eps > 0:
        raise ValueError(
            f"expected equal sizes, radius >= 1 and eps > 0, got {guide.shape}, {image.shape}, "
            f"{radius} and {eps}"
        )
    height, width = guide.shape[:2]
    filtered = np.empty_like(image)
    for start, stop in row_ranges(height, width, max(STRIP_PIXELS, 8 * radius * width)):
        top = max(0, start - 2 * radius)
        area = slice(top, min(stop + 2 * radius, height))
        colors = _centered(guide[area])
        functions = _functions(_moments(colors, _planes(image[area])), radius, eps)
        kept = slice(start - top, stop - top)
        filtered[start:stop] = _apply(functions[kept], colors[kept])
    return filtered


@dataclass(frozen=True, eq=False)
class GuidedMap:
    """A guided filter of any radius in little memory, measured once and applied row by row.

    Beyond `FINE_RADIUS` it has one affine function for each block of pixels, from the exact means
    of the window of blocks, and between the blocks they are interpolated (He and Sun, "Fast Guided
    Filter", 2015). Windows are much larger than blocks, so the result hardly differs.

    Attributes:
        functions: Three slopes and an offset for each channel, shape `(h, 4, C, w)`.
        size: Pixels of a side of a block.
        height: Height of the picture.
        width: Width of the picture.
    """

    functions: NDArray[np.float32]
    size: int
    height: int
    width: int

    @classmethod
    def measure(
        cls,
        guide: RowReader,
        image: RowReader,
        height: int,
        width: int,
        radius: int,
        eps: float,
    ) -> "GuidedMap":
        """Measure a picture; see `guided_filter`.

        Args:
            guide: Gives rows of three channels in [0, 1].
            image: Gives rows of what is filtered, `(h, W, C)`.
            height: Height of both.
            width: Width of both.
            radius: A window has about `2 * radius + 1` pixels a side.
            eps: Variance of the guide below which a window counts as flat.
        """
        size = 1 if radius <= FINE_RADIUS else math.ceil(radius / BLOCK_RADIUS)
        vertical, horizontal = (_blocks(side, size) for side in (height, width))

        def moments(top: int, bottom: int) -> Planes:
            return _moments(_centered(guide(top, bottom)), _planes(image(top, bottom)))

        strips = (
            _columns(horizontal, vertical.rows(moments, top, bottom))
            for top, bottom in row_ranges(math.ceil(height / size), size * width)
        )
        blocks = np.concatenate([*strips])
        return cls(_functions(blocks, round(radius / size), eps), size, height, width)

    def __call__(self, top: int, guide: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the filtered rows `(h, W, C)` where the guide has `(h, W, 3)` from `top`."""
        filtered = np.empty((*guide.shape[:2], self.functions.shape[2]), np.float32)
        for start, stop in row_ranges(len(guide), self.width, STRIP_PIXELS // 8):
            functions = self._rows(top + start, top + stop)
            filtered[start:stop] = _apply(functions, _centered(guide[start:stop]))
        return filtered

    def _rows(self, top: int, bottom: int) -> NDArray[np.float32]:
        """Return the functions of the pixels of some rows, `(bottom - top, 4, C, W)`."""
        if self.size == 1:
            return self.functions[top:bottom]
        places = (np.arange(top, bottom) + 0.5) / self.size - 0.5
        vertical = Interpolation.linear(places, len(self.functions))
        return vertical.rows(self._wide, 0, bottom - top)

    def _wide(self, low: int, high: int) -> NDArray[np.float32]:
        """Return the functions at some rows of blocks for all columns of pixels."""
        return _columns(self._horizontal, self.functions[low:high])

    @cached_property
    def _horizontal(self) -> Interpolation:
        places = (np.arange(self.width) + 0.5) / self.size - 0.5
        return Interpolation.linear(places, self.functions.shape[3])


def _blocks(pixels: int, size: int) -> Interpolation:
    """Return what makes the means of blocks of `size` pixels, the last of which may be cut."""
    middles = (np.arange(math.ceil(pixels / size), dtype=np.float64) + 0.5) * size - 0.5
    return Interpolation.mean(middles, (size - 1) / 2, pixels)


def _columns(interpolation: Interpolation, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return other columns, the last axis, made of those of an array."""
    lines = interpolation.columns(planes.reshape(-1, planes.shape[-1]))
    return lines.reshape(*planes.shape[:-1], -1)


def _planes(image: NDArray[np.float32]) -> Planes:
    return np.ascontiguousarray(image.swapaxes(1, 2))


def _centered(guide: NDArray[np.float32]) -> Planes:
    """Return colours around 0: small numbers lose less in the sums."""
    return _planes(guide) - np.float32(0.5)


def _moments(guide: Planes, image: Planes) -> Planes:
    """Return guide, image, and their products with the guide, `(H, 9 + 4 * C, W)`."""
    products = (guide[:, :, None] * image[:, None]).reshape(len(guide), -1, guide.shape[2])
    return np.concatenate((guide, image, guide[:, _ROW] * guide[:, _COLUMN], products), axis=1)


def _functions(moments: Planes, radius: int, eps: float) -> NDArray[np.float32]:
    """Return the mean affine functions of the windows around pixels or blocks, `(H, 4, C, W)`."""
    height, count, width = moments.shape
    channels = (count - 9) // 4
    window = _window_means(moments, radius)
    guide, image, squares, products = np.split(window, (3, 3 + channels, 9 + channels), axis=1)
    variance = squares - guide[:, _ROW] * guide[:, _COLUMN]
    variance[:, _ROW == _COLUMN] += eps
    products = products.reshape(height, 3, channels, width)
    functions = np.empty((height, 4, channels, width), np.float32)
    slope = functions[:, :3] = _solve(variance, products - guide[:, :, None] * image[:, None])
    functions[:, 3] = image - (slope * guide[:, :, None]).sum(1)
    means = _window_means(functions.reshape(height, -1, width), radius)
    return means.reshape(functions.shape)


def _window_means(planes: Planes, radius: int) -> Planes:
    """Return the means over the windows around all pixels, cut at the border."""
    vertical, horizontal = (
        Interpolation.mean(np.arange(size, dtype=np.float64), radius, size)
        for size in (planes.shape[0], planes.shape[2])
    )
    means = vertical.rows(lambda *rows: planes[slice(*rows)], 0, len(planes))
    return _columns(horizontal, means)


def _solve(matrix: Planes, right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Solve symmetric, positive equations by Cholesky's method, as numpy would one by one.

    Args:
        matrix: The numbers of each matrix, row by row from its diagonal, shape `(H, 6, W)`.
        right: The right sides, shape `(H, 3, C, W)`.
    """
    a, b, c, d, e, f = (matrix[:, None, index] for index in range(6))
    p, q, r = (right[:, index] for index in range(3))
    ab, ac = b / a, c / a
    d = d - ab * b
    e = e - ab * c
    de = e / d
    f = f - ac * c - de * e
    q = q - ab * p
    r = r - ac * p - de * q
    z = r / f
    y = q / d - de * z
    x = p / a - ab * y - ac * z
    return np.stack((x, y, z), axis=1)


def _apply(functions: NDArray[np.float32], colors: Planes) -> NDArray[np.float32]:
    """Return the values `(H, W, C)` of functions `(H, 4, C, W)` of colours."""
    values = functions[:, 3].copy()
    for index in range(3):
        values += functions[:, index] * colors[:, None, index]
    return values.swapaxes(1, 2)
