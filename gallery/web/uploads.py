"""Pictures that clients send: raw, or as parts of a form. Nothing of them is stored."""

from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from gallery.use_cases.references import MAX_STYLES
from gallery.web.problems import Problem

MAX_PARTS = 3 + MAX_STYLES
MAX_FIELDS = 8

_BINARY = {"schema": {"type": "string", "format": "binary"}}

BODY: dict[str, Any] = {
    "required": True,
    "content": {
        **{kind: _BINARY for kind in ("image/jpeg", "image/png", "image/webp", "image/*")},
        "application/octet-stream": _BINARY,
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["photo"],
                "properties": {
                    "photo": {"type": "string", "format": "binary"},
                    "painting": {
                        "type": "string",
                        "format": "binary",
                        "description": "A picture whose style to take.",
                    },
                    "mask": {
                        "type": "array",
                        "maxItems": MAX_STYLES,
                        "items": {"type": "string", "format": "binary"},
                        "description": "Where the styles go: a grey picture for each, the one of "
                        "`painting` last, or one picture with a colour for each, dark to bright.",
                    },
                    "strength": {
                        "type": "string",
                        "format": "binary",
                        "description": "A grey picture that `alpha` is multiplied by.",
                    },
                },
            }
        },
    },
}
"""The request body of operations that take a photo, for OpenAPI."""

PICTURE_BODY: dict[str, Any] = {
    "required": True,
    "content": {kind: _BINARY for kind in ("image/jpeg", "image/png", "image/*")}
    | {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["photo"],
                "properties": {"photo": {"type": "string", "format": "binary"}},
            }
        }
    },
}
"""The same for operations that take one picture."""


FILM_BODY: dict[str, Any] = {
    "required": True,
    "content": {kind: _BINARY for kind in ("video/mp4", "video/webm", "video/*", "image/gif")}
    | {"application/octet-stream": _BINARY},
}
"""The same for operations that take one film."""


@dataclass(frozen=True)
class Upload:
    """The parts that were sent.

    Attributes:
        photo: A picture file, not decoded yet; of a job that paints a film, a film.
        painting: One whose style to take, if it came along.
        masks: Those that say where each style goes.
        strength: One that says how strongly.
    """

    photo: bytes
    painting: bytes | None = None
    masks: tuple[bytes, ...] = ()
    strength: bytes | None = None


async def read_upload(request: Request) -> Upload:
    """Read a photo from the body; names and types that the client claims do not matter.

    Raises:
        Problem: If there is none, the form is malformed, or it is too large or too slow.
    """
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await _read_form(request)
    photo = b"".join([part async for part in request.stream()])
    if not photo:
        raise Problem("bad-request", "send a picture as the body of the request")
    return Upload(photo)


async def _read_form(request: Request) -> Upload:
    try:
        form = await request.form(
            max_files=MAX_PARTS, max_fields=MAX_FIELDS, max_part_size=64 * 1024
        )
    except MultiPartException as error:
        raise Problem("bad-request", f"malformed form: {error.message}"[:200]) from error
    except Problem:
        raise
    except Exception as error:
        # Starlette makes its own of the former; the parser has others.
        detail = str(getattr(error, "detail", "cannot be read"))
        raise Problem("bad-request", f"malformed form: {detail}"[:200]) from error
    try:
        files = [
            (name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)
        ]
        contents = [(name, await value.read()) for name, value in files]
    finally:
        await form.close()
    single = {name: data for name, data in contents if name != "mask"}
    if "photo" not in single:
        raise Problem("bad-request", "send the picture as the part 'photo' of the form")
    masks = tuple(data for name, data in contents if name == "mask")
    return Upload(single["photo"], single.get("painting"), masks, single.get("strength"))
