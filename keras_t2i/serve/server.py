"""Starts and stops a server."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_t2i.serve.settings import Settings

if TYPE_CHECKING:
    from keras_t2i.serve.live import Servable, Source

__all__ = ["Server", "serve"]

EXTRA = "Serving needs Starlette, uvicorn and prometheus-client. Run: pip install 'keras-t2i[serve]'"


def serve(
    model_directory: str | os.PathLike[str],
    name: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8501,
    announce: Callable[[str], None] = lambda message: None,
    **settings: Any,
) -> None:
    """Serves a SavedModel with TF Serving's REST interface until the process is told to stop.

    It returns after SIGTERM or SIGINT, when all requests that it has accepted are answered. What the process
    holds when it is called, it holds to its end (`gc.freeze`): it is there to serve.

    A version with a greater number that is put into the folder takes the place of the live one while it answers, as
    soon as it is whole, loaded and tried; if the live one is taken away, the one before does. A version that cannot be
    served is announced in one line, and the live one stays.

    A SavedModel is a program: serve only such as you trust. There is neither encryption nor a password: on other hosts
    than the local one, put a proxy in front.

    Args:
        model_directory: A SavedModel, or a folder of numbered versions, as TF Serving has them, of which the latest
            is served.
        name: Of the model, in addresses; by default that of the folder.
        host: The address to listen at.
        port: The port; 0 for any that is free.
        announce: Told the address once the model is ready, and later which version is served or refused.
        **settings: Of `Settings`: `max_batch_size`, `max_delay`, `max_queue`, `max_rows`, `max_body_bytes`,
            `max_prompt_bytes`, `max_connections`, `read_timeout`, `write_timeout` and `stop_timeout`.

    Raises:
        ImportError: if a package is missing; names the extra.
        ValueError: if there is no SavedModel, the port is taken, or a setting makes no sense.
    """
    if any(importlib.util.find_spec(package) is None for package in ("starlette", "uvicorn", "prometheus_client")):
        raise ImportError(EXTRA)
    from keras_t2i.serve.model import Model, first
    from keras_t2i.serve.versions import Versions, find_version, model_name

    path, version = find_version(model_directory)
    name, source = name or model_name(model_directory), Versions(model_directory, Model)
    Server(lambda: first(path), name, version, host, port, Settings(**settings), announce, source).run()


class Server:
    """A server around anything that can be served.

    Args:
        load: Loads the model, in the thread that will run it.
        name: Of the model.
        version: Likewise.
        host: The address to listen at.
        port: The port; 0 for any that is free.
        settings: The limits.
        announce: Told the address once the model is ready, and later which version is served or refused.
        source: Of other versions.
    """

    def __init__(
        self,
        load: Callable[[], Servable],
        name: str,
        version: int = 1,
        host: str = "127.0.0.1",
        port: int = 8501,
        settings: Settings | None = None,
        announce: Callable[[str], None] = lambda message: None,
        source: Source | None = None,
    ) -> None:
        import uvicorn

        from keras_t2i.serve.app import Service, make_app
        from keras_t2i.serve.connection import connection_class

        if not name or not name.isprintable() or set(name) & set("/:?#% "):
            raise ValueError(f"{name!r} cannot be the name of a model in an address: use letters, digits, -, _ and .")
        settings = settings or Settings()
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{self.port}/v1/models/{name}"
        self.service = Service(
            name,
            version,
            load,
            settings,
            lambda: announce(self.address + ":predict"),
            on_failure=self.stop,
            source=source,
            announce=announce,
        )
        config = uvicorn.Config(
            make_app(self.service),
            http=connection_class(settings, lambda code: self.service.metrics.request("none", code)),
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(settings.stop_timeout)),
        )
        told = self._on_signal

        class Stoppable(uvicorn.Server):
            def handle_exit(self, sig: int, frame: Any) -> None:
                told()  # The original notes the signal and raises it again when all is done: no way to return well.

        self._server = Stoppable(config)

    def run(self) -> None:
        """Serves until `stop` or, in the main thread, SIGTERM or SIGINT.

        Raises:
            Exception: that of loading the model.
        """
        try:
            asyncio.run(self._server.serve([self._socket]))
        finally:
            self._socket.close()
        if self.service.failure is not None:
            raise self.service.failure

    def stop(self) -> None:
        """Refuses new requests from now on; `run` returns when the accepted ones are answered."""
        self.service.stopping = True
        self._server.should_exit = True

    def _on_signal(self) -> None:
        if self.service.stopping:  # Told twice: whoever waits is cut off.
            self._server.force_exit = True
        self.stop()


def _listen(host: str, port: int) -> socket.socket:
    """A socket that already listens, so that a taken port shows before the model is loaded."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"Cannot listen at {host}, port {port}: {reason}.") from error
