"""Learn paintings: pictures found, the decoder fine-tuned for them, the adapter kept.

target ── find_lesson ── run_lesson ── Adapter, kept in the gallery
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor

from adain.config import MIN_SIDE, STYLE_SIDE, PictureFile
from adain.engine.device import fast_bfloat16
from adain.engine.model import Model
from adain.errors import ImageError, WeightsError
from adain.imaging.picture import Picture
from adain.imaging.reading import load_image
from adain.imaging.resizing import resize_shorter_side
from adain.network.loading import load_network
from adain.network.statistics import to_tensor
from adain.network.weights import ASSETS, models_folder
from adain.painting.measuring import measure_style
from adain.painting.strokes import STROKE_SIDE
from adain.painting.stylize import stylize_picture
from adain.styles.adapter import Adapter
from adain.styles.statistics import pool_styles, stack_styles
from adain.training.config import MIN_LEARNT, Learning
from adain.training.data import CropBatches, Pictures, find_pictures
from adain.training.learn import Step, learn, learn_target
from gallery.database.adapters import target_key
from gallery.database.paintings import Painting
from gallery.errors import StylesError
from gallery.files import make_folder, write_file
from gallery.ingest.pipeline import read_file

if TYPE_CHECKING:
    from gallery.database.gallery import Gallery
    from gallery.database.queries import Group

T = TypeVar("T")

PHOTOS = ASSETS / "photos"
"""Photos that ship, for those who give none."""

MAX_PICTURES = 16
"""Paintings of a group that are shown, evenly over all: each is measured in memory."""

MAX_PHOTOS = 64
"""Photos of a folder that are learnt with, evenly over all: they stay decoded."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """An order to learn: what, and how.

    Attributes:
        gallery: Where it is kept.
        model: Whose decoder is the base.
        target: What is learnt.
        pictures: Its pictures, one or more: paths, or the content of files.
        photos: What it is learnt with.
        config: How.
        start: What was learnt before and is gone on from.
    """

    gallery: "Gallery"
    model: Model
    target: "Painting | Group"
    pictures: tuple[PictureFile, ...]
    photos: Pictures
    config: Learning
    start: Adapter | None

    @cached_property
    def checkpoint(self) -> Path:
        """Return where what is learnt so far is kept, until it is in the gallery.

        Other galleries may have other pictures of the same name.
        """
        kind = "" if isinstance(self.target, Painting) else f"{self.target.kind}-"
        name = f"{kind}{self.target.slug}.{digest_of(self.pictures)[:8]}.{self.model.base}"
        return models_folder() / "learning" / f"{name}.safetensors"


def find_lesson(
    gallery: "Gallery",
    model: Model,
    target: "Painting | Group",
    photos: Pictures,
    config: Learning,
    resume: bool = False,
) -> Lesson:
    """Find the pictures of a painting, or of all paintings of an artist or a style.

    Args:
        gallery: Where it is.
        model: Whose decoder is the base.
        target: What is to be learnt.
        photos: From `find_photos`.
        config: How.
        resume: Whether to go on from what was learnt so far, if anything was.

    Raises:
        StylesError: If no picture is at hand.
        WeightsError: If what was learnt so far is damaged.
    """
    lesson = Lesson(gallery, model, target, pictures_of(gallery, target), photos, config, None)
    if not resume:
        return lesson
    path = lesson.checkpoint
    if path.is_file():
        return replace(lesson, start=Adapter.from_bytes(path.read_bytes(), path.name))
    # A picture that is not in the gallery has no number.
    return replace(lesson, start=gallery.adapter(target, model.base) if target.id else None)


def pictures_of(gallery: "Gallery", target: "Painting | Group") -> tuple[PictureFile, ...]:
    """Return the pictures to learn a painting or a group from.

    Raises:
        StylesError: If none is at hand.
    """
    if isinstance(target, Painting):
        paintings: Sequence[Painting] = [target]
    else:
        paintings = gallery.page(group=target, limit=target.paintings)
    found = [Path(each.path) for each in paintings if each.path and Path(each.path).is_file()]
    if not found:
        raise StylesError(
            f"{target.slug}: its picture is not here, and numbers alone teach no strokes; give a "
            "picture of it"
        )
    return tuple(evenly(found, MAX_PICTURES))


def digest_of(pictures: Sequence[PictureFile]) -> str:
    """Return the sha256 of the content of pictures. Raises `ImageError` if one is gone."""
    digest = hashlib.sha256()
    for each in pictures:
        digest.update(read_file(each) if isinstance(each, Path) else each)
    return digest.hexdigest()


def find_photos(folder: Path | None = None) -> Pictures:
    """Return the photos to learn with: those of a folder, else those that ship.

    Raises:
        ImageError: If the folder holds none.
    """
    found = find_pictures(folder or PHOTOS)
    return Pictures(tuple(tuple(evenly(group, MAX_PHOTOS)) for group in found.groups))


def evenly(items: Sequence[T], most: int) -> list[T]:
    """Return at most so many of these, evenly over all."""
    step, count = max(1, len(items) / most), min(len(items), most)
    return [items[int(i * step)] for i in range(count)]


def run_lesson(
    lesson: Lesson,
    on_step: Callable[[Step], None] = lambda step: None,
    on_checkpoint: Callable[[Adapter], None] = lambda adapter: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Adapter:
    """Learn.

    Args:
        lesson: From `find_lesson`.
        on_step: Told what each step did.
        on_checkpoint: Gets what was learnt so far, now and then.
        should_stop: Asked after each step; a true answer keeps what there is.

    Raises:
        ImageError: If a picture cannot be read.
        WeightsError: If the model cannot learn, or what was learnt before does not belong to it.
    """
    network = load_network(lesson.model)
    if not network.encoder.config.embed_widths:
        raise WeightsError(f"{lesson.model.name}: its encoder has no heads for losses")
    device, config = lesson.model.device, lesson.config
    # Photos are painted at this size, so strokes are learnt at it.
    crops = CropBatches(
        lesson.photos,
        config.batch_size,
        config.crop,
        seed=config.seed + 1,
        cache=MAX_PHOTOS,
        max_side=STROKE_SIDE,
    )
    return learn(
        network.encoder,
        network.decoder,
        learn_target(network.encoder, [each.to(device) for each in _shown(lesson)]),
        lambda step: crops[step][0].to(device),
        config,
        start=lesson.start,
        on_step=on_step,
        on_checkpoint=on_checkpoint,
        should_stop=should_stop,
        mixed=fast_bfloat16(device),
    )


def keep_checkpoint(lesson: Lesson, adapter: Adapter) -> None:
    """Keep what was learnt so far in a file. Raises `OutputError`."""
    make_folder(lesson.checkpoint.parent)
    write_file(lesson.checkpoint, adapter.to_bytes())


def finish_lesson(lesson: Lesson, adapter: Adapter) -> None:
    """Keep what was learnt in the gallery. Raises `DatabaseError`."""
    lesson.gallery.keep_adapter(lesson.target, adapter)
    lesson.checkpoint.unlink(missing_ok=True)


def paint_lesson(lesson: Lesson, adapter: Adapter) -> Picture:
    """Return the first of the photos, painted as far as was learnt."""
    styles = [measure_style(lesson.model, path) for path in lesson.pictures]
    style = replace(pool_styles(stack_styles(styles)), adapters=(adapter,))
    return stylize_picture(lesson.model, load_image(lesson.photos.paths[0]), style)


def _shown(lesson: Lesson) -> list[Tensor]:
    """Return the pictures at the size at which their strokes are learnt."""
    side = max(MIN_SIDE, round(STYLE_SIDE * lesson.config.stroke))
    shown = []
    for file in lesson.pictures:
        picture = resize_shorter_side(load_image(file), side)
        if min(picture.width, picture.height) < MIN_LEARNT:
            raise ImageError(
                f"{picture.name}: too small to learn from; its sides must be at least {MIN_LEARNT} "
                "pixels"
            )
        shown.append(to_tensor(picture.pixels))
    return shown


def unlearnt(gallery: "Gallery", base: str) -> Sequence[Painting]:
    """Return the paintings whose picture is at hand and that were not learnt, by number."""
    done = gallery.learnt(base)
    found: list[Painting] = []
    after = 0
    while page := gallery.page(after=after, limit=1000):
        after = page[-1].id or 0
        found += [p for p in page if p.id not in done and p.path and Path(p.path).is_file()]
    return found


def is_learnt(gallery: "Gallery", target: "Painting | Group", base: str) -> bool:
    """Return whether a painting or a group was learnt for a decoder."""
    key = target_key(target)
    return any((each.kind, each.number) == key and each.base == base for each in gallery.adapters())


def name_of(target: "Painting | Group") -> str:
    """Return how one names a painting or a group as a style."""
    kind = "" if isinstance(target, Painting) else f"{target.kind}:"
    return f"{kind}{target.slug}"


def outcome(adapter: Adapter) -> str:
    """Return in words how the learning ended."""
    facts = adapter.facts
    learnt = f"learnt in {facts['steps']} steps, {facts['seconds']:.0f} s"
    why = {
        "settled": ", then nothing improved any more",
        "stopped": " so far",
        "not finite": ", then its loss was not finite: what was learnt before is kept",
    }
    return learnt + why.get(facts.get("ended", ""), "")
