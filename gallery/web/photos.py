"""Photos that browsers cannot read, such as HEIC: the service reads them."""

from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from adain.imaging.pillow import to_image
from adain.imaging.resizing import resize_image
from adain.imaging.writing import encode_image
from gallery.web.documents import ROOT
from gallery.web.problems import documented
from gallery.web.state import AppState
from gallery.web.uploads import PICTURE_BODY, read_upload
from gallery.web.worker import Priority

SIDE = 1024
"""Longest side in pixels of what comes back."""


def create_photo_api(state: AppState) -> APIRouter:
    """Return the route that reads a photo."""
    api = APIRouter(prefix=ROOT, tags=["pictures"])

    @api.post(
        "/photo",
        summary="A photo as browsers can show it",
        response_class=Response,
        responses=documented("bad-request", "unauthorized", "forbidden", "too-many-requests")
        | documented("not-a-picture", "picture-too-large", "body-too-large", "upload-too-slow")
        | documented("busy", "too-late")
        | {
            200: {
                "description": "The photo as JPEG, upright. `X-Picture-Size` is its full size.",
                "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
        openapi_extra={"requestBody": PICTURE_BODY},
    )
    async def read(request: Request) -> Response:
        """Send a picture as the body; get it at most 1024 pixels a side. Nothing is stored."""
        upload = await read_upload(request)
        data, size = await state.run(request, partial(_read, state, upload.photo), Priority.PAINT)
        headers = {"X-Picture-Size": size, "Cache-Control": "no-store"}
        return Response(data, media_type="image/jpeg", headers=headers)

    return api


def _read(state: AppState, data: bytes) -> tuple[bytes, str]:
    photo = state.load(data, "photo")
    small = resize_image(photo, SIDE)
    file = encode_image(to_image(small.pixels), "jpeg", 93)
    return file, f"{photo.width}x{photo.height}"
