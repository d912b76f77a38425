"""What to make of a photo: the parameters of a request, checked."""

import math
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from adain.config import ALPHA_RANGE, MIN_SIDE, STROKE_RANGE, Controls
from gallery.config import has_strength
from gallery.use_cases.references import MAX_STYLES, Reference, parse_reference
from gallery.web.problems import Problem
from gallery.web.uploads import Upload

Format = Literal["jpeg", "png", "webp", "avif", "tiff", "bmp"]
FORMATS: tuple[Format, ...] = get_args(Format)

NAME = r"^[^\x00-\x1f]+$"

LOOK = Controls()


class StylizeParameters(BaseModel):
    """What to make of a photo; each limit is that of `gallery.config`."""

    model_config = ConfigDict(frozen=True)

    style: tuple[Annotated[str, Field(max_length=200, pattern=NAME)], ...] = Field(
        (),
        description="Slug, number or words of a painting, `artist:NAME` or `style:NAME`; repeat "
        "it to mix, with weights as in `irises=0.7`.",
        max_length=MAX_STYLES,
        examples=[["irises"]],
    )
    painting_weight: float = Field(
        1.0, description="Weight of the part `painting` in the mixture.", allow_inf_nan=False
    )
    alpha: float = Field(
        1.0,
        description="Strength: 0 keeps the photo, 1 is the full style.",
        ge=ALPHA_RANGE[0],
        le=ALPHA_RANGE[1],
        allow_inf_nan=False,
    )
    stroke: float = Field(
        LOOK.stroke,
        description="Size of the strokes: 2 doubles it, 0.5 halves it, 0 is the finest.",
        ge=0,
        le=STROKE_RANGE[1],
    )
    preserve_color: Literal["none", "luminance", "linear", "histogram"] = Field(
        "none", description="What of the photo's colours is kept."
    )
    photorealistic: bool = Field(
        LOOK.photorealistic, description="Whether only colours change, not edges."
    )
    smooth: float = Field(
        LOOK.smooth, description="How far faint strokes and noise are evened out.", ge=0, le=1
    )
    sharpen: float = Field(
        LOOK.sharpen, description="How much edges and strokes are stressed.", ge=0, le=3
    )
    feather: float = Field(
        LOOK.feather, description="Pixels over which the regions of masks blend.", ge=0, le=1000
    )
    max_side: int | None = Field(
        None, description="Longest side of the result in pixels; never enlarges.", ge=MIN_SIDE
    )
    format: Format = "jpeg"
    quality: int = Field(90, description="Of JPEG, WebP and AVIF.", ge=1, le=100)

    @field_validator("style", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _checked(self) -> "StylizeParameters":
        self.controls()
        return self

    @property
    def references(self) -> list[Reference]:
        """Return the named styles; a name is never a file of this machine."""
        return [parse_reference(text, may_be_file=False) for text in self.style]

    def controls(self, masks: tuple[bytes, ...] = (), strength: bytes | None = None) -> Controls:
        """Return how the photo is repainted.

        Args:
            masks: Picture files that say where each style goes.
            strength: A picture file that says how strongly.

        Raises:
            ValueError: If a value is out of its range.
        """
        names = ("feather", "stroke", "preserve_color", "photorealistic", "smooth", "sharpen")
        return Controls(strength, masks, **{name: getattr(self, name) for name in names})

    def weights(self, upload: Upload) -> list[float]:
        """Return the weights of the named styles and of the painting that was sent along.

        Raises:
            Problem: If there is no style, the weights sum to zero, or the masks do not fit them.
        """
        weights = [reference.weight for reference in self.references]
        weights += [self.painting_weight] if upload.painting else []
        if not weights:
            raise Problem("invalid-parameter", "style: name one, or send the part 'painting'")
        if abs(sum(weights)) < 1e-9 or not math.isfinite(sum(weights)):
            problem = "style: the weights must be finite and not sum to zero"
            raise Problem("invalid-parameter", problem)
        masks = len(upload.masks)
        if masks and (masks not in (1, len(weights)) or set(weights) != {1.0}):
            raise Problem(
                "invalid-parameter",
                f"mask: {masks} for {len(weights)} styles; send one for each style, or one with a "
                "colour for each; the styles then have no weights",
            )
        return weights


class JobParameters(StylizeParameters):
    """What a job makes of a photo."""

    method: Literal["stylize", "render"] = Field(
        "stylize",
        description="`render` optimises the picture: slower and better. It takes all but "
        "`stroke`, `alpha` and the part `strength`.",
    )
    content_weight: float | None = Field(
        None,
        description="Of a render: keeps what the photo shows. By default 0.5, or 0.02 where of a "
        "painting only statistics are at hand.",
        ge=0,
        le=1000,
    )
    style_weight: float = Field(1.0, description="Of a render: takes the style.", gt=0, le=1000)
    time_limit: float = Field(120, description="Of a render, in seconds.", ge=1, le=600)

    def weights(self, upload: Upload) -> list[float]:
        """Return the weights of the styles.

        Raises:
            Problem: As for `stylize`; or if a render has a strength, a size of strokes, or weights
                that are not positive.
        """
        weights = super().weights(upload)
        if self.method == "render":
            if has_strength(self.alpha, upload.strength):
                name = "strength" if upload.strength else "alpha"
                raise Problem("invalid-parameter", f"{name}: a render takes none")
            if self.stroke != LOOK.stroke:
                raise Problem("invalid-parameter", "stroke: a render takes none")
            if min(weights) <= 0:
                raise Problem("invalid-parameter", "style: weights of a render must be positive")
        return weights
