"""Paintings that a batch learns before it paints: which, why, and where that is kept.

    jobs ── their styles ── wanted? ── claimed, learnt ── kept ── a plan whose styles have adapters

What is learnt of a painting of the gallery is kept there, and what is learnt of another picture
beside the results. Either way a second run finds it, and so does another one that is under way.
"""

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

from adain.engine.device import cores
from adain.engine.model import Model
from adain.errors import AdainError, ImageError
from adain.imaging.reading import load_image
from adain.imaging.resizing import resize_image
from adain.painting.strokes import STROKE_SIDE
from adain.styles.adapter import Adapter
from adain.training.config import Learning
from gallery.database.paintings import Painting
from gallery.errors import GalleryError, StylesError
from gallery.files import make_folder, write_file
from gallery.ingest.pipeline import read_file
from gallery.use_cases.batch import POLL, BatchJob, BatchPlan, BatchWorker
from gallery.use_cases.journal import Journal
from gallery.use_cases.references import Reference, file_slug, find_target

if TYPE_CHECKING:
    from adain.training.data import Pictures
    from gallery.database.gallery import Gallery
    from gallery.database.queries import Group

FOLDER = "adain-batch.learnt"
"""Folder, beside the journal, of what was learnt of pictures that are not in the gallery."""

FEW_PHOTOS = 4
"""A batch of fewer photos is learnt with those that ship, too."""

JUDGED = 6
"""Photos of a style that are judged, evenly over all, to foresee how many will be refused."""

LEARNING_SECONDS = 1.05
"""Processor seconds of a step of learning, at its usual four crops of 256 pixels: 1.3 of most, and
0.45 of the last, which are for fine detail."""

RENDER_SECONDS = 350.0
"""Processor seconds of a render for each megapixel of the photo as it is painted.

Both were measured in one thread of two cores of an AMD EPYC (AVX-512) beside busy processes, with
The Starry Night and Red Fuji as paintings: renders of `--quality auto` took 190 a megapixel for
photos of 256 pixels, 340 to 400 for photos of 480, 512 and 640 (`adain/README.md` has the steps).
What counts is their ratio, which machines share more or less.
"""

ENOUGH = 100_000
"""Steps that no time suffices for."""


class Place(Protocol):
    """Where what is learnt of a style is kept."""

    def find(self) -> Adapter | None:
        """Return what is kept, if anything. Raises `WeightsError` or `StylesError` if damaged."""

    def claim(self) -> AbstractContextManager[bool]:
        """Claim the learning for the block; gives False where another run is at it."""

    def keep(self, adapter: Adapter) -> None:
        """Keep what was learnt. Raises `OutputError` or `DatabaseError`."""


@dataclass(frozen=True)
class GalleryPlace:
    """The gallery, for a painting or a group of it."""

    gallery: "Gallery"
    target: "Painting | Group"
    base: str

    def find(self) -> Adapter | None:  # noqa: D102
        return self.gallery.adapter(self.target, self.base)

    def claim(self) -> AbstractContextManager[bool]:  # noqa: D102
        return self.gallery.claim_learning(self.target, self.base)

    def keep(self, adapter: Adapter) -> None:  # noqa: D102
        self.gallery.keep_adapter(self.target, adapter)


@dataclass(frozen=True)
class FolderPlace:
    """A file beside the results, for a picture that is not in the gallery."""

    journal: Journal
    name: str

    @property
    def _path(self) -> Path:
        return self.journal.folder / FOLDER / f"{self.name}.safetensors"

    def find(self) -> Adapter | None:  # noqa: D102
        try:
            return Adapter.from_bytes(self._path.read_bytes(), str(self._path))
        except FileNotFoundError:
            return None

    def claim(self) -> AbstractContextManager[bool]:  # noqa: D102
        return self.journal.claim(f"{FOLDER}/{self.name}")

    def keep(self, adapter: Adapter) -> None:  # noqa: D102
        make_folder(self._path.parent)
        write_file(self._path, adapter.to_bytes())


@dataclass(frozen=True)
class Orders:
    """What is to be learnt.

    Attributes:
        every: Whether every style is, or only those where it costs less than to render photos.
        seconds: Time for each; None for as many steps as `adain learn` takes.
    """

    every: bool
    seconds: float | None = None

    def config(self, spent: float = 0.0) -> Learning:
        """Return how to learn, after so many seconds of it."""
        if self.seconds is None:
            return Learning()
        return Learning(steps=ENOUGH, seconds=max(1.0, self.seconds - spent))

    @property
    def cost(self) -> float:
        """Return the processor seconds of learning a style."""
        if self.seconds is None:
            return LEARNING_SECONDS * Learning().steps
        return self.seconds * cores()


@dataclass(frozen=True)
class Choice:
    """What is decided about a style, and why, in words."""

    is_learnt: bool
    reason: str


def choose(orders: Orders, photos: int, refused: float, megapixels: float) -> Choice:
    """Decide whether to learn a style: whether that costs less than the renders it saves.

    Args:
        orders: How long it would be learnt.
        photos: How many it is for.
        refused: The share of them whose one pass is not good enough, in [0, 1].
        megapixels: Those of a photo as it is painted.
    """
    renders = refused * photos
    if not renders:
        return Choice(False, "one pass is good enough for the photos that were judged")
    rendering, learning = renders * megapixels * RENDER_SECONDS, orders.cost
    told = (
        f"about {max(1, round(renders))} of {photos} photos need more than one pass: "
        f"{_time(rendering)} of processor to render them, {_time(learning)} to learn it"
    )
    return Choice(learning < rendering, told)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


@dataclass(frozen=True)
class Told:
    """What is told while styles are learnt.

    Attributes:
        line: A line for people.
        share: The share of a style's learning that is done, in [0, 1].
        error: Why a style is not learnt.
        is_stopped: Asked whether to end; what was learnt so far is then kept for the next run.
    """

    line: Callable[[str], None]
    share: Callable[[float], None]
    error: Callable[[Exception], None]
    is_stopped: Callable[[], bool]


class BatchLearner:
    """Learns the styles of a batch.

    Args:
        orders: What is to be learnt.
        model: What paints.
        journal: That of the results.
        gallery: Where the pictures of styles are looked for.
        make_gallery: Opens it for writing, when something is to be kept there.
    """

    def __init__(
        self,
        orders: Orders,
        model: Model,
        journal: Journal,
        gallery: "Gallery",
        make_gallery: "Callable[[], Gallery]",
    ) -> None:
        self._orders, self._model, self._journal = orders, model, journal
        self._gallery, self._make_gallery = gallery, make_gallery
        self._decided: set[int] = set()

    def __call__(self, plan: BatchPlan, jobs: Sequence[BatchJob], told: Told) -> BatchPlan:
        """Return the plan with what was learnt of the styles of its jobs, now or before."""
        worker = BatchWorker(plan, self._model, self._journal)
        adapters = dict(plan.styles.adapters)
        for number, its in self._by_style(worker, jobs).items():
            target = plan.styles.targets.get(number)
            if number in adapters or target is None or told.is_stopped():
                continue
            try:
                adapter = self._adapter(_Style(plan, number, target, its, worker), told)
            except (AdainError, GalleryError) as error:
                told.error(error)
                continue
            if adapter is not None:
                adapters[number] = adapter
        if len(adapters) == len(plan.styles.adapters):
            return plan
        return replace(plan, styles=replace(plan.styles, adapters=adapters))

    def _by_style(
        self, worker: BatchWorker, jobs: Sequence[BatchJob]
    ) -> Mapping[int, list[BatchJob]]:
        found: dict[int, list[BatchJob]] = defaultdict(list)
        for job in jobs:
            with suppress(ImageError):  # It will be told when it is painted.
                found[worker.style_of(job)].append(job)
        return found

    def _adapter(self, style: "_Style", told: Told) -> Adapter | None:
        """Return what was learnt of a style, learning it first if that is wanted."""
        place = self._place(style.target)
        adapter = place.find()
        if adapter is not None or style.number in self._decided:
            return adapter
        self._decided.add(style.number)  # Once, however many photos come while it is watched.
        if style.plan.batch.dry_run:
            if self._orders.every:
                told.line(f"{style.slug}: would be learnt first")
            return None
        if self._is_without_picture(style, told):
            return None
        if not self._orders.every:
            choice = self._foresee(style, told)
            if choice.reason:
                way = "it is learnt" if choice.is_learnt else "it is not learnt"
                told.line(f"{style.slug}: {way}, {choice.reason}")
            if not choice.is_learnt:
                return None
        return self._learn(place, style, told)

    def _place(self, target: "Painting | Group") -> Place:
        """Return where what is learnt of a style is kept."""
        base = self._model.base
        if target.id:
            return GalleryPlace(self._make_gallery(), target, base)
        assert isinstance(target, Painting)
        return FolderPlace(self._journal, f"{target.slug}.{target.sha256[:16]}.{base}")

    def _is_without_picture(self, style: "_Style", told: Told) -> bool:
        from gallery.use_cases.learn import pictures_of

        try:
            pictures_of(self._gallery, style.target)
        except StylesError as error:
            if any(not style.worker.is_made(job, style.number) for job in style.jobs):
                told.line(f"{error}; painted without")
            return True
        return False

    def _foresee(self, style: "_Style", told: Told) -> Choice:
        """Judge the one pass of some photos, and decide by what it would cost to do better."""
        from adain.quality.gate import decide
        from gallery.use_cases.learn import evenly
        from gallery.use_cases.refine import measure_photo

        left = [job.photo for job in style.jobs if not style.worker.is_made(job, style.number)]
        statistics = style.plan.styles.style(self._model, style.number).statistics
        side = min(style.plan.config.max_side or STROKE_SIDE, STROKE_SIDE)
        refused, megapixels = [], []
        for name in evenly(left, JUDGED):
            if told.is_stopped():
                break
            with suppress(ImageError):  # It will be told when it is painted.
                photo = resize_image(load_image(style.plan.source / name, side=side), side)
                measure = measure_photo(self._model, photo, statistics)
                refused.append(not decide(measure).accepted)
                megapixels.append(photo.width * photo.height / 1e6)
        if not refused or told.is_stopped():
            return Choice(False, "")
        return choose(self._orders, len(left), fmean(refused), fmean(megapixels))

    def _learn(self, place: Place, style: "_Style", told: Told) -> Adapter | None:
        """Learn a style, or wait until another run has, or died over it."""
        is_waiting = False
        while not told.is_stopped():
            with place.claim() as ours:
                adapter = place.find()  # Another run may have learnt it a moment ago.
                if adapter is not None or ours:
                    return adapter or self._study(place, style, told)
            if not is_waiting:
                told.line(f"{style.slug}: another run is learning it; waiting for it")
                is_waiting = True
            time.sleep(POLL)
        return None

    def _study(self, place: Place, style: "_Style", told: Told) -> Adapter | None:
        from gallery.use_cases.learn import find_lesson, keep_checkpoint, outcome, run_lesson

        photos = _content([style.plan.source / job.photo for job in style.jobs])
        lesson = find_lesson(
            self._gallery, self._model, style.target, photos, self._orders.config(), resume=True
        )
        if lesson.start is not None:  # The time that a run was given before it was stopped counts.
            spent = float(lesson.start.facts.get("seconds", 0))
            lesson = replace(lesson, config=self._orders.config(spent))
        told.line(f"{style.slug}: is being learnt with {len(photos)} photos")
        adapter = run_lesson(
            lesson,
            lambda step: told.share(step.share),
            lambda adapter: keep_checkpoint(lesson, adapter),
            told.is_stopped,
        )
        is_stopped = adapter.facts["ended"] == "stopped"
        told.line(
            f"{style.slug}: {outcome(adapter)}"
            + ("; the same command goes on from there" if is_stopped else "")
        )
        if is_stopped:
            keep_checkpoint(lesson, adapter)
            return None
        place.keep(adapter)
        lesson.checkpoint.unlink(missing_ok=True)
        return adapter


@dataclass(frozen=True)
class _Style:
    """A style of a batch, and what is to be made in it."""

    plan: BatchPlan
    number: int
    target: "Painting | Group"
    jobs: Sequence[BatchJob]
    worker: BatchWorker

    @property
    def slug(self) -> str:
        return self.plan.styles.slugs[self.number]


def find_targets(
    references: Sequence[Reference], gallery: "Gallery"
) -> "dict[int, Painting | Group]":
    """Return what can be learnt of styles, by their place.

    Args:
        references: The styles of a batch.
        gallery: Where those are that no file is named of.
    """
    targets: dict[int, Painting | Group] = {}
    for i, reference in enumerate(references):
        if not reference.is_file:
            targets[i] = find_target(gallery, reference.name)
            continue
        path = Path(reference.name)
        sha256 = hashlib.sha256(read_file(path)).hexdigest()
        known = gallery.find_picture(sha256)
        slug = file_slug(reference)
        there = str(path.absolute())
        targets[i] = replace(known or Painting(slug, slug, sha256=sha256), path=there)
    return targets


def _content(photos: Sequence[Path]) -> "Pictures":
    """Return the photos to learn with: those that will be painted, with others if they are few."""
    from adain.training.data import Pictures
    from gallery.use_cases.learn import MAX_PHOTOS, PHOTOS, evenly

    chosen = evenly(list(dict.fromkeys(photos)), MAX_PHOTOS)
    if len(chosen) < FEW_PHOTOS:
        chosen += sorted(PHOTOS.glob("*.jpg"))[: FEW_PHOTOS - len(chosen)]
    return Pictures((tuple(chosen),))
