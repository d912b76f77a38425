"""The web application: the page at `/`, the API at `/api/v1`."""

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from adain import __version__
from adain.config import DEFAULT_MODEL
from adain.engine.model import Model
from gallery.database.engine import memory_database
from gallery.database.gallery import Gallery
from gallery.database.jobs import Jobs
from gallery.web.api import create_api
from gallery.web.devices import create_device_api
from gallery.web.features import create_feature_api
from gallery.web.films import create_film_api
from gallery.web.jobs import JobRunner, create_job_api
from gallery.web.keys import Key
from gallery.web.learning import create_learning_api
from gallery.web.live import create_live_api
from gallery.web.middleware import Access, Bodies, Envelope
from gallery.web.paintings import create_paintings_api
from gallery.web.photos import create_photo_api
from gallery.web.problems import ProblemDocument, handle_problems
from gallery.web.regions import create_region_api
from gallery.web.settings import ServeConfig
from gallery.web.state import AppState

STATIC = Path(__file__).parent / "static"

DESCRIPTION = """Repaints photos in the style of any painting.

Errors are `application/problem+json` with a stable `code`. Lists and pictures have an `ETag`.
When the service is busy it answers 503, when a client asks too often 429, both with
`Retry-After` in seconds. Where a key is needed it goes into `Authorization: Bearer KEY`."""


def create_app(
    config: ServeConfig,
    model: Model,
    gallery: Gallery,
    keys: Sequence[Key] = (),
    jobs: Jobs | None = None,
    model_name: str = DEFAULT_MODEL,
) -> FastAPI:
    """Return the application.

    Args:
        config: Its limits.
        model: The network.
        gallery: Where its styles are.
        keys: Who may use it; without any, everybody on this machine may.
        jobs: Where jobs are kept; by default in memory, for as long as this runs.
        model_name: What the API calls the network.

    Raises:
        ValueError: If others could reach it, there is no key, and `insecure` was not asked for.
    """
    config.check_access(keys)
    state = AppState(config, model, gallery, model_name)
    own = Jobs(memory_database(), config.jobs) if jobs is None else None
    jobs = jobs or own
    assert jobs is not None
    runner = JobRunner(state, jobs)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        runner.start()
        threading.Thread(target=state.decoder.warm_up, daemon=True).start()
        yield
        # Whoever else shares the jobs does the rest of them.
        runner.stop()
        state.close()
        if own is not None:
            own.close()

    cors = Middleware(
        CORSMiddleware,
        allow_origins=config.origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "X-Api-Key"],
        expose_headers=[
            "X-Style",
            "X-Channels",
            "X-Film-Seconds",
            "X-Columns",
            "X-Faces",
            "X-Note",
            "X-Picture-Size",
            "X-Request-Id",
            "Server-Timing",
            "Retry-After",
        ],
    )
    app = FastAPI(
        title="adain",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # Its page would load scripts of another site.
        redoc_url=None,
        lifespan=lifespan,
        middleware=[
            Middleware(Envelope, metrics=state.metrics),
            *([cors] if config.origins else []),
            Middleware(Access, config=config, keys=keys),
            Middleware(Bodies, config=config),
        ],
    )
    handle_problems(app)
    app.include_router(create_api(state))
    app.include_router(create_paintings_api(state))
    app.include_router(create_photo_api(state))
    app.include_router(create_film_api(state))
    app.include_router(create_region_api(state))
    app.include_router(create_feature_api(state))
    app.include_router(create_device_api(state))
    app.include_router(create_live_api(state))
    app.include_router(create_job_api(state, jobs, runner))
    app.include_router(create_learning_api(state, jobs, runner.wake))
    page = _Static(directory=STATIC)
    app.mount("/static", page, name="static")

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return await page.get_response("index.html", request.scope)

    @app.get("/offline.js", include_in_schema=False)
    async def offline(request: Request) -> Response:
        # Below /static it could keep nothing but what is there.
        return await page.get_response("offline.js", request.scope)

    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    app.state.state, app.state.runner = state, runner
    return app


class _Static(StaticFiles):
    """The page; browsers ask each time whether it changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = schema["components"]["schemas"]
        schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
        schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{}, {"key": []}]
        app.openapi_schema = schema
    return app.openapi_schema
