"""How to train, and what the terms of the loss weigh: plain values, read without torch."""

from dataclasses import dataclass

from adain.config import PRECISIONS, check_settings, setting


@dataclass(frozen=True)
class TrainingConfig:
    """How to train, whatever is trained.

    Attributes:
        steps: The learning rate's cycle ends with them.
        batch_size: Crops of each kind (photos, paintings), on each device.
        crop: Side of a crop in pixels.
        learning_rate: Peak of Adam's one-cycle schedule.
        matrix_learning_rate: The same for the hidden convolutions, which Muon optimises.
        gradient_clip: Largest norm of the gradient.
        seed: Decides the first weights and every crop.
        precision: `float32`, `bfloat16` (mixed), or `auto`: bfloat16 where the
            device is fast at it.
        checkpoint_every: Steps between checkpoints.
        evaluate_every: Steps between evaluations with a preview.
        workers: Processes that decode pictures; 0 decodes in the training process.
    """

    steps: int = setting(9000, "Optimiser steps of the whole run.", 1)
    batch_size: int = setting(8, "Photos, and paintings, in a step.", 2)
    crop: int = setting(160, "Side of the crops in pixels, a multiple of 8.", 64)
    learning_rate: float = setting(2e-3, "Peak learning rate of Adam.", 0)
    matrix_learning_rate: float = setting(1e-2, "Peak learning rate of Muon (3x3 convolutions).", 0)
    gradient_clip: float = 2.0
    seed: int = setting(0, "Decides the first weights and every crop.")
    precision: str = setting("auto", "{choices}.", choices=PRECISIONS)
    checkpoint_every: int = 500
    evaluate_every: int = 500
    workers: int = setting(0, "Processes that decode pictures; 0 decodes in place.", 0)

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("checkpoint_every", "evaluate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.crop % 8:
            raise ValueError(f"crop must be a multiple of 8, got {self.crop}")


ENCODER_TRAINING = TrainingConfig(crop=96, learning_rate=5e-3, matrix_learning_rate=2e-2)
"""Other defaults for distilling the encoder."""

CLARITY_TRAINING = TrainingConfig(
    steps=500, batch_size=4, crop=224, learning_rate=1.5e-3, matrix_learning_rate=2e-3
)
"""Other defaults for clarity."""


@dataclass(frozen=True)
class DecoderLosses:
    """Weights of the decoder's loss terms.

    Attributes:
        content_weight: Distance of the result's embedded features to the photo's.
        style_weight: Distance of the result's embedded channel statistics to the painting's.
        covariance_weight: Distance of the result's features at `COVARIANCE_LAYERS` to the
            painting's; against colours and textures that it has, but not together.
        structure_weight: Structural dissimilarity of the result to the photo: light and dark stay
            where they were, and what is flat in the photo stays flat.
        coarse_structure_weight: The same of areas, from a half to a sixteenth of the size,
            brightness aside; against blots, halos and dark areas of which only outlines stay.
        identity_weight: Difference of the pixels where a photo is painted in its own style.
        tv_weight: Total variation of the result where the photo is flat; against hatching.
        coarse_tv_weight: The same at these sizes; against blots.
        ragged_edge_weight: Slopes along the photo's edges; against combs and ragged halos.
        chroma_weight: Curvature of the result's colours; against coloured dots and fringes.
        stray_color_weight: Colours that nothing in the photo explains; against blots and fringes.
        palette_weight: Distance of the result's colours to the painting's; against a grey wash.
        identities: Photos of each batch that are painted in their own style.
    """

    content_weight: float = setting(2.4, "Keeps what the photo shows.", 0)
    style_weight: float = setting(32.0, "Takes the painting's style.", 0)
    covariance_weight: float = setting(18.0, "Takes colours and textures that go together.", 0)
    structure_weight: float = setting(
        0.9, "Keeps light, dark and flat where the photo has them.", 0
    )
    coarse_structure_weight: float = setting(3.2, "Keeps areas light or dark as a whole.", 0)
    identity_weight: float = setting(30.0, "Gives a photo back in its own style.", 0)
    tv_weight: float = setting(300.0, "Smooths what the photo has flat.", 0)
    coarse_tv_weight: float = setting(450.0, "Keeps blots out of what the photo has flat.", 0)
    ragged_edge_weight: float = setting(7500.0, "Keeps combs and ragged halos away from edges.", 0)
    chroma_weight: float = setting(1500.0, "Keeps coloured dots and fringes away.", 0)
    stray_color_weight: float = setting(
        700.0, "Keeps away colours that nothing in the photo explains.", 0
    )
    palette_weight: float = setting(300.0, "Takes the painting's colours and contrast.", 0)
    identities: int = 1

    def __post_init__(self) -> None:
        check_settings(self)


MIN_LEARNT = 32
"""Least side of a painting to learn, in pixels: relu5_1 of a smaller one is a single position."""


@dataclass(frozen=True)
class Learning:
    """How to learn a painting.

    Attributes:
        steps: The learning rate rises and falls with them.
        seconds: The run ends after so many, its rate having fallen by then; None for no limit.
        strength: Factor of what pulls towards the painting.
        stroke: Size at which the painting is shown: 2 teaches strokes twice as large.
        detail: Standard deviation in pixels of a blur; what it does not pass is painted as in the
            plain pass.
        seed: Decides the first differences and every crop.
        batch_size: Crops of photos in a step.
        crop: Side of a crop in pixels.
        learning_rate: Peak of Adam's.
        gradient_clip: Largest norm of the gradient.
        content_weight: Distance of the result's embedded features to the photo's.
        style_weight: Distance of channel statistics to the painting's, embedded.
        covariance_weight: Distance of all features together to the painting's.
        contours_weight: Structural dissimilarity to the plain pass at the contours of the photo;
            without it subjects melt.
        tv_weight: Total variation where the photo is flat.
    """

    steps: int = setting(150, "Most steps; about one a second on two cores.", 1, high=100_000)
    seconds: float | None = None
    strength: float = setting(1.0, "How far to go towards the painting.", 0.1, high=10)
    stroke: float = setting(1.0, "Size of the strokes to learn: 2 doubles it.", 0.25, high=4)
    detail: float = setting(
        1.5, "Pixels; finer detail is that of the plain pass. 0.8 keeps thin strokes.", 0.3, high=8
    )
    seed: int = setting(0, "Decides the first differences and every crop.")
    batch_size: int = 4
    crop: int = 256
    learning_rate: float = 2.5e-3
    gradient_clip: float = 5.0
    content_weight: float = 2.2
    style_weight: float = 40.0
    covariance_weight: float = 60.0
    contours_weight: float = 14.0
    tv_weight: float = 80.0

    def __post_init__(self) -> None:
        check_settings(self)
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"the time must be more than 0 seconds, got {self.seconds}")
        if self.crop < 64 or self.crop % 8:
            raise ValueError(f"crop must be a multiple of 8, at least 64 pixels, got {self.crop}")
