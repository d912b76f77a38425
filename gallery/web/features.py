"""Inside the network: what its layers see in a photo, as pictures and as numbers."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from adain.config import MIN_SIDE
from adain.engine.torch_extra import require_torch
from adain.imaging.pillow import to_image
from adain.imaging.resizing import resize_image
from adain.imaging.writing import encode_image
from adain.painting.measuring import measure_style
from adain.styles.statistics import ChannelStatistics, StyleStatistics
from gallery.web.documents import ROOT
from gallery.web.parameters import StylizeParameters
from gallery.web.problems import documented
from gallery.web.state import AppState
from gallery.web.uploads import BODY, Upload, read_upload

if TYPE_CHECKING:
    from adain.optimizing.inspection import FeatureMap

PHOTO_SIDE = 512
"""Longest side in pixels at which photos are looked at."""

TILE_SIDE = 128
"""Longest side in pixels of a feature map on a sheet, and what smaller maps are enlarged to."""

GAP = 2
"""Pixels between feature maps."""

Layer = Annotated[
    Literal["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"],
    Query(description="From edges and colours to whole things."),
]

ERRORS = (
    documented("bad-request", "unauthorized", "forbidden", "upload-too-slow", "body-too-large")
    | documented("not-a-picture", "too-many-requests", "busy", "too-late")
    | documented("invalid-parameter", "picture-too-large", "style-not-measured")
)


class ChannelsDocument(BaseModel):
    """Statistics of the channels of a layer, in their order."""

    mean: list[float]
    std: list[float]


class LayerDocument(BaseModel):
    """A layer: what the photo has, and what the style puts in its place."""

    name: str = Field(examples=["relu3_1"])
    photo: ChannelsDocument
    style: ChannelsDocument


class StatisticsDocument(BaseModel):
    """Adaptive instance normalization, as numbers."""

    style: str = Field(examples=["irises"])
    layers: list[LayerDocument]


def feature_sheet(maps: "Sequence[FeatureMap]") -> tuple[NDArray[np.float32], int]:
    """Lay feature maps out in a grid that is about square.

    Returns:
        A grey picture `(H, W, 3)` in [0, 1], and the columns of the grid.
    """
    height, width = maps[0].values.shape
    scale = TILE_SIDE / max(height, width)
    height, width = (max(1, round(side * scale)) for side in (height, width))
    columns = min(len(maps), math.ceil(math.sqrt(len(maps) * height / width)))
    lines = math.ceil(len(maps) / columns)
    sheet = np.zeros((lines * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), np.float32)
    kind = Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST
    for i, item in enumerate(maps):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        tile = np.asarray(Image.fromarray(item.values).resize((width, height), kind))
        sheet[top : top + height, left : left + width] = tile[..., None]
    return sheet, columns


def create_feature_api(state: AppState) -> APIRouter:
    """Return the routes that show the inside of the network."""
    api = APIRouter(prefix=ROOT, tags=["inside"])
    model = state.model

    def pixels(upload: Upload) -> NDArray[np.float32]:
        photo = resize_image(state.load(upload.photo, "photo"), PHOTO_SIDE)
        # A thin one would be left without a pixel at the deepest layer.
        below = [(0, max(0, 2 * MIN_SIDE - side)) for side in (photo.height, photo.width)]
        return np.pad(photo.pixels, (*below, (0, 0)), mode="edge")

    @api.post(
        "/features",
        summary="A look into a layer",
        response_class=Response,
        responses=ERRORS
        | documented("torch-missing")
        | {
            200: {
                "description": "Its strongest channels, each a grey picture, in a grid. "
                "`X-Channels` has their numbers, row by row; `X-Columns` the columns.",
                "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
        openapi_extra={"requestBody": BODY},
    )
    async def features(
        request: Request,
        layer: Layer = "relu3_1",
        count: Annotated[int, Query(description="Channels.", ge=1, le=64)] = 16,
    ) -> Response:
        """Send a photo as the body; get the feature maps of a layer as one picture."""
        await run_in_threadpool(require_torch, "showing what a layer sees")
        upload = await read_upload(request)

        def work() -> tuple[bytes, dict[str, str]]:
            from adain.network.loading import load_network
            from adain.optimizing.inspection import feature_maps

            maps = feature_maps(load_network(model).encoder, pixels(upload), layer, count)
            sheet, columns = feature_sheet(maps)
            names = ",".join(str(item.channel) for item in maps)
            headers = {"X-Channels": names, "X-Columns": str(columns)}
            return encode_image(to_image(sheet), "png"), headers

        data, headers = await state.run(request, work)
        headers["Cache-Control"] = "no-store"
        return Response(data, media_type="image/png", headers=headers)

    @api.post(
        "/statistics",
        summary="Statistics that a style replaces",
        responses=ERRORS | documented("style-not-found"),
        openapi_extra={"requestBody": BODY},
    )
    async def statistics(
        request: Request, parameters: Annotated[StylizeParameters, Query()]
    ) -> StatisticsDocument:
        """Send a photo as the body; get its statistics beside those of a style."""
        upload = await read_upload(request)
        parameters.weights(upload)
        slug, named = await state.styles(parameters)

        def work() -> StatisticsDocument:
            style = state.mixture(parameters, upload, named).statistics
            return _compare(slug, measure_style(model, pixels(upload)), style)

        return await state.run(request, work)

    return api


def _compare(slug: str, photo: StyleStatistics, style: StyleStatistics) -> StatisticsDocument:
    layers = [
        LayerDocument(name=name, photo=_channels(photo[name]), style=_channels(style[name]))
        for name in style.layers
    ]
    return StatisticsDocument(style=slug, layers=layers)


def _channels(channels: ChannelStatistics) -> ChannelsDocument:
    return ChannelsDocument(mean=_rounded(channels.mean[0]), std=_rounded(channels.std[0]))


def _rounded(values: NDArray[np.float32]) -> list[float]:
    return [round(value, 5) for value in values.tolist()]
