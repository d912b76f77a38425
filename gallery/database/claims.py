"""Claims: work that one process does at a time, though several have the same in mind.

A claim is a row of the table of jobs that is `held`, never queued, so nobody takes it for a job.
Like a job it has a lease, which a thread renews while the work goes on. When the process dies the
lease runs out, and another one may claim the work.
"""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import ColumnElement, Engine, delete, update
from sqlalchemy.orm import Session

from gallery.database.engine import translated
from gallery.database.jobs import LEASE_SECONDS
from gallery.database.tables import JobRow
from gallery.errors import DatabaseError

HELD = "held"

RENEW_SECONDS = LEASE_SECONDS / 4


@contextmanager
def claim(engine: Engine, name: str) -> Iterator[bool]:
    """Claim work for the block; gives False where another process is at it.

    Args:
        engine: The database that all of them use.
        name: The work, in words that are no number of a job.

    Raises:
        DatabaseError: If the database cannot be written.
    """
    holder, done = secrets.token_hex(8), threading.Event()
    if not _take(engine, name, holder):
        yield False
        return

    def renew() -> None:
        while not done.wait(RENEW_SECONDS):
            with suppress(DatabaseError):  # It is tried again, and the work is worth it.
                _renew(engine, name, holder)

    thread = threading.Thread(target=renew, name="claim", daemon=True)
    thread.start()
    try:
        yield True
    finally:
        done.set()
        thread.join()
        with suppress(DatabaseError):  # It runs out by itself.
            _free(engine, name, holder)


def _take(engine: Engine, name: str, holder: str) -> bool:
    now = time.time()
    with translated(engine), Session(engine) as session, session.begin():
        row = session.get(JobRow, name)
        if row is None:
            row = JobRow(id=name, state=HELD, settings="{}", created_at=now)
            session.add(row)
        elif row.lease_until >= now:
            return False
        row.worker, row.updated_at, row.lease_until = holder, now, now + LEASE_SECONDS
    return True


def _renew(engine: Engine, name: str, holder: str) -> None:
    now = time.time()
    values = {"updated_at": now, "lease_until": now + LEASE_SECONDS}
    with translated(engine), Session(engine) as session, session.begin():
        session.execute(update(JobRow).where(_own(name, holder)).values(**values))


def _free(engine: Engine, name: str, holder: str) -> None:
    with translated(engine), Session(engine) as session, session.begin():
        session.execute(delete(JobRow).where(_own(name, holder)))


def _own(name: str, holder: str) -> ColumnElement[bool]:
    return (JobRow.id == name) & (JobRow.worker == holder)
