"""Filters on the pixels of a result, some guided by the edges of its photo."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from adain.imaging.picture import STRIP_PIXELS, RowReader, row_ranges

FINE_RADIUS = 32
"""Radius of a window up to which each pixel has affine functions of its own."""

BLOCK_RADIUS = 16
"""Radius of a larger window in blocks: the memory grows with its square."""

SMOOTH_REACH = 8
"""Pixels away that `smooth` looks, at its own radius."""

SHARPEN_REACH = 3
"""Pixels away that `sharpen` looks, at its own sigma."""


def smooth(image: Tensor, amount: float, radius: int = 4, eps: float = 0.01) -> Tensor:
    """Even out what is faint and fine, and keep edges: the image filtered with itself as guide.

    Args:
        image: Shape `(1, 3, H, W)`, in [0, 1].
        amount: From 0, no change, to 1.
        radius: Size in pixels of what is evened out.
        eps: Variance of what is evened out.
    """
    return torch.lerp(image, guided_filter(image, image, radius, eps), amount).clamp_(0, 1)


def sharpen(image: Tensor, amount: float, sigma: float = 1.0) -> Tensor:
    """Add `amount` times what a Gaussian of `sigma` pixels takes away (unsharp mask)."""
    return (image + amount * (image - gaussian_blur(image, sigma))).clamp_(0, 1)


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Return an image `(N, C, H, W)` blurred by a Gaussian of `sigma` pixels.

    At the border the window is cut, so that a flat image stays as it is.
    """
    radius = blur_radius(sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    result, share = image.flatten(0, 1)[:, None], torch.ones_like(image[:1, :1])
    for shape, padding in (((1, 1, -1, 1), (radius, 0)), ((1, 1, 1, -1), (0, radius))):
        weights = kernel.view(shape)
        result = F.conv2d(result, weights, padding=padding)
        share = F.conv2d(share, weights, padding=padding)
    return (result / share).view(image.shape)


def blur_radius(sigma: float) -> int:
    """Return how many pixels away a Gaussian of `sigma` pixels reaches."""
    return max(1, round(3 * sigma))


def guided_filter(guide: Tensor, image: Tensor, radius: int, eps: float) -> Tensor:
    """Smooth an image where the guide is smooth, and keep its edges where the guide has some.

    In each window the result is an affine function of the guide's colours (He, Sun and Tang,
    "Guided Image Filtering", ECCV 2010, equations 14 to 16). Windows are cut at the border, so
    that it is filtered as exactly as the middle. A pixel depends on those within `2 * radius`.

    Args:
        guide: Shape `(1, 3, H, W)`, in [0, 1].
        image: Shape `(1, C, H, W)`.
        radius: A window has `2 * radius + 1` pixels a side.
        eps: Variance of the guide below which a window counts as flat.

    Returns:
        Shape `(1, C, H, W)`, beyond [0, 1] by a little where edges are strong.

    Raises:
        ValueError: If the sizes differ, `radius` is below 1 or `eps` is not positive.
    """
    if guide.shape[2:] != image.shape[2:] or radius < 1 or not eps > 0:
        raise ValueError(
            f"expected equal sizes, radius >= 1 and eps > 0, got {tuple(guide.shape)}, "
            f"{tuple(image.shape)}, {radius} and {eps}"
        )
    height, width = guide.shape[2:]
    strips = []
    for start, stop in row_ranges(height, width, max(STRIP_PIXELS, radius * width) * 4):
        top = max(0, start - 2 * radius)
        area = slice(top, min(stop + 2 * radius, height))
        strip = _filter_strip(guide[0, :, area], image[0, :, area], radius, eps)
        strips.append(strip[:, start - top : stop - top].to(image))
    return torch.cat(strips, dim=1)[None]


def _filter_strip(guide: Tensor, image: Tensor, radius: int, eps: float) -> Tensor:
    """Filter `(C, H, W)` by `(3, H, W)`."""
    # Small numbers lose less in the sums: variances are differences of means.
    guide = guide - guide.mean((1, 2), keepdim=True)
    slope, offset = _means(guide, image).affine(radius, eps)
    filtered: Tensor = (slope * guide[:, None]).sum(0) + offset
    return filtered


@dataclass(frozen=True, eq=False)
class GuidedMap:
    """A guided filter of any radius in little memory, measured once and applied row by row.

    Beyond `FINE_RADIUS` it has one affine function for each block of pixels, from the exact means
    of the window of blocks, and between the blocks they are interpolated (He and Sun, "Fast Guided
    Filter", 2015). Windows are much larger than blocks, so the result hardly differs.

    Attributes:
        functions: Slopes and offset, shape `(1, 4 * C, h, w)`.
        size: Pixels of a side of a block.
        height: Height of the picture.
        width: Width of the picture.
    """

    functions: Tensor
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
            image: Gives rows of what is filtered.
            height: Height of both.
            width: Width of both.
            radius: A window has about `2 * radius + 1` pixels a side.
            eps: Variance of the guide below which a window counts as flat.
        """
        size = 1 if radius <= FINE_RADIUS else math.ceil(radius / BLOCK_RADIUS)

        def blocks(top: int, bottom: int) -> _Means:
            means = _means(_centered(guide(top, bottom)[0]), image(top, bottom)[0])
            if size == 1:
                return means
            return means.map(lambda each: F.avg_pool2d(each, size, ceil_mode=True))

        rows = max(1, STRIP_PIXELS // width // size) * size
        means: list[Tensor] = []
        for top in range(0, height, rows):
            part = vars(blocks(top, min(top + rows, height))).values()
            if not means:  # Made at once: small pieces between large ones would hold memory.
                shape = (math.ceil(height / size), math.ceil(width / size))
                means = [each.new_empty(len(each), *shape) for each in part]
            for whole, each in zip(means, part, strict=True):
                whole[:, top // size : top // size + each.shape[1]] = each
        slope, offset = _Means(*means).affine(round(radius / size), eps)
        return cls(torch.cat((slope.flatten(0, 1), offset))[None], size, height, width)

    def __call__(self, top: int, guide: Tensor) -> Tensor:
        """Return the filtered rows `(1, C, H, W)` where the guide has `(1, 3, H, W)` from `top`."""
        strips, rows = [], max(1, STRIP_PIXELS // self.width)
        for strip in guide[0].split(rows, dim=1):
            functions = self._functions(top, strip.shape[1])
            slope = functions[: -functions.shape[0] // 4].unflatten(0, (3, -1))
            offset = functions[-functions.shape[0] // 4 :]
            strips.append((slope * _centered(strip)[:, None]).sum(0) + offset)
            top += strip.shape[1]
        return torch.cat(strips, 1)[None]

    def _functions(self, top: int, rows: int) -> Tensor:
        """Return the functions of the pixels of some rows, `(4 * C, rows, W)`."""
        if self.size == 1:
            return self.functions[0, :, top : top + rows]
        low, high, share = self._between(torch.arange(top, top + rows), 2)
        lines = torch.lerp(self.functions[0, :, low], self.functions[0, :, high], share[:, None])
        low, high, share = self._between(torch.arange(self.width), 3)
        return torch.lerp(lines[..., low], lines[..., high], share)

    def _between(self, pixels: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the blocks before and behind pixels, and the share of the one behind."""
        last = self.functions.shape[dim] - 1
        places = ((pixels + 0.5) / self.size - 0.5).clamp(0, last)
        low = places.long()
        device = self.functions.device
        share = (places - low).to(self.functions)
        return low.to(device), (low + 1).clamp_max(last).to(device), share


def _centered(guide: Tensor) -> Tensor:
    """Return colours around 0: small numbers lose less in the sums."""
    return guide - 0.5


@dataclass(frozen=True, eq=False)
class _Means:
    """Means over the pixels of a place: of guide, image, and their products with the guide."""

    guide: Tensor
    image: Tensor
    squares: Tensor
    products: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> "_Means":
        """Return them after what takes and gives `(channels, H, W)`."""
        return _Means(*(change(value) for value in vars(self).values()))

    def affine(self, radius: int, eps: float) -> tuple[Tensor, Tensor]:
        """Return slope `(3, C, H, W)` and offset `(C, H, W)` of the affine function of a place."""
        window = self.map(lambda value: _box_mean(value, radius))
        guide, image = window.guide, window.image
        variance = window.squares.unflatten(0, (3, 3)) - guide[:, None] * guide
        covariance = window.products.unflatten(0, (3, -1)) - guide[:, None] * image
        ridge = eps * torch.eye(3, dtype=guide.dtype, device=guide.device)
        slope = torch.linalg.solve(
            variance.permute(2, 3, 0, 1) + ridge, covariance.permute(2, 3, 0, 1)
        ).permute(2, 3, 0, 1)
        offset = _box_mean(image - (slope * guide[:, None]).sum(0), radius)
        return _box_mean(slope.flatten(0, 1), radius).unflatten(0, (3, -1)), offset


def _means(guide: Tensor, image: Tensor) -> _Means:
    return _Means(guide, image, _products(guide, guide), _products(guide, image))


def _products(one: Tensor, other: Tensor) -> Tensor:
    """Return all products of channels, `(C * D, H, W)`."""
    return (one[:, None] * other).flatten(0, 1)


def _box_mean(x: Tensor, radius: int) -> Tensor:
    """Return the mean over the window around each pixel of `(C, H, W)`, cut at the border."""
    for dim in (1, 2):
        size = x.shape[dim]
        sums = x.cumsum(dim)
        # Windows end where the picture does: before it the sums are 0, behind it the last one.
        reach = min(radius, size)
        front, back = ((*x.shape[:dim], count, *x.shape[dim + 1 :]) for count in (reach + 1, reach))
        last = sums.narrow(dim, size - 1, 1)
        sums = torch.cat((sums.new_zeros(front), sums, last.expand(back)), dim)
        places = torch.arange(size, device=x.device)
        counts = (places + reach + 1).clamp_max(size) - (places - reach).clamp_min(0)
        window = sums.narrow(dim, 2 * reach + 1, size) - sums.narrow(dim, 0, size)
        x = window / counts.view((-1, 1) if dim == 1 else (1, -1))
    return x
