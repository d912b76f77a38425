"""What the network sees in a photo: feature maps, channels that go together, what is kept.

All of it is plain tensors of one photo `(1, 3, H, W)`, RGB in [0, 1], at one layer of an encoder.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from adain.network.encoder import Encoder
from adain.network.losses import content_loss, gram_matrix
from adain.network.model import layer_scale
from adain.network.pixel_losses import total_variation_loss
from adain.optimizing.optimizers import PyramidAdam, State
from adain.styles.statistics import channel_statistics

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
        values: Shape `(H, W)` in [0, 1], 1 where it responds most; all 0 if it never does.
    """

    channel: int
    share: float
    values: Tensor


@dataclass(frozen=True)
class ChannelProfile:
    """What each channel of a layer does over the whole photo, each of shape `(C,)`.

    Attributes:
        mean: Mean response; with `std` this is what a style is made of.
        std: Standard deviation of the response.
        active: Share of the positions where it responds at all.
        share: Part of the layer's energy (sum of squares).
    """

    mean: Tensor
    std: Tensor
    active: Tensor
    share: Tensor


@dataclass(frozen=True)
class Inversion:
    """A picture made from the features of one layer alone.

    Attributes:
        layer: The layer.
        image: Shape of the photo, in [0, 1].
        distance: Mean squared difference of the features to the photo's, over their mean square.
    """

    layer: str
    image: Tensor
    distance: float


def layer_names(encoder: Encoder) -> tuple[str, ...]:
    """Return the layers of an encoder, first to last.

    >>> layer_names(Encoder())[:3]
    ('relu1_1', 'relu1_2', 'relu2_1')
    """
    return tuple(f"relu{name}" for block in encoder.config.blocks for name in block)


@torch.no_grad()
def layer_features(encoder: Encoder, photo: Tensor, layer: str) -> Tensor:
    """Return the features `(1, C, H, W)` of a photo at any layer.

    Raises:
        ValueError: If the encoder has no such layer, which is told with those that it has; if
            the photo is not one picture, or too small for the layer.
    """
    _check(encoder, photo, layer)
    features: Tensor = encoder(photo, (layer,))[layer]
    return features


def feature_maps(encoder: Encoder, photo: Tensor, layer: str, count: int) -> list[FeatureMap]:
    """Return the maps of the channels with the most energy, strongest first.

    Args:
        encoder: The network.
        photo: Shape `(1, 3, H, W)`, RGB in [0, 1].
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
    tops = features.amax((1, 2)).clamp_min(1e-12)
    return [
        FeatureMap(channel, shares[channel].item(), features[channel] / tops[channel])
        for channel in strongest.tolist()
    ]


def channel_profile(encoder: Encoder, photo: Tensor, layer: str) -> ChannelProfile:
    """Return statistics of every channel of a layer. Raises as `layer_features`."""
    features = layer_features(encoder, photo, layer)
    statistics = channel_statistics(features)
    return ChannelProfile(
        mean=statistics.mean[0],
        std=statistics.std[0],
        active=(features[0] > 0).float().mean((1, 2)),
        share=_energy_shares(features[0]),
    )


def gram_picture(encoder: Encoder, photo: Tensor, layer: str) -> Tensor:
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
    return cosines[order][:, order].float()


def invert_features(
    encoder: Encoder,
    photo: Tensor,
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
        photo: Shape `(1, 3, H, W)`, RGB in [0, 1].
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
    noise = torch.randn(photo.shape, generator=generator).to(photo)
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
    reached = content_loss(layer_features(encoder, image, layer), target) / power
    return Inversion(layer, image, reached.item())


def _check(encoder: Encoder, photo: Tensor, layer: str) -> None:
    names = layer_names(encoder)
    if layer not in names:
        raise ValueError(f"no layer {layer!r}; this network has {', '.join(names)}")
    if photo.ndim != 4 or photo.shape[:2] != (1, 3):
        raise ValueError(f"expected one photo of shape (1, 3, H, W), got {tuple(photo.shape)}")
    # Reflection needs two positions a side, and so does a standard deviation.
    smallest = 2 * layer_scale(layer)
    if min(photo.shape[2:]) < smallest:
        height, width = photo.shape[2:]
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
