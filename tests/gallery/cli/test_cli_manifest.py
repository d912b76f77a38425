import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gallery.cli import app
from gallery.errors import DownloadError
from gallery.ingest import download
from gallery.ingest.sources import Remote, find_candidates

Run = Callable[..., Result]

WORK = {
    "id": 1,
    "title": "Moon",
    "artist_title": "Ann",
    "date_start": 1900,
    "date_end": 1900,
    "artwork_type_title": "Painting",
    "is_public_domain": True,
    "image_id": "a-b",
    "credit_line": "Gift",
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    works = [{**WORK, "id": i} for i in range(5)]
    works.append({**WORK, "is_public_domain": False})
    works.append({**WORK, "artwork_type_title": "Print"})
    works.append({**WORK, "id": "x"})
    Path("works.json").write_text(json.dumps(works))
    return lambda *arguments: CliRunner().invoke(app, ["manifest", *arguments])


def test_a_catalogue_becomes_a_manifest_that_ingest_reads(run: Run, tmp_path: Path) -> None:
    result = run("aic", "works.json", "-o", "out.jsonl")
    assert (result.exit_code, result.stdout) == (3, "out.jsonl\n")
    assert result.stderr == (
        "adain: works.json:8: id must be a number, got 'x'\n"
        "adain: works=5 skipped=2 failed=1 (1 not in the public domain, 1 another kind of work)\n"
    )
    found = list(find_candidates(tmp_path / "out.jsonl", remote=Remote(lambda _: b"")))
    assert [item.error for item in found] == [None] * 5
    painting = found[0].painting
    assert painting is not None
    assert (painting.title, painting.artist, painting.years) == ("Moon", "Ann", "1900")
    assert (painting.rights, painting.credit, painting.source) == ("CC0-1.0", "Gift", "aic")
    assert {path.name for path in tmp_path.iterdir()} == {"works.json", "out.jsonl"}


def test_it_stops_at_the_limit_and_tells_machines(run: Run) -> None:
    result = run("aic", "works.json", "--limit", "2", "--json", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {
        "manifest": "aic.jsonl",
        "works": 2,
        "failed": 0,
        "skipped": {},
    }
    assert len(Path("aic.jsonl").read_text().splitlines()) == 2
    assert run("aic", "works.json", "--kind", "Print", "-o", "p.jsonl").exit_code == 0


def test_manifests_are_not_replaced_unless_asked_for(run: Run, tmp_path: Path) -> None:
    Path("out.jsonl").write_text("mine")
    result = run("aic", "works.json", "-o", "out.jsonl")
    assert result.exit_code == 4 and "out.jsonl: exists" in result.stderr
    assert Path("out.jsonl").read_text() == "mine"
    assert run("aic", "works.json", "-o", "out.jsonl", "--overwrite").exit_code == 3
    assert len(Path("out.jsonl").read_text().splitlines()) == 5
    result = run("aic", "works.json", "-o", "no/out.jsonl")
    assert result.exit_code == 4 and "cannot be written" in result.stderr


def test_without_a_usable_work_nothing_is_written(run: Run, tmp_path: Path) -> None:
    result = run("cleveland", "works.json", "-o", "out.jsonl")
    assert result.exit_code == 4
    assert "no work of this catalogue can be used (another kind of work: 8)" in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"works.json"}


def test_a_missing_catalogue_says_where_it_is_had(run: Run) -> None:
    result = run("aic", "gone.tar.bz2")
    assert result.exit_code == 4 and "artic-api-data.s3.amazonaws.com" in result.stderr
    for museum, word in (("nga", "objects.csv"), ("met", "MetObjects.csv"), ("cleveland", "data.")):
        result = run(museum)
        assert result.exit_code == 2 and word in result.stderr
    for arguments in (["nga", "--fetch"], ["aic", "works.json", "--fetch"], ["met", "--fetch"],
                      ["louvre", "x"], ["aic", "works.json", "--keep", "d"],
                      ["aic", "works.json", "--limit", "0"]):  # fmt: skip
        assert run(*arguments).exit_code == 2


def test_the_api_is_asked_when_it_is_wanted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    contacts = []

    class Fake(download.Downloader):
        def __init__(self, config: download.DownloadConfig) -> None:
            super().__init__(config)
            contacts.append(config.contact)

        def download(self, url: str, accept: str = "") -> bytes:
            if "%22" not in url and '"gt":0' in url:
                return json.dumps({"data": [WORK]}).encode()
            raise DownloadError(f"{url:.30}: the server answers 503")

    monkeypatch.setattr(download, "Downloader", Fake)
    result = run("aic", "--fetch", "--limit", "1", "--contact", "me@example.org")
    assert result.exit_code == 0 and contacts == ["me@example.org"]
    result = run("aic", "--fetch", "-o", "more.jsonl")
    assert result.exit_code == 4 and "503" in result.stderr
    assert not Path("more.jsonl").exists()


def test_help_gives_examples_and_places() -> None:
    result = CliRunner().invoke(app, ["manifest", "--help"])
    assert result.exit_code == 0 and "  adain manifest nga opendata/data/ -o nga" in result.stdout
    assert "https://artic-api-data.s3.amazonaws.com" in result.stdout
