"""Losses on the pixels of pictures, as plain functions: `(image, guide)`, in this order."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from adain.imaging.color import LUMA

PALETTE_SCALES = (2, 8)
"""Pixels along the side of the squares whose mean colours make a picture's palettes."""

GOLDEN = (1 + math.sqrt(5)) / 2

PALETTE_DIRECTIONS = (
    *((1.0, y, z) for y in (-1, 1) for z in (-1, 1)),
    *((0, y / GOLDEN, GOLDEN) for y in (-1, 1)),
    *((y / GOLDEN, GOLDEN, 0) for y in (-1, 1)),
    *((GOLDEN, 0, y / GOLDEN) for y in (-1, 1)),
)
"""Directions along which colours are compared: the corners of a dodecahedron, opposite ones once.
They weigh all shifts of colour alike, and one of them is grey."""

STRAY_SCALES = (2, 4)
"""Parts of the size at which colours are explained; dots and fringes are some pixels wide."""

STRAY_WINDOW = 5
"""Side of the windows at these sizes."""

STRAY_RIDGE = 1e-3
"""Variance of the photo that explains little."""

EDGE_SHARPNESS = 20.0
"""An edge of 0.05, which an eye sees in a flat area, lowers the weight to 1/e."""

EDGE_SCALES = (1, 2)
"""Parts of the size at which edges are followed; the teeth of combs are some pixels long."""

EDGE_WINDOW = 5
"""Side of the windows at these sizes in which an edge has one direction."""

EDGE_FLOOR = 1e-3
"""Mean square of slopes that hardly make an edge, and count half."""


def chroma_curvature_loss(image: Tensor) -> Tensor:
    """Return the mean squared second difference of the colours, lightness apart.

    Paintings and photos hardly change colour from one pixel to the next, whatever lightness
    does; what decoders add is coloured dots, hatches and fringes along edges. Second
    differences let gradients and, mostly, steps pass.

    Args:
        image: Shape `(N, 3, H, W)`, RGB in [0, 1].
    """
    chroma = _chroma(image)
    down, across = (torch.diff(chroma, n=2, dim=dim).square().mean() for dim in (2, 3))
    return down + across


def _chroma(image: Tensor) -> Tensor:
    """Return red and blue less lightness, `(N, 2, H, W)`."""
    return image[:, ::2] - luma(image)


def luma(image: Tensor) -> Tensor:
    """Return the lightness `(N, 1, H, W)` of pictures `(N, 3, H, W)`, as `adain.imaging.color`."""
    weights = torch.tensor(LUMA, dtype=image.dtype, device=image.device)[:, None, None]
    return (image * weights).sum(1, keepdim=True)


def palette_loss(image: Tensor, painting: Tensor) -> Tensor:
    """Return how far the colours of pictures are from those of paintings, place aside.

    Three times the sliced Wasserstein distance (Rabin et al., "Wasserstein Barycenter and Its
    Application to Texture Mixing", SSVM 2011): along each of some directions through the colours,
    the mean squared difference of the sorted values. That is the squared distance where all
    colours are off by the same. The mean over `PALETTE_SCALES`: in the second, contrast and
    variety have to come from areas, not from texture.

    Args:
        image: Shape `(N, 3, H, W)`, RGB in [0, 1].
        painting: Shape `(N, 3, H', W')`.
    """
    losses = []
    for scale in PALETTE_SCALES:
        one, other = (_slices(F.avg_pool2d(x, scale)) for x in (image, painting))
        count = min(one.shape[2], other.shape[2])
        one, other = (F.interpolate(x, count, mode="linear") for x in (one, other))
        losses.append(3 * F.mse_loss(one, other))
    return torch.stack(losses).mean()


def _slices(image: Tensor) -> Tensor:
    """Return the sorted colours `(N, D, H * W)` along `PALETTE_DIRECTIONS`."""
    directions = torch.tensor(PALETTE_DIRECTIONS, device=image.device)
    directions = directions / directions.norm(dim=1, keepdim=True)
    values: Tensor = directions @ image.flatten(2)
    return values.sort(dim=2).values


def stray_color_loss(image: Tensor, photo: Tensor) -> Tensor:
    """Return the variance of colours that no difference in the photo explains; blots and fringes.

    In each window colours should be an affine function of the photo's, which a guided filter (He
    et al., ECCV 2010) or the matting Laplacian (Levin et al., CVPR 2006) calls for: the variance
    of the residual of the best one. Lightness is free, it has the strokes.

    Args:
        image: Shape `(N, 3, H, W)`, RGB in [0, 1], sides of at least 20 pixels.
        photo: The same shape.
    """
    losses = [
        _residual_variance(F.avg_pool2d(_chroma(image), scale), F.avg_pool2d(photo, scale)).mean()
        for scale in STRAY_SCALES
    ]
    return torch.stack(losses).sum()


def _residual_variance(values: Tensor, guide: Tensor) -> Tensor:
    """Return the variance of `(N, C, H, W)` in each window beyond an affine function of `guide`."""
    both = torch.cat((guide, values), 1)
    products = both[:, :, None] * both[:, None]
    mean, product = (
        F.avg_pool2d(x, STRAY_WINDOW, stride=2) for x in (both, products.flatten(1, 2))
    )
    mean = mean.permute(0, 2, 3, 1)
    covariance = product.permute(0, 2, 3, 1).unflatten(3, (both.shape[1], -1))
    covariance = covariance - mean[..., :, None] * mean[..., None, :]
    count = guide.shape[1]
    shared, own = covariance[..., count:, :count], covariance[..., count:, count:]
    ridge = STRAY_RIDGE * torch.eye(count, device=guide.device)
    inverse = torch.linalg.inv(covariance[..., :count, :count] + ridge)
    explained = (shared @ inverse * shared).sum((-2, -1))
    residual: Tensor = own.diagonal(dim1=-2, dim2=-1).sum(-1) - explained
    return residual


def ragged_edge_loss(image: Tensor, photo: Tensor) -> Tensor:
    """Return the mean squared slope along the photo's edges; against combs and ragged halos.

    Total variation spares the photo's edges, and a style loss finds texture there best. The
    structure tensor (Bigun and Granlund, ICCV 1987) tells where an edge runs, and its coherence
    how much it is one: in corners, texture and flat areas slopes are free.

    Args:
        image: Shape `(N, 3, H, W)`, RGB in [0, 1], sides of at least 4 pixels.
        photo: The same shape.
    """
    losses = []
    for scale in EDGE_SCALES:
        across, down, coherence = _edges(luma(F.avg_pool2d(photo, scale)))
        x, y = _slopes(F.avg_pool2d(image, scale))
        along = across * y - down * x
        losses.append((coherence * along).square().mean())
    return torch.stack(losses).sum()


def _edges(grey: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return which way `(N, 1, H, W)` is steepest, as a unit vector, and how much of an edge it is.

    In the corners between four pixels each.
    """
    x, y = _slopes(grey)
    xx, xy, yy = (
        F.avg_pool2d(product, EDGE_WINDOW, 1, EDGE_WINDOW // 2, count_include_pad=False)
        for product in (x * x, x * y, y * y)
    )
    angle = torch.atan2(2 * xy, xx - yy) / 2
    coherence = torch.hypot(xx - yy, 2 * xy) / (xx + yy + EDGE_FLOOR)
    return angle.cos(), angle.sin(), coherence


def _slopes(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences across and down between the four pixels around each corner."""
    across, down = torch.diff(image, dim=3), torch.diff(image, dim=2)
    return (across[..., 1:, :] + across[..., :-1, :]) / 2, (down[..., 1:] + down[..., :-1]) / 2


def total_variation_loss(image: Tensor, guide: Tensor | None = None) -> Tensor:
    """Return the mean squared difference between neighbouring pixels.

    Args:
        image: Shape `(N, C, H, W)`.
        guide: Picture of the same shape; differences count less where it has edges, as in the
            smoothness term of Godard et al. (CVPR 2017). None counts all alike.
    """
    total = image.new_zeros(())
    for dim in (2, 3):
        difference = torch.diff(image, dim=dim).square()
        if guide is not None:
            edges = torch.diff(guide, dim=dim).abs().mean(1, keepdim=True)
            difference = difference * torch.exp(-EDGE_SHARPNESS * edges)
        total = total + difference.mean()
    return total
