"""The pictures of a run at every scale, coarse to fine."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from adain.config import MIN_SIDE
from adain.optimizing.checkpoint import Checkpoint, begin, optimizer_state
from adain.optimizing.config import GatysConfig
from adain.optimizing.optimizers import OPTIMIZERS
from adain.optimizing.targets import resize_pixels


def scale_sizes(height: int, width: int, min_side: int) -> list[tuple[int, int]]:
    """Return the height and width of each scale, coarse to fine, the last as given.

    >>> scale_sizes(768, 1024, 256)
    [(192, 256), (384, 512), (768, 1024)]
    """
    doublings = max(0, round(math.log2(max(height, width) / min_side)))
    return [
        (max(MIN_SIDE, round(height / 2**k)), max(MIN_SIDE, round(width / 2**k)))
        for k in range(doublings, -1, -1)
    ]


def scale_steps(config: GatysConfig, scales: int) -> list[int]:
    """Return the steps that each scale may take.

    >>> scale_steps(GatysConfig(first_iterations=40, iterations=180), 3)
    [40, 180, 180]
    """
    return [config.first_iterations] + [config.iterations] * (scales - 1)


@dataclass(frozen=True)
class Pyramid:
    """The pictures of a run at every scale; `photo` and `start` are `(1, 3, H, W)` in [0, 1]."""

    photo: Tensor
    start: Tensor | None
    config: GatysConfig

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Return the height and width of each scale, coarse to fine."""
        height, width = self.photo.shape[2:]
        return scale_sizes(height, width, self.config.min_side)

    def resized_photo(self, scale: int) -> Tensor:
        """Return the photo at a scale."""
        return resize_pixels(self.photo, self.sizes[scale]).clamp(0, 1)

    @property
    def steps(self) -> list[int]:
        """Return the steps that each scale may take."""
        return scale_steps(self.config, len(self.sizes))

    def deadlines(self, first: int) -> list[float]:
        """Return by when each scale must end, in seconds from the start at scale `first`.

        Each scale gets the share of the time limit that its steps cost, so that also a hurried
        run reaches the full size.
        """
        if self.config.time_limit is None:
            return [math.inf] * len(self.sizes)
        costs = [
            height * width * steps if scale >= first else 0
            for scale, (steps, (height, width)) in enumerate(
                zip(self.steps, self.sizes, strict=True)
            )
        ]
        return [
            self.config.time_limit * sum(costs[: scale + 1]) / sum(costs)
            for scale in range(len(costs))
        ]

    def base(self, size: tuple[int, int]) -> Tensor:
        """Return what changes are added to: the start, or nothing if there is none."""
        if self.start is None:
            return self.photo.new_zeros(1, 3, *size)
        return resize_pixels(self.start, size)

    def first(self) -> Checkpoint:
        """Return where a run begins."""
        image = self.base(self.sizes[0])
        if self.start is None:
            generator = torch.Generator().manual_seed(self.config.seed)
            image = (0.5 + 0.2 * torch.randn(image.shape, generator=generator)).to(image)
        return begin(0, image.clamp(0, 1), {}, self.config.learning_rate)

    def enlarge(self, point: Checkpoint) -> Checkpoint:
        """Return where the next scale begins."""
        size = self.sizes[point.scale + 1]
        state = OPTIMIZERS[self.config.optimizer]().enlarge(optimizer_state(point), size)
        return begin(point.scale + 1, self.picture(point, size), state, point.rate)

    def full(self, point: Checkpoint) -> Tensor:
        """Return the picture of a point at full size."""
        return self.picture(point, self.sizes[-1])

    def picture(self, point: Checkpoint, size: tuple[int, int]) -> Tensor:
        """Return the picture of a point at the size of a scale."""
        image = point.tensors["average"]
        own = (image.shape[2], image.shape[3])
        if own == size:
            return image
        return (self.base(size) + resize_pixels(image - self.base(own), size)).clamp(0, 1)
