"""Filters on the pixels of a result, some guided by the edges of its photo."""

import torch
from torch import Tensor
from torch.nn import functional as F

STRIP_PIXELS = 2**20
"""Pixels that are filtered at a time."""

SMOOTH_REACH = 8
"""Pixels away that `smooth` looks, at its own radius."""

SHARPEN_REACH = 3
"""Pixels away that `sharpen` looks, at its own sigma."""


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
    rows = max(STRIP_PIXELS // width, 4 * radius)
    strips = []
    for start in range(0, height, rows):
        top, stop = max(0, start - 2 * radius), min(start + rows, height)
        area = slice(top, min(stop + 2 * radius, height))
        strip = _filter_strip(guide[0, :, area], image[0, :, area], radius, eps)
        strips.append(strip[:, start - top : stop - top].to(image))
    return torch.cat(strips, dim=1)[None]


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


def _filter_strip(guide: Tensor, image: Tensor, radius: int, eps: float) -> Tensor:
    """Filter `(C, H, W)` by `(3, H, W)`."""
    # Small numbers lose less in the sums: variances are differences of means.
    center = guide.mean((1, 2), keepdim=True)
    guide = guide - center
    guide_mean, image_mean = _box_mean(guide, radius), _box_mean(image, radius)
    variance = _products_mean(guide, guide, radius) - guide_mean[:, None] * guide_mean
    covariance = _products_mean(guide, image, radius) - guide_mean[:, None] * image_mean
    ridge = eps * torch.eye(3, dtype=guide.dtype, device=guide.device)
    slope = torch.linalg.solve(
        variance.permute(2, 3, 0, 1) + ridge, covariance.permute(2, 3, 0, 1)
    ).permute(2, 3, 0, 1)
    offset = image_mean - (slope * guide_mean[:, None]).sum(0)
    slope = _box_mean(slope.flatten(0, 1), radius).unflatten(0, (3, -1))
    filtered: Tensor = (slope * guide[:, None]).sum(0) + _box_mean(offset, radius)
    return filtered


def _products_mean(one: Tensor, other: Tensor, radius: int) -> Tensor:
    """Return the box means of all products of channels, `(C, D, H, W)`."""
    products = (one[:, None] * other).flatten(0, 1)
    means: Tensor = _box_mean(products, radius).unflatten(0, (len(one), len(other)))
    return means


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
