"""How a picture is optimised, and what for: plain values, read without torch."""

from dataclasses import dataclass

from adain.config import LOSS_LAYERS, MIN_SIDE, PRECISIONS, Setting, check_settings, setting

OPTIMIZERS = ("pyramid", "pyramid-lbfgs", "lbfgs", "adam", "gradient-descent")
"""Names, in the order of the classes in `adain.optimizing.optimizers`."""

STYLE_LOSSES = ("wasserstein", "gram", "statistics")

POOLINGS = ("max", "average")

MAX_WEIGHT = 1e6

CONTENT_WEIGHT = 0.15
"""What viewers preferred to 0.5; see `scripts/README.md`."""

STORED_CONTENT_WEIGHT = 0.02
"""For styles of which only statistics are at hand: their loss is smaller than that of pictures."""


@dataclass(frozen=True)
class LossConfig:
    """The aim of an optimisation.

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

    content_weight: float = setting(
        CONTENT_WEIGHT,
        f"Keeps what the photo shows. By default {CONTENT_WEIGHT}, or {STORED_CONTENT_WEIGHT} "
        "where only statistics of a painting are at hand.",
        0,
        high=MAX_WEIGHT,
    )
    style_weight: float = setting(1.0, "Takes the painting's style.", 0, high=MAX_WEIGHT)
    tv_weight: float = setting(0.0, "Smooths.", 0, high=MAX_WEIGHT)
    layer_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0)
    content_layer: str = setting(
        "relu4_1",
        "Where content is compared; deeper is freer.",
        choices=LOSS_LAYERS,
        metavar="LAYER",
    )
    style_loss: str = setting(
        "wasserstein",
        "{choices}; by default the first, or the last for styles without a picture.",
        choices=STYLE_LOSSES,
        metavar="LOSS",
    )
    style_scale: float = setting(
        1.0, "Size of the painting over that of the photo: larger strokes.", 0.05, high=20
    )
    pooling: str = setting("max", "{choices}.", choices=POOLINGS)
    precision: str = setting("auto", "{choices}.", choices=PRECISIONS)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.content_weight == self.style_weight == 0:
            raise ValueError("content-weight and style-weight cannot both be 0")
        if len(self.layer_weights) != len(LOSS_LAYERS):
            raise ValueError(
                f"layer-weights needs a weight for each of {', '.join(LOSS_LAYERS)}, "
                f"got {len(self.layer_weights)}"
            )
        for weight in self.layer_weights:
            Setting("", 0, MAX_WEIGHT).check("each of layer-weights", weight)
        if not sum(self.layer_weights):
            raise ValueError("layer-weights cannot all be 0")


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
    optimizer: str = setting(
        "pyramid",
        "{choices}.",
        choices=OPTIMIZERS,
    )
    learning_rate: float = setting(0.015, "Mean or first length of steps.", 1e-6, high=1)
    averaging: float = setting(0.5, "Decay of the average over steps.", 0, high=0.9999)
    min_side: int = setting(
        256, "Side of the first scale.", 2 * MIN_SIDE, high=65_535, metavar="PX"
    )
    first_iterations: int = setting(40, "Steps at the first scale.", 1, high=100_000)
    iterations: int = setting(180, "Steps at each other scale.", 1, high=100_000)
    tolerance: float = setting(0.003, "Smaller progress than this part ends a scale.", 0, high=1)
    patience: int = setting(20, "Steps that progress is measured over.", 1, high=100_000)
    time_limit: float | None = setting(
        None, "For all scales together.", 0, high=1e9, metavar="SECONDS"
    )
    seed: int = setting(0, "Decides the noise of --init noise.", 0, high=2**63 - 1)

    def __post_init__(self) -> None:
        check_settings(self)
