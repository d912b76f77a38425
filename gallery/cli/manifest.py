"""`adain manifest`: the catalogue of a museum as a manifest."""

import json
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gallery.cli.exits import describe, exit_code, usage
from gallery.cli.options import Contact, Fetch, Overwrite, Quiet
from gallery.cli.streams import complain, emit, progress


class Museum(StrEnum):
    """Museums whose catalogues can be read."""

    NGA = "nga"
    AIC = "aic"
    CLEVELAND = "cleveland"
    MET = "met"


EXAMPLES = """\b
Examples:
  adain manifest nga opendata/data/ -o nga.jsonl
  adain manifest aic artic-api-data.tar.bz2 -o aic.jsonl
  adain manifest aic --fetch --limit 500 --contact me@example.org -o aic.jsonl
  adain manifest cleveland data.json --kind print -o prints.jsonl
  adain manifest met MetObjects.csv --fetch --keep met/ -o met.jsonl
  adain ingest aic.jsonl --fetch

\b
Where the catalogues are:
  nga        folder data of https://github.com/NationalGalleryOfArt/opendata:
             objects.csv, published_images.csv, objects_terms.csv
  aic        https://artic-api-data.s3.amazonaws.com/artic-api-data.tar.bz2
  cleveland  data.json or data.csv of
             https://github.com/ClevelandMuseumArt/openaccess (Git LFS)
  met        MetObjects.csv of https://github.com/metmuseum/openaccess (Git LFS)
"""


def manifest(
    museum: Annotated[
        Museum,
        typer.Argument(
            metavar="MUSEUM",
            help="nga (National Gallery of Art), aic (Art Institute of Chicago), cleveland "
            "(Cleveland Museum of Art) or met (The Met).",
        ),
    ],
    sources: Annotated[
        list[Path] | None, typer.Argument(metavar="SOURCE", help="Its catalogue: files, folders.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="By default MUSEUM.jsonl."),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(metavar="KIND", help="Another kind of work, such as print, drawing or any."),
    ] = "painting",
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Stop after so many works.")
    ] = None,
    fetch: Fetch = False,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="With --fetch: keep the records of The Met there."),
    ] = None,
    contact: Contact = "",
    overwrite: Overwrite = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as a JSON object.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Turn the catalogue of a museum into a list for 'adain ingest'.

    Only works with a picture that the museum gives to the public domain are taken. Prints the path
    of the manifest.
    """
    from gallery.errors import ManifestError
    from gallery.files import make_folder, new_file
    from gallery.ingest.catalogues import WHERE, fetch_entries, find_entries
    from gallery.ingest.download import DownloadConfig, Downloader

    sources = sources or []
    output = output or Path(f"{museum}.jsonl")
    with usage():
        downloader = Downloader(DownloadConfig(contact))
        if (keep and not fetch) or (fetch and museum == Museum.NGA):
            raise ValueError("--keep needs --fetch, and nga has no API to fetch from")
        if fetch and sources and museum != Museum.MET:
            raise ValueError(f"give files of {museum}, or --fetch, not both")
        if not sources and (not fetch or museum == Museum.MET):
            raise ValueError(f"no catalogue. {WHERE[museum]}")
    if keep is not None:
        make_folder(keep)
    counts: Counter[str] = Counter()
    errors: list[Exception] = []
    written = 0
    with (
        downloader,
        progress(limit, hidden=quiet, label="reading") as advance,
        new_file(output, overwrite) as file,
    ):
        if fetch:
            entries = fetch_entries(
                museum, sources, lambda url: downloader.download(url, "application/json"),
                kind.lower(), keep,
            )  # fmt: skip
        else:
            entries = find_entries(museum, sources, kind.lower())
        for entry in entries:
            if entry.row is not None:
                file.write(json.dumps(entry.row, ensure_ascii=False).encode() + b"\n")
                written += 1
                advance()
            elif entry.error is not None:
                errors.append(entry.error)
                complain(describe(entry.error))
            else:
                counts[entry.reason] += 1
            if written == limit:
                break
        if not written:
            reasons = ", ".join(f"{reason}: {count}" for reason, count in counts.most_common())
            raise ManifestError(f"no work of this catalogue can be used ({reasons or 'no record'})")
    skipped = dict(counts.most_common())
    if as_json:
        summary = {"manifest": str(output), "works": written, "failed": len(errors)}
        emit(json.dumps({**summary, "skipped": skipped}, ensure_ascii=False))
    else:
        emit(str(output))
    if not quiet:
        left = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        note = f" ({left})" if left else ""
        complain(f"works={written} skipped={counts.total()} failed={len(errors)}{note}")
    raise typer.Exit(exit_code(errors, done=written))
