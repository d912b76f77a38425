"""Settings of the use cases, each validated in one place; importing this is quick."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from adain.config import (
    DEFAULT_MODEL,
    JPEG_QUALITY,
    MIN_SIDE,
    Controls,
    Repainting,
    check_settings,
    same,
    setting,
    settings_of,
)

DATABASE_VARIABLE = "ADAIN_DATABASE"

MAX_THREADS = 64
"""Threads that may be asked for."""

QUALITIES = ("fast", "auto", "best")
"""One pass; one pass that is optimised further where it is not good enough; always optimised."""


@dataclass(frozen=True)
class StylizeConfig(Repainting):
    """How photos are stylized and written.

    Attributes:
        model: Name of a shipped model, or the path of a decoder file.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        format: Format of the result, by the name of its suffix; None goes by the file name.
        jpeg_quality: Of JPEG, WebP and AVIF.
        overwrite: Whether a result may replace a file.
        bits: Bits of a channel of the result: 8, or 16 for PNG and TIFF.
        keep_metadata: Whether the facts of the photo go into the result, never its place.
        provenance: Whether the result says what made it.
        memory: Bytes that the process may use; None uses up to half of what is free.
        quality: One of `QUALITIES`. All but `fast` leave out what a render has no place for.
        adapter: Whether to paint with what was learnt of the painting, where there is any.
    """

    model: str = setting(
        DEFAULT_MODEL, "A shipped or imported model, or a decoder file.", metavar="NAME|PATH"
    )
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps.", metavar="D")
    format: str | None = setting(
        None, "jpg, png, webp, tiff, bmp or avif; by default that of the photo.", metavar="F"
    )
    jpeg_quality: int = setting(
        JPEG_QUALITY, "{low} to {high}; for WebP and AVIF too.", 1, high=100, metavar="Q"
    )
    overwrite: bool = setting(False, "Replace files that exist.")
    bits: int = setting(
        8, "Bits of a channel; 16 in PNG and TIFF.", choices=(8, 16), metavar="8|16"
    )
    keep_metadata: bool = setting(
        False, "Copy date, camera, author and rights of the photo; never GPS."
    )
    provenance: bool = setting(True, "Do not write into the file what made it.")
    memory: int | None = setting(
        None, "Most memory to use, as 2G or 512M; by default half of what is free.", metavar="SIZE"
    )
    quality: str = setting(
        "fast",
        "fast: one pass; best: optimised, slow; auto: optimised where one pass is not good enough.",
        choices=QUALITIES,
        metavar="Q",
    )
    adapter: bool = setting(True, "Paint without what was learnt of the painting.", added=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quality != "fast" and (name := self._one_pass_only()):
            raise ValueError(
                f"--{name} works with one pass only; leave it out, or use --quality fast"
            )

    def _one_pass_only(self) -> str | None:
        """Return the name of an option that is set and that a render cannot follow."""
        controls = self.controls
        for name, used in (
            ("strength", has_strength(self.alpha, controls.strength)),
            ("mask", bool(controls.masks)),
            ("style NAME@PART", bool(controls.regions)),
            ("only", controls.only != Controls.only),
            ("stroke", controls.stroke != Controls.stroke),
            ("style-size", self.style_side != Repainting.style_side),
            ("memory", self.memory is not None),
        ):
            if used:
                return name
        return None


def has_strength(alpha: float, picture: object | None) -> bool:
    """Return whether a strength is asked for, which a render, unlike one pass, cannot have.

    Args:
        alpha: Strength everywhere.
        picture: A picture of the strength, if there is one.
    """
    return alpha != StylizeConfig.alpha or picture is not None


def parse_memory(text: str) -> int:
    """Return the bytes that a size stands for: `2G`, `512M`, `1.5GiB`; units are powers of 1024.

    Raises:
        ValueError: If it is not such a size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match:
        raise ValueError(f"memory must be a size such as 2G or 512M, got {text!r}")
    number, unit = match.groups()
    return int(float(number) * 1024 ** " KMGT".index(unit.upper() or " "))


@dataclass(frozen=True)
class RenderConfig:
    """How a render starts, and how it is kept.

    Attributes:
        init: `one-pass`, `photo`, `noise`, or the path of a picture.
        max_side: Longest side of the result in pixels; larger photos are made smaller first.
        save_every: Steps between saves of the picture and the checkpoint; None saves at the end.
        resume: Whether to go on from the checkpoint beside the result.
        jpeg_quality: Of JPEG, WebP and AVIF.
        overwrite: Whether the result may replace a file.
    """

    init: str = setting("one-pass", "one-pass, photo, noise, or a picture.", metavar="START")
    max_side: int = setting(
        1024,
        "Longest side; larger photos are shrunk first.",
        MIN_SIDE,
        unit="pixels",
        metavar="PX",
    )
    save_every: int | None = setting(
        None, "Save picture and checkpoint every N steps.", 1, metavar="N"
    )
    resume: bool = setting(False, "Go on from the checkpoint beside the result.")
    jpeg_quality: int = same(StylizeConfig, "jpeg_quality")
    overwrite: bool = same(StylizeConfig, "overwrite")

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class InspectConfig:
    """Options of `adain inspect`.

    Attributes:
        layer: Whose feature maps and Gram matrix.
        maps: Feature maps, at most; those of the strongest channels.
        max_side: Longest side at which the photo is looked at, in pixels.
        iterations: Steps for each reconstruction.
    """

    layer: str = setting("relu3_1", "Whose maps are shown: relu1_1 ... relu5_1.", metavar="LAYER")
    maps: int = setting(32, "Feature maps, at most.", 1, high=512, metavar="N")
    max_side: int = setting(
        512, "Longest side; larger photos are shrunk first.", 32, high=2048, metavar="PX"
    )
    iterations: int = setting(100, "Steps for each reconstruction.", 1, high=10_000, metavar="N")

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class CompareConfig:
    """In which ways `adain compare` makes a picture.

    Attributes:
        alphas: Strengths of the one pass.
        steps: Budgets of renders: steps at each scale, at most.
        max_side: Longest side of every picture in pixels.
    """

    alphas: tuple[float, ...] = (0.5, 0.75, 1.0)
    steps: tuple[int, ...] = (20, 100)
    max_side: int = 512

    def __post_init__(self) -> None:
        for alpha in self.alphas:
            settings_of(Repainting)["alpha"].check("strengths", alpha)
        for steps in self.steps:
            if not 1 <= steps <= 10_000:
                raise ValueError(f"steps must be from 1 to 10000, got {steps}")
        if max(len(self.alphas), len(self.steps)) > 9:
            raise ValueError("at most 9 strengths and 9 steps fit on a sheet")
        if not 32 <= self.max_side <= 2048:
            raise ValueError(f"max-side must be from 32 to 2048, got {self.max_side}")


@dataclass(frozen=True)
class IngestConfig:
    """How pictures come into the gallery.

    Attributes:
        recursive: Whether the folders in a folder are searched too.
        jobs: Threads that decode and measure pictures; by default one for each core, up to 8.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`, for the encoder.
        dry_run: Whether to decode and report only, and to write nothing.
    """

    recursive: bool = False
    jobs: int = setting(
        min(os.cpu_count() or 2, 8), "Threads that decode and measure.", 1, high=MAX_THREADS
    )
    device: str = same(StylizeConfig, "device")
    dry_run: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


ASSIGNMENTS = ("every", "round-robin", "random", "nearest")
"""Which of the styles of a batch a photo gets; all but the first give one."""


@dataclass(frozen=True)
class BatchConfig:
    """Which photos of a folder are repainted, in which styles, and by how many threads.

    Attributes:
        recursive: Whether the folders in the folder are searched too.
        include: Only photos whose name, or path if a glob has a slash, fits one; empty takes all.
        exclude: No photos and no folders that fit one of these.
        assign: One of `ASSIGNMENTS`.
        per_photo: How many different styles a photo gets at random.
        seed: What chance begins with.
        jobs: Photos that are worked on at the same time; None is one for each core, at most 8.
        dry_run: Whether only to say what would be made.
    """

    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    assign: str = "every"
    per_photo: int = 1
    seed: int = 0
    jobs: int | None = setting(
        None,
        "Photos at the same time; by default one for each core.",
        1,
        high=MAX_THREADS,
        metavar="N",
    )
    dry_run: bool = False

    def __post_init__(self) -> None:
        check_settings(self)
        if self.assign not in ASSIGNMENTS:
            known = ", ".join(ASSIGNMENTS)
            raise ValueError(f"assign must be one of {known}, got {self.assign!r}")
        if self.per_photo < 1 or (self.per_photo > 1 and self.assign != "random"):
            raise ValueError(
                f"per-photo must be at least 1, and 1 unless styles are assigned at random, "
                f"got {self.per_photo}"
            )


def threads_each(jobs: int) -> int:
    """Return the threads of a pass when so many pictures are worked on at the same time."""
    from adain.engine.device import cores

    return max(1, cores() // jobs)


def default_database() -> str:
    """Return the path of the database that nobody has named."""
    from platformdirs import user_data_path

    return str(user_data_path("adain", appauthor=False) / "gallery.db")


def database_url(database: str | None = None) -> str:
    """Return the URL of the gallery database.

    Args:
        database: A path or a URL; by default that of `ADAIN_DATABASE`, else `gallery.db` in the
            user's data folder.
    """
    database = database or os.environ.get(DATABASE_VARIABLE) or default_database()
    if "://" not in database:
        return f"sqlite:///{Path(database).expanduser().absolute()}"
    # The driver that the extra `postgres` installs.
    return database.replace("postgresql://", "postgresql+psycopg://", 1)
