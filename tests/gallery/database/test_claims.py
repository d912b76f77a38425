"""Work that one process does at a time."""

import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from gallery.database import claims
from gallery.database.claims import HELD, claim
from gallery.database.engine import connect, upgrade
from gallery.database.jobs import Jobs
from gallery.database.tables import JobRow


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = connect(f"sqlite:///{tmp_path / 'gallery.db'}")
    upgrade(engine, lambda session: None)
    return engine


def held(engine: Engine) -> list[str]:
    with Session(engine) as session:
        return list(session.scalars(select(JobRow.id).where(JobRow.state == HELD)))


def test_one_holds_it_until_its_work_ends(engine: Engine) -> None:
    with claim(engine, "learn a") as first, claim(engine, "learn a") as second:
        with claim(engine, "learn b") as other:
            assert (first, second, other) == (True, False, True)
        assert held(engine) == ["learn a"]
    with pytest.raises(ValueError, match="its work"), claim(engine, "learn a") as again:
        assert again
        raise ValueError("its work failed")
    assert held(engine) == []


def test_it_is_renewed_and_else_runs_out(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "LEASE_SECONDS", 0.2)
    monkeypatch.setattr(claims, "RENEW_SECONDS", 0.05)
    with claim(engine, "learn a"):
        time.sleep(0.5)
        with claim(engine, "learn a") as taken:
            assert not taken
    # What a killed process leaves behind.
    assert claims._take(engine, "learn a", "somebody")
    with claim(engine, "learn a") as too_soon:
        assert not too_soon
    time.sleep(0.3)
    with claim(engine, "learn a") as later:
        assert later


def test_nobody_takes_it_for_a_job(engine: Engine) -> None:
    jobs = Jobs(engine)
    with claim(engine, "learn a"):
        assert jobs.take(time.time() + 60) is None
        assert held(engine) == ["learn a"]
