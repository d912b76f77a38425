"""Paintings come and go: for administrators. Their pictures are measured, not kept."""

import hashlib
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from adain.painting.measuring import measure_style
from gallery.database.paintings import MAX_TEXT, MAX_YEAR, Painting, read_facts
from gallery.database.queries import Vector
from gallery.errors import ManifestError
from gallery.ingest.hashes import perceptual_hash, pixel_digest
from gallery.use_cases.palettes import palette
from gallery.use_cases.styles import unpack_vectors
from gallery.web.documents import ROOT, PaintingDocument, Slug, painting_document
from gallery.web.parameters import NAME
from gallery.web.problems import Problem, documented
from gallery.web.state import AppState
from gallery.web.uploads import PICTURE_BODY, read_upload

Text = Annotated[str, Field(max_length=MAX_TEXT, pattern=f"{NAME}|^$")]
Texts = Annotated[list[Text], Field(max_length=8)]

ERRORS = documented("unauthorized", "forbidden", "too-many-requests", "gallery-unavailable")
UPLOAD = documented("bad-request", "upload-too-slow", "body-too-large", "not-a-picture")


class PaintingFacts(BaseModel):
    """The facts about a painting that is added."""

    title: Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=NAME)]
    artist: Text = ""
    year: int | None = Field(None, ge=1, le=MAX_YEAR)
    styles: Texts = Field([], description="Movements.")
    genres: Texts = []
    tags: Texts = []
    medium: Text = ""
    rights: Text = ""
    credit: Text = ""


def create_paintings_api(state: AppState) -> APIRouter:
    """Return the routes that change the gallery."""
    api = APIRouter(prefix=f"{ROOT}/paintings", tags=["collection"])
    gallery, model = state.gallery, state.model

    @api.post(
        "",
        status_code=201,
        response_model=PaintingDocument,
        summary="Add a painting",
        responses=ERRORS
        | UPLOAD
        | documented("invalid-parameter", "picture-too-large", "busy", "too-late")
        | {200: {"description": "It is there already.", "model": PaintingDocument}},
        openapi_extra={"requestBody": PICTURE_BODY},
    )
    async def add(request: Request, facts: Annotated[PaintingFacts, Query()]) -> Response:
        """Send its picture as the body; its style is measured, the picture is not kept."""
        painting = _read(facts)
        upload = await read_upload(request)
        measured, vector = await state.run(request, partial(measure, painting, upload.photo))
        store = partial(gallery.add, [measured], vector, model.fingerprint)
        ((stored, new),) = await state.read(store)
        colors = palette(unpack_vectors(model, vector).colors)
        document = painting_document(stored, colors=colors)
        headers = {"Location": f"{ROOT}/paintings/{document.id}", "Cache-Control": "no-store"}
        text = document.model_dump_json()
        return Response(text, 201 if new else 200, headers, "application/json")

    def measure(painting: Painting, data: bytes) -> tuple[Painting, Vector]:
        picture = state.load(data, "painting")
        values: dict[str, Any] = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "pixel_sha256": pixel_digest(picture),
            "phash": perceptual_hash(picture),
            "width": picture.width,
            "height": picture.height,
        }
        style = measure_style(model, picture)
        return Painting(**(vars(painting) | values)), style.to_vector()

    @api.delete(
        "/{slug}",
        response_model=PaintingDocument,
        summary="Remove a painting",
        responses=ERRORS | documented("style-not-found", "invalid-parameter"),
    )
    async def remove(slug: Slug) -> PaintingDocument:
        """Forgets it and its style; a picture that it has on the machine stays."""

        def forget() -> Painting:
            # By its number or its name alone: words would find another one.
            found = gallery.find(slug)
            if slug not in (found.slug, str(found.id)):
                raise Problem("style-not-found", "give the slug or the number of the painting")
            gallery.remove([found.id])
            return found

        return painting_document(await state.read(forget))

    return api


def _read(facts: PaintingFacts) -> Painting:
    try:
        return read_facts(facts.model_dump(exclude_none=True))
    except ManifestError as error:
        raise Problem("invalid-parameter", str(error)) from error
