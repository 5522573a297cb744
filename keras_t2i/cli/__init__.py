"""The command line: parses, calls, prints. JSON goes to stdout, everything for people to stderr."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

from keras_t2i.cli.app import app, say
from keras_t2i.core.devices import LostWorkerError
from keras_t2i.core.errors import reason
from keras_t2i.core.tables import load_plugins

__all__ = ["app", "main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: with 0, or with one line on stderr.

    With 2 where the input was at fault, and with 3 where another machine was lost, and the same again goes on.

    Args:
        arguments: What follows the program's name; by default that of the process.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    with warnings.catch_warnings():
        # Our own warnings are for the user, as plain lines; those of other libraries are not.
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning, module=r"keras_t2i\.")
        warnings.showwarning = lambda message, *_, **__: say(f"Warning: {message}")  # type: ignore[assignment]
        try:
            load_plugins()  # Before the commands, whose help lists what they add.
            from keras_t2i.cli import asking, making, measuring, styling, using, web  # noqa: F401

            code = app(arguments, prog_name="keras-t2i", standalone_mode=False)
        except Exception as error:
            message = _message(error)
            if message is None:
                raise
            say(f"Error: {message}")
            code = 3 if isinstance(error, LostWorkerError) else 2
    sys.exit(code)


def _message(error: Exception) -> str | None:
    """One line for an error that the user or the machine is to blame for; `None` for a bug of ours."""
    tensorflow = sys.modules.get("tensorflow")
    if hasattr(error, "format_message"):  # Typer's own, whose class has moved from release to release.
        return f"{' '.join(error.format_message().split()).rstrip('.')}. See --help."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, ValueError | OSError | ImportError | MemoryError) or (
        tensorflow is not None and isinstance(error, tensorflow.errors.OpError)
    ):
        return reason(error)
    return None
