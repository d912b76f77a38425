"""Jobs over HTTP: accepted at once, done when there is time, kept for a day."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from adain.engine.torch_extra import require_torch
from gallery.database.jobs import LEASE_SECONDS, OPEN, Jobs, Task
from gallery.errors import GalleryError
from gallery.web import films
from gallery.web.documents import ROOT, JobDocument, job_document
from gallery.web.learning import METHOD, learn_painting
from gallery.web.parameters import JobParameters
from gallery.web.problems import Problem, documented, translate
from gallery.web.state import AppState, Painted
from gallery.web.uploads import BODY, Upload, read_upload
from gallery.web.watched import Interrupted, Watched
from gallery.web.worker import Priority

POLL_SECONDS = 1.0
"""How often a process looks for jobs that others accepted or left."""

RENEW_SECONDS = 1.0
"""How often what is known of a running job is written down; its lease lasts ten times as long."""

PATIENCE_SECONDS = 60.0
"""How long a result is kept for a database that is away."""

EVENT_SECONDS = 0.25
"""How often a stream of events looks whether something changed."""

STREAM_SECONDS = 600
"""A stream ends after this; its client may ask for another one."""

JobId = Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$", examples=["0" * 32])]

_log = logging.getLogger(__name__)


class JobRunner:
    """A thread that does jobs, when nobody waits for the network."""

    def __init__(self, state: AppState, jobs: Jobs) -> None:
        self._state, self._jobs = state, jobs
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is being done, take nothing more, and end the thread."""
        self.interrupt()
        if self._thread.ident is not None:
            self._thread.join()

    def interrupt(self) -> None:
        """Take nothing more; a render stops, for another process or another day to go on with."""
        self._stopped.set()
        self._wake.set()

    @property
    def is_stopping(self) -> bool:
        """Return whether it was interrupted."""
        return self._stopped.is_set()

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
            except Exception:  # The next job is another matter.
                _log.exception("jobs")
            self._wake.wait(POLL_SECONDS)

    def _work(self, task: Task) -> None:
        watched = Watched()
        try:
            work = self._prepare(task, watched)
            future = self._state.worker.submit(work, Priority.JOB)
        except Exception as error:
            self._refuse(task, error)
            return
        try:
            if self._is_done(task, future, watched):
                self._settle(task, future, watched)
        finally:
            # Whatever failed here: what nobody waits for does not go on.
            future.cancel()
            watched.stop()

    def _prepare(self, task: Task, watched: Watched) -> Callable[[], Painted]:
        """Return what does a job."""
        if task.settings.get("method") == METHOD:
            require_torch("learning")
            watched.resume(task.files.get("losses"))
            return partial(learn_painting, self._state, task, watched)
        parameters, upload = JobParameters(**task.settings), _upload(task)
        if parameters.method == films.METHOD:
            return films.worker(self._state, task, parameters, upload, watched)
        if parameters.method == "render":
            return self._rendering(task, parameters, upload, watched)
        _, named = self._state.styles_now(parameters)
        return partial(self._state.paint, parameters, upload, named)

    def _is_done(self, task: Task, future: Future[Painted], watched: Watched) -> bool:
        """Wait for the work while the job is ours; return whether it ended."""
        renewed = time.monotonic()
        while not wait((future,), RENEW_SECONDS).done:
            try:
                held = self._renew(task, watched)
                renewed = time.monotonic()
            except GalleryError as error:
                # A database that is away for a moment does not end the work; the lease does.
                _log.error("%s", error)
                held = time.monotonic() - renewed < LEASE_SECONDS
            if not held:
                return False
            if self.is_stopping:
                watched.stop()
        return True

    def _settle(self, task: Task, future: Future[Painted], watched: Watched) -> None:
        """Keep what came of the work."""
        try:
            painted = future.result()
        except Interrupted as error:
            watched.keep("checkpoint", error.checkpoint)
            self._insist(partial(self._renew, task, watched))
            self._insist(partial(self._jobs.give_back, task.id))
        except Exception as error:
            self._refuse(task, error)
        else:
            watched.progress = 1.0
            if painted.note:
                watched.keep("note", painted.note.encode())
            self._insist(partial(self._renew, task, watched))
            self._insist(partial(self._jobs.finish, task.id, painted.data, painted.media_type))

    def _renew(self, task: Task, watched: Watched) -> bool:
        with watched.news() as news:
            return self._jobs.renew(task.id, watched.progress, news)

    def _insist(self, write: Callable[[], object]) -> None:
        """Write, once more as long as the database is away for a while.

        The job stays ours meanwhile unless another process has begun it anew.

        Raises:
            GalleryError: If it stays away.
        """
        begun = time.monotonic()
        while True:
            try:
                write()
                return
            except GalleryError as error:
                patience = LEASE_SECONDS if self.is_stopping else PATIENCE_SECONDS
                if time.monotonic() - begun >= patience:
                    raise
                _log.error("%s", error)
            time.sleep(RENEW_SECONDS)

    def _rendering(
        self, task: Task, parameters: JobParameters, upload: Upload, watched: Watched
    ) -> Callable[[], Painted]:
        require_torch("rendering")
        from gallery.web.renders import render_photo

        state = self._state
        found, named = state.styles_now(parameters)
        checkpoint = task.files.get("checkpoint")
        watched.resume(task.files.get("losses"))
        return partial(render_photo, state, parameters, upload, found, named, checkpoint, watched)

    def _refuse(self, task: Task, error: Exception) -> None:
        problem = translate(error)
        if problem.code in ("busy", "gallery-unavailable"):
            self._insist(partial(self._jobs.give_back, task.id))
            self._stopped.wait(POLL_SECONDS)
            return
        if problem.code == "internal-error":
            _log.error("job %s", task.id, exc_info=error)
        self._insist(partial(self._jobs.fail, task.id, problem.code, problem.detail))


def create_job_api(state: AppState, jobs: Jobs, runner: JobRunner) -> APIRouter:
    """Return the routes of jobs."""
    api = APIRouter(prefix=f"{ROOT}/jobs", tags=["jobs"])
    found = documented("job-not-found", "invalid-parameter", "unauthorized", "gallery-unavailable")

    @api.post(
        "",
        status_code=202,
        response_model=JobDocument,
        summary="Repaint a photo later",
        responses=documented("bad-request", "unauthorized", "forbidden", "style-not-found")
        | documented("upload-too-slow", "body-too-large", "invalid-parameter", "busy")
        | documented("mask-mismatch", "style-not-measured", "torch-missing")
        | documented("not-a-film", "film-too-long", "video-missing"),
        openapi_extra={"requestBody": BODY},
    )
    async def submit(request: Request, parameters: Annotated[JobParameters, Query()]) -> Response:
        """Takes what `stylize` takes, and keeps it until it is done; or renders it.

        With `method=film` the body, or the part `photo`, is a film.
        """
        if parameters.method == "render":
            await run_in_threadpool(require_torch, "rendering")
        upload = await read_upload(request)
        parameters.weights(upload)
        await state.styles(parameters)  # Mistakes are told now rather than later.
        if parameters.method == films.METHOD:
            await run_in_threadpool(films.check_film, state, parameters, upload)
        add = partial(
            jobs.add, parameters.model_dump(), upload.photo, upload.painting, _files(upload)
        )
        job = await run_in_threadpool(add)
        runner.wake()
        headers = {"Location": f"{ROOT}/jobs/{job.id}", "Cache-Control": "no-store"}
        text = job_document(job).model_dump_json()
        return Response(text, 202, headers, "application/json")

    @api.get("/{id}", summary="How is it?", responses=found)
    async def show(id: JobId) -> JobDocument:
        """State and progress."""
        return await run_in_threadpool(_read, jobs, id)

    @api.get(
        "/{id}/result",
        response_class=Response,
        summary="The painted photo or film",
        responses=found
        | documented("job-not-done")
        | {200: {"description": "It.", "content": {"image/*": {}, "video/*": {}}}},
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
        "/{id}/preview",
        response_class=Response,
        summary="A render or a film as it grows",
        responses=found
        | {
            200: {"description": "A picture.", "content": {"image/jpeg": {}}},
            204: {"description": "There is none now: it waits, has ended, or is a photo's."},
        },
    )
    async def preview(id: JobId) -> Response:
        """The picture as it is now, at most 512 pixels a side."""
        data = await run_in_threadpool(jobs.file, id, "preview")
        if data is None:
            return Response(status_code=204, headers={"Cache-Control": "no-store"})
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @api.get(
        "/{id}/events",
        response_class=StreamingResponse,
        summary="Its changes, as they happen",
        responses=found
        | {200: {"description": "Server-sent events.", "content": {"text/event-stream": {}}}},
    )
    async def events(id: JobId) -> StreamingResponse:
        """Each event holds the job as it is then; the stream ends with the job."""
        job = await run_in_threadpool(_read, jobs, id)
        headers = {"Cache-Control": "no-store"}
        return StreamingResponse(_stream(runner, jobs, job), 200, headers, "text/event-stream")

    @api.delete("/{id}", summary="Cancel or forget it", responses=found)
    async def cancel(id: JobId) -> JobDocument:
        """Cancels a job that is not done; forgets one that is."""
        return job_document(await run_in_threadpool(jobs.cancel, id))

    return api


def _files(upload: Upload) -> dict[str, bytes]:
    """Return what was sent besides photo and painting, by names in their order."""
    files = {f"mask{i}": mask for i, mask in enumerate(upload.masks)}
    return files if upload.strength is None else files | {"strength": upload.strength}


def _upload(task: Task) -> Upload:
    masks = tuple(task.files[name] for name in sorted(task.files) if name.startswith("mask"))
    return Upload(task.photo, task.painting, masks, task.files.get("strength"))


async def _stream(runner: JobRunner, jobs: Jobs, job: JobDocument) -> AsyncIterator[str]:
    yield _event(job, 0)
    for turn in range(int(STREAM_SECONDS / EVENT_SECONDS)):
        if job.state not in OPEN or runner.is_stopping:
            return
        await asyncio.sleep(EVENT_SECONDS)
        last = job
        try:
            job = await run_in_threadpool(_read, jobs, last.id)
        except GalleryError:  # Forgotten meanwhile; the client's next question tells.
            return
        if job != last:
            yield _event(job, len(last.losses))
        elif turn % 40 == 39:
            yield ": still there\n\n"


def _event(job: JobDocument, told: int) -> str:
    """Return an event with the losses after those that were told."""
    news = job.model_copy(update={"losses": job.losses[told:]})
    return f"data: {news.model_dump_json()}\n\n"


def _read(jobs: Jobs, id: str) -> JobDocument:
    job = jobs.find(id)
    watched = job.settings.get("method") in ("render", METHOD)
    losses = jobs.file(id, "losses") if watched else None
    note = jobs.file(id, "note") if job.state == "done" else None
    return job_document(job, json.loads(losses or b"[]"), (note or b"").decode())
