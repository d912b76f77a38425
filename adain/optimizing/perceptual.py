"""The loss that a picture is optimised for: against a photo, and the targets of a style."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.config import LOSS_LAYERS
from adain.engine.device import fast_bfloat16
from adain.network.losses import NormalDistribution, content_loss, wasserstein_loss
from adain.network.moments import Moments
from adain.network.pixel_losses import total_variation_loss
from adain.network.statistics import FeatureStatistics, to_tensor
from adain.optimizing.config import LossConfig
from adain.optimizing.strips import Strip, StripNetwork, add_parts, pad, strip_rows
from adain.optimizing.targets import (
    Paintings,
    Region,
    StyleTarget,
    painting_targets,
    shrink_painting,
    statistics_targets,
)
from adain.styles.statistics import EPS, StyleStatistics


@dataclass(frozen=True)
class PerceptualLoss:
    """The loss at one scale.

    A picture that is too large goes through the network strip by strip, and the result is the
    same: moments are sums over positions. A first pass, without gradients, adds them up; the
    slopes of the loss along them are the gradients that a second pass begins with.
    """

    network: "StripNetwork"
    config: LossConfig
    content: Tensor
    regions: Sequence["Region"]

    def evaluate(self, image: Tensor) -> tuple[dict[str, float], Tensor]:
        """Return the losses of a picture, and the gradient of their weighted sum."""
        with torch.enable_grad():
            image = image.detach().requires_grad_()
            padded = pad(image)
            strips = self.network.strips(padded.shape[2])
            if len(strips) == 1:
                losses = self._terms(image, self._parts(padded, strips[0]))
                (gradient,) = torch.autograd.grad(losses["loss"], image)
            else:
                losses, gradient = self._evaluate_strips(image, padded, strips)
        return {name: value.item() for name, value in losses.items()}, gradient

    def losses(self, image: Tensor) -> dict[str, Tensor]:
        """Return each term, relative to its target's power, and the weighted sum as `loss`."""
        return self._terms(image, self._sums(pad(image)))

    def _evaluate_strips(
        self, image: Tensor, padded: Tensor, strips: Sequence["Strip"]
    ) -> tuple[dict[str, Tensor], Tensor]:
        pixels = padded.detach()
        with torch.no_grad():
            sums = self._sums(pixels)
        leaves = {name: value.requires_grad_() for name, value in sums.items()}
        losses = self._terms(image, leaves)
        gradient, *slopes = torch.autograd.grad(
            losses["loss"], [image, *leaves.values()], materialize_grads=True
        )
        total = torch.zeros_like(pixels)
        for strip in strips:
            seen = pixels[:, :, strip.seen].requires_grad_()
            parts = self._parts(seen, strip)
            total[:, :, strip.seen] += torch.autograd.grad(list(parts.values()), seen, slopes)[0]
        return losses, gradient + torch.autograd.grad(padded, image, total)[0]

    def _sums(self, padded: Tensor) -> dict[str, Tensor]:
        strips = self.network.strips(padded.shape[2])
        return add_parts(self._parts(padded[:, :, strip.seen], strip) for strip in strips)

    def _parts(self, seen: Tensor, strip: "Strip") -> dict[str, Tensor]:
        """Return what a strip adds to the content term, and to the moments of each region."""
        features = self.network.features(seen, strip)
        layer = self.config.content_layer
        target = self.content[:, :, strip.rows(layer)]
        content = content_loss(self.network.embed(layer, features[layer]), target)
        parts = {"content": content * (target.numel() / self.content.numel())}
        for i, region in enumerate(self.regions):
            for layer, style in region.style.items():
                raw = isinstance(style.target, FeatureStatistics)
                measured = self.network.moments(features[layer], layer, strip, region.weights, raw)
                parts |= {f"{i} {layer} {name}": value for name, value in measured.items()}
        return parts

    def _terms(self, image: Tensor, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        config = self.config
        content = sums["content"] / self.content.square().mean().clamp_min(1e-12)
        shares = dict(zip(LOSS_LAYERS, config.layer_weights, strict=True))
        style = torch.stack(
            [
                region.share
                * shares[layer]
                / sum(shares[layer] for layer in region.style)
                * _distance(Moments(sums[f"{i} {layer} mean"], sums[f"{i} {layer} gram"]), target)
                for i, region in enumerate(self.regions)
                for layer, target in region.style.items()
            ]
        ).sum()
        tv = total_variation_loss(image)
        loss = config.content_weight * content + config.style_weight * style + config.tv_weight * tv
        return {"loss": loss, "content": content, "style": style, "tv": tv}


def _distance(moments: Moments, style: StyleTarget) -> Tensor:
    """Return how far moments are from a target, over its power."""
    target = style.target
    if isinstance(target, NormalDistribution):
        distance = wasserstein_loss(moments, target)
    elif isinstance(target, FeatureStatistics):
        std = (moments.gram - moments.mean.square()).clamp_min(0).add(EPS).sqrt()
        distance = F.mse_loss(moments.mean, target.mean[0]) + F.mse_loss(std, target.std[0])
    else:
        distance = F.mse_loss(moments.gram, target.gram)
    return distance / style.power


@torch.no_grad()
def prepare_loss(
    encoder: nn.Module,
    photo: Tensor,
    style: Paintings | StyleStatistics,
    config: LossConfig,
    regions: Tensor | None = None,
    memory: int | None = None,
) -> PerceptualLoss:
    """Measure what a picture of the photo's size is to become.

    Args:
        encoder: The perceptual network; its `embed` heads are used where it has them.
        photo: Shape `(1, 3, H, W)`, RGB in [0, 1], on the encoder's device.
        style: Paintings, or a stored style, for the style loss `statistics`; with regions one row
            for each.
        config: The terms of the loss.
        regions: How much each style counts at each pixel, shape `(styles, 1, H, W)`, each
            somewhere; None mixes them everywhere. A region counts by its part of the picture.
        memory: Bytes for features; None is half of what is free.

    Raises:
        ImageTooLargeError: If the memory does not hold the smallest strips.
    """
    device = photo.device
    auto = config.precision == "auto" and fast_bfloat16(str(device))
    low = auto or config.precision == "bfloat16"
    rows = strip_rows(encoder, photo.shape[2], photo.shape[3], memory)
    network = StripNetwork(encoder, config.pooling, torch.bfloat16 if low else torch.float32, rows)
    content = network.content(photo, config.content_layer)
    if isinstance(style, StyleStatistics):
        targets = [statistics_targets(row, device) for row in style.split()]
    else:
        longer = max(photo.shape[2:]) * config.style_scale
        paintings = [
            (shrink_painting(to_tensor(painting).to(device), longer), weight)
            for painting, weight in style
        ]
        parts = [paintings] if regions is None else [[painting] for painting in paintings]
        targets = [painting_targets(network, part, config.style_loss) for part in parts]
    if regions is None:
        return PerceptualLoss(network, config, content, [Region(targets[0])])
    found = [
        Region(target, (weights.sum() / regions.sum()).item(), weights[None])
        for target, weights in zip(targets, regions, strict=True)
    ]
    return PerceptualLoss(network, config, content, found)
