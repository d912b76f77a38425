"""Settings with their limits, defaults and help, and the constants that rooms share.

A setting is one entry, a field of a frozen dataclass made by `setting`: command line, HTTP
parameters, client, batch journal and checks read it from there. Quick to import.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
"""Layers whose statistics make a style."""

LOSS_LAYERS = (*STYLE_LAYERS, "relu5_1")
"""Layers that perceptual losses may use."""

VGG19 = (2, 2, 4, 4, 1)
"""Convolutions of each block of a VGG-19, up to `relu5_1`."""

STRIDE = 8
"""Pixels per position at relu4_1; sides are padded to a multiple of it."""

MIN_SIDE = 16
"""Smallest side in pixels: relu4_1 then has two positions a side, which reflection needs."""

STYLE_SIDE = 512
"""Paintings are measured at this shorter side in pixels, smaller ones as they are.

Strokes have a size in pixels, so one rule for all makes styles comparable.
"""

COLOR_MODES = ("none", "luminance", "linear", "histogram")
"""Ways to keep the photo's colours (`adain.imaging.color`)."""

DEFAULT_MODEL = "compact"
"""Name of the shipped model that is taken unless another one is named."""

JPEG_QUALITY = 95
"""Of JPEG, WebP and AVIF files."""

FACE, PERSON, BACKGROUND = "face", "person", "background"

REGIONS = (FACE, PERSON, BACKGROUND)
"""Parts of a photo that can be found (`adain.painting.regions`)."""

SUBJECT = "subject"
"""Another word for the person: what stands in front."""

REST = "rest"
"""Where a style goes that takes what the others leave."""

PLACES = (*REGIONS, SUBJECT, REST)
"""Words for where a style goes, after an `@`."""

EVERYWHERE = "all"
"""As the part of a photo that is painted: the whole."""

NOTHING = "none"
"""As the part of a photo that is kept."""

KEPT_STRENGTH = 0.4
"""Share of the strength that a part which is kept gets."""

PRECISIONS = ("auto", "float32", "bfloat16")
"""Of numbers; auto is bfloat16 where the device is fast at it."""

PictureFile = Path | bytes
"""A picture that goes with a photo: a file or its content."""


@dataclass(frozen=True)
class Setting:
    """Limits and help of a setting; its name and default are those of its field.

    Attributes:
        help: A sentence for users, in which `{low}`, `{high}` and `{choices}` are filled in.
        low: Least value.
        high: Greatest value.
        choices: All values there are; empty if there are limits or none.
        or_zero: Whether 0 is a value, too, below the least one.
        unit: Of the limits.
        metavar: What stands for the value in help; None takes the type.
        option: Its name for users where that is not the field's.
        added: Whether it came after results were first kept: where it has its default it is no
            part of their recipes, so that those of earlier versions still count.
    """

    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()
    or_zero: bool = False
    unit: str = ""
    metavar: str | None = None
    option: str | None = None
    added: bool = False

    @property
    def text(self) -> str:
        """Return the help with its values."""
        low, high = (each if each is None else f"{each:g}" for each in (self.low, self.high))
        choices = alternatives([str(choice) for choice in self.choices]) if self.choices else ""
        return self.help.format(low=low, high=high, choices=choices)

    def check(self, name: str, value: Any) -> None:
        """Raise `ValueError` unless a value is within the limits, or one of the choices."""
        if self.choices:
            if value not in self.choices:
                one = alternatives([str(choice) for choice in self.choices])
                raise ValueError(f"{name} must be {one}, got {value!r}")
            return
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        if (self.or_zero and value == 0) or (low <= value <= high and abs(value) < math.inf):
            return
        zero, unit = "0 or " if self.or_zero else "", f" {self.unit}" if self.unit else ""
        limits = f"{zero}from {low:g} to {high:g}" if high < math.inf else f"at least {low:g}"
        raise ValueError(f"{name} must be {limits}{unit}, got {value}")


def setting(default: Any, help: str, low: float | None = None, **rest: Any) -> Any:
    """Return a field of a dataclass that is a setting; for the rest see `Setting`."""
    return field(default=default, metadata={"setting": Setting(help, low, **rest)})


def same(config: type, name: str) -> Any:
    """Return a field that is the same setting as that of another dataclass."""
    return field(default=getattr(config, name), metadata={"setting": settings_of(config)[name]})


def settings_of(config: Any) -> dict[str, Setting]:
    """Return the settings of a dataclass, or of one of its instances, by the names of fields."""
    found = ((each.name, each.metadata.get("setting")) for each in fields(config))
    return {name: rule for name, rule in found if rule is not None}


def check_settings(config: Any) -> None:
    """Raise `ValueError` unless every setting of a dataclass has a value it can have.

    None stands for a setting that is not made, and passes where the default is None, too.
    """
    for name, rule in settings_of(config).items():
        value = getattr(config, name)
        if isinstance(value, bool | str) and not rule.choices:
            continue
        if value is not None or getattr(type(config), name) is not None:
            rule.check((rule.option or name).replace("_", "-"), value)


def _plain(region: str) -> str:
    return PERSON if region == SUBJECT else region


@dataclass(frozen=True)
class Controls:
    """How a photo is repainted, besides its style and strength.

    Attributes:
        strength: Grey picture of the photo's shape: the strength is multiplied by it. White is 1;
            where it is black, the photo stays as it is.
        masks: Where each style goes, in the order of the styles: one grey picture for each, or
            one picture with a colour for each, from dark to bright. None: one style everywhere.
        regions: Where each style goes, found in the photo, in the order of the styles and each
            once: of `PLACES`. Empty: everywhere, or where masks say.
        feather: Pixels of the photo over which the regions of masks fade into one another.
        stroke: Size of the strokes against the picture: 1 is as on a picture of 1024 pixels
            (`adain.painting.strokes`), 2 twice as large; 0 is the finest, whatever the size.
        preserve_color: What of the photo's colours is kept, one of `COLOR_MODES`.
        photorealistic: Whether only colours change, and edges stay those of the photo.
        keep: `face`, or `face=` and a share in [0, 1] by which the strength of faces is
            multiplied, by default `KEPT_STRENGTH`; `none` keeps nothing.
        only: What is painted: `all`, or one of `REGIONS`; `subject` is the person.
        smooth: How far faint strokes and noise are evened out.
        sharpen: How much edges and strokes are stressed.
    """

    strength: PictureFile | None = None
    masks: tuple[PictureFile, ...] = ()
    regions: tuple[str, ...] = ()
    feather: float = setting(
        8.0, "Pixels over which the regions of masks blend.", 0, high=1000, metavar="PX"
    )
    # Beyond, a picture falls apart or takes the memory.
    stroke: float = setting(
        1.0,
        "Size of the strokes: 2 doubles it, 0.5 halves it, 0 is the finest.",
        0.125,
        high=8,
        or_zero=True,
        metavar="FACTOR",
    )
    preserve_color: str = setting(
        "none", "Keep the photo's colours: {choices}.", choices=COLOR_MODES, metavar="MODE"
    )
    photorealistic: bool = setting(False, "Change colours only, not edges.")
    keep: str = setting(
        NOTHING,
        f"Keep faces recognisable: face, or face=STRENGTH, by default {KEPT_STRENGTH:g}.",
        metavar="face[=S]",
        added=True,
    )
    only: str = setting(
        EVERYWHERE,
        "What is painted, the rest stays as it is: {choices}.",
        choices=(EVERYWHERE, *REGIONS, SUBJECT),
        metavar="PART",
        added=True,
    )
    smooth: float = setting(
        0.0, "{low} to {high}: even out faint strokes and noise.", 0, high=1, metavar="S"
    )
    sharpen: float = setting(
        0.0, "{low} to {high}: stress edges and strokes.", 0, high=3, metavar="S"
    )

    def __post_init__(self) -> None:
        check_settings(self)
        object.__setattr__(self, "only", _plain(self.only))
        object.__setattr__(self, "regions", tuple(map(_plain, self.regions)))
        for word in self.regions:
            if word not in PLACES:
                raise ValueError(f"a style can be for {alternatives(PLACES)}, got {word!r}")
        if len(set(self.regions)) < len(self.regions):
            raise ValueError(f"two styles for the same part: {', '.join(self.regions)}")
        only = "--only" if self.only != EVERYWHERE else ""
        keep = "--keep" if self.kept is not None else ""
        where = "--style NAME@PART" if self.regions else ""
        for first, second in (
            (only or keep, "a picture of the strength" if self.strength is not None else ""),
            (only or where, "--mask" if self.masks else ""),
            (only, where),
        ):
            if first and second:
                raise ValueError(f"{first} and {second} both say where; leave one of them out")

    @property
    def kept(self) -> float | None:
        """Return the share of the strength that faces get; None if they are as all else.

        Raises:
            ValueError: If `keep` is not what it can be.
        """
        if self.keep == NOTHING:
            return None
        part, equals, share = self.keep.partition("=")
        try:
            strength = float(share) if equals else KEPT_STRENGTH
        except ValueError:
            strength = math.nan
        if part != FACE or not 0 <= strength <= 1:
            raise ValueError(
                f"keep must be face, or face=STRENGTH with one from 0 to 1, got {self.keep!r}"
            )
        return strength

    @property
    def finds_regions(self) -> bool:
        """Return whether parts of the photo have to be found in it."""
        return self.only != EVERYWHERE or self.kept is not None or bool(self.regions)


@dataclass(frozen=True)
class Repainting:
    """How a photo is repainted, with its strength and sizes.

    Attributes:
        alpha: Strength: 0 keeps the photo, 1 is the full style; values beyond extrapolate. The
            network was trained at 1.
        max_side: Longest side of the result in pixels; larger photos are made smaller.
            None keeps the photo's size.
        style_side: Shorter side in pixels at which paintings are measured; smaller ones as they
            are. They are measured in one piece, in memory.
        controls: The rest.
    """

    alpha: float = setting(
        1.0,
        "Strength: 0 keeps the photo, 1 is the full style; from -1 to 3.",
        -1,
        high=3,
        metavar="A",
        option="strength",
    )
    max_side: int | None = setting(
        None,
        "Longest side; larger photos are made smaller.",
        MIN_SIDE,
        unit="pixels",
        metavar="PX",
    )
    style_side: int = setting(
        STYLE_SIDE,
        "Shorter side at which paintings are measured: larger gives broader strokes.",
        MIN_SIDE,
        high=4096,
        unit="pixels",
        metavar="PX",
        option="style_size",
    )
    controls: Controls = Controls()

    def __post_init__(self) -> None:
        check_settings(self)


def alternatives(words: Sequence[str]) -> str:
    """Return words as a choice: `a, b or c`."""
    return f"{', '.join(words[:-1])} or {words[-1]}"


def check_alpha(alpha: float) -> float:
    """Return a strength that gives a picture. Raises `ValueError` if it is beyond its limits."""
    settings_of(Repainting)["alpha"].check("alpha", alpha)
    return alpha
