"""A look into the network: feature maps, channels that go together, what is kept.

All of it is plain arrays of one photo `(H, W, 3)`, RGB in [0, 1], at one layer of an encoder.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adain.network.encoder import Encoder
from adain.network.losses import content_loss, gram_matrix
from adain.network.pixel_losses import total_variation_loss
from adain.network.statistics import feature_statistics, layer_scale, to_pixels, to_tensor
from adain.optimizing.optimizers import PyramidAdam, State

SMOOTHNESS = 0.5
"""Weight of total variation against the relative distance of features, which deep layers leave
open to noise that they do not see."""

LEARNING_RATE = 0.03
"""Length of the first steps of an inversion in parts of the range of a pixel; it falls to 0."""


@dataclass(frozen=True)
class FeatureMap:
    """Where one channel responds.

    Attributes:
        channel: Its index.
        share: Its part of the layer's energy (sum of squares), in [0, 1].
        values: Shape `(h, w)` of the layer, in [0, 1], 1 where it responds most; all 0 if it never
            does.
    """

    channel: int
    share: float
    values: NDArray[np.float32]


@dataclass(frozen=True)
class ChannelProfile:
    """Figures of each channel of a layer over the whole photo, each of shape `(C,)`.

    Attributes:
        mean: Mean response; with `std` this is what a style is made of.
        std: Standard deviation of the response.
        active: Share of the positions where it responds at all.
        share: Part of the layer's energy (sum of squares).
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    active: NDArray[np.float32]
    share: NDArray[np.float32]


@dataclass(frozen=True)
class Inversion:
    """A picture made from the features of one layer alone.

    Attributes:
        layer: The layer.
        image: Shape of the photo, in [0, 1].
        distance: Mean squared difference of the features to the photo's, over their mean square.
    """

    layer: str
    image: NDArray[np.float32]
    distance: float


def layer_names(encoder: Encoder) -> tuple[str, ...]:
    """Return the layers of an encoder, first to last.

    >>> layer_names(Encoder())[:3]
    ('relu1_1', 'relu1_2', 'relu2_1')
    """
    return tuple(f"relu{name}" for block in encoder.config.blocks for name in block)


def layer_features(encoder: Encoder, photo: NDArray[np.float32], layer: str) -> Tensor:
    """Return the features `(1, C, h, w)` of a photo `(H, W, 3)` at any layer, on the device.

    Raises:
        ValueError: If the encoder has no such layer, which is told with those that it has; if
            the photo has another shape, or is too small for the layer.
    """
    _check(encoder, photo, layer)
    device = next(encoder.parameters()).device
    return _features(encoder, to_tensor(photo).to(device), layer)


def feature_maps(
    encoder: Encoder, photo: NDArray[np.float32], layer: str, count: int
) -> list[FeatureMap]:
    """Return the maps of the channels with the most energy, strongest first.

    Args:
        encoder: The network.
        photo: Shape `(H, W, 3)`, RGB in [0, 1].
        layer: One of `layer_names`.
        count: How many; fewer if the layer has fewer channels.

    Raises:
        ValueError: As for `layer_features`, or if `count` is less than 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    features = layer_features(encoder, photo, layer)[0]
    shares = _energy_shares(features)
    strongest = shares.argsort(descending=True, stable=True)[:count]
    maps = (features / features.amax((1, 2), keepdim=True).clamp_min(1e-12)).cpu().numpy()
    return [
        FeatureMap(channel, shares[channel].item(), maps[channel]) for channel in strongest.tolist()
    ]


def channel_profile(encoder: Encoder, photo: NDArray[np.float32], layer: str) -> ChannelProfile:
    """Return statistics of every channel of a layer. Raises as `layer_features`."""
    features = layer_features(encoder, photo, layer)
    statistics = feature_statistics(features)
    active = (features[0] > 0).float().mean((1, 2))
    found = (statistics.mean[0], statistics.std[0], active, _energy_shares(features[0]))
    return ChannelProfile(*(values.cpu().numpy() for values in found))


def gram_picture(encoder: Encoder, photo: NDArray[np.float32], layer: str) -> NDArray[np.float32]:
    """Return which channels of a layer respond at the same places.

    The Gram matrix divided by the channels' energies: cosines, which are not negative after a
    ReLU. Channels that go together are neighbours: they are ordered by the angle between their
    parts in the two leading eigenvectors (Friendly, "Corrgrams", The American Statistician 2002).

    Returns:
        Shape `(C, C)` in [0, 1], channels that never respond last.

    Raises:
        ValueError: As for `layer_features`.
    """
    gram = gram_matrix(layer_features(encoder, photo, layer))[0].double().cpu()
    energy = gram.diagonal()
    alive = energy > 1e-12 * energy.max()
    norms = torch.where(alive, energy, 1.0).sqrt()
    cosines = torch.where(alive[:, None] & alive, gram / norms[:, None] / norms, 0.0)
    cosines.clamp_(0, 1)
    order = _angular_order(cosines - cosines.mean())
    order = torch.cat([order[alive[order]], order[~alive[order]]])
    return cosines[order][:, order].float().numpy()


def invert_features(
    encoder: Encoder,
    photo: NDArray[np.float32],
    layer: str,
    iterations: int = 100,
    seed: int = 0,
    on_step: Callable[[int], None] = lambda iteration: None,
) -> Inversion:
    """Make the picture that has the photo's features at one layer, from noise.

    What it shows is what the layer still knows (Mahendran and Vedaldi, "Understanding deep image
    representations by inverting them", CVPR 2015); here with Adam on several sizes.

    Args:
        encoder: The network, frozen.
        photo: Shape `(H, W, 3)`, RGB in [0, 1].
        layer: One of `layer_names`.
        iterations: Steps; time grows with them and with the pixels.
        seed: Decides the noise.
        on_step: Told the steps that are done, after each.

    Raises:
        ValueError: As for `layer_features`, or if `iterations` is less than 1.
    """
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
    target = layer_features(encoder, photo, layer)
    power = target.square().mean().clamp_min(1e-12)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, 3, *photo.shape[:2], generator=generator).to(target)
    image = (0.5 + 0.1 * noise).clamp(0, 1)
    state: State = {}
    for iteration in range(1, iterations + 1):
        rate = LEARNING_RATE * (1 - (iteration - 1) / iterations)
        with torch.enable_grad():
            image = image.detach().requires_grad_()
            distance = content_loss(encoder(image, (layer,))[layer], target) / power
            loss = distance + SMOOTHNESS * total_variation_loss(image)
            (gradient,) = torch.autograd.grad(loss, image)
        image, state = PyramidAdam(rate=rate).step(image.detach(), loss.item(), gradient, state)
        on_step(iteration)
    reached = content_loss(_features(encoder, image, layer), target) / power
    return Inversion(layer, to_pixels(image), reached.item())


@torch.no_grad()
def _features(encoder: Encoder, image: Tensor, layer: str) -> Tensor:
    features: Tensor = encoder(image, (layer,))[layer]
    return features


def _check(encoder: Encoder, photo: NDArray[np.float32], layer: str) -> None:
    names = layer_names(encoder)
    if layer not in names:
        raise ValueError(f"no layer {layer!r}; this network has {', '.join(names)}")
    if photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(f"expected a photo of shape (H, W, 3), got {photo.shape}")
    # Reflection needs two positions a side, and so does a standard deviation.
    smallest = 2 * layer_scale(layer)
    if min(photo.shape[:2]) < smallest:
        height, width = photo.shape[:2]
        raise ValueError(f"{layer} needs sides of at least {smallest} pixels, got {width}x{height}")


def _energy_shares(features: Tensor) -> Tensor:
    energy = features.square().sum((1, 2))
    return energy / energy.sum().clamp_min(1e-12)


def _angular_order(matrix: Tensor) -> Tensor:
    """Return the order of rows around the circle of the two leading eigenvectors.

    The circle is cut at its widest gap.
    """
    _, vectors = torch.linalg.eigh(matrix)
    angles = torch.atan2(vectors[:, -2], vectors[:, -1]) if len(matrix) > 1 else vectors[:, 0]
    order = angles.argsort(stable=True)
    around = torch.cat([angles[order], angles[order[:1]] + 2 * torch.pi])
    return order.roll(-int(around.diff().argmax()) - 1)
