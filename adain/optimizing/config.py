"""How a picture is optimised, and what for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from adain.config import LOSS_LAYERS, MIN_SIDE
from adain.optimizing.optimizers import OPTIMIZERS

STYLE_LOSSES = ("wasserstein", "gram", "statistics")

POOLINGS = ("max", "average")

PRECISIONS = ("auto", "float32", "bfloat16")

MAX_WEIGHT = 1e6


@dataclass(frozen=True)
class LossConfig:
    """What a picture is optimised for.

    Every term is relative to the power of its target, so that weights mean the same for every
    photo and painting.

    Attributes:
        content_weight: How strongly the photo's features are kept. At 0.05 figures of the painting
            take the place of those in the photo.
        style_weight: How strongly the painting's statistics are taken.
        tv_weight: How strongly neighbouring pixels are made alike.
        layer_weights: Shares of relu1_1 ... relu5_1 in the style term.
        content_layer: Where content is compared; deeper layers leave more freedom.
        style_loss: `wasserstein` compares means and covariances as normal distributions, `gram`
            Gram matrices, `statistics` means and standard deviations of raw features, as far as
            stored styles have them.
        style_scale: Longer side of a painting over that of the picture; larger makes larger
            strokes. Paintings are never enlarged.
        pooling: `max` or `average`, between the blocks of the network.
        precision: `float32`, `bfloat16` for the style statistics alone, or `auto`: bfloat16
            where the device is fast at it.
    """

    content_weight: float = 0.5
    style_weight: float = 1.0
    tv_weight: float = 0.0
    layer_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0)
    content_layer: str = "relu4_1"
    style_loss: str = "wasserstein"
    style_scale: float = 1.0
    pooling: str = "max"
    precision: str = "auto"

    def __post_init__(self) -> None:
        for name in ("content_weight", "style_weight", "tv_weight"):
            check_range(name, getattr(self, name), 0, MAX_WEIGHT)
        if self.content_weight == self.style_weight == 0:
            raise ValueError("content_weight and style_weight cannot both be 0")
        if len(self.layer_weights) != len(LOSS_LAYERS):
            raise ValueError(
                f"layer_weights needs a weight for each of {', '.join(LOSS_LAYERS)}, "
                f"got {len(self.layer_weights)}"
            )
        for weight in self.layer_weights:
            check_range("each of layer_weights", weight, 0, MAX_WEIGHT)
        if not sum(self.layer_weights):
            raise ValueError("layer_weights cannot all be 0")
        check_choice("content_layer", self.content_layer, LOSS_LAYERS)
        check_choice("style_loss", self.style_loss, STYLE_LOSSES)
        check_choice("pooling", self.pooling, POOLINGS)
        check_choice("precision", self.precision, PRECISIONS)
        check_range("style_scale", self.style_scale, 0.05, 20)


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise `ValueError` unless a setting is a finite number within its range."""
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{name} must be from {low:g} to {high:g}, got {value}")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise `ValueError` unless a setting is one of its choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


@dataclass(frozen=True)
class GatysConfig:
    """How a picture is optimised.

    Attributes:
        loss: What for.
        optimizer: `pyramid` (Adam on several sizes, with steps that get shorter),
            `pyramid-lbfgs`, `lbfgs`, `adam` or `gradient-descent`.
        learning_rate: Mean or first length of steps, in parts of the range of a pixel.
        averaging: Decay of the average over pictures that is the result; 0 takes the last one.
        min_side: About the longer side of the first scale in pixels; each next one doubles it.
        first_iterations: Steps at the first scale.
        iterations: Steps at each other scale.
        tolerance: A scale ends when `patience` steps lower the loss by less than this part.
        patience: See `tolerance`.
        time_limit: Seconds for everything; each scale gets its share. None is no limit.
        seed: Decides the noise that a run without a start begins with.
    """

    loss: LossConfig = LossConfig()
    optimizer: str = "pyramid"
    learning_rate: float = 0.015
    averaging: float = 0.5
    min_side: int = 256
    first_iterations: int = 40
    iterations: int = 180
    tolerance: float = 0.003
    patience: int = 20
    time_limit: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("optimizer", self.optimizer, tuple(OPTIMIZERS))
        check_range("learning_rate", self.learning_rate, 1e-6, 1)
        check_range("averaging", self.averaging, 0, 0.9999)
        check_range("min_side", self.min_side, 2 * MIN_SIDE, 65_535)
        check_range("first_iterations", self.first_iterations, 1, 100_000)
        check_range("iterations", self.iterations, 1, 100_000)
        check_range("tolerance", self.tolerance, 0, 1)
        check_range("patience", self.patience, 1, 100_000)
        check_range("seed", self.seed, 0, 2**63 - 1)
        if self.time_limit is not None:
            check_range("time_limit", self.time_limit, 0, 1e9)
