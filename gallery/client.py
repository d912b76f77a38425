"""A client of the web service of another machine: photos there, paintings back."""

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote

import requests

from adain.config import Controls, PictureFile, settings_of
from gallery.config import StylizeConfig
from gallery.errors import GalleryError
from gallery.web.documents import (
    ROOT,
    GroupDocument,
    GroupsDocument,
    JobDocument,
    PaintingDocument,
    PaintingsDocument,
    ServiceDocument,
)

RETRIES = 5
"""How often a request is made again when the service is busy."""

MAX_WAIT = 30.0
"""Longest pause in seconds before such a request, whatever the service asks for."""


class ServiceError(GalleryError):
    """The service refused a request, or does not answer.

    Attributes:
        code: A stable code of `gallery.web.problems.CODES`, or `unreachable`.
        status: Of HTTP; 0 if there was no answer.
    """

    def __init__(self, message: str, code: str, status: int) -> None:
        super().__init__(message)
        self.code, self.status = code, status


class Client:
    """A service, by its address; use it in a `with` statement, in one thread.

    Every method raises `ServiceError`.

    Args:
        url: Such as `http://127.0.0.1:8110`.
        key: A key of the service, where it needs one.
        timeout: Seconds to wait for an answer.

    Raises:
        ServiceError: If `url` is no address of the web.
    """

    def __init__(self, url: str, key: str | None = None, timeout: float = 90) -> None:
        if not url.lower().startswith(("http://", "https://")):
            host = url.rpartition("://")[2].partition("/")[0] or "127.0.0.1"
            meant = f"http://{host}" if ":" in host else f"http://{host}:8110"
            message = f"{url!r:.100} is no address of a service; give one such as {meant}"
            raise ServiceError(message, "unreachable", 0)
        self._url, self._timeout = url.rstrip("/"), timeout
        self._session = requests.Session()
        # Else a password file of the user's would take the place of the key.
        self._session.trust_env = False
        if key is not None:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def service(self) -> ServiceDocument:
        """Return version and limits."""
        return ServiceDocument.model_validate_json(self._ask("GET", ROOT).content)

    def stylize(
        self,
        photo: bytes,
        styles: Sequence[str] = (),
        *,
        painting: bytes | None = None,
        painting_weight: float = 1.0,
        alpha: float = StylizeConfig.alpha,
        max_side: int | None = StylizeConfig.max_side,
        format: str = "png",
        quality: int = StylizeConfig.jpeg_quality,
        controls: Controls = Controls(),
        adapter: bool = StylizeConfig.adapter,
    ) -> bytes:
        """Repaint a photo.

        Args:
            photo: A picture file.
            styles: Names of the gallery, with weights as in `irises=0.7`.
            painting: A picture file whose style to take, or to mix with the others.
            painting_weight: Its weight.
            alpha: Strength: 0 keeps the photo, 1 is the full style.
            max_side: Longest side of the result in pixels.
            format: `jpeg`, `png`, `webp`, `avif`, `tiff` or `bmp`.
            quality: 1 to 100, of JPEG, WebP and AVIF.
            controls: How it is repainted; masks go with the styles, the painting's last.
            adapter: Whether to paint with what was learnt of a painting, where there is any.

        Returns:
            A picture file.
        """
        query: dict[str, Any] = {
            "style": list(styles),
            "alpha": alpha,
            "max_side": max_side,
            "format": format,
            "quality": quality,
            "painting_weight": painting_weight,
            "adapter": adapter,
        }
        query |= {name: getattr(controls, name) for name in settings_of(controls)}
        parts = [("photo", photo)]
        parts += [] if painting is None else [("painting", painting)]
        parts += [("mask", _content(mask)) for mask in controls.masks]
        parts += [] if controls.strength is None else [("strength", _content(controls.strength))]
        body: dict[str, Any] = {"data": photo} if len(parts) == 1 else {"files": parts}
        return self._ask("POST", f"{ROOT}/stylize", params=query, **body).content

    def render(
        self,
        photo: bytes,
        styles: Sequence[str] = (),
        *,
        painting: bytes | None = None,
        masks: Sequence[PictureFile] = (),
        on_change: Callable[[JobDocument], None] = lambda job: None,
        **settings: str | float,
    ) -> bytes:
        """Repaint a photo by optimising it, as a job; wait for it.

        Args:
            photo: A picture file.
            styles: Names of the gallery, with positive weights.
            painting: A picture file whose style to take, or to mix with the others.
            masks: Where each style goes, the painting last.
            on_change: Told how the job is, about twice a second.
            settings: `content_weight`, `style_weight`, `time_limit` in seconds, and those of
                `stylize` but `stroke`, `alpha` and `strength`.

        Returns:
            A picture file.
        """
        query = {"method": "render", "style": list(styles), **settings}
        parts = [("photo", photo)]
        parts += [] if painting is None else [("painting", painting)]
        parts += [("mask", _content(mask)) for mask in masks]
        return self._finish(query, parts, on_change)

    def film(
        self,
        film: bytes,
        styles: Sequence[str] = (),
        *,
        painting: bytes | None = None,
        masks: Sequence[PictureFile] = (),
        on_change: Callable[[JobDocument], None] = lambda job: None,
        **settings: str | float | bool,
    ) -> bytes:
        """Repaint a film, with its sound, as a job; wait for it.

        Args:
            film: A film, a GIF or another animation.
            styles: Names of the gallery, with weights as in `irises=0.7`.
            painting: A picture file whose style to take, or to mix with the others.
            masks: Where each style goes in all of its frames, the painting last.
            on_change: Told how the job is, about twice a second.
            settings: `begin` and `end` in seconds, `stable`, `container` (`mp4`, `webm`, `gif` or
                `webp`), and those of `stylize`.

        Returns:
            A film.
        """
        query = {"method": "film", "style": list(styles), **settings}
        parts = [("photo", film)]
        parts += [] if painting is None else [("painting", painting)]
        parts += [("mask", _content(mask)) for mask in masks]
        return self._finish(query, parts, on_change)

    def _finish(
        self,
        query: dict[str, Any],
        parts: list[tuple[str, bytes]],
        on_change: Callable[[JobDocument], None],
    ) -> bytes:
        """Return the result of a job, once it is done."""
        answer = self._ask("POST", f"{ROOT}/jobs", params=query, files=parts)
        job = JobDocument.model_validate_json(answer.content)
        try:
            while job.state in ("queued", "running"):
                time.sleep(0.5)
                answer = self._ask("GET", f"{ROOT}/jobs/{job.id}")
                job = JobDocument.model_validate_json(answer.content)
                on_change(job)
        except BaseException:
            self._session.delete(f"{self._url}{ROOT}/jobs/{job.id}", timeout=5)
            raise
        if job.result is None:
            raise ServiceError(f"{self._url}: the job {job.state}: {job.detail}", job.code, 0)
        return self._ask("GET", job.result).content

    def find_regions(self, photo: bytes, part: str = "face") -> bytes:
        """Return where a part of a photo is: `face`, `person` or `background`.

        Returns:
            A grey PNG file of the photo's shape: white is there, as masks take it.
        """
        query = {"part": part}
        return self._ask("POST", f"{ROOT}/regions", params=query, data=photo).content

    def add_painting(self, picture: bytes, title: str, **facts: Any) -> PaintingDocument:
        """Add a painting to the gallery; needs a key of an administrator.

        Args:
            picture: A picture file; its style is measured, it is not kept.
            title: What it is called.
            facts: `artist`, `year`, `styles`, `genres`, `tags`, `medium`, `rights`, `credit`.
        """
        query = {"title": title, **facts}
        answer = self._ask("POST", f"{ROOT}/paintings", params=query, data=picture)
        return PaintingDocument.model_validate_json(answer.content)

    def remove_painting(self, name: str) -> None:
        """Remove a painting by its slug or number; needs a key of an administrator."""
        self._ask("DELETE", f"{ROOT}/paintings/{quote(name, safe='')}")

    def paintings(
        self, search: str = "", artist: str | None = None, style: str | None = None
    ) -> Iterator[PaintingDocument]:
        """Yield paintings by number, a page at a time: all, or those that fit."""
        query = {"q": search, "artist": artist, "style": style, "limit": 200}
        path: str | None = f"{ROOT}/paintings"
        while path is not None:
            answer = self._ask("GET", path, params=query)
            page = PaintingsDocument.model_validate_json(answer.content)
            yield from page.paintings
            path, query = page.next, {}

    def painting(self, name: str) -> PaintingDocument:
        """Return what is known about a painting."""
        answer = self._ask("GET", f"{ROOT}/paintings/{quote(name, safe='')}")
        return PaintingDocument.model_validate_json(answer.content)

    def similar(self, name: str, limit: int = 10) -> list[PaintingDocument]:
        """Return the paintings whose style is nearest to that of one."""
        path = f"{ROOT}/paintings/{quote(name, safe='')}/similar"
        answer = self._ask("GET", path, params={"limit": limit})
        return PaintingsDocument.model_validate_json(answer.content).paintings

    def preview(self, name: str) -> bytes:
        """Return what a painting's style does to the example, as a JPEG file."""
        return self._ask("GET", f"{ROOT}/paintings/{quote(name, safe='')}/preview").content

    def artists(self) -> list[GroupDocument]:
        """Return every artist."""
        return self._groups("artists")

    def styles(self) -> list[GroupDocument]:
        """Return every movement."""
        return self._groups("styles")

    def _groups(self, path: str) -> list[GroupDocument]:
        answer = self._ask("GET", f"{ROOT}/{path}")
        return GroupsDocument.model_validate_json(answer.content).groups

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response:
        for attempt in range(RETRIES + 1):
            try:
                options |= {"timeout": self._timeout, "allow_redirects": False}
                answer = self._session.request(method, self._url + path, **options)
            except requests.RequestException as error:
                raise ServiceError(
                    f"{self._url}: does not answer ({type(error).__name__}); check the address "
                    "and that 'adain serve' runs there",
                    "unreachable",
                    0,
                ) from error
            if answer.status_code in (200, 201, 202):
                return answer
            seconds = answer.headers.get("Retry-After", "")
            if attempt == RETRIES or not seconds.isdecimal():
                break
            time.sleep(min(float(seconds), MAX_WAIT))
        code, detail = _problem(answer)
        raise ServiceError(f"{self._url}: {detail}", code, answer.status_code)


def _content(file: PictureFile) -> bytes:
    return file if isinstance(file, bytes) else file.read_bytes()


def _problem(answer: requests.Response) -> tuple[str, str]:
    try:
        problem = answer.json()
        return str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"answered {answer.status_code}, not as adain does; check the address"
        return "internal-error", detail
