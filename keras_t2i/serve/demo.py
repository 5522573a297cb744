"""A page that draws in the browser, served from this machine: the built page at `/`, a LiteRT bundle at `/bundle/`."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

__all__ = ["PAGE", "make_server", "serve_demo"]

PAGE = Path(__file__).resolve().parent / "page"
"""The built page, for any static host: the bundle goes beside it, as `bundle`. Its sources are in `export/web`."""

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tflite": "application/octet-stream",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
}
"""By hand, because Python asks the operating system, and Windows says that scripts are plain text."""


def make_server(bundle: Path, page: Path = PAGE, host: str = "127.0.0.1", port: int = 8000) -> ThreadingHTTPServer:
    """A server that listens, but does not answer before its `serve_forever`.

    It gives out the files of the two folders and nothing else: no listings, nothing above them, nothing that a link in
    them leads to elsewhere.

    Args:
        bundle: A directory that `TextToImageGAN.export(..., format="litert")` has written.
        page: A built page.
        host: Address to listen at; the default is reached from this machine alone.
        port: Port to listen at; 0 for any that is free.

    Raises:
        ValueError: if one of the folders is not what it is to be, or the port cannot be had.
    """
    bundle, page = Path(bundle), Path(page)
    if not (bundle / "bundle.json").is_file():
        raise ValueError(f"No LiteRT bundle at {str(bundle)!r}: make one with `keras-t2i export MODEL --to litert`.")
    if not (page / "index.html").is_file():
        raise ValueError(
            f"No built page at {str(page)!r}: it has no index.html; install the package again or, in a clone, run "
            "`npm ci && npm run build` in `export/web`."
        )
    roots = {"bundle": bundle.resolve(), "page": page.resolve()}

    class Handler(_Handler):
        folders = roots

    try:
        return _Server((host, port), Handler)
    except OSError as error:
        busy = error.errno == errno.EADDRINUSE
        why = "it is in use; choose another with `--port`" if busy else error.strerror or str(error)
        raise ValueError(f"Cannot listen at {host}, port {port}: {why}.") from error
    except OverflowError as error:
        raise ValueError(f"A port is a number from 0 to 65535; got {port}.") from error


def serve_demo(
    bundle: Path,
    page: Path = PAGE,
    host: str = "127.0.0.1",
    port: int = 8000,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serves until interrupted, and then returns.

    Args:
        bundle: See `make_server`.
        page: See `make_server`.
        host: See `make_server`.
        port: See `make_server`.
        on_ready: Is given the page's address when it can be opened.

    Raises:
        ValueError: as `make_server`.
    """
    with make_server(bundle, page, host, port) as server:
        if on_ready is not None:
            on_ready(f"http://{host}:{server.server_address[1]}/")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # On Windows reuse would let two servers share a port, and the first one get the requests of both.
    allow_reuse_address = os.name != "nt"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Reports an error, unless it is a browser that left in the middle, which is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(SimpleHTTPRequestHandler):
    folders: ClassVar[dict[str, Path]] = {}
    extensions_map = {**_TYPES, "": "application/octet-stream"}  # noqa: RUF012
    server_version = "keras_t2i"
    sys_version = ""

    def translate_path(self, path: str) -> str:
        """The file of an address, or one that does not exist."""
        folder, file = self._split(path)
        root = self.folders[folder]
        found = (root / file).resolve() if "\0" not in file and "\\" not in file and ":" not in file else root
        return str(found) if found.is_file() and found.is_relative_to(root) else str(root / "no such file")

    def list_directory(self, path: Any) -> None:
        """Refuses: folders have no listing."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        # Another bundle may be served here the next time: ask, and get 304 where it is the same.
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Stays silent: the page says itself what it misses."""

    @staticmethod
    def _split(path: str) -> tuple[str, str]:
        """The folder and the file in it that an address means, without what would lead out of it."""
        clean = posixpath.normpath("/" + unquote(urlsplit(path).path, errors="replace").lstrip("/"))
        parts = clean.strip("/").split("/")
        if parts[0] == "bundle":
            return "bundle", "/".join(parts[1:])
        return "page", "/".join(parts) or "index.html"
