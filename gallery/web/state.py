"""The state that handlers share: the network behind its thread, the gallery behind another."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from starlette.requests import Request

from adain.engine.model import Model
from adain.imaging.picture import Picture
from adain.imaging.pillow import to_image
from adain.imaging.reading import ImageLimits
from adain.imaging.writing import encode_image
from adain.painting.stylize import stylize_picture
from adain.video.camera import Camera
from gallery.database.gallery import Gallery
from gallery.use_cases.styles import (
    FoundStyle,
    ResolvedStyle,
    find_style,
    join_styles,
    picture_style,
)
from gallery.web.decoding import PictureDecoder
from gallery.web.metrics import Metrics
from gallery.web.parameters import StylizeParameters
from gallery.web.problems import Problem
from gallery.web.settings import ServeConfig
from gallery.web.uploads import Upload
from gallery.web.worker import NetworkWorker, Priority

T = TypeVar("T")


@dataclass(frozen=True)
class Painted:
    """A finished picture.

    Attributes:
        data: The picture file.
        seconds: What decoding, painting and encoding took.
        note: What was asked for and not found in the photo; empty if nothing.
    """

    data: bytes
    media_type: str
    seconds: float
    note: str = ""


class AppState:
    """The network and the gallery of one service; both are used one request at a time.

    A gallery in memory has one connection, which threads cannot share; one in a file or on a
    server answers in a few milliseconds.
    """

    def __init__(
        self,
        config: ServeConfig,
        model: Model,
        gallery: Gallery,
        model_name: str,
    ) -> None:
        self.config, self.model, self.gallery = config, model, gallery
        self.model_name = model_name
        self.metrics = Metrics()
        self.worker = NetworkWorker(config.queue)
        self.decoder = PictureDecoder()
        self.metrics.watch("adain_queue_depth", "Pictures that wait", lambda: self.worker.depth)
        self.metrics.watch("adain_painting", "Pictures in work", lambda: self.worker.running)
        self._reader = ThreadPoolExecutor(1, "gallery")

    def close(self) -> None:
        """Finish what waits."""
        self.worker.close()
        self._reader.shutdown()
        self.decoder.close()

    async def read(self, query: Callable[[], T]) -> T:
        """Ask the gallery."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, query)

    def read_now(self, query: Callable[[], T]) -> T:
        """Ask the gallery from a thread that may wait."""
        return self._reader.submit(query).result()

    async def styles(self, parameters: StylizeParameters) -> tuple[str, list[ResolvedStyle]]:
        """Return the slug and the styles of the gallery that a request names, in their order.

        Raises:
            StyleNotFound: If one is not in the gallery.
            StylesError: If it was not measured by the encoder.
        """
        found, styles = await self.read(partial(self._styles, parameters))
        return found.slug or "painting", styles

    def styles_now(self, parameters: StylizeParameters) -> tuple[FoundStyle, list[ResolvedStyle]]:
        """Return all that is found, and each style; from a thread that may wait."""
        return self.read_now(partial(self._styles, parameters))

    def _styles(self, parameters: StylizeParameters) -> tuple[FoundStyle, list[ResolvedStyle]]:
        found = find_style(parameters.references, lambda: self.gallery, learnt=parameters.adapter)
        return found, [part.resolve(self.model) for part in found.parts]

    async def run(
        self, request: Request, work: Callable[[], T], priority: Priority = Priority.PAINT
    ) -> T:
        """Run work on the network's thread; give its place up when the client leaves.

        Raises:
            Problem: `busy`, `too-late` or `client-gone`.
        """
        future = self.worker.submit(work, priority)
        gone = asyncio.ensure_future(_gone(request))
        done = asyncio.ensure_future(_wait(future))
        try:
            await asyncio.wait(
                (gone, done),
                timeout=self.config.deadline,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if done.done():
                return done.result()
            if gone.done():
                raise Problem("client-gone", "the client closed the connection")
            raise Problem("too-late", f"not done within {self.config.deadline:g} seconds")
        finally:
            for task in (gone, done):
                task.cancel()
            future.cancel()

    def paint(
        self,
        parameters: StylizeParameters,
        upload: Upload,
        named: Sequence[ResolvedStyle],
        limits: ImageLimits | None = None,
        camera: Camera | None = None,
    ) -> Painted:
        """Stylize an uploaded photo into a picture file; on the network's thread.

        Args:
            parameters: What to make of it.
            upload: The photo, and what else was sent along.
            named: The styles of the gallery, in the order of `parameters.style`.
            limits: What photos to refuse; by default those of the service.
            camera: Whose frame the photo is; by default none's.

        Raises:
            Problem: If styles, weights and masks do not fit together.
            ImageError: If a picture cannot be read, or is too large.
            MaskError: If a mask does not fit.
        """
        start = time.perf_counter()
        photo = self.decoder.load(upload.photo, limits or self.config.photo_limits, "photo")
        controls = parameters.controls(self.cleaned(upload))
        style = self.mixture(parameters, upload, named)
        decoded, missing = time.perf_counter(), list[str]()
        result = (camera or stylize_picture)(
            self.model,
            photo,
            style.statistics,
            alpha=parameters.alpha,
            max_side=min(parameters.max_side or self.config.max_side, self.config.max_side),
            controls=controls,
            notice=missing.append,
        )
        painted = time.perf_counter()
        image = to_image(result.pixels, result.transparency)
        data = encode_image(image, parameters.format, parameters.quality)
        done = time.perf_counter()
        self.metrics.stage_seconds.labels("decode").observe(decoded - start)
        self.metrics.stage_seconds.labels("paint").observe(painted - decoded)
        self.metrics.stage_seconds.labels("encode").observe(done - painted)
        return Painted(data, f"image/{parameters.format}", done - start, "; ".join(missing))

    def mixture(
        self, parameters: StylizeParameters, upload: Upload, named: Sequence[ResolvedStyle]
    ) -> ResolvedStyle:
        """Return all styles of a request as one, or one beside the other if masks part them."""
        weights, regions = parameters.weights(upload), parameters.regions(upload)
        return join_styles(self.each(upload, named), None if upload.masks else weights, regions)

    def each(self, upload: Upload, named: Sequence[ResolvedStyle]) -> list[ResolvedStyle]:
        """Return the named styles, and that of the painting that was sent along."""
        if upload.painting is None:
            return list(named)
        painting = self.load(upload.painting, "painting")
        return [*named, picture_style(self.model, "painting", painting)]

    def load(self, data: bytes, name: str) -> Picture:
        """Decode what was uploaded, within the limits of the service. Raises `ImageError`."""
        return self.decoder.load(data, self.config.photo_limits, name)

    def cleaned(self, upload: Upload) -> Upload:
        """Return what was sent, with the pictures that say where within the limits."""
        clean, limits = self.decoder.clean, self.config.photo_limits
        masks = tuple(clean(mask, limits, f"mask {i + 1}") for i, mask in enumerate(upload.masks))
        strength = upload.strength and clean(upload.strength, limits, "strength")
        return replace(upload, masks=masks, strength=strength)


async def _wait(future: "Future[T]") -> T:
    return await asyncio.wrap_future(future)


async def _gone(request: Request) -> None:
    """Wait until the client closes the connection; its body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
