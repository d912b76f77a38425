"""Jobs: accepted once, done once, whoever dies in between."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from gallery.config import database_url
from gallery.database.engine import connect, memory_database, upgrade
from gallery.database.jobs import (
    KEPT_SECONDS,
    LEASE_SECONDS,
    MAX_ATTEMPTS,
    JobNotFound,
    Jobs,
    TooManyJobs,
)

ORDER = {"styles": ["irises"], "alpha": 0.5}


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "postgresql":
        request.getfixturevalue("postgresql")
    engine = memory_database() if request.param == "memory" else connect(database_url())
    if request.param != "memory":
        upgrade(engine, lambda session: None)
    yield engine
    engine.dispose()


def test_a_job_goes_through_its_states(engine: Engine) -> None:
    jobs = Jobs(engine)
    job = jobs.add(ORDER, b"photo", b"painting")
    assert (job.state, len(job.id)) == ("queued", 32)
    task = jobs.take()
    assert task is not None
    assert (task.settings, task.photo, task.painting) == (ORDER, b"photo", b"painting")
    assert jobs.take() is None
    assert jobs.renew(job.id, 0.5) and jobs.find(job.id).progress == 0.5
    assert jobs.result(job.id) is None
    assert jobs.finish(job.id, b"result", "image/png")
    done = jobs.find(job.id)
    assert (done.state, done.progress, done.media_type) == ("done", 1, "image/png")
    assert jobs.result(job.id) == b"result"
    jobs.cancel(job.id)
    with pytest.raises(JobNotFound):
        jobs.find(job.id)


def test_jobs_are_taken_in_their_order_each_once(engine: Engine) -> None:
    shared = [Jobs(engine, limit=100) for _ in range(4)]
    if not engine.url.database:  # Nobody shares a database in memory.
        shared = shared[:1] * 4
    added = [shared[0].add(ORDER, str(i).encode()).id for i in range(40)]

    def work(jobs: Jobs) -> list[str]:
        taken = []
        while task := jobs.take():
            taken.append(task.id)
            assert jobs.finish(task.id, task.photo, "text/plain")
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(work, shared))
    assert sorted(id for each in taken for id in each) == sorted(added)
    for each in taken:
        assert each == [id for id in added if id in each]
    assert [shared[0].result(id) for id in added] == [str(i).encode() for i in range(40)]


def test_the_job_of_a_dead_process_is_taken_over_and_the_dead_cannot_finish_it(
    engine: Engine,
) -> None:
    dead, alive = Jobs(engine), Jobs(engine)
    job = dead.add(ORDER, b"photo")
    task = dead.take(now=1000)
    assert task and alive.take(now=1000 + LEASE_SECONDS - 1) is None
    again = alive.take(now=1000 + LEASE_SECONDS + 1)
    assert again and again.id == job.id and again.photo == b"photo"
    assert not dead.renew(job.id, 0.9)
    assert not dead.finish(job.id, b"late", "image/png")
    assert not dead.fail(job.id, "internal-error", "late")
    assert alive.finish(job.id, b"in time", "image/png")
    assert alive.result(job.id) == b"in time"


def test_a_job_that_kills_its_processes_is_given_up(engine: Engine) -> None:
    jobs, now = Jobs(engine), 1000.0
    first, second = jobs.add(ORDER, b"bomb"), jobs.add(ORDER, b"good")
    for _ in range(MAX_ATTEMPTS):
        task = jobs.take(now)
        assert task and task.id == first.id
        now += LEASE_SECONDS + 1
    task = jobs.take(now)
    assert task and task.id == second.id
    assert jobs.find(first.id).state == "failed"


def test_a_cancelled_job_is_not_done_and_its_photo_is_forgotten(engine: Engine) -> None:
    jobs = Jobs(engine)
    waiting, running = jobs.add(ORDER, b"1"), jobs.add(ORDER, b"2")
    assert jobs.cancel(waiting.id).state == "cancelled"
    task = jobs.take()
    assert task and task.id == running.id
    assert jobs.cancel(running.id).state == "cancelled"
    assert not jobs.renew(running.id, 0.5)
    assert not jobs.finish(running.id, b"x", "image/png")
    assert jobs.take() is None


def test_a_job_that_is_given_back_waits_again(engine: Engine) -> None:
    jobs = Jobs(engine)
    job = jobs.add(ORDER, b"photo")
    assert jobs.take()
    jobs.give_back(job.id)
    assert jobs.find(job.id).state == "queued"
    again = jobs.take()
    assert again and again.photo == b"photo"


def test_there_is_a_limit_to_what_waits(engine: Engine) -> None:
    jobs = Jobs(engine, limit=2)
    first = jobs.add(ORDER, b"1")
    jobs.add(ORDER, b"2")
    with pytest.raises(TooManyJobs):
        jobs.add(ORDER, b"3")
    jobs.cancel(first.id)
    jobs.add(ORDER, b"3")


def test_jobs_that_ended_are_forgotten_after_a_day(engine: Engine) -> None:
    jobs = Jobs(engine)
    old = jobs.add(ORDER, b"1")
    task = jobs.take()
    assert task and jobs.finish(task.id, b"result", "image/png")
    kept = jobs.add(ORDER, b"2")
    assert jobs.take(jobs.find(old.id).updated_at + KEPT_SECONDS + 1)
    with pytest.raises(JobNotFound):
        jobs.find(old.id)
    assert jobs.find(kept.id).state == "running"
