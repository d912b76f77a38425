"""Jobs over HTTP: accepted at once, done when there is time, kept for a day."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from gallery.errors import GalleryError
from gallery.jobs import LEASE_SECONDS, Job, Jobs, Task
from gallery.web.documents import ROOT
from gallery.web.orders import Order
from gallery.web.problems import Problem, documented, translate
from gallery.web.studio import Painted, Studio
from gallery.web.uploads import BODY, Upload, read_upload
from gallery.web.worker import Priority

POLL_SECONDS = 1.0
"""How often a process looks for jobs that others accepted or left."""

EVENT_SECONDS = 0.25
"""How often a stream of events looks whether something changed."""

STREAM_SECONDS = 600
"""A stream ends after this; its client may ask for another one."""

JobId = Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$", examples=["0" * 32])]

_log = logging.getLogger(__name__)


class JobDocument(BaseModel):
    """A job as it is now."""

    id: str
    state: str = Field(description="queued, running, done, failed or cancelled")
    progress: float = Field(ge=0, le=1)
    code: str = Field("", description="Why it failed: a code of problems.")
    detail: str = Field("", description="The same for people.")
    result: str | None = Field(None, description="Where the painted photo is, once it is done.")


class JobRunner:
    """A thread that does jobs, when nobody waits for the network."""

    def __init__(self, studio: Studio, jobs: Jobs) -> None:
        self._studio, self._jobs = studio, jobs
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is being done, take nothing more, and end the thread."""
        self._stopped.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def wake(self) -> None:
        """Tell that there is a job."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.clear()
            try:
                task = self._jobs.take()
                if task is not None:
                    self._work(task)
                    continue
            except GalleryError as error:
                _log.error("%s", error)
            self._wake.wait(POLL_SECONDS)

    def _work(self, task: Task) -> None:
        try:
            order = Order(**task.settings)
            _, named = self._studio.styles_now(order.references)
            work = partial(self._studio.paint, order, _upload(task), named)
            future = self._studio.worker.submit(work, Priority.JOB)
        except Exception as error:
            self._refuse(task, error)
            return
        while True:
            try:
                painted: Painted = future.result(LEASE_SECONDS / 3)
            except TimeoutError:
                if not self._jobs.renew(task.id, 0.0):
                    future.cancel()
                    return
            except Exception as error:
                self._refuse(task, error)
                return
            else:
                self._jobs.finish(task.id, painted.data, painted.media_type)
                return

    def _refuse(self, task: Task, error: Exception) -> None:
        problem = translate(error)
        if problem.code in ("busy", "gallery-unavailable"):
            self._jobs.give_back(task.id)
            self._stopped.wait(POLL_SECONDS)
            return
        if problem.code == "internal-error":
            _log.error("job %s", task.id, exc_info=error)
        self._jobs.fail(task.id, problem.code, problem.detail)


def create_job_api(studio: Studio, jobs: Jobs, runner: JobRunner) -> APIRouter:
    """Return the routes of jobs."""
    api = APIRouter(prefix=f"{ROOT}/jobs", tags=["jobs"])
    found = documented("job-not-found", "invalid-parameter", "unauthorized", "gallery-unavailable")

    @api.post(
        "",
        status_code=202,
        response_model=JobDocument,
        summary="Repaint a photo later",
        responses=documented("bad-request", "unauthorized", "forbidden", "style-not-found")
        | documented("upload-too-slow", "body-too-large", "invalid-parameter", "busy"),
        openapi_extra={"requestBody": BODY},
    )
    async def submit(request: Request, order: Annotated[Order, Query()]) -> Response:
        """Takes what `stylize` takes, and keeps it until it is done."""
        upload = await read_upload(request)
        order.weights(upload)
        await studio.styles(order.references)  # Mistakes are told now rather than later.
        add = partial(jobs.add, order.model_dump(), upload.photo, upload.painting, _files(upload))
        job = await run_in_threadpool(add)
        runner.wake()
        headers = {"Location": f"{ROOT}/jobs/{job.id}", "Cache-Control": "no-store"}
        text = _document(job).model_dump_json()
        return Response(text, 202, headers, "application/json")

    @api.get("/{id}", summary="How is it?", responses=found)
    async def show(id: JobId) -> JobDocument:
        """State and progress."""
        return _document(await run_in_threadpool(jobs.find, id))

    @api.get(
        "/{id}/result",
        response_class=Response,
        summary="The painted photo",
        responses=found
        | documented("job-not-done")
        | {200: {"description": "A picture.", "content": {"image/*": {}}}},
    )
    async def result(id: JobId) -> Response:
        """The picture, for a day."""
        job = await run_in_threadpool(jobs.find, id)
        data = await run_in_threadpool(jobs.result, id)
        if job.state != "done" or data is None:
            detail = f"it is {job.state}{f': {job.detail}' if job.detail else ''}"
            raise Problem("job-not-done", detail)
        return Response(data, media_type=job.media_type, headers={"Cache-Control": "no-store"})

    @api.get(
        "/{id}/events",
        response_class=StreamingResponse,
        summary="Its changes, as they happen",
        responses=found
        | {200: {"description": "Server-sent events.", "content": {"text/event-stream": {}}}},
    )
    async def events(id: JobId) -> StreamingResponse:
        """Each event holds the job as it is then; the stream ends with the job."""
        job = await run_in_threadpool(jobs.find, id)
        headers = {"Cache-Control": "no-store"}
        return StreamingResponse(_stream(jobs, job), 200, headers, "text/event-stream")

    @api.delete("/{id}", summary="Cancel or forget it", responses=found)
    async def cancel(id: JobId) -> JobDocument:
        """Cancels a job that is not done; forgets one that is."""
        return _document(await run_in_threadpool(jobs.cancel, id))

    return api


def _files(upload: Upload) -> dict[str, bytes]:
    """Return what was sent besides photo and painting, by names in their order."""
    files = {f"mask{i}": mask for i, mask in enumerate(upload.masks)}
    return files if upload.strength is None else files | {"strength": upload.strength}


def _upload(task: Task) -> Upload:
    masks = tuple(task.files[name] for name in sorted(task.files) if name.startswith("mask"))
    return Upload(task.photo, task.painting, masks, task.files.get("strength"))


async def _stream(jobs: Jobs, job: Job) -> AsyncIterator[str]:
    yield _event(job)
    for turn in range(int(STREAM_SECONDS / EVENT_SECONDS)):
        if not job.is_open:
            return
        await asyncio.sleep(EVENT_SECONDS)
        last = job
        try:
            job = await run_in_threadpool(jobs.find, last.id)
        except GalleryError:  # Forgotten meanwhile; the client's next question tells.
            return
        if (job.state, job.progress) != (last.state, last.progress):
            yield _event(job)
        elif turn % 40 == 39:
            yield ": still there\n\n"


def _event(job: Job) -> str:
    return f"data: {json.dumps(_document(job).model_dump())}\n\n"


def _document(job: Job) -> JobDocument:
    return JobDocument(
        id=job.id,
        state=job.state,
        progress=job.progress,
        code=job.problem,
        detail=job.detail,
        result=f"{ROOT}/jobs/{job.id}/result" if job.state == "done" else None,
    )
