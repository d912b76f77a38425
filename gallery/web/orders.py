"""What to make of a photo: the parameters of a request, checked."""

import math
import re
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from fastapi import Query

from gallery.config import ALPHA_RANGE, MIN_SIDE
from gallery.references import MAX_STYLES, Reference
from gallery.web.problems import Problem
from gallery.web.uploads import Upload

Format = Literal["jpeg", "png", "webp", "avif", "tiff", "bmp"]
FORMATS: tuple[Format, ...] = ("jpeg", "png", "webp", "avif", "tiff", "bmp")

NAME = r"^[^\x00-\x1f]+$"

Styles = Annotated[
    list[Annotated[str, Query(max_length=200, pattern=NAME)]],
    Query(
        description="Slug, number or words of a painting, `artist:NAME` or `style:NAME`; repeat "
        "it to mix, with weights as in `irises=0.7`.",
        max_length=MAX_STYLES,
        examples=["irises"],
    ),
]
Alpha = Annotated[
    float,
    Query(
        description="Strength: 0 keeps the photo, 1 is the full style.",
        ge=ALPHA_RANGE[0],
        le=ALPHA_RANGE[1],
        allow_inf_nan=False,
    ),
]
MaxSide = Annotated[
    int | None,
    Query(description="Longest side of the result in pixels; never enlarges.", ge=MIN_SIDE),
]
PaintingWeight = Annotated[
    float,
    Query(description="Weight of the part `painting` in the mixture.", allow_inf_nan=False),
]
Quality = Annotated[int, Query(description="Of JPEG, WebP and AVIF.", ge=1, le=100)]


@dataclass(frozen=True)
class Order:
    """What to make of a photo.

    Attributes:
        styles: Names with weights, as in `irises=0.7`.
        painting_weight: Of the painting that was sent along, if one was.
    """

    styles: tuple[str, ...]
    alpha: float
    max_side: int | None
    format: Format
    quality: int
    painting_weight: float

    @property
    def references(self) -> list[Reference]:
        """Return the named styles.

        Raises:
            Problem: If a weight is none.
        """
        return [parse_style(text) for text in self.styles]

    def check(self, upload: Upload) -> None:
        """Refuse a mixture that is none.

        Raises:
            Problem: If there is no style, or the weights sum to zero.
        """
        weights = [reference.weight for reference in self.references]
        weights += [self.painting_weight] if upload.painting else []
        if not weights:
            raise Problem("invalid-parameter", "style: name one, or send the part 'painting'")
        named = weights[: len(self.styles)]
        if any(abs(sum(part)) < 1e-9 or not math.isfinite(sum(part))
               for part in (weights, named) if part):  # fmt: skip
            raise Problem("invalid-parameter", "style: the weights must not sum to zero")

    @property
    def values(self) -> dict[str, Any]:
        """Return it as values that JSON can hold; `Order(**values)` is the same again."""
        return asdict(self)


async def read_order(
    style: Styles = [],  # noqa: B006 - FastAPI copies it.
    alpha: Alpha = 1.0,
    max_side: MaxSide = None,
    format: Format = "jpeg",
    quality: Quality = 90,
    painting_weight: PaintingWeight = 1.0,
) -> Order:
    """Read the parameters of a request."""
    return Order(tuple(style), alpha, max_side, format, quality, painting_weight)


def parse_style(text: str) -> Reference:
    """Read `irises` or `irises=0.7`.

    Raises:
        Problem: If the weight is not a finite number.
    """
    match = re.fullmatch(r"(.+)=([^=]*)", text)
    if match is None:
        return Reference(text)
    try:
        weight = float(match[2])
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight):
        raise Problem("invalid-parameter", f"style: {match[2][:40]!r} is not a weight")
    return Reference(match[1], weight)
