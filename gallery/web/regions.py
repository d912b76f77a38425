"""What is found in a photo: faces, people, the background, as masks."""

from functools import partial
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request
from PIL import Image
from starlette.responses import Response

from adain.config import BACKGROUND, FACE, PERSON
from adain.imaging.resizing import resize_image
from adain.imaging.writing import encode_image
from gallery.web.documents import ROOT
from gallery.web.problems import documented
from gallery.web.state import AppState
from gallery.web.uploads import PICTURE_BODY, read_upload

SIDE = 1024
"""Longest side in pixels of a mask."""

Part = Annotated[
    Literal["face", "person", "background", "subject"],
    Query(description="What to look for; `subject` is the person."),
]


def create_region_api(state: AppState) -> APIRouter:
    """Return the route that finds people."""
    api = APIRouter(prefix=ROOT, tags=["paint"])

    @api.post(
        "/regions",
        summary="Where faces, people or the background are",
        response_class=Response,
        responses=documented("bad-request", "unauthorized", "forbidden", "too-many-requests")
        | documented("not-a-picture", "picture-too-large", "body-too-large", "upload-too-slow")
        | documented("invalid-parameter", "busy", "too-late")
        | {
            200: {
                "description": "A grey PNG of the photo's shape: white is there, as `mask` takes "
                "it. `X-Faces` counts the faces; `X-Note` tells if nothing was found.",
                "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
        openapi_extra={"requestBody": PICTURE_BODY},
    )
    async def regions(request: Request, part: Part = "face") -> Response:
        """Send a picture as the body; get a mask at most 1024 pixels a side.

        It tells where, never who. Nothing is stored.
        """
        upload = await read_upload(request)
        data, headers = await state.run(request, partial(_find, state, upload.photo, part))
        return Response(data, media_type="image/png", headers=headers)

    return api


def _find(state: AppState, data: bytes, part: str) -> tuple[bytes, dict[str, str]]:
    from adain.painting.regions import Sighting

    kind = PERSON if part == "subject" else part
    photo = resize_image(state.load(data, "photo"), SIDE)
    size, sighting = (photo.height, photo.width), Sighting.of(photo, {kind})
    rows = sighting.rows(kind, size)
    mask = np.full(size, kind == BACKGROUND, np.float32) if rows is None else rows(0, size[0])
    headers = {"Cache-Control": "no-store"}
    if kind == FACE:
        headers["X-Faces"] = str(len(sighting.heads))
    if rows is None:
        headers["X-Note"] = f"no {FACE if kind == FACE else PERSON} found"
    image = Image.fromarray((255 * mask).round().astype(np.uint8))
    return encode_image(image, "png"), headers
