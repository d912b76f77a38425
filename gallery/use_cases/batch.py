"""Folders of photos.

    find_photos ── plan ── threads or Ray: read, decode, network, encode, write ── steps

Every thread takes a photo from its file to its result, so one decodes while another one is in
the network, and no queue of pictures fills the memory. All use one engine; on a CPU its passes
share the cores, one or a few for each photo, which loses nothing to waiting. What is complete is
known from `gallery.use_cases.journal`.
"""

import hashlib
import json
import math
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from adain.config import FACE, Controls, settings_of
from adain.engine.device import cores, release_memory, resident_memory
from adain.engine.model import Model
from adain.errors import ImageError, ImageExistsError
from adain.imaging.metadata import Notes
from adain.imaging.picture import Picture
from adain.imaging.reading import SUFFIXES, load_image
from adain.imaging.writing import save_image
from adain.painting.measuring import measure_style
from adain.painting.strokes import needed_side
from adain.painting.stylize import stylize_picture
from adain.painting.tiling import memory_limit
from adain.styles.adapter import Adapter
from gallery.config import BatchConfig, StylizeConfig
from gallery.database.paintings import Painting
from gallery.database.similar import nearest
from gallery.database.vectors import Vectors, pack_vector
from gallery.errors import GalleryError, OutputError
from gallery.files import make_folder
from gallery.ingest.pipeline import read_file
from gallery.signals import hold_interrupts
from gallery.use_cases.journal import (
    JOURNAL,
    Journal,
    JournalEntry,
    file_digest,
    file_stamp,
    photo_stamp,
)
from gallery.use_cases.outputs import plan_outputs
from gallery.use_cases.provenance import result_notes
from gallery.use_cases.styles import ResolvedStyle, join_styles, kept_style

if TYPE_CHECKING:
    from gallery.database.queries import Group

MAX_JOBS = 8
"""Photos at the same time unless more are asked for: each takes its memory."""

POLL = 0.5
"""Seconds between two looks at a watched folder, or at what another run is making."""

SETTLED = 1.0
"""Seconds for which a file of a watched folder must stay the same before it is read."""

LOOK_SECONDS = 0.1
"""Seconds between two looks whether a run was interrupted."""

CHECKED = 8
"""Photos between two looks at the memory of the process."""

GROWTH = 1.25
"""Growth of that memory beyond which what is free of it is given back."""

OUTSIDE = ("device", "overwrite", "format", "memory")
"""Settings that the content of a result does not depend on, or that its name tells."""


@dataclass(frozen=True, eq=False)
class Styles:
    """The styles of a batch.

    Attributes:
        slugs: Their names in the names of results, all different.
        vectors: Their statistics, shape `(N, D)`; colours that are not known are NaN.
        together: Whether all vectors are one style, each for a region of `Controls.regions`.
        adapters: What was learnt of some, by their place.
        targets: What can be learnt, and rendered with, of some, by their place. A picture that is
            not in the gallery is a painting without a number.
    """

    slugs: tuple[str, ...]
    vectors: Vectors
    adapters: Mapping[int, Adapter] = field(default_factory=dict)
    targets: Mapping[int, "Painting | Group"] = field(default_factory=dict)
    together: bool = False

    def __post_init__(self) -> None:
        if len(self.numbers) < len(self.slugs):
            slug = next(s for i, s in enumerate(self.slugs) if self.numbers[s] != i)
            raise OutputError(f"two styles are called {slug}; rename the file of one")

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each style by its slug."""
        return {slug: i for i, slug in enumerate(self.slugs)}

    @cached_property
    def digest(self) -> bytes:
        """Identify all of them together."""
        return hashlib.sha256(self.packed()).digest()

    def style(self, model: Model, number: int) -> ResolvedStyle:
        """Return a style, ready to paint with."""
        each = [
            kept_style(
                model, self.slugs[number], self.vectors[i : i + 1], adapter=self.adapters.get(i)
            )
            for i in self.rows(number)
        ]
        return replace(join_styles(each, None), slug=self.slugs[number])

    def rows(self, number: int) -> range:
        """Return which vectors belong to a style."""
        return range(len(self.vectors)) if self.together else range(number, number + 1)

    def picture(self, number: int) -> Path | None:
        """Return the picture of a style that is one painting, if it is at hand."""
        target = self.targets.get(number)
        path = target.path if isinstance(target, Painting) else None
        return Path(path) if path and os.path.isfile(path) else None

    def packed(self) -> bytes:
        """Return the numbers of all of them that are known."""
        return b"".join(map(pack_vector, self.vectors))


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """A batch, as every worker gets it.

    Attributes:
        source: Folder of the photos.
        output: Folder of the results.
        styles: What to choose from.
        config: How photos are stylized and written.
        batch: Which photos get which styles.
    """

    source: Path
    output: Path
    styles: Styles
    config: StylizeConfig
    batch: BatchConfig


@dataclass(frozen=True)
class BatchJob:
    """One result to make.

    Attributes:
        photo: Path of the photo in its folder, with `/`.
        style: Number of the style; None is the nearest.
    """

    photo: str
    style: int | None


@dataclass(frozen=True)
class BatchStep:
    """The outcome of a job.

    Attributes:
        job: The job.
        status: `done`, `skipped` for what was complete, `failed`, `new` in a dry run, or `busy`
            while another run makes it.
        output: The result.
        style: Slug of its style.
        width: Width of the result in pixels.
        height: Height of the result in pixels.
        seconds: Time from the photo to the result.
        error: Why it failed.
        note: What was asked for and not found in the photo; empty if nothing.
    """

    job: BatchJob
    status: str
    output: Path | None = None
    style: str = ""
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    error: Exception | None = None
    note: str = ""


Run = Callable[[Sequence[BatchJob]], Generator[BatchStep]]
"""A function that carries jobs out, in any order: by threads here, or by Ray."""


def find_photos(
    source: Path, output: Path, config: BatchConfig, on_error: Callable[[ImageError], None]
) -> Iterator[str]:
    """Yield the paths of the photos in a folder, relative to it, with `/`, in order.

    Hidden files, links to folders (which may run in circles), the folder of the results and those
    of other batches are left out.

    Args:
        source: The folder.
        output: Folder of the results.
        config: Which photos.
        on_error: Told about folders that cannot be read.
    """

    def refuse(error: OSError) -> None:
        on_error(ImageError(f"{error.filename}: cannot be read ({error.strerror}); skipped"))

    results = os.path.realpath(output)
    for place, folders, names in os.walk(source, onerror=refuse):
        prefix = Path(place).relative_to(source)
        folders[:] = sorted(
            name
            for name in folders
            if config.recursive
            and not name.startswith(".")
            and not _fits((prefix / name).as_posix(), config.exclude)
            and os.path.realpath(os.path.join(place, name)) != results
            and not os.path.lexists(os.path.join(place, name, JOURNAL))
        )
        for name in sorted(names):
            path = (prefix / name).as_posix()
            if (
                os.path.splitext(name)[1].lower() in SUFFIXES
                and not name.startswith(".")
                and (not config.include or _fits(path, config.include))
                and not _fits(path, config.exclude)
            ):
                yield path


def _fits(path: str, globs: Sequence[str]) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatchcase(path if "/" in g.rstrip("/") else name, g.rstrip("/")) for g in globs)


def plan_jobs(
    plan: BatchPlan, photos: Iterable[str], journal: Journal, start: int = 0
) -> list[BatchJob]:
    """Decide which styles each photo gets.

    At random, that depends on the seed, the photo's path and the list of styles alone. In turns,
    a photo keeps the style that it was given before, whatever photos have come since.

    Args:
        plan: The styles, and how they are assigned.
        photos: From `find_photos`.
        journal: Knows which style a photo was given before.
        start: Where the turns begin.
    """
    count = len(plan.styles.slugs)
    every = range(count)
    jobs: list[BatchJob] = []
    for turn, photo in enumerate(photos, start):
        chosen: Iterable[int | None]
        match plan.batch.assign:
            case "nearest":
                chosen = [None]
            case "random":
                chosen = _draw(plan.batch.seed, photo, plan.batch.per_photo, count)
            case "round-robin":
                before = journal.style_of(photo)
                chosen = [plan.styles.numbers.get(before or "", turn % count)]
            case _:
                chosen = every
        jobs += [BatchJob(photo, style) for style in chosen]
    return jobs


def _draw(seed: int, photo: str, count: int, styles: int) -> list[int]:
    """Draw different numbers below `styles`, the same on every machine and in every version."""
    drawn: dict[int, None] = {}
    attempt = 0
    while len(drawn) < min(count, styles):
        text = f"{seed}\n{photo}\n{attempt}"
        digest = hashlib.sha256(text.encode(errors="surrogateescape")).digest()
        drawn[int.from_bytes(digest[:8]) % styles] = None
        attempt += 1
    return list(drawn)


def result_path(
    photo: str, style: str, format: str | None = None, bits: int = 8
) -> tuple[str, str]:
    """Return the path of a result in the folder of the results, and its format.

    It is called as `adain stylize` would call it. In another format than the photo's it keeps
    the photo's suffix too: `a.gif` and `a.png` are then two results, whichever comes first.

    Raises:
        OutputError: If there is no such format, or it does not have so many bits.
    """
    path = Path(photo)
    planned = plan_outputs([photo], style, f"{path.parent}/", format, bits)[0]
    assert planned.path is not None
    if planned.path.suffix == path.suffix:
        return planned.path.as_posix(), planned.format
    return (path.parent / f"{path.name}.{style}.{planned.format}").as_posix(), planned.format


class BatchWorker:
    """Makes results; one for all threads of a process."""

    def __init__(self, plan: BatchPlan, model: Model, journal: Journal) -> None:
        self._plan = plan
        self._model = model
        self._journal = journal
        self._settings = recipe_settings(plan.config)
        self._rendering = Lock()  # One render takes all cores, and much of the memory.
        # Once, or what the batch itself has come to hold would count as not free.
        jobs = plan.batch.jobs or default_jobs()
        self._memory = memory_limit(model, plan.config.memory) // jobs

    def __call__(self, job: BatchJob) -> BatchStep:
        """Make a result unless it is complete; whatever fails is in the step."""
        try:
            return self._make(job)
        except Exception as error:
            return BatchStep(job, "failed", error=error)

    def _make(self, job: BatchJob) -> BatchStep:
        start = time.perf_counter()
        photo = self._plan.source / job.photo
        number = self.style_of(job)
        style = self._plan.styles.slugs[number]
        name, format = self._path(job, style)
        step = BatchStep(job, "skipped", self._plan.output / name, style)
        if self._plan.batch.dry_run:
            entry = self._complete(photo, number, self._journal.entry(name))
            return _sized(step, entry) if entry else replace(step, status="new")
        with self._journal.claim(name) as ours:
            if not ours:
                return replace(step, status="busy")
            # Read under the claim: another run may have made it a moment ago.
            before = self._journal.entry(name)
            entry = self._complete(photo, number, before)
            if entry is None:
                missing: list[str] = []
                entry = self._repaint(photo, number, name, format, job, before, missing.append)
                step = replace(step, status="done", note="; ".join(missing))
        return replace(_sized(step, entry), seconds=round(time.perf_counter() - start, 3))

    def style_of(self, job: BatchJob) -> int:
        """Return the number of the style of a job.

        Raises:
            ImageError: If its photo has to be read for it, and cannot be.
        """
        photo = self._plan.source / job.photo
        return self._nearest(photo, job) if job.style is None else job.style

    def is_made(self, job: BatchJob, style: int) -> bool:
        """Return whether the result of a job, in the style of this number, is complete."""
        name, _ = self._path(job, self._plan.styles.slugs[style])
        entry = self._journal.entry(name)
        return self._complete(self._plan.source / job.photo, style, entry) is not None

    def _complete(self, photo: Path, style: int, entry: JournalEntry | None) -> JournalEntry | None:
        """Return the entry if what it says still holds: photo, style, settings and result."""
        if entry is None or not self._journal.is_made(entry):
            return None
        if entry.recipe != self._recipe(style) and entry.recipe != self._former_recipe(style):
            return None
        try:
            same = photo_stamp(photo) == entry.photo_stamp
            return entry if same or file_digest(photo) == entry.photo_sha256 else None
        except OSError:
            return None  # Reading it will say why.

    def _repaint(
        self,
        photo: Path,
        number: int,
        name: str,
        format: str,
        job: BatchJob,
        before: JournalEntry | None,
        notice: Callable[[str], None],
    ) -> JournalEntry:
        config, destination = self._plan.config, self._plan.output / name
        own = before is not None and before.photo == job.photo and self._journal.is_made(before)
        if not (own or config.overwrite) and os.path.lexists(destination):
            raise ImageExistsError(
                f"{destination}: exists and is not from this batch; add --overwrite to replace it"
            )
        data = read_file(photo)
        stamp = photo_stamp(photo)
        picture, notes, way = self._stylize(data, number, str(photo), notice)
        staged = self._journal.work_folder() / f"{hashlib.sha256(os.fsencode(name)).hexdigest()}"
        try:
            save_image(
                picture,
                staged,
                format=format,
                jpeg_quality=config.jpeg_quality,
                overwrite=True,
                bits=config.bits,
                notes=notes,
                name=str(destination),
            )
            entry = JournalEntry(
                output=name,
                photo=job.photo,
                photo_sha256=hashlib.sha256(data).hexdigest(),
                photo_stamp=stamp,
                style=self._plan.styles.slugs[number],
                recipe=self._recipe(number),
                sha256=file_digest(staged),
                stamp=file_stamp(staged),
                width=picture.width,
                height=picture.height,
                settings=self._settings | self._chance() | way,
            )
            make_folder(destination.parent)
            self._journal.publish(staged, entry)
        except OSError as error:
            raise OutputError(
                f"{destination}: cannot be written ({error.strerror}); check the free space"
            ) from error
        finally:
            staged.unlink(missing_ok=True)
        return entry

    def _path(self, job: BatchJob, style: str) -> tuple[str, str]:
        return result_path(job.photo, style, self._plan.config.format, self._plan.config.bits)

    def _stylize(
        self, data: bytes, number: int, name: str, notice: Callable[[str], None]
    ) -> tuple[Picture, Notes, dict[str, Any]]:
        """Repaint a photo: the one call that all photos of all batches go through.

        Returns:
            The result, the note in its file, and what the journal says of the way it was made.
        """
        config = self._plan.config
        side = config.max_side and needed_side(config.max_side, config.controls.stroke)
        photo = load_image(data, name=name, side=side)
        style = self._plan.styles.style(self._model, number)
        notes = result_notes(photo, style, config)
        learnt = [each.digest for each in style.statistics.adapters if each is not None]
        way = {"adapter": "+".join(learnt)} if learnt else {}
        if config.quality == "best" or (config.quality == "auto" and not learnt):
            result, reason = self._refine(photo, style, number, notice)
            return result, notes, way | reason
        controls = config.controls
        # Not judged by the gate, which takes strokes that were learnt for speckle; faces are.
        if config.quality == "auto" and (damage := self._damage(photo, style)):
            controls, way = replace(controls, keep=FACE), way | {"reason": damage}
        result = stylize_picture(
            self._model,
            photo,
            style.statistics,
            alpha=config.alpha,
            max_side=config.max_side,
            controls=controls,
            memory=self._memory,
            notice=notice,
        )
        return result, notes, way

    def _damage(self, photo: Picture, style: ResolvedStyle) -> str:
        """Return which faces would be damaged; empty if none, or if they are kept anyway."""
        from gallery.use_cases.refine import damaged_faces

        if self._plan.config.controls.kept is not None:
            return ""
        return damaged_faces(self._model, photo, style.statistics)

    def _refine(
        self, photo: Picture, style: ResolvedStyle, number: int, notice: Callable[[str], None]
    ) -> tuple[Picture, dict[str, Any]]:
        """Return a photo as well as it needs, and how and why it was made so."""
        from gallery.use_cases.refine import stylize_refined

        config, file = self._plan.config, self._plan.styles.picture(number)
        with self._rendering:
            refined = stylize_refined(
                self._model,
                photo,
                style.statistics,
                None if file is None else [(load_image(file).pixels, 1.0)],
                judged=config.quality == "auto",
                max_side=config.max_side,
                controls=config.controls,
                notice=notice,
            )
        return refined.picture, {"way": refined.way, "reason": refined.reason}

    def _nearest(self, photo: Path, job: BatchJob) -> int:
        """Return the style that is nearest to the photo, or that was found to be so before."""
        before = self._journal.style_of(job.photo)
        number = self._plan.styles.numbers.get(before or "")
        if before is not None and number is not None:
            name, _ = self._path(job, before)
            if self._complete(photo, number, self._journal.entry(name)):
                return number
        style = measure_style(self._model, read_file(photo), name=str(photo))
        rows, _ = nearest(style.to_vector(), self._plan.styles.vectors, 1)
        return int(rows[0])

    def _recipe(self, style: int) -> str:
        # Among others, the nearest can be another one.
        others = self._plan.styles.digest if self._plan.batch.assign == "nearest" else b""
        return self._recipe_among(style, others)

    def _former_recipe(self, style: int) -> str:
        """Return what version 0.1 wrote: of the nearest, it read all styles once more each time."""
        nearest = self._plan.batch.assign == "nearest"
        return self._recipe_among(style, self._plan.styles.packed() if nearest else b"")

    def _recipe_among(self, style: int, others: bytes) -> str:
        digest = hashlib.sha256(json.dumps(self._settings, sort_keys=True).encode())
        digest.update(self._model.digest)
        styles = self._plan.styles
        for row in styles.rows(style):
            digest.update(pack_vector(styles.vectors[row]))
        digest.update(others)
        for row in styles.rows(style):
            if adapter := styles.adapters.get(row):
                digest.update(adapter.digest.encode())
        return digest.hexdigest()

    def _chance(self) -> dict[str, Any]:
        return {"seed": self._plan.batch.seed} if self._plan.batch.assign == "random" else {}


def _sized(step: BatchStep, entry: JournalEntry) -> BatchStep:
    return replace(step, width=entry.width, height=entry.height)


def recipe_settings(config: StylizeConfig) -> dict[str, Any]:
    """Return what a result depends on, with the digests of pictures in place of their paths."""
    values = {name: value for name, value in _values(config).items() if name not in OUTSIDE}
    values["controls"] = _values(config.controls)
    settings: dict[str, Any] = json.loads(json.dumps(values, default=_content))
    return settings


def _values(config: StylizeConfig | Controls) -> dict[str, Any]:
    """Return all settings but those of later versions that have their default."""
    values, rules = asdict(config), settings_of(config)
    later = [name for name, rule in rules.items() if rule.added]
    usual = {name for name in later if values[name] == getattr(type(config), name)}
    if not values.get("regions", True):
        usual.add("regions")  # As before there were any.
    return {name: value for name, value in values.items() if name not in usual}


def _content(value: object) -> str:
    if isinstance(value, Path):
        return hashlib.sha256(read_file(value)).hexdigest()
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else repr(value)


def run_batch(jobs: Sequence[BatchJob], run: Run, on_step: Callable[[BatchStep], None]) -> None:
    """Carry out jobs; wait for those that another run is at, and take over those that it leaves.

    Args:
        jobs: From `plan_jobs`.
        run: What carries them out.
        on_step: Told about each job once.
    """
    while jobs:
        busy = []
        with closing(run(jobs)) as steps:  # Interrupted, it ends before the journal does.
            for step in steps:
                if step.status == "busy":
                    busy.append(step.job)
                else:
                    on_step(step)
        jobs = busy
        if jobs:
            time.sleep(POLL)


def default_jobs() -> int:
    """Return how many photos to work on at the same time."""
    return min(MAX_JOBS, cores())


def run_threads(
    worker: Callable[[BatchJob], BatchStep], jobs: Sequence[BatchJob], threads: int
) -> Generator[BatchStep]:
    """Carry out jobs in threads; interrupted, it ends after the photos that are begun."""
    pool = ThreadPoolExecutor(threads)
    waiting: set[Future[BatchStep]] = set()
    queue = deque(jobs)
    done, least = 0, math.inf
    # An exception amid the locks that threads share would leave them broken.
    with hold_interrupts() as interrupted:
        try:
            while waiting or (queue and not interrupted):
                if interrupted:
                    waiting = {future for future in waiting if not future.cancel()}
                while queue and not interrupted and len(waiting) < 2 * threads:
                    waiting.add(pool.submit(worker, queue.popleft()))
                finished, waiting = wait(waiting, LOOK_SECONDS, FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
                    done += 1
                    if done % CHECKED == 0:
                        held = resident_memory()
                        least = min(least, held)
                        if held > GROWTH * least:
                            release_memory()
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass
class Watch:
    """A watched folder: which files changed when, and which were handled."""

    source: Path
    output: Path
    config: BatchConfig
    on_error: Callable[[ImageError], None]
    _seen: dict[str, tuple[tuple[int, ...], float]] = field(default_factory=dict)
    _handled: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def settled(self) -> list[str]:
        """Return the photos that are new or changed, and have stayed the same for a while."""
        now = time.monotonic()
        found = []
        for photo in find_photos(self.source, self.output, self.config, self._tell):
            try:
                stamp = file_stamp(self.source / photo)
            except OSError:
                continue  # Gone again.
            if self._seen.get(photo, ((), 0.0))[0] != stamp:
                self._seen[photo] = (stamp, now)
            elif now - self._seen[photo][1] >= SETTLED and self._handled.get(photo) != stamp:
                self._handled[photo] = stamp
                found.append(photo)
        return found

    def _tell(self, error: ImageError) -> None:
        if str(error) not in self._told:
            self._told.add(str(error))
            self.on_error(error)


def refuse_clashes(plan: BatchPlan, jobs: Sequence[BatchJob]) -> dict[BatchJob, GalleryError]:
    """Return the jobs whose results would be called like those of others, and why."""
    taken: dict[str, BatchJob] = {}
    refused: dict[BatchJob, GalleryError] = {}
    for job in jobs:
        if job.style is None:
            continue
        name, _ = result_path(
            job.photo, plan.styles.slugs[job.style], plan.config.format, plan.config.bits
        )
        other = taken.setdefault(os.path.normcase(name), job)
        if other is not job:
            refused[job] = OutputError(
                f"{other.photo} and {job.photo} would both become {name}; rename one"
            )
    return refused
