"""Weights files from the web: resumed where they broke off, and checked against their sha256."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests

from adain.errors import WeightsError

ATTEMPTS = 5
"""Times that a download which broke off is taken up again without getting any further."""

TIMEOUT = (10, 60)
"""Seconds to connect, and between two parts of the answer."""

CHUNK = 2**18


def url_digest(url: str) -> str:
    """Return the first hex digits of the sha256 that the name in torchvision's URLs promises."""
    return Path(urlsplit(url).path).stem.rpartition("-")[2]


def download(
    url: str, path: Path, progress: Callable[[int, int | None], None] = lambda done, total: None
) -> None:
    """Fetch a weights file whose name ends in the start of its sha256, as torchvision's do.

    A download that breaks off goes on where it was, in this call and in a later one; `path`
    appears only when it is whole.

    Args:
        url: HTTP or HTTPS.
        path: The file to make; its part lies beside it as `.part`.
        progress: Called with the bytes so far and the size, if that is known.

    Raises:
        WeightsError: If the server cannot be reached or keeps breaking off, the file is not the
            promised one, or the disk is full.
    """
    part = path.with_name(f"{path.name}.part")
    failures = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                _fetch(url, part, progress)
                break
            except requests.RequestException as error:
                answer = getattr(error, "response", None)
                refused = answer is not None and answer.status_code < 500
                moved = part.exists() and part.stat().st_size > before
                failures = 0 if moved else failures + 1
                if refused or failures == ATTEMPTS:
                    raise WeightsError(
                        f"{url}: {_reason(error)}; where there is a connection, get this file, and "
                        f"bring it with: adain weights import {path.name.split('-')[0]} FILE"
                    ) from error
                time.sleep(0.2 * 2**failures)
        check_digest(part, url_digest(url), remove=True)
        os.replace(part, path)
    except OSError as error:
        raise WeightsError(f"{path.name}: cannot be written ({error.strerror or error})") from error


def _fetch(url: str, part: Path, progress: Callable[[int, int | None], None]) -> None:
    """Append what is missing to the part. Raises `requests.RequestException` if it breaks off."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    # The bytes as they are: a compressed answer could not be resumed.
    headers["Accept-Encoding"] = "identity"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == 416:
            # There is nothing beyond what is here; the digest tells whether it is right.
            return
        answer.raise_for_status()
        if answer.status_code != 206:
            start = 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        with part.open("ab" if start else "wb") as file:
            done = start
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
    if total is not None and done < total:
        raise requests.ConnectionError("the connection broke off")


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answers {error.response.status_code}"
    match error:
        case requests.exceptions.MissingSchema() | requests.exceptions.InvalidURL():
            return "not a URL"
        case requests.Timeout():
            return "no answer in time"
        case _:
            return "cannot be reached, or breaks off"


def check_digest(path: Path, digest: str, remove: bool = False) -> None:
    """Raise `WeightsError` unless the file's sha256 begins with `digest`."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    if not digest or not found.startswith(digest):
        if remove:
            path.unlink()
        raise WeightsError(
            f"{path.name}: its sha256 begins with {found[:8]}, not with {digest or 'a known one'}; "
            "it is damaged, or another file"
        )
