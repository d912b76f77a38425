"""Jobs: work that was accepted and must not be lost, shared by any number of processes.

A process takes a job with a lease that it renews while it works. When the process dies the lease
runs out, and another takes the job; only who holds the lease can finish it.

    queued ── take ──> running ── finish, fail ──> done, failed
       │  ^               │
       │  └ lease ran out ┘
       └──── cancel ──────┴──> cancelled
"""

import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sqlalchemy import Engine, delete, func, or_, select, update
from sqlalchemy.orm import Session, sessionmaker

from gallery.database.engine import translated
from gallery.database.tables import JobFileRow, JobRow
from gallery.errors import GalleryError

LEASE_SECONDS = 10.0
"""How long a job of a process that died waits for another one."""

KEPT_SECONDS = 24 * 3600.0
"""How long a job and its result are kept once it ended."""

MAX_ATTEMPTS = 3
"""Processes that may die over a job before it is taken to be what kills them."""

OPEN = ("queued", "running")

HISTORY = ("losses", "note")
"""Files of a job that are kept when it ends."""


class JobNotFound(GalleryError):
    """There is no such job, or not any more."""


class TooManyJobs(GalleryError):
    """As many jobs wait as may wait."""


@dataclass(frozen=True)
class Job:
    """A job as it is now.

    Attributes:
        id: Random; who knows it may see the job.
        settings: As given to `Jobs.add`.
        state: `queued`, `running`, `done`, `failed` or `cancelled`.
        progress: In [0, 1].
        media_type: Of the result.
        problem: A code that tells why it failed.
        detail: The same for people.
    """

    id: str
    settings: dict[str, Any]
    state: str
    progress: float
    media_type: str
    problem: str
    detail: str
    created_at: float
    updated_at: float

    @property
    def is_open(self) -> bool:
        """Return whether it may still change."""
        return self.state in OPEN


@dataclass(frozen=True)
class Task:
    """A job with all that the process that took it needs.

    Attributes:
        files: What else belongs to it, by name: what was sent, and what was kept of an attempt.
    """

    id: str
    settings: dict[str, Any]
    photo: bytes
    painting: bytes | None
    files: dict[str, bytes] = field(default_factory=dict)


class Jobs:
    """The jobs in a database.

    Methods raise `DatabaseError` where it cannot be read or written.

    Args:
        engine: The database.
        limit: Jobs that may wait or run.
    """

    def __init__(self, engine: Engine, limit: int = 32) -> None:
        self._engine, self._limit = engine, limit
        # A database in memory has one connection.
        self._lock = threading.Lock()
        self._sessions = sessionmaker(engine)
        self._reader = engine.execution_options(readonly=True)
        self.worker = secrets.token_hex(8)
        """Stands for this process."""

    def close(self) -> None:
        """Close its connections; the next method opens new ones."""
        self._engine.dispose()

    def add(
        self,
        settings: dict[str, Any],
        photo: bytes,
        painting: bytes | None = None,
        files: Mapping[str, bytes] = MappingProxyType({}),
    ) -> Job:
        """Accept a job; once this returns it is on disk.

        Args:
            settings: What JSON can hold.
            photo: A picture file.
            painting: Another one.
            files: What else belongs to it, by name.

        Raises:
            TooManyJobs: If there is no room.
        """
        now = time.time()
        row = JobRow(
            id=secrets.token_hex(16),
            state="queued",
            settings=json.dumps(settings),
            photo=photo,
            painting=painting,
            created_at=now,
            updated_at=now,
        )
        with self._write() as session:
            count = session.scalar(select(func.count()).where(JobRow.state.in_(OPEN))) or 0
            if count >= self._limit:
                raise TooManyJobs(f"{count} jobs are waiting already")
            session.add(row)
            session.flush()
            _keep(session, row.id, files)
            return _job(row)

    def has_open(self, method: str) -> bool:
        """Return whether a job of this method waits or is being done."""
        query = select(JobRow.settings).where(JobRow.state.in_(OPEN))
        with self._read() as session:
            return any(json.loads(each).get("method") == method for each in session.scalars(query))

    def find(self, id: str) -> Job:
        """Return a job.

        Raises:
            JobNotFound: If there is none.
        """
        with self._read() as session:
            return _job(self._row(session, id))

    def result(self, id: str) -> bytes | None:
        """Return what a job made, if it is done.

        Raises:
            JobNotFound: If there is none.
        """
        with self._read() as session:
            return self._row(session, id).result

    def file(self, id: str, name: str) -> bytes | None:
        """Return what belongs to a job, if it is there.

        Raises:
            JobNotFound: If there is no such job.
        """
        with self._read() as session:
            self._row(session, id)
            row = session.get(JobFileRow, (id, name))
            return None if row is None else row.data

    def take(self, now: float | None = None) -> Task | None:
        """Take the oldest job that nobody works on, for `LEASE_SECONDS`."""
        now = time.time() if now is None else now
        free = or_(
            JobRow.state == "queued", (JobRow.state == "running") & (JobRow.lease_until < now)
        )
        with self._read() as session:  # Most of the time there is none; that needs no lock.
            if session.scalar(select(JobRow.id).where(free).limit(1)) is None:
                return None
        with self._write() as session:
            old = JobRow.state.not_in(OPEN) & (JobRow.updated_at < now - KEPT_SECONDS)
            session.execute(delete(JobRow).where(old))
            query = select(JobRow).where(free).order_by(JobRow.created_at).limit(1)
            while (row := session.scalar(query)) is not None:
                row.updated_at, row.attempts = now, row.attempts + 1
                if row.attempts > MAX_ATTEMPTS:
                    _end(
                        session,
                        row,
                        "failed",
                        problem="internal-error",
                        detail="it was tried too often",
                    )
                    continue
                row.state, row.worker, row.progress = "running", self.worker, 0
                row.lease_until = now + LEASE_SECONDS
                files = session.scalars(select(JobFileRow).where(JobFileRow.job_id == row.id))
                return Task(
                    row.id,
                    json.loads(row.settings),
                    row.photo or b"",
                    row.painting,
                    {file.name: file.data for file in files},
                )
        return None

    def renew(
        self, id: str, progress: float, files: Mapping[str, bytes] = MappingProxyType({})
    ) -> bool:
        """Go on holding a job; return whether it is still ours and still wanted.

        Args:
            id: Which one.
            progress: In [0, 1].
            files: What to keep of it, by name.
        """
        now = time.time()
        values = {"lease_until": now + LEASE_SECONDS, "progress": progress, "updated_at": now}
        with self._write() as session:
            held = update(JobRow).where(self._held(id)).values(**values).returning(JobRow.id)
            if session.scalar(held) is None:
                return False
            _keep(session, id, files)
            return True

    def finish(self, id: str, result: bytes, media_type: str) -> bool:
        """Keep the result of a job that we hold; return whether we did."""
        return self._end(id, "done", result=result, media_type=media_type, progress=1.0)

    def fail(self, id: str, problem: str, detail: str) -> bool:
        """Note why a job that we hold cannot be done; return whether we did hold it."""
        return self._end(id, "failed", problem=problem, detail=detail)

    def give_back(self, id: str) -> None:
        """Let another process take a job that we hold, as if we had not."""
        values = {
            "state": "queued",
            "worker": "",
            "lease_until": 0.0,
            "attempts": JobRow.attempts - 1,
        }
        with self._write() as session:
            session.execute(update(JobRow).where(self._held(id)).values(**values))

    def cancel(self, id: str) -> Job:
        """Stop a job, or forget one that ended.

        Raises:
            JobNotFound: If there is none.
        """
        with self._write() as session:
            row = self._row(session, id)
            if row.state in OPEN:
                _end(session, row, "cancelled")
            else:
                session.delete(row)
            return _job(row)

    def _end(self, id: str, state: str, **values: Any) -> bool:
        with self._write() as session:
            row = session.scalar(select(JobRow).where(self._held(id)))
            if row is not None:
                _end(session, row, state, **values)
            return row is not None

    def _held(self, id: str) -> Any:
        return (JobRow.id == id) & (JobRow.state == "running") & (JobRow.worker == self.worker)

    @staticmethod
    def _row(session: Session, id: str) -> JobRow:
        row = session.get(JobRow, id)
        if row is None:
            raise JobNotFound("there is no such job, or not any more")
        return row

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with self._lock, translated(self._engine), Session(self._reader) as session:
            yield session

    @contextmanager
    def _write(self) -> Iterator[Session]:
        with self._lock, translated(self._engine), self._sessions.begin() as session:
            yield session


def _keep(session: Session, id: str, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        session.merge(JobFileRow(job_id=id, name=name, data=data))


def _end(session: Session, row: JobRow, state: str, **values: Any) -> None:
    """End a job; the pictures that were sent are forgotten."""
    forgotten = (JobFileRow.job_id == row.id) & JobFileRow.name.not_in(HISTORY)
    session.execute(delete(JobFileRow).where(forgotten))
    row.state, row.updated_at, row.photo, row.painting = state, time.time(), None, None
    for name, value in values.items():
        setattr(row, name, value)


def _job(row: JobRow) -> Job:
    names = ("id", "state", "progress", "media_type", "problem", "detail", "created_at",
             "updated_at")  # fmt: skip
    values = {name: getattr(row, name) for name in names}
    return Job(settings=json.loads(row.settings), **values)
