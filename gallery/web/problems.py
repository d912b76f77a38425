"""Problems with a request, as `application/problem+json` (RFC 9457) with stable codes."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from adain.errors import AdainError, ImageError, ImageTooLargeError, MaskError, TorchMissing
from gallery.database.jobs import JobNotFound, TooManyJobs
from gallery.errors import GalleryError, StyleNotFound, StylesError

MEDIA_TYPE = "application/problem+json"

CODES = {
    "bad-request": (400, "The request is malformed"),
    "unauthorized": (401, "A key is needed"),
    "forbidden": (403, "This is not allowed"),
    "not-found": (404, "There is no such thing"),
    "style-not-found": (404, "There is no such style"),
    "job-not-found": (404, "There is no such job"),
    "method-not-allowed": (405, "This method is not allowed here"),
    "upload-too-slow": (408, "The request took too long to arrive"),
    "job-not-done": (409, "The job has no result"),
    "body-too-large": (413, "The request is too large"),
    "not-a-picture": (415, "The picture cannot be read"),
    "not-a-film": (415, "The film cannot be read"),
    "wrong-host": (421, "The service does not go by this name"),
    "invalid-parameter": (422, "A parameter cannot be used"),
    "picture-too-large": (422, "The picture has too many pixels"),
    "film-too-long": (422, "The film is too long"),
    "mask-mismatch": (422, "A mask does not fit"),
    "style-not-measured": (422, "The style is not measured"),
    "too-many-requests": (429, "Too many requests"),
    "client-gone": (499, "The client left"),
    "internal-error": (500, "Something unexpected happened"),
    "torch-missing": (501, "The service cannot do this"),
    "video-missing": (501, "The service cannot do this"),
    "busy": (503, "The service is busy"),
    "gallery-unavailable": (503, "The gallery cannot be read"),
    "too-late": (504, "The picture was not done in time"),
}
"""Status and title of each code; the codes stay as they are in `/api/v1`."""

_log = logging.getLogger(__name__)


class Problem(Exception):
    """A request cannot be answered as asked.

    Attributes:
        code: One of `CODES`.
        detail: One sentence with what was wrong and what to do; never a path or a stack.
        headers: To add to the response.
    """

    def __init__(self, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.code, self.detail, self.headers = code, detail, headers

    @property
    def response(self) -> Response:
        """Return the response that says so."""
        status, title = CODES[self.code]
        content = {
            "type": f"urn:adain:problem:{self.code}",
            "title": title,
            "status": status,
            "detail": self.detail,
            "code": self.code,
        }
        return JSONResponse(content, status, self.headers, MEDIA_TYPE)


class ProblemDocument(BaseModel):
    """An error; `code` is what programs go by."""

    type: str = Field(examples=["urn:adain:problem:style-not-found"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=sorted(CODES))


def busy(detail: str, seconds: float) -> Problem:
    """Return that the service has no room now, but will have after some seconds."""
    return Problem("busy", detail, {"Retry-After": str(max(1, round(seconds)))})


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the responses of an operation that fails with these codes, for OpenAPI."""
    found: dict[int | str, list[str]] = {}
    for code in codes:
        found.setdefault(CODES[code][0], []).append(code)
    schema = {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}
    return {
        status: {"description": " or ".join(names), "content": {MEDIA_TYPE: {"schema": schema}}}
        for status, names in found.items()
    }


def handle_problems(app: FastAPI) -> None:
    """Make every error that is expected one of these; `Envelope` has the others."""
    app.add_exception_handler(Problem, _answer)
    app.add_exception_handler(RequestValidationError, _answer)
    app.add_exception_handler(HTTPException, _answer)
    app.add_exception_handler(AdainError, _answer)
    app.add_exception_handler(GalleryError, _answer)


def _answer(request: Request, error: Exception) -> Response:
    return translate(error).response


def translate(error: Exception) -> Problem:
    """Return what a client may know of an error."""
    match error:
        case Problem():
            return error
        case RequestValidationError() | ValidationError():
            return Problem("invalid-parameter", _describe(error.errors()))
        case HTTPException():
            code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code)
            return Problem(code or "bad-request", str(error.detail), error.headers)
        case ImageTooLargeError():
            return Problem("picture-too-large", str(error))
        case ImageError():
            return Problem("not-a-picture", str(error))
        case StyleNotFound():
            return Problem("style-not-found", str(error))
        case JobNotFound():
            return Problem("job-not-found", str(error))
        case TooManyJobs():
            return busy(str(error), 10)
        case TorchMissing():
            return Problem("torch-missing", str(error))
        case MaskError():
            return Problem("mask-mismatch", str(error))
        case StylesError():
            return Problem("style-not-measured", str(error))
        case GalleryError():
            # Its text names the file or the server.
            _log.error("%s", error)
            return Problem("gallery-unavailable", "try again later", {"Retry-After": "5"})
        case _:
            return Problem("internal-error", "the log of the service tells more")


def _describe(errors: Sequence[Any]) -> str:
    return "; ".join(
        f"{_place(error)}: {error['msg'].removeprefix('Value error, ')}"[:200]
        for error in errors[:4]
    )


def _place(error: Any) -> str:
    # What concerns several parameters has no place of its own.
    places = (part for part in error["loc"] if part not in ("query", "path", "body"))
    return str(next(places, "request"))
