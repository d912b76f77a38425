"""Pictures into the gallery.

    sources ── threads: read, digest, decode, shrink, encode ── batches ── one transaction each

Threads that take whole pictures use the cores better than one encoder on all of them, which waits
for its slowest core at every layer. An ingest may be stopped at any point: what
is known by its digest is skipped when it runs again.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from adain.config import STYLE_SIDE
from adain.engine.model import Model
from adain.errors import AdainError, ImageError, ImageTooLargeError
from adain.imaging.picture import Picture
from adain.imaging.reading import ImageLimits, load_image
from adain.imaging.resizing import resize_shorter_side
from adain.painting.measuring import measure_style
from gallery.config import IngestConfig
from gallery.database.gallery import Gallery
from gallery.database.paintings import Painting
from gallery.errors import DownloadError, OutputError, StylesError
from gallery.files import new_file
from gallery.ingest.hashes import near, perceptual_hash, pixel_digest
from gallery.ingest.sources import Candidate

AHEAD = 8
"""Pictures for each thread that may wait while a batch is written; only their paths do."""

BATCH = 32
"""Pictures that are written in one transaction: at most so many are measured in vain."""


@dataclass(frozen=True)
class IngestStep:
    """The outcome of a picture; reported once that is in the database.

    Attributes:
        name: What the picture is called: its path, or a manifest and a line.
        status: `added`, `known`, `failed`, or `new` in a dry run.
        painting: As it is in the gallery; None if it failed.
        near: Slugs of paintings that look the same; in a dry run also names of pictures.
        error: Why it failed.
    """

    name: str
    status: str
    painting: Painting | None = None
    near: tuple[str, ...] = ()
    error: Exception | None = None


@dataclass(frozen=True, eq=False)
class _Measured:
    """A picture that a thread has read.

    Attributes:
        new: Whether it was not in the gallery.
        vector: Its style vector `(1, D)`; None if it was measured before, or in a dry run.
    """

    name: str
    painting: Painting
    new: bool
    vector: NDArray[np.float32] | None = None


def ingest(
    gallery: Gallery,
    candidates: Sequence[Candidate],
    model: Model,
    config: IngestConfig,
    on_step: Callable[[IngestStep], None],
) -> None:
    """Measure pictures and add them to the gallery.

    Args:
        gallery: Where they go.
        candidates: From `gallery.ingest.sources.find_candidates`.
        model: Whose encoder measures, in all threads.
        config: Threads, and whether to write at all.
        on_step: Called for every candidate, in their order but for those that fail to load.

    Raises:
        DatabaseError: If the gallery cannot be written.
    """
    lock = Lock()  # The gallery in memory has one connection.
    writer = _Writer(gallery, model.fingerprint, on_step, config.dry_run, lock)
    try:
        for item in _measure_all(gallery, candidates, model, config, lock):
            if isinstance(item, IngestStep):
                on_step(item)
            else:
                writer.take(item)
    except KeyboardInterrupt:
        writer.flush()  # What is measured was worth the time.
        raise
    writer.flush()


class _Writer:
    """Collects measured pictures and writes them in batches."""

    def __init__(
        self,
        gallery: Gallery,
        encoder: str,
        on_step: Callable[[IngestStep], None],
        dry_run: bool,
        lock: Lock,
    ) -> None:
        self._gallery = gallery
        self._encoder = encoder
        self._on_step = on_step
        self._dry_run = dry_run
        self._lock = lock
        self._hashes, self._numbers = gallery.hashes()
        self._batch: list[_Measured] = []
        self._foreseen: set[str] = set()
        self._foreseen_names: list[str] = []
        self._foreseen_hashes = np.empty(0, np.int64)

    def take(self, item: _Measured) -> None:
        """Add a picture to the batch; write the batch when it is full."""
        if self._dry_run:
            self._foresee(item)
            return
        self._batch.append(item)
        if len(self._batch) >= BATCH:
            self.flush()

    def _foresee(self, item: _Measured) -> None:
        """Report what would become of a picture, after those before it."""
        painting = item.painting
        digests = {painting.sha256, painting.pixel_sha256}
        with self._lock:
            known = self._gallery.find_picture(painting.sha256, painting.pixel_sha256) is not None
            similar = () if known else self._near(painting)
        if known or digests & self._foreseen:
            self._on_step(IngestStep(item.name, "known", painting))
            return
        rows = near(painting.phash, self._foreseen_hashes)
        similar += tuple(self._foreseen_names[row] for row in rows)
        self._foreseen |= digests
        self._foreseen_names.append(item.name)
        self._foreseen_hashes = np.append(self._foreseen_hashes, np.int64(painting.phash))
        self._on_step(IngestStep(item.name, "new", painting, similar))

    def flush(self) -> None:
        """Write what there is, then report it."""
        batch, self._batch = self._batch, []
        measured = [item for item in batch if item.vector is not None]
        if measured:
            vectors = [item.vector for item in measured if item.vector is not None]
            self._write(measured, np.concatenate(vectors))
        known = [item for item in batch if item.vector is None]
        if known:
            self._write(known, None)

    def _write(self, items: Sequence[_Measured], vectors: NDArray[np.float32] | None) -> None:
        stored = self._gallery.add([item.painting for item in items], vectors, self._encoder)
        for item, (painting, new) in zip(items, stored, strict=True):
            similar = self._near(painting) if new else ()
            if new:
                self._hashes = np.append(self._hashes, np.int64(painting.phash))
                self._numbers = np.append(self._numbers, np.int64(painting.id))
            status = "added" if new else "known"
            self._on_step(IngestStep(item.name, status, painting, similar))

    def _near(self, painting: Painting) -> tuple[str, ...]:
        found = self._numbers[near(painting.phash, self._hashes)].tolist()
        return tuple(other.slug for other in self._gallery.pictures(found))


def _measure_all(
    gallery: Gallery,
    candidates: Sequence[Candidate],
    model: Model,
    config: IngestConfig,
    lock: Lock,
) -> Iterator[_Measured | IngestStep]:
    """Measure pictures in threads, a few ahead, so that memory does not grow with their number."""
    remote = any(candidate.read is not None for candidate in candidates)
    pages = gallery.pages(model.fingerprint) if remote else {}

    def measure(candidate: Candidate) -> _Measured | IngestStep:
        try:
            item = _known(gallery, candidate, pages, lock)
            if item is not None:
                return item
            item, picture = _load(gallery, candidate, model.fingerprint, lock, not config.dry_run)
            if picture is None or config.dry_run:
                return item
            return replace(item, vector=measure_style(model, picture).to_vector())
        except (
            AdainError,
            DownloadError,
            OutputError,
            StylesError,
            MemoryError,
            RuntimeError,
        ) as error:
            return IngestStep(candidate.name, "failed", error=error)

    pool = ThreadPoolExecutor(config.jobs)
    waiting: deque[Future[_Measured | IngestStep]] = deque()
    try:
        for candidate in candidates:
            if candidate.painting is None:
                yield IngestStep(candidate.name, "failed", error=candidate.error)
                continue
            waiting.append(pool.submit(measure, candidate))
            if len(waiting) > AHEAD * config.jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # What is under way after an interrupt may wait for the web.
        pool.shutdown(wait=False, cancel_futures=True)


def _known(
    gallery: Gallery, candidate: Candidate, pages: Mapping[tuple[str, str], int], lock: Lock
) -> _Measured | None:
    """Return a picture that need not be fetched, since its page was there before this run."""
    painting = candidate.painting
    assert painting is not None
    number = pages.get((painting.page_url, painting.title))
    if candidate.read is None or candidate.keep or number is None:
        return None
    with lock:
        known = next(iter(gallery.pictures([number])), None)
    if known is None or painting.sha256 not in ("", known.sha256):
        return None
    return _Measured(candidate.name, _with_picture(replace(painting, path=None), known), new=False)


def _with_picture(painting: Painting, known: Painting) -> Painting:
    same = ("sha256", "pixel_sha256", "phash", "width", "height")
    return replace(painting, **{name: getattr(known, name) for name in same})


def _load(
    gallery: Gallery, candidate: Candidate, encoder: str, lock: Lock, keep: bool
) -> tuple[_Measured, Picture | None]:
    """Read a picture; also return what there is to measure, if it was not measured before."""
    painting = candidate.painting
    assert painting is not None
    if candidate.read is None:
        name = str(painting.path)
        data = read_file(Path(name))
    else:
        name = candidate.name
        data = candidate.read()
    digest = hashlib.sha256(data).hexdigest()
    if painting.sha256 not in ("", digest):
        raise ImageError(f"{name}: differs from the sha256 of the manifest; get the file again")
    with lock:
        known = gallery.find_picture(digest)
        measured = known is not None and gallery.vector(known, encoder) is not None
    picture = None if known is not None and measured else load_image(data, name=name)
    if keep and candidate.keep and candidate.read is not None:
        with new_file(Path(str(painting.path)), overwrite=True) as file:
            file.write(data)
    if known is not None and picture is None:
        return _Measured(candidate.name, _with_picture(painting, known), new=False), None
    assert picture is not None
    small = resize_shorter_side(picture, STYLE_SIDE)
    painting = replace(
        painting,
        sha256=digest,
        pixel_sha256=pixel_digest(picture),
        phash=perceptual_hash(small),
        width=picture.width,
        height=picture.height,
    )
    return _Measured(candidate.name, painting, new=True), small


def read_file(path: Path) -> bytes:
    """Read a whole picture file.

    Raises:
        ImageError: If it is missing, not a regular file, unreadable or larger than the limit.
    """
    limit = ImageLimits().max_bytes
    try:
        # Opening a pipe would wait for ever.
        if path.exists() and not path.is_file():
            raise ImageError(f"{path}: not a regular file")
        if os.path.getsize(path) > limit:
            raise ImageTooLargeError(f"{path}: larger than the limit of {limit:,} bytes")
        data = path.read_bytes()
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ImageError(f"{str(path)!a}: its name is not valid text; rename it") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise ImageError(
            f"{path}: cannot be read ({reason}); check the path and its permissions"
        ) from error
    return data
