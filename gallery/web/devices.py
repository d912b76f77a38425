"""For pages that paint on the visitor's own device: the network, and the numbers of a style."""

import hashlib
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from gallery.use_cases.device import network_file, paints_on_devices, style_file
from gallery.use_cases.references import find_target, parse_reference
from gallery.use_cases.styles import stored_style
from gallery.web.documents import ROOT
from gallery.web.parameters import NAME
from gallery.web.problems import Problem, documented
from gallery.web.state import AppState

ERRORS = documented("unauthorized", "forbidden", "too-many-requests", "not-found")
FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A safetensors file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def create_device_api(state: AppState) -> APIRouter:
    """Return the routes that give a device what it paints with."""
    api = APIRouter(prefix=ROOT, tags=["devices"])
    network: list[bytes] = []

    @api.get("/network", summary="The network", response_class=Response, responses=ERRORS | FILE)
    async def give_network(request: Request) -> Response:
        """Graphs and weights, as the page runs them."""
        if not paints_on_devices(state.model):
            raise Problem("not-found", "no runtime for browsers; scripts/fetch_runtime gets it")
        if not network:
            network.append(await run_in_threadpool(network_file, state.model))
        return _file(request, network[0])

    @api.get(
        "/style",
        summary="A style as numbers",
        response_class=Response,
        responses=ERRORS
        | FILE
        | documented("style-not-found", "style-not-measured", "invalid-parameter")
        | documented("gallery-unavailable"),
    )
    async def give_style(
        request: Request,
        style: Annotated[
            str,
            Query(
                description="Slug, number or words of a painting, `artist:NAME` or `style:NAME`.",
                max_length=200,
                pattern=NAME,
                examples=["irises"],
            ),
        ],
    ) -> Response:
        """Statistics and colours, and what was learnt of it."""

        def query() -> bytes:
            name = parse_reference(style, may_be_file=False).name
            target = find_target(state.gallery, name)
            found = stored_style(state.model, state.gallery, target)
            return style_file(state.model, found.statistics)

        return _file(request, await state.read(partial(query)))

    return api


def _file(request: Request, data: bytes) -> Response:
    name = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"ETag": name, "Cache-Control": "private, no-cache"}
    if name in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="application/octet-stream", headers=headers)
