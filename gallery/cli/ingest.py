"""`adain ingest`: pictures into the gallery."""

import json
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gallery.cli.exits import describe, exit_code, usage
from gallery.cli.fields import help_of
from gallery.cli.options import Contact, Database, Device, Fetch, Quiet, load_network
from gallery.cli.streams import complain, emit, progress
from gallery.config import IngestConfig, StylizeConfig, database_url, threads_each
from gallery.files import make_folder, sweep

if TYPE_CHECKING:
    from gallery.ingest.pipeline import IngestStep

DEFAULTS = IngestConfig()

EXAMPLES = """\b
Examples:
  adain ingest paintings/ --recursive
  adain ingest wikiart/ --jobs 4
  adain ingest pictures.zip
  adain ingest catalogue.xlsx --dry-run
  adain ingest museum.jsonl --dry-run --json
  adain ingest museum.jsonl --fetch --contact me@example.org
"""


def ingest(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="Pictures, folders, WikiArt folders, zip archives, manifests (CSV, Excel, JSONL).",
        ),
    ],
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Look into the folders of a folder too.")
    ] = DEFAULTS.recursive,
    jobs: Annotated[
        int, typer.Option(metavar="N", help=help_of(IngestConfig, "jobs"))
    ] = DEFAULTS.jobs,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would be added; write nothing.")
    ] = DEFAULTS.dry_run,
    fetch: Fetch = False,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="With --fetch: keep the pictures there; by default only their styles stay.",
        ),
    ] = None,
    contact: Contact = "",
    device: Device = DEFAULTS.device,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each picture, not the slug.")
    ] = False,
    quiet: Quiet = False,
    database: Database = None,
) -> None:
    """Measure pictures and add them to the gallery.

    Prints the slugs of the paintings that are new. What is known already is skipped, so a run
    that was stopped goes on where it was.
    """
    with usage():
        config = IngestConfig(recursive, jobs, device, dry_run)
        if keep is not None and not fetch:
            raise ValueError("--keep is for pictures of the web; add --fetch")
    from gallery.database.gallery import make_gallery, open_gallery
    from gallery.ingest.download import DownloadConfig, Downloader
    from gallery.ingest.pipeline import ingest
    from gallery.ingest.sources import Remote, find_candidates

    with usage():
        downloader = Downloader(DownloadConfig(contact))
    model = load_network(StylizeConfig.model, device, threads_each(jobs))
    remote = Remote(downloader.download, keep) if fetch else None
    url = database_url(database)
    gallery = open_gallery(url, may_be_new=True) if dry_run else make_gallery(url)
    candidates = [found for path in sources for found in find_candidates(path, recursive, remote)]
    if keep is not None and not dry_run:
        make_folder(keep)
        sweep(keep)
    counts: Counter[str] = Counter()
    errors: dict[str, Exception] = {}
    notes = {found.name: found.notes for found in candidates if found.notes}
    if not quiet:
        for note in chain.from_iterable(notes.values()):
            complain(f"{note}; the rest of it is kept")
    run = None if dry_run else gallery.start_run([str(path) for path in sources])
    with progress(len(candidates), hidden=quiet, label="measuring") as advance:

        def report(step: "IngestStep") -> None:
            counts[step.status] += 1
            if step.error is not None:
                errors[step.name] = step.error
                complain(describe(step.error))
            if as_json:
                values = _values(step) | ({"notes": notes[step.name]} if step.name in notes else {})
                emit(json.dumps(values, ensure_ascii=False))
            elif step.painting and step.status in ("added", "new"):
                emit(step.painting.slug or step.painting.path or step.name)
            if step.near and not quiet:
                complain(f"{step.name}: looks like {', '.join(step.near)}")
            advance()

        try:
            ingest(gallery, candidates, model, config, report)
        finally:
            downloader.close()
            if run is not None:
                reasons = {name: describe(error) for name, error in errors.items()}
                gallery.finish_run(run, counts["added"], counts["known"], reasons)
    if not quiet:
        complain(" ".join(f"{name}={counts[name]}" for name in _columns(dry_run)))
    raise typer.Exit(exit_code(list(errors.values()), done=counts.total() - len(errors)))


def _columns(dry_run: bool) -> tuple[str, ...]:
    return ("new" if dry_run else "added", "known", "failed")


def _values(step: "IngestStep") -> dict[str, object]:
    values: dict[str, object] = {"source": step.name, "status": step.status}
    if step.error is not None:
        return {**values, "error": describe(step.error)}
    assert step.painting is not None
    known = {"id": step.painting.id, "slug": step.painting.slug} if step.painting.id else {}
    return {**values, **known, "sha256": step.painting.sha256, "near": list(step.near)}
