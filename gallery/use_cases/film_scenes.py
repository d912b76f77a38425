"""Films in scenes: runs of one command share them, on one machine or on many, by Ray or without.

    plan: where shots begin ── scenes, each claimed by a run ── painted ── joined by the last run

A scene begins with a shot, so it depends on nothing before it. A claim ends with its process: what
a dead run was at, another one takes up.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from adain.config import Controls, PictureFile
from adain.engine.loading import load_model
from adain.engine.model import Model
from adain.files import new_file
from adain.video.direction import Direction
from adain.video.shots import Glance, mark_cuts
from gallery.errors import FilmError
from gallery.files import make_folder
from gallery.use_cases.film_masks import MaskedFilm
from gallery.use_cases.film_process import ApartFilm
from gallery.use_cases.film_reading import Film
from gallery.use_cases.film_writing import Target, writing
from gallery.use_cases.journal import Journal
from gallery.use_cases.video import (
    FilmRun,
    PaintedPart,
    Parts,
    Report,
    VideoConfig,
    film_digest,
    join_film,
    wanted_frames,
)

LEAST_SECONDS = 4.0
"""A scene is as many shots as last so long: each costs the start of a decoder."""

WAIT_SECONDS = 0.5
"""How often a run looks whether others are done."""

PLAN = "scenes.json"

JOINED = "another run has put the film together"


@dataclass(frozen=True)
class Scene:
    """One or more shots.

    Attributes:
        number: From 0.
        start: Seconds of the source where it begins.
        end: Where it ends; None for the end of the film.
        first: Frames of the result before it.
    """

    number: int
    start: float
    end: float | None
    first: int


@dataclass(frozen=True)
class FilmSource:
    """What is painted.

    Attributes:
        path: As for `open_film`.
        rate: The same.
        max_side: The same.
        masks: Masks of which one or more are films; none if all are pictures.
        styles: Number of styles.
        feather: As for `MaskedFilm`.
    """

    path: Path
    rate: Fraction | None = None
    max_side: int | None = None
    masks: tuple[PictureFile, ...] = ()
    styles: int = 1
    feather: float = Controls.feather

    def open(self) -> Film:
        """Open the film. Raises as `ApartFilm` and `MaskedFilm`."""
        return self.masked(ApartFilm(self.path, self.rate, self.max_side))

    def masked(self, film: Film) -> Film:
        """Return a film with the masks. Raises as `MaskedFilm`."""
        return MaskedFilm(film, self.masks, self.styles, self.feather) if self.masks else film


@dataclass(frozen=True)
class FilmOrder:
    """A film to paint, as another process can be told of it.

    Attributes:
        source: What is painted.
        target: Where it goes.
        direction: What holds when.
        controls: How frames are painted.
        config: Which part of it.
        recipe: As for `paint_film`.
    """

    source: FilmSource
    target: Target
    direction: Direction
    controls: Controls
    config: VideoConfig
    recipe: dict[str, Any]


def find_scenes(film: Film, config: VideoConfig) -> list[Scene]:
    """Return the scenes of a part of a film; reads it once."""
    starts: list[tuple[float, int]] = []
    shown = wanted_frames(film, config)
    for count, (frame, _, cut) in enumerate(mark_cuts(shown, lambda each: Glance.of(each.pixels))):
        if not starts or (cut and frame.time - starts[-1][0] >= LEAST_SECONDS):
            starts.append((frame.time if starts else config.start, count))
    if not starts:
        return []
    ends = [*(start for start, _ in starts[1:]), config.end]
    return [
        Scene(number, start, end, first)
        for number, ((start, first), end) in enumerate(zip(starts, ends, strict=True))
    ]


def paint_scenes(
    model: Model, order: FilmOrder, advance: Callable[[int], None], join: bool = True
) -> Report:
    """Paint scenes that no other run is at, until all are painted; the last run joins them.

    Args:
        model: The network.
        order: The film.
        advance: Told how many more frames are done, by whatever run.
        join: Whether to wait for the others, and to join.

    Raises:
        FilmError: If there is no frame in that part of the film.
        OutputError: If the result cannot be written.
    """
    began, target, film = time.perf_counter(), order.target, order.source.open()
    if order.config.every > 1:
        raise ValueError("a preview is too short to be shared: leave --shared and --ray out")
    if target.pattern is not None:
        make_folder(target.path)
    make_folder(target.parts)
    digest = film_digest(model, film, order.direction, order.config, order.recipe)
    journal = Journal(target.parts)
    try:
        scenes = _plan(journal, film, order.config, digest)
        run = _Shared(model, film, order, digest, journal, scenes)
        report = run.work(advance, join)
    finally:
        journal.close()
        if not any(target.parts.glob("*/*.npz")) and not any(target.parts.glob("*/done.json")):
            shutil.rmtree(target.parts, ignore_errors=True)
    return replace(report, seconds=round(time.perf_counter() - began, 3))


def paint_on_ray(
    address: str,
    model: Model,
    names: tuple[str, str],
    order: FilmOrder,
    advance: Callable[[int], None],
) -> Report:
    """Paint scenes on a cluster, which has the film and the result at the same paths.

    Args:
        address: Of the cluster.
        model: The network, for what the cluster leaves.
        names: Its name or file, and its device.
        order: The film.
        advance: Told how many more frames are done.

    Raises:
        ClusterError: If Ray is not installed, or the cluster cannot be reached.
        FilmError: As `paint_scenes`, like the others.
    """
    from gallery.use_cases.cluster import connect

    ray = connect(address)
    try:
        cores = int(ray.cluster_resources().get("CPU", 1))
        alone = replace(order, config=replace(order.config, jobs=1))
        paint = ray.remote(num_cpus=1, max_retries=2)(_paint_there)
        waiting = [paint.remote(names, alone) for _ in range(cores)]
        told = 0
        while waiting:
            _, waiting = ray.wait(waiting, timeout=WAIT_SECONDS)
            done = sum(part.frames for part in _finished(order.target))
            advance(done - told)
            told = done
        return paint_scenes(model, order, lambda count: None)
    finally:
        ray.shutdown()


def _paint_there(names: tuple[str, str], order: FilmOrder) -> int:
    model = load_model(*names, threads=1)
    return paint_scenes(model, order, lambda count: None, join=False).frames


@dataclass(frozen=True)
class _Shared:
    """A run among others."""

    model: Model
    film: Film
    order: FilmOrder
    digest: str
    journal: Journal
    scenes: Sequence[Scene]

    def work(self, advance: Callable[[int], None], join: bool) -> Report:
        known: set[int] = set()
        ours = 0
        while True:
            busy = False
            for scene in self.scenes:
                part = self._part(scene)
                if part is None:
                    with self.journal.claim(f"scene {scene.number}") as claimed:
                        if claimed and self._is_planned and self._part(scene) is None:
                            known.add(scene.number)
                            ours += self._paint(scene, advance)
                            busy = True
                elif scene.number not in known:
                    known.add(scene.number)
                    advance(part.frames)
            parts = [self._part(scene) for scene in self.scenes]
            if not self._is_planned or (not join and not busy):
                return Report(ours, 0, 0, 0, 0.0, () if self._is_planned else (JOINED,))
            if join and all(parts):
                with self.journal.claim("film") as claimed:
                    if claimed and self._is_planned:
                        return self._join([part for part in parts if part is not None], ours)
            if not busy:
                time.sleep(WAIT_SECONDS)

    @property
    def _is_planned(self) -> bool:
        """Return whether the folder is still there: whoever joins the film removes it."""
        return (self.order.target.parts / PLAN).exists()

    def _folder(self, scene: Scene) -> Path:
        return self.order.target.parts / f"scene-{scene.number:05d}"

    def _part(self, scene: Scene) -> PaintedPart | None:
        return _read_part(self._folder(scene) / "done.json")

    def _paint(self, scene: Scene, advance: Callable[[int], None]) -> int:
        order, folder = self.order, self._folder(scene)
        make_folder(folder)
        config = replace(order.config, start=scene.start, end=scene.end)
        parts = Parts(order.target, folder, self.digest)
        run = FilmRun(
            self.model, self.film, order.target, order.direction, order.controls, config, parts,
            origin=order.config.start, first=scene.first,
        )  # fmt: skip
        part = run.paint(advance)
        with writing(order.target.path), new_file(folder / "done.json", overwrite=True) as file:
            file.write(json.dumps(asdict(part), default=str).encode())
        return part.frames - part.resumed

    def _join(self, parts: Sequence[PaintedPart], ours: int) -> Report:
        order = self.order
        frames = sum(part.frames for part in parts)
        segments = [file for part in parts for file in part.segments]
        title = str(order.recipe.get("title", ""))
        lost = join_film(self.film, order.target, order.config, segments, title)
        shutil.rmtree(order.target.parts, ignore_errors=True)
        notes = dict.fromkeys((*(note for part in parts for note in part.notes), *lost))
        incomplete = any(part.incomplete for part in parts)
        return Report(frames, frames - ours, *parts[0].size, 0.0, tuple(notes), incomplete)


def _plan(journal: Journal, film: Film, config: VideoConfig, digest: str) -> list[Scene]:
    """Return the scenes, as the first run has found them."""
    path = journal.folder / PLAN
    while True:
        with suppress(OSError, ValueError):
            plan = json.loads(path.read_text(encoding="utf-8"))
            if plan["digest"] == digest:
                return [Scene(*values) for values in plan["scenes"]]
        with journal.claim("plan") as claimed:
            if claimed:
                for folder in journal.folder.glob("scene-*"):
                    shutil.rmtree(folder, ignore_errors=True)
                scenes = find_scenes(film, config)
                if not scenes:
                    raise FilmError(f"{film.path}: has no frames in that part of it")
                values = [[each.number, each.start, each.end, each.first] for each in scenes]
                with writing(path), new_file(path, overwrite=True) as file:
                    file.write(json.dumps({"digest": digest, "scenes": values}).encode())
                return scenes
        time.sleep(WAIT_SECONDS)


def _finished(target: Target) -> Iterator[PaintedPart]:
    for path in target.parts.glob("scene-*/done.json"):
        if (part := _read_part(path)) is not None:
            yield part


def _read_part(path: Path) -> PaintedPart | None:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    told["segments"] = tuple(map(Path, told["segments"]))
    return PaintedPart(**told | {"size": tuple(told["size"]), "notes": tuple(told["notes"])})
