"""App: the application that answers. Everything a request can reach is named here.

request ──AccessLog──▶ Guard ──▶ /v1 (openai) · /api (verbs) · / (page) · /healthz · /readyz · /metrics
"""

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import PlainTextResponse, Response

import letterwise
from letterwise.serve import errors, openai, page, verbs
from letterwise.serve.access_log import AccessLog
from letterwise.serve.config import ServeConfig
from letterwise.serve.errors import ErrorAnswer, Refused
from letterwise.serve.guard import Guard
from letterwise.serve.library import Library
from letterwise.serve.metrics import Metrics

LOOK_AROUND_S = 10.0  # how often to see whether memory is short
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": says}
    for status, says in {
        400: "The request cannot be met; the message says why",
        401: "The server asks for its key",
        403: "A page of another server asked",
        404: "There is no such thing",
        405: "The address does not take that method",
        408: "The body came too slowly",
        413: "The body is too long",
        415: "The body is not JSON",
        421: "The server has another name",
        500: "Something went wrong here",
        429: "Too much is asked at once; Retry-After says when to try again",
        503: "The server is stopping, or the request waited too long",
    }.items()
}


def make_app(config: ServeConfig, write: Callable[[str], None]) -> FastAPI:
    """The application; `write` gets its access log. Raises `UserError` when a model file that was named is not there."""
    metrics = Metrics()
    library = Library(config, metrics)
    app = FastAPI(
        title="Letterwise",
        version=letterwise.__version__,
        lifespan=lifespan,
        responses=REFUSALS,
        redoc_url=None,
        docs_url=None,
    )
    app.state.config, app.state.library, app.state.metrics, app.state.ready = config, library, metrics, False
    errors.install(app)
    for router in (*openai.ROUTERS, *verbs.ROUTERS, page.router):
        app.include_router(router)
    add_probes(app, metrics)
    describe_truly(app)
    app.add_middleware(Guard, config=config)
    app.add_middleware(AccessLog, metrics=metrics, write=write, as_json=config.place.log_json)
    return app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """The first model is loaded while the page can be seen already; memory is looked after until the end."""
    tasks = [asyncio.create_task(warm_up(app)), asyncio.create_task(look_around(app))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.to_thread(app.state.library.close)


async def warm_up(app: FastAPI) -> None:
    """Load the first model, if there is one, and what it scores with (PyTorch): who asks from then on does not wait for it.

    What is loaded then stays, and Python need not look for garbage in it: among half a million objects that takes 0.3 s.
    """
    try:
        async with app.state.library.model() as served:
            await served.compute(lambda: served.model.score_characters("  "))
    except Exception as error:
        if not (isinstance(error, Refused) and error.code == "model_not_found"):
            errors.LOG.warning("the first model could not be loaded: %s", error)
    gc.collect()
    gc.freeze()
    app.state.ready = True


async def look_around(app: FastAPI) -> None:
    """Unload models that are idle, whenever memory is short."""
    while True:
        await asyncio.sleep(LOOK_AROUND_S)
        await app.state.library.make_room()


def describe_truly(app: FastAPI) -> None:
    """FastAPI says that it answers 422 to what is not valid; we answer 400."""
    described = app.openapi()
    for operations in described["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        described["components"]["schemas"].pop(name, None)
    if app.state.config.place.api_key:
        described["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"key": []}]
    app.state.metrics.paths |= {path for path in described["paths"] if "{" not in path}


def add_probes(app: FastAPI, metrics: Metrics) -> None:
    """What watches over a server asks: does it live, may it be sent requests, what has it done."""

    @app.get("/healthz", response_class=PlainTextResponse, tags=["probes"])
    async def healthz() -> str:
        """It lives."""
        return "ok"

    @app.get("/readyz", response_class=PlainTextResponse, tags=["probes"])
    async def readyz() -> PlainTextResponse:
        """Its first model is loaded, or there is none."""
        ready = app.state.ready
        return PlainTextResponse("ready" if ready else "loading the first model", 200 if ready else 503)

    @app.get("/metrics", response_class=PlainTextResponse, tags=["probes"])
    async def show() -> Response:
        """Counters and gauges, in Prometheus' text format."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
