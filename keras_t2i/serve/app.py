"""The routes: TF Serving's REST interface, its description, health and metrics, around one model."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keras_t2i.serve import protocol
from keras_t2i.serve.batching import Batcher
from keras_t2i.serve.live import Live, Servable, Source, Stopped, Watch, tried
from keras_t2i.serve.metrics import Metrics
from keras_t2i.serve.protocol import Query, RequestError
from keras_t2i.serve.settings import Settings

__all__ = ["Service", "make_app"]

logger = logging.getLogger("keras_t2i.serve")
_GONE = 499
_LONG = 2**16
_PATIENCE = 64
"""How many times its limit a body may go on, thrown away: who is cut off while sending sees no answer."""
_CLOSE = {"Connection": "close"}
_DESCRIPTION = Path(__file__).with_name("openapi.json")
_LOOK = 1.0
"""Seconds between looks for another version."""


class Service:
    """A model, its queue, and the state of the server.

    The model is loaded in the thread that will run it, while the server already listens and says that it is not ready.
    Another version is loaded and tried in a second thread, while the live one answers, and takes its place only then.

    Args:
        name: Of the model, in addresses.
        version: Likewise.
        load: Loads the model.
        settings: The limits.
        on_ready: Called once, when the model answers.
        on_failure: Called if it cannot be loaded; the error is in `failure`.
        source: Asked for other versions every second, if given.
        announce: Told which version took the place of which, or was refused and why.
    """

    def __init__(
        self,
        name: str,
        version: int,
        load: Callable[[], Servable],
        settings: Settings,
        on_ready: Callable[[], None] = lambda: None,
        on_failure: Callable[[], None] = lambda: None,
        source: Source | None = None,
        announce: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.name, self.settings = name, settings
        self._version, self._load, self._on_ready, self._on_failure = version, load, on_ready, on_failure
        self._watch = None if source is None else Watch(source, settings, announce, self._stops)
        self.metrics = Metrics(settings.max_batch_size, lambda: self.batcher.queued_rows if self.batcher else 0)
        self.live: Live | None = None
        self.batcher: Batcher | None = None
        self.failure: Exception | None = None
        self.stopping = False

    @property
    def version(self) -> int:
        """The live one, or the one that is being loaded."""
        return self._version if self.live is None else self.live.version

    @property
    def obstacle(self) -> str | None:
        """Why no request can be answered now, if so."""
        if self.stopping:
            return "The server is stopping."
        if self.batcher is None:
            return "The model is being loaded."
        return "The queue is full." if self.batcher.full else None

    def _stops(self) -> bool:
        return self.stopping

    @contextlib.asynccontextmanager
    async def running(self, app: Starlette) -> AsyncIterator[None]:
        with ThreadPoolExecutor(1, "versions") as loader, ThreadPoolExecutor(1, "model") as thread:
            start = asyncio.create_task(self._start(thread))
            watching = None if self._watch is None else asyncio.create_task(self._look(self._watch, loader))
            try:
                yield
            finally:
                self.stopping = True
                if watching is not None:
                    watching.cancel()
                await start
                if self.batcher is not None:
                    await self.batcher.stop()

    async def _start(self, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        try:
            model = await loop.run_in_executor(thread, tried, self._load, self.settings, self._stops)
        except Stopped:
            return
        except Exception as error:
            self.failure = error
            self._on_failure()
        else:
            self.batcher = Batcher(thread, self.settings, self.metrics.batch)
            self.live = Live(self._version, model)
            self._on_ready()

    async def _look(self, watch: Watch, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while not self.stopping:
            await asyncio.sleep(_LOOK)
            if self.live is not None and not self.stopping:
                self.live = await loop.run_in_executor(thread, watch.look, self.live)

    async def predict(self, request: Request) -> Response:
        live = self._addressed(request)
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise RequestError("Compressed requests are not taken: send it without Content-Encoding.", 415)
        if self.stopping or live is None or self.batcher is None:
            raise RequestError(str(self.obstacle), 503, {"Retry-After": "1", **(_CLOSE if self.stopping else {})})
        query = protocol.parse(await self._body(request), live.model.signatures, self.settings)
        outputs = await _unless_gone(self.batcher.submit(query, live.model.run), request)
        body = await _encode(query, outputs)
        if live.model.signatures[query.signature].draws:
            self.metrics.images(query.rows)
        return Response(body, media_type="application/json")

    async def status(self, request: Request) -> Response:
        state = "LOADING" if self._addressed(request) is None else "AVAILABLE"
        status = {"error_code": "OK", "error_message": ""}
        return _answer({"model_version_status": [{"version": str(self.version), "state": state, "status": status}]})

    async def metadata(self, request: Request) -> Response:
        if (live := self._addressed(request)) is None:
            raise RequestError(str(self.obstacle), 503, {"Retry-After": "1"})
        return _answer(
            {
                "model_spec": {"name": self.name, "signature_name": "", "version": str(live.version)},
                "metadata": {"signature_def": {"signature_def": live.model.metadata()}},
            }
        )

    async def health(self, request: Request) -> Response:
        return _answer({"status": "alive"})

    async def readiness(self, request: Request) -> Response:
        if self.obstacle is not None:
            raise RequestError(self.obstacle, 503, {"Retry-After": "1"})
        return _answer({"status": "ready"})

    async def description(self, request: Request) -> Response:
        return Response(_DESCRIPTION.read_bytes(), media_type="application/json")

    async def metrics_text(self, request: Request) -> Response:
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    def _addressed(self, request: Request) -> Live | None:
        """The live version, if it is the one that is asked for; none while the first is being loaded."""
        name = request.path_params["name"]
        version = request.path_params.get("version", str(self.version))
        if request.method != "POST" and ":" in name + version:  # The address of a prediction, read.
            raise HTTPException(405, headers={"Allow": "POST"})
        if name != self.name:
            raise RequestError(f"There is no model {ascii(name)[:80]}; there is {self.name!r}.", 404)
        if version != str(self.version):
            raise RequestError(f"There is no version {ascii(version)[:40]}; there is {self.version}.", 404)
        return self.live

    async def _body(self, request: Request) -> bytes:
        """The request's body, never more of it in memory than is allowed."""
        limit = self.settings.max_body_bytes
        too_long = RequestError(f"The request is longer than {limit} bytes.", 413, _CLOSE)
        declared = request.headers.get("content-length", "0")
        body, over = bytearray(), declared.isdecimal() and len(declared) < 20 and int(declared) > limit
        if over and "100-continue" in request.headers.get("expect", "").lower():
            raise too_long  # The client asked before it sent anything.
        received = 0
        try:
            async with asyncio.timeout(self.settings.read_timeout):
                async for chunk in request.stream():
                    received += len(chunk)
                    over = over or received > limit
                    if not over:
                        body += chunk
                    elif received > _PATIENCE * limit:
                        break
        except TimeoutError:
            if not over:
                seconds = f"{self.settings.read_timeout:g} s"
                raise RequestError(f"The request took longer than {seconds} to come in.", 408, _CLOSE) from None
        if over:
            raise too_long
        return bytes(body)


def make_app(service: Service) -> Starlette:
    """The application of a service."""
    model = "/v1/models/{name}"
    version = model + "/versions/{version}"
    return Starlette(
        routes=[
            *(Route(path + ":predict", service.predict, methods=["POST"]) for path in (model, version)),
            *(Route(path, service.status, methods=["GET"]) for path in (model, version)),
            *(Route(path + "/metadata", service.metadata, methods=["GET"]) for path in (model, version)),
            Route("/healthz", service.health),
            Route("/readyz", service.readiness),
            Route("/metrics", service.metrics_text),
            Route("/openapi.json", service.description),
        ],
        middleware=[Middleware(_Counted, service=service)],
        exception_handlers={RequestError: _refusal, HTTPException: _http_refusal, Exception: _failure},
        lifespan=service.running,
    )


class _Counted:
    """Counts every answer, and takes the time of predictions."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._metrics = app, service.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        app = _refuse_framing if _is_framed_twice(scope) else self._app
        start, code = time.perf_counter(), 500
        endpoint = "predict" if scope["path"].endswith(":predict") else "other"

        async def counted(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            await app(scope, receive, counted)
        except ClientDisconnect:
            code = _GONE
        finally:
            self._metrics.request(endpoint, code, time.perf_counter() - start if endpoint == "predict" else None)


def _is_framed_twice(scope: Scope) -> bool:
    """Whether a proxy in front may see another end of this request than we do, and so another request behind it."""
    names = {name for name, _ in scope["headers"]}
    return b"transfer-encoding" in names and (b"content-length" in names or scope["http_version"] == "1.0")


async def _refuse_framing(scope: Scope, receive: Receive, send: Send) -> None:
    told = "The request says twice how long it is: send it with Content-Length or in chunks."
    await _answer({"error": told}, 400, _CLOSE)(scope, receive, send)


async def _unless_gone(work: Any, request: Request) -> dict[str, np.ndarray]:
    """The work's result; if the client leaves before, the work is cancelled."""

    async def client_leaves() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, leaving = asyncio.ensure_future(work), asyncio.ensure_future(client_leaves())
    try:
        await asyncio.wait((task, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        leaving.cancel()
        task.cancel()


async def _encode(query: Query, outputs: dict[str, np.ndarray]) -> bytes:
    pieces = []
    for piece in protocol.encode(query, outputs):
        pieces.append(piece)
        if len(piece) > _LONG:
            await asyncio.sleep(0)  # Images as lists of numbers take long; others may be served in between.
    return b"".join(pieces)


def _answer(content: Any, status: int = 200, headers: Any = None) -> JSONResponse:
    return JSONResponse(content, status, headers)


def _refusal(request: Request, error: Exception) -> Response:
    return _answer({"error": str(error)}, getattr(error, "status", 400), getattr(error, "headers", None))


def _http_refusal(request: Request, error: Exception) -> Response:
    """Of an address that does not exist, or does not know the method."""
    status = getattr(error, "status_code", 500)
    told = {404: "There is nothing at this address.", 405: f"{request.method} is not allowed at this address."}
    message = told.get(status, str(getattr(error, "detail", "")))
    return _answer({"error": message}, status, getattr(error, "headers", None))


def _failure(request: Request, error: Exception) -> Response:
    logger.error("A request failed: %s: %s", type(error).__name__, error)
    return _answer({"error": "The server failed to answer this request; its log says how."}, 500)
