"""Learning a painting over HTTP: a job that administrators begin, one at a time. Needs torch."""

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from adain.engine.torch_extra import require_torch
from adain.errors import WeightsError
from adain.imaging.resizing import resize_image
from adain.imaging.writing import encode_image
from adain.styles.adapter import Adapter
from adain.training.config import MIN_LEARNT, Learning
from gallery.database.jobs import Jobs, Task
from gallery.web.documents import ROOT, JobDocument, Slug, job_document
from gallery.web.problems import Problem, documented
from gallery.web.state import AppState, Painted
from gallery.web.uploads import PICTURE_BODY, read_upload
from gallery.web.watched import Interrupted, Watched

if TYPE_CHECKING:
    from adain.training.learn import Step

METHOD = "learn"

MAX_STEPS = 600

PREVIEW_SIDE = 512
"""Longest side of previews in pixels."""


def create_learning_api(state: AppState, jobs: Jobs, wake: Callable[[], None]) -> APIRouter:
    """Return the route that begins to learn.

    Args:
        state: The network and the gallery.
        jobs: Where it is kept as a job.
        wake: Tells those who do jobs that there is one.
    """
    api = APIRouter(prefix=f"{ROOT}/paintings", tags=["collection"])

    @api.post(
        "/{slug}/learn",
        status_code=202,
        response_model=JobDocument,
        summary="Learn a painting",
        responses=documented("bad-request", "unauthorized", "forbidden", "style-not-found", "busy")
        | documented("upload-too-slow", "body-too-large", "not-a-picture", "torch-missing"),
        openapi_extra={"requestBody": PICTURE_BODY},
    )
    async def learn(
        request: Request,
        slug: Slug,
        steps: Annotated[
            int, Query(ge=1, le=MAX_STEPS, description="About a second each on two cores.")
        ] = Learning.steps,
    ) -> Response:
        """Send the picture of the painting; from the end of the job on it paints in its strokes.

        The job's result is an example. Only one painting is learnt at a time.
        """
        await run_in_threadpool(require_torch, "learning")
        upload = await read_upload(request)
        found = await state.read(partial(state.gallery.find, slug))
        picture = await run_in_threadpool(state.load, upload.photo, "painting")
        if min(picture.width, picture.height) < MIN_LEARNT:
            raise Problem(
                "bad-request", f"painting: its sides must be at least {MIN_LEARNT} pixels"
            )
        if await run_in_threadpool(jobs.has_open, METHOD):
            raise Problem("busy", "another painting is being learnt", {"Retry-After": "60"})
        settings = {"method": METHOD, "style": [found.slug], "steps": steps}
        job = await run_in_threadpool(jobs.add, settings, upload.photo)
        wake()
        headers = {"Location": f"{ROOT}/jobs/{job.id}", "Cache-Control": "no-store"}
        return Response(job_document(job).model_dump_json(), 202, headers, "application/json")

    return api


def learn_painting(state: AppState, task: Task, watched: Watched) -> Painted:
    """Learn a painting; on the network's thread, making way for others between its steps.

    Args:
        state: The network and the gallery.
        task: Its picture, and the checkpoint of an earlier attempt.
        watched: Told what happens.

    Raises:
        Interrupted: If `watched` stopped it.
        StyleNotFound: If the painting is gone.
    """
    from gallery.use_cases.learn import Lesson, find_photos, paint_lesson, run_lesson

    began = time.perf_counter()
    target = state.read_now(partial(state.gallery.find, task.settings["style"][0]))
    config = Learning(steps=task.settings["steps"])
    picture, start = state.decoder.clean(task.photo, state.config.photo_limits, "painting"), None
    if (kept := task.files.get("checkpoint")) is not None:
        start = _checkpoint(kept, state)
    lesson = Lesson(state.gallery, state.model, target, (picture,), find_photos(), config, start)
    so_far: list[bytes] = []

    def example(adapter: Adapter, side: int) -> bytes:
        return encode_image(resize_image(paint_lesson(lesson, adapter), side), "jpeg", 85)

    def watch(step: "Step") -> None:
        watched.tell(step.share, 0, dict(step.losses))
        state.worker.make_way()

    def keep(adapter: Adapter) -> None:
        so_far[:] = [adapter.to_bytes()]
        watched.keep("checkpoint", so_far[0])
        watched.keep("preview", example(adapter, PREVIEW_SIDE))

    adapter = run_lesson(lesson, watch, keep, lambda: watched.is_stopped)
    if watched.is_stopped:
        raise Interrupted(adapter.to_bytes())
    state.read_now(partial(state.gallery.keep_adapter, target, adapter))
    return Painted(example(adapter, 2 * PREVIEW_SIDE), "image/jpeg", time.perf_counter() - began)


def _checkpoint(data: bytes, state: AppState) -> Adapter | None:
    try:
        adapter = Adapter.from_bytes(data)
    except WeightsError:
        return None
    return adapter if adapter.base == state.model.base else None  # Else begin again.
