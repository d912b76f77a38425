"""The HTTP API, version 1: photos in, paintings out, and the gallery to choose from."""

import hashlib
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.responses import Response

from adain import __version__
from adain.imaging.pillow import to_image
from adain.imaging.reading import load_image
from adain.imaging.resizing import resize_image
from adain.imaging.writing import encode_image
from gallery.database.paintings import Painting
from gallery.database.queries import Group
from gallery.use_cases.device import paints_on_devices
from gallery.use_cases.palettes import palette
from gallery.use_cases.previews import example_file, kept_preview, preview_file, render_preview
from gallery.use_cases.references import MAX_STYLES
from gallery.use_cases.styles import ResolvedStyle, stored_style, unpack_vectors
from gallery.web.documents import (
    ROOT,
    FilmLimits,
    GroupsDocument,
    HealthDocument,
    ModelDocument,
    ModelsDocument,
    PaintingDocument,
    PaintingsDocument,
    ServiceDocument,
    Slug,
    groups_document,
    painting_document,
)
from gallery.web.films import is_offered
from gallery.web.keys import MAY_CHANGE
from gallery.web.parameters import FORMATS, NAME, StylizeParameters
from gallery.web.problems import Problem, documented
from gallery.web.state import AppState, Painted
from gallery.web.uploads import BODY, Upload, read_upload
from gallery.web.worker import Priority

PICTURE_SIDE = 1024
"""Longest side in pixels of a painting's own picture."""

Words = Annotated[
    str, Query(description="Words, or beginnings of words.", max_length=200, examples=["monet"])
]
GroupName = Annotated[str | None, Query(max_length=200, pattern=NAME)]
After = Annotated[int, Query(description="Go on after this number.", ge=0, lt=2**63)]
Limit = Annotated[int, Query(ge=1, le=200)]

PICTURE = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/*",)}
READ = documented("unauthorized", "invalid-parameter", "too-many-requests", "gallery-unavailable")
FIND = documented("style-not-found") | READ
PAINT = (
    FIND
    | documented("bad-request", "forbidden", "upload-too-slow", "body-too-large", "not-a-picture")
    | documented("too-late", "busy")
    | documented("invalid-parameter", "picture-too-large", "style-not-measured", "mask-mismatch")
    | {
        200: {
            "description": "The painted photo. `X-Style` names the style, `Server-Timing` what it "
            "took in milliseconds, and `X-Note` what was asked for and not found in the photo.",
            "content": PICTURE,
        }
    }
)


def create_api(state: AppState) -> APIRouter:
    """Return the routes of the API."""
    api = APIRouter(prefix=ROOT)
    _add_painting(api, state)
    _add_paintings(api, state)
    _add_groups(api, state)
    _add_pictures(api, state)
    _add_operations(api, state)
    return api


def _add_painting(api: APIRouter, state: AppState) -> None:
    @api.post(
        "/stylize",
        summary="Repaint a photo",
        tags=["paint"],
        response_class=Response,
        responses=PAINT,
        openapi_extra={"requestBody": BODY},
    )
    async def stylize(
        request: Request, parameters: Annotated[StylizeParameters, Query()]
    ) -> Response:
        """Send a picture as the body, or as the part `photo` of a form; get the painted one.

        The style is one or more of the gallery, the part `painting` of the form, or both: mixed,
        or each where the parts `mask` say. Nothing is stored.
        """
        start = time.perf_counter()
        upload = await read_upload(request)
        parameters.weights(upload)
        slug, named = await state.styles(parameters)
        begun, painted = await state.run(request, partial(_timed, state, parameters, upload, named))
        wait, paint = 1000 * (begun - start), 1000 * painted.seconds
        headers = {
            "X-Style": slug,
            "Server-Timing": f"wait;dur={wait:.1f}, paint;dur={paint:.1f}",
            "Cache-Control": "no-store",
        } | ({"X-Note": painted.note} if painted.note else {})
        return Response(painted.data, media_type=painted.media_type, headers=headers)


def _timed(
    state: AppState, parameters: StylizeParameters, upload: Upload, named: list[ResolvedStyle]
) -> tuple[float, Painted]:
    begun = time.perf_counter()
    return begun, state.paint(parameters, upload, named)


def _add_paintings(api: APIRouter, state: AppState) -> None:
    gallery = state.gallery

    @api.get(
        "/paintings",
        response_model=PaintingsDocument,
        summary="List or search",
        tags=["gallery"],
        responses=FIND,
    )
    async def paintings(
        request: Request,
        q: Words = "",
        artist: GroupName = None,
        style: GroupName = None,
        after: After = 0,
        limit: Limit = 50,
        learnt: Annotated[bool, Query(description="Only those that were learnt.")] = False,
    ) -> Response:
        """Paintings by number: all, those with some words, or those of an artist or movement."""
        if artist is not None and style is not None:
            raise Problem("invalid-parameter", "give artist or style, not both")

        def query() -> tuple[list[Painting], set[int]]:
            group: Group | None = None
            if artist is not None or style is not None:
                kind = "artist" if style is None else "style"
                group = gallery.find_group(kind, artist or style or "")
            numbers = gallery.learnt(state.model.base)
            only = state.model.base if learnt else None
            return gallery.page(q, group, after, limit + 1, only), numbers

        found, numbers = await state.read(query)
        following = None
        if len(found) > limit:
            given = {"q": q, "artist": artist, "style": style, "limit": limit, "learnt": learnt}
            values = {key: value for key, value in given.items() if value}
            following = f"{ROOT}/paintings?{urlencode(values | {'after': found[limit - 1].id})}"
        page = PaintingsDocument(
            paintings=[painting_document(each, each.id in numbers) for each in found[:limit]],
            next=following,
        )
        return _cached(request, page)

    @api.get(
        "/paintings/{slug}",
        response_model=PaintingDocument,
        summary="One painting",
        tags=["gallery"],
        responses=FIND,
    )
    async def painting(request: Request, slug: Slug) -> Response:
        """The facts about a painting."""

        def query() -> PaintingDocument:
            found = gallery.find(slug)
            learnt = found.id in gallery.learnt(state.model.base)
            return painting_document(found, learnt, colors=_palette(state, found))

        return _cached(request, await state.read(query))

    @api.get(
        "/paintings/{slug}/similar",
        response_model=PaintingsDocument,
        summary="Nearest styles",
        tags=["gallery"],
        responses=FIND,
    )
    async def similar(
        request: Request, slug: Slug, limit: Annotated[int, Query(ge=1, le=100)] = 24
    ) -> Response:
        """The paintings whose style is nearest, itself first."""

        def query() -> PaintingsDocument:
            style = stored_style(state.model, gallery, gallery.find(slug))
            vector = style.statistics.to_vector()
            near = gallery.similar(vector, state.model.fingerprint, limit)
            numbers = gallery.learnt(state.model.base)
            documents = [
                painting_document(each, each.id in numbers, round(far, 3)) for each, far in near
            ]
            return PaintingsDocument(next=None, paintings=documents)

        return _cached(request, await state.read(query))


def _palette(state: AppState, painting: Painting) -> list[str]:
    """Return colours of a painting for a page; none where they were not measured."""
    vector = state.gallery.vector(painting, state.model.fingerprint)
    return [] if vector is None else palette(unpack_vectors(state.model, vector).colors)


def _add_groups(api: APIRouter, state: AppState) -> None:
    gallery = state.gallery

    @api.get(
        "/artists",
        response_model=GroupsDocument,
        summary="Artists",
        tags=["gallery"],
        responses=READ,
    )
    async def artists(request: Request) -> Response:
        """Every artist who has paintings here."""
        groups = await state.read(partial(gallery.groups, "artist"))
        return _cached(request, groups_document(groups))

    @api.get(
        "/styles",
        response_model=GroupsDocument,
        summary="Movements",
        tags=["gallery"],
        responses=READ,
    )
    async def styles(request: Request) -> Response:
        """Every movement that has paintings here."""
        groups = await state.read(partial(gallery.groups, "style"))
        return _cached(request, groups_document(groups))


def _add_pictures(api: APIRouter, state: AppState) -> None:
    gallery, model = state.gallery, state.model
    responses = FIND | {200: {"description": "A picture.", "content": PICTURE}}
    example: list[bytes] = []

    @api.get(
        "/paintings/{slug}/preview",
        summary="A preview of its style",
        tags=["pictures"],
        response_class=Response,
        responses=responses | documented("style-not-measured", "busy", "too-late"),
    )
    async def preview(request: Request, slug: Slug) -> Response:
        """A small example picture in the style of a painting."""

        def query() -> tuple[ResolvedStyle, Path]:
            style = stored_style(model, gallery, gallery.find(slug))
            return style, preview_file(model, style)

        style, file = await state.read(query)
        if _is_known(request, file.stem):
            return _unchanged(file.stem)
        data = await state.read(partial(kept_preview, file))
        state.metrics.previews.labels("rendered" if data is None else "cache").inc()
        if data is None:
            work = partial(render_preview, model, style, file)
            data = await state.run(request, work, Priority.PREVIEW)
        return _picture(data, "image/jpeg", file.stem)

    @api.get(
        "/paintings/{slug}/picture",
        summary="The painting itself",
        tags=["pictures"],
        response_class=Response,
        responses=responses | documented("not-found", "busy", "too-late"),
    )
    async def picture(request: Request, slug: Slug) -> Response:
        """The painting, at most 1024 pixels a side, where its picture is at hand."""
        found = await state.read(partial(gallery.find, slug))
        if found.path is None:
            raise Problem("not-found", "the gallery has no picture of this painting")
        if _is_known(request, found.sha256):
            return _unchanged(found.sha256)
        data = await state.run(request, partial(_shrunk, Path(found.path)), Priority.PREVIEW)
        return _picture(data, "image/jpeg", found.sha256)

    @api.get(
        "/example",
        summary="A photo to try",
        tags=["pictures"],
        response_class=Response,
        responses=responses,
    )
    async def show_example(request: Request) -> Response:
        """The picture that previews are made of."""
        if not example:
            example.append(await state.run(request, example_file, Priority.PREVIEW))
        name = _digest(example[0])
        if _is_known(request, name):
            return _unchanged(name)
        return _picture(example[0], "image/jpeg", name)


def _shrunk(path: Path) -> bytes:
    try:
        picture = resize_image(load_image(path, name="picture"), PICTURE_SIDE)
    except Exception as error:
        raise Problem("not-found", "the picture of this painting is gone") from error
    return encode_image(to_image(picture.pixels, picture.transparency), "jpeg", 88)


def _add_operations(api: APIRouter, state: AppState) -> None:
    config, model = state.config, state.model

    @api.get(
        "",
        summary="The service",
        tags=["service"],
        responses=READ,
    )
    async def service(request: Request) -> ServiceDocument:
        """Version and limits."""
        films = FilmLimits(
            seconds=config.film_seconds, bytes=config.film_bytes, side=config.film_side
        )
        return ServiceDocument(
            version=__version__,
            max_side=config.max_side,
            max_body=config.max_body,
            max_pixels=config.max_pixels,
            max_styles=MAX_STYLES,
            formats=list(FORMATS),
            paints_on_device=paints_on_devices(model),
            films=films if is_offered() else None,
            learns=bool(request.scope.get(MAY_CHANGE)) and find_spec("torch") is not None,
        )

    @api.get(
        "/models",
        summary="Networks",
        tags=["service"],
        responses=READ,
    )
    async def models() -> ModelsDocument:
        """The network that paints."""
        loaded = ModelDocument(
            name=state.model_name,
            encoder=model.fingerprint,
            parameters=model.parameters,
            device=model.device,
        )
        return ModelsDocument(models=[loaded])

    @api.get("/health", summary="Does it run?", tags=["service"])
    async def health() -> HealthDocument:
        """Answers while the process lives; asks nothing of the gallery."""
        return HealthDocument(status="ok")

    @api.get(
        "/ready",
        summary="Can it paint?",
        tags=["service"],
        responses=documented("gallery-unavailable"),
    )
    async def ready() -> HealthDocument:
        """Answers when the gallery can be read and the network is loaded."""
        await state.read(partial(state.gallery.page, limit=1))
        return HealthDocument(status="ok")

    @api.get(
        "/metrics",
        summary="For Prometheus",
        tags=["service"],
        response_class=Response,
        responses=documented("unauthorized", "forbidden")
        | {200: {"description": "Metrics.", "content": {"text/plain": {}}}},
    )
    async def metrics() -> Response:
        """Counters in Prometheus' text format."""
        return Response(generate_latest(state.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _cached(request: Request, document: BaseModel) -> Response:
    """Return a document, or that it is the one that the client has."""
    data = document.model_dump_json().encode()
    name = _digest(data)
    if _is_known(request, name):
        return _unchanged(name)
    headers = {"ETag": f'"{name}"', "Cache-Control": "private, no-cache"}
    return Response(data, media_type="application/json", headers=headers)


def _picture(data: bytes, media_type: str, name: str) -> Response:
    headers = {"ETag": f'"{name}"', "Cache-Control": "private, max-age=300"}
    return Response(data, media_type=media_type, headers=headers)


def _unchanged(name: str) -> Response:
    return Response(status_code=304, headers={"ETag": f'"{name}"'})


def _is_known(request: Request, name: str) -> bool:
    given = request.headers.get("if-none-match", "")
    return any(part.strip().removeprefix("W/") in (f'"{name}"', "*") for part in given.split(","))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
