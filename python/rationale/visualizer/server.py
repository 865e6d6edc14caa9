"""The web application: the page's files, the HTTP API, the live connection."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from rationale.errors import OptionError, RationaleError
from rationale.lrp import COMPOSITES
from rationale.version import __version__
from rationale.visualizer.client import Client
from rationale.visualizer.examples import examples_of
from rationale.visualizer.frame import Frame
from rationale.visualizer.gate import COOKIE, Gate, cookie_of, same
from rationale.visualizer.jobs import Describe, Explain, Sheet
from rationale.visualizer.limits import Limits
from rationale.visualizer.workers import WorkerError, Workers

_PAGE = Path(__file__).with_name("page")
_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
_TYPES[".js"] = "text/javascript; charset=utf-8"
_IDLE_LOOK = 20.0  # seconds between looks for idle workers
_TRY_LATER = 1013  # WebSocket close code


@dataclass(frozen=True)
class Settings:
    """What a server offers, and to whom.

    Attributes:
        models: where each model that is offered lies, by the name that pages use; the first one is shown first.
        hosts: names that the server answers to, beside numeric addresses.
        token: what clients must show; None where everybody who reaches the server may use it.
        gpu, threads: of the workers.
        weights: of the first model's classifier, instead of its own.
    """

    models: Mapping[str, str]
    hosts: tuple[str, ...] = ("localhost",)
    token: str | None = None
    gpu: int | None = None
    threads: int = 2
    limits: Limits = field(default_factory=Limits)
    weights: str | None = None

    @property
    def first(self) -> str:
        """The model that a page begins with."""
        return next(iter(self.models))


class _State:
    """What the requests share."""

    def __init__(self, settings: Settings, workers: Workers) -> None:
        self.settings = settings
        self.workers = workers
        self.clients = 0
        self.requests = 0
        self.described: dict[str, bytes] = {}


def workers_for(settings: Settings) -> Workers:
    """The worker processes of a server with these settings, none of them started."""
    weights = {settings.first: settings.weights}
    return Workers(settings.models, settings.gpu, settings.threads, settings.limits, weights)


def create_app(settings: Settings, workers: Workers) -> Gate:
    """The application behind its gate; it stops the workers when it ends."""
    state = _State(settings, workers)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watch = asyncio.create_task(_stop_idle(state.workers))
        try:
            yield
        finally:
            watch.cancel()
            state.workers.stop()

    app = FastAPI(
        title="Rationale",
        version=__version__,
        description="Explains decisions of Caffe image classifiers.",
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
    )
    app.add_exception_handler(RationaleError, _as_reply)
    _add_models(app, state)
    _add_explanations(app, state)
    _add_live(app, state)
    _add_page(app)  # last, for it takes every path that is left
    return Gate(app, settings.hosts, settings.token)


async def _stop_idle(workers: Workers) -> None:
    while True:
        await asyncio.sleep(_IDLE_LOOK)
        workers.stop(only_idle=True)


async def _as_reply(request: Request, error: Exception) -> Response:
    """A user's mistake, or what stands in the way, in one line."""
    status = 404 if isinstance(error, OptionError) else 503 if isinstance(error, WorkerError) else 422
    return JSONResponse({"error": str(error)}, status)


async def _description(state: _State, model: str) -> bytes:
    """A model as its worker describes it; asked for once."""
    if model not in state.described:
        found = await state.workers.seat(model).ask(lambda name: Describe(), lambda text: None)
        assert found is not None
        state.described[model] = found
    return state.described[model]


# ---- the page's files ------------------------------------------------------------------------------------------------


def _add_page(app: FastAPI) -> None:
    """Every file of the page, read now: what a client asks for is looked up here, not in the file system."""
    files = {
        path.relative_to(_PAGE).as_posix(): path.read_bytes()
        for path in sorted(_PAGE.rglob("*"))
        if path.suffix in _TYPES
    }

    @app.get("/{name:path}", include_in_schema=False)
    async def page(request: Request, name: str) -> Response:
        name = name or "index.html"
        if name not in files:
            if name.startswith("api/"):
                return JSONResponse({"error": f"there is no /{name}; /api/openapi.json lists what there is"}, 404)
            return Response("not found", 404, media_type="text/plain")
        content = files[name]
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=_TYPES[Path(name).suffix])


# ---- models ----------------------------------------------------------------------------------------------------------


def _add_models(app: FastAPI, state: _State) -> None:
    settings = state.settings

    @app.get("/api/status", summary="Version, limits, workers and clients")
    async def status() -> dict[str, object]:
        return {
            "rationale": __version__,
            "clients": state.clients,
            "limits": vars(settings.limits),
            "workers": state.workers.states(),
        }

    @app.get("/api/models", summary="Names of the models that are offered, and of the composites")
    async def models() -> dict[str, object]:
        return {"models": list(settings.models), "composites": list(COMPOSITES)}

    @app.get("/api/models/{model}", summary="A model's labels, input and layers; starts its worker")
    async def model_description(model: str) -> Response:
        return Response(await _description(state, model), media_type="application/json")

    @app.get("/api/models/{model}/examples", summary="Pictures of the model's data set, where they are at hand")
    async def examples(model: str) -> list[dict[str, str]]:
        state.workers.seat(model)
        found = await run_in_threadpool(examples_of, settings.models[model])
        return [{"name": each.name, "label": each.label} for each in found]

    @app.get("/api/models/{model}/examples/{number}", summary="One of them, as a PNG or JPEG file")
    async def example(model: str, number: int) -> Response:
        state.workers.seat(model)
        found = await run_in_threadpool(examples_of, settings.models[model])
        if not 0 <= number < len(found):
            raise OptionError(f"model {model!r} has {len(found)} examples; there is no number {number}")
        headers = {"cache-control": "private, max-age=3600"}
        return Response(found[number].content, headers=headers, media_type=found[number].media_type)

    @app.get("/api/models/{model}/units/{channel}", summary="What is known of a unit; null where nothing is")
    async def unit(
        model: str, channel: int, layer: Annotated[str, Query(description="Whose channel it is", max_length=200)]
    ) -> Response:
        found = await state.workers.seat(model).ask(lambda name: Sheet(layer, channel), lambda text: None)
        assert found is not None
        return Response(found, headers={"cache-control": "no-cache"}, media_type="application/json")

    @app.post("/api/session", summary="Turns the token (Authorization: Bearer …) into a cookie", status_code=204)
    async def session(request: Request) -> Response:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if settings.token is None:
            return Response(status_code=204)
        if not same(given, settings.token):
            return JSONResponse({"error": "that is not the token; the server printed it when it started"}, 401)
        response = Response(status_code=204)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, cookie_of(settings.token), httponly=True, samesite="strict", secure=secure)
        return response


# ---- explanations ----------------------------------------------------------------------------------------------------

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The bytes of a PNG, JPEG, TIFF, WebP … file",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def _add_explanations(app: FastAPI, state: _State) -> None:
    settings, limits = state.settings, state.settings.limits

    @app.post("/api/explanations", summary="Explains one picture: what explanation.json holds", openapi_extra=_BODY)
    async def explain(
        request: Request,
        model: Annotated[str, Query(description="A name that /api/models lists; the first one if not given")] = "",
        target: Annotated[
            str | None, Query(alias="class", description="To explain; the predicted one if not given")
        ] = None,
        against: Annotated[
            str | None, Query(description="Explain the class rather than this one: the score is their difference")
        ] = None,
        composite: Annotated[str | None, Query(description="How relevance is propagated")] = None,
        maps: Annotated[str, Query(description="“heatmap”, “image”, layers' names, with commas between")] = "",
        name: Annotated[str, Query(description="What the explanation calls the picture", max_length=200)] = "picture",
    ) -> Response:
        if state.requests >= limits.requests:
            return JSONResponse({"error": "too many explanations are under way; try again in a moment"}, 503)
        state.requests += 1
        try:
            content = await _body(request, limits)
            if isinstance(content, Response):
                return content
            wanted = tuple(part.strip() for part in maps.split(",") if part.strip())
            job = Explain(Frame(0, content), name, target, against, composite, wanted)
            found = await state.workers.seat(model or settings.first).ask(lambda name: job, lambda text: None)
            assert found is not None
            return Response(found, media_type="application/json")
        finally:
            state.requests -= 1


async def _body(request: Request, limits: Limits) -> bytes | Response:
    """The body of a request, or the refusal of one that is too large, too slow or empty."""
    most = limits.picture_bytes
    too_large = JSONResponse({"error": f"the picture has more than {most:,} bytes; make it smaller"}, 413)
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > most:
        return too_large
    parts, length = [], 0
    try:
        async with asyncio.timeout(limits.upload_seconds):
            async for part in request.stream():
                length += len(part)
                if length > most:
                    return too_large
                parts.append(part)
    except TimeoutError:
        return JSONResponse({"error": f"the picture did not arrive in {limits.upload_seconds:g} seconds"}, 408)
    if not length:
        return JSONResponse({"error": "the request is empty; send the bytes of a picture file as its body"}, 422)
    return b"".join(parts)


# ---- live ------------------------------------------------------------------------------------------------------------


def _add_live(app: FastAPI, state: _State) -> None:
    limits = state.settings.limits

    @app.websocket("/api/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        if state.clients >= limits.clients:
            text = f"{limits.clients} pages are open already; close one, or try again later"
            await socket.send_text(json.dumps({"type": "error", "text": text, "frame": None}))
            await socket.close(_TRY_LATER, text)
            return
        state.clients += 1
        try:
            await Client(socket, state.workers, limits).serve()
        finally:
            state.clients -= 1
