"""The parameters of a request, checked."""

import math
from dataclasses import fields
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    ConfigDict,
    Field,
    create_model,
    field_validator,
    model_validator,
)

from adain.config import Controls, Repainting, Setting, settings_of
from adain.optimizing.config import LossConfig
from gallery.config import StylizeConfig, has_strength
from gallery.use_cases.references import MAX_STYLES, Reference, group_regions, parse_reference
from gallery.web.problems import Problem
from gallery.web.uploads import Upload

Format = Literal["jpeg", "png", "webp", "avif", "tiff", "bmp"]
FORMATS: tuple[Format, ...] = get_args(Format)

NAME = r"^[^\x00-\x1f]+$"

NOTHING = Upload(b"")
"""Of a request of which only the parameters are looked at."""


def _parameter(config: type, name: str) -> tuple[Any, Any]:
    """Return the type of a setting as a parameter, and its default, limits and help."""
    (field,) = (each for each in fields(config) if each.name == name)
    rule = settings_of(config)[name]
    kind: Any = Literal[rule.choices] if rule.choices else field.type
    return kind, Field(field.default, description=rule.text, **_limits(rule))


def _limits(rule: Setting) -> dict[str, Any]:
    low = 0 if rule.or_zero else rule.low
    limits = {"ge": low, "le": rule.high}
    return {key: limit for key, limit in limits.items() if limit is not None}


_Controls = create_model(  # type: ignore[call-overload]
    "_Controls",
    __config__=ConfigDict(frozen=True),
    **{name: _parameter(Controls, name) for name in settings_of(Controls)},
)
"""The settings of `adain.config.Controls`, each a parameter."""

_JPEG = settings_of(StylizeConfig)["jpeg_quality"]


class StylizeParameters(_Controls):  # type: ignore[valid-type, misc]
    """Parameters of a repainting: its settings, the styles and the format."""

    style: tuple[Annotated[str, Field(max_length=200, pattern=NAME)], ...] = Field(
        (),
        description="Slug, number or words of a painting, `artist:NAME` or `style:NAME`; repeat "
        "it to mix, with weights as in `irises=0.7`, or for parts of the photo, as in "
        "`irises@person` and `senecio@background`.",
        max_length=MAX_STYLES,
        examples=[["irises"]],
    )
    painting_weight: float = Field(
        1.0, description="Weight of the part `painting` in the mixture.", allow_inf_nan=False
    )
    alpha: float = _parameter(Repainting, "alpha")[1]
    max_side: int | None = _parameter(Repainting, "max_side")[1]
    adapter: bool = Field(
        True, description="Paint with what was learnt of the painting, where there is any."
    )
    format: Format = "jpeg"
    quality: int = Field(90, description="Of JPEG, WebP and AVIF.", **_limits(_JPEG))

    @field_validator("style", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _checked(self) -> "StylizeParameters":
        Repainting(self.alpha, self.max_side, controls=self.controls())
        return self

    @property
    def references(self) -> list[Reference]:
        """Return the named styles; a name is never a file of this machine."""
        return [parse_reference(text, may_be_file=False) for text in self.style]

    def regions(self, upload: Upload) -> list[str]:
        """Return the part of the photo that each style is for: of the painting sent along, none."""
        named = [reference.region for reference in self.references]
        return named + [""] * (upload.painting is not None)

    def controls(self, upload: Upload = NOTHING) -> Controls:
        """Return how the photo is repainted.

        Args:
            upload: What was sent: masks, and a picture of the strength.

        Raises:
            Problem: If the pictures contradict `style`, `keep` or `only`.
            ValueError: If a value is out of its range.
        """
        values = {name: getattr(self, name) for name in settings_of(Controls)}
        parts, masks, strength = self.regions(upload), upload.masks, upload.strength
        regions = tuple(group_regions(parts)) if any(parts) else ()
        try:
            return Controls(strength, masks, regions, **values)
        except ValueError as error:
            if not masks and strength is None:
                raise
            raise Problem("invalid-parameter", str(error).replace("--", "")) from error

    def weights(self, upload: Upload) -> list[float]:
        """Return the weights of the named styles and of the painting that was sent along.

        Raises:
            Problem: If there is no style, the weights sum to zero, or the masks do not fit them.
        """
        weights = [reference.weight for reference in self.references]
        weights += [self.painting_weight] if upload.painting else []
        if not weights:
            raise Problem("invalid-parameter", "style: name one, or send the part 'painting'")
        for group in group_regions(self.regions(upload)).values():
            total = sum(weights[i] for i in group)
            if abs(total) < 1e-9 or not math.isfinite(total):
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
    """Parameters of a job."""

    method: Literal["stylize", "render", "film"] = Field(
        "stylize",
        description="`render` optimises the picture: slower and better. It takes all but "
        "`stroke`, `keep`, `only`, `alpha` and the part `strength`. `film` paints a film, which "
        "takes the place of the photo, and takes all but `format` and `quality`.",
    )
    begin: float = Field(0, description="Of a film, the second where to start.", ge=0, le=1e6)
    end: float | None = Field(None, description="The second where to end.", gt=0, le=1e6)
    stable: bool = Field(
        False, description="Whether each frame of a film also follows the last one."
    )
    container: Literal["mp4", "webm", "gif", "webp"] = Field(
        "mp4", description="What a film becomes."
    )
    content_weight: float | None = Field(
        None,
        description=f"Of a render. {settings_of(LossConfig)['content_weight'].text}",
        ge=0,
        le=1000,
    )
    style_weight: float = Field(
        LossConfig.style_weight,
        description=f"Of a render. {settings_of(LossConfig)['style_weight'].text}",
        gt=0,
        le=1000,
    )
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
            if self.controls().finds_regions:
                raise Problem("invalid-parameter", "keep, only and style@part: a render takes none")
            if self.controls().stroke != Controls.stroke:
                raise Problem("invalid-parameter", "stroke: a render takes none")
            if min(weights) <= 0:
                raise Problem("invalid-parameter", "style: weights of a render must be positive")
        return weights
