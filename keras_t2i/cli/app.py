"""The application that commands register with, and how they print: JSON on stdout, all else on stderr."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import typer

from keras_t2i.core.printable import escaped
from keras_t2i.core.supported import check_backend

__all__ = ["app", "data_app", "print_result", "say", "verbosity", "work_quietly"]

app = typer.Typer(
    help="Train a text-to-image generator on your own captioned images, measure it, and ship it.\n\n"
    "Start with **keras-t2i quickstart**, which needs no data and no network.\n\n"
    "Results go to stdout as JSON, progress to stderr. Exit code 2: the input was at fault, and one line says how. "
    "Exit code 3: of several machines that train together one was lost, and the same command goes on.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
data_app = typer.Typer(help="Look at a data set before training on it.")
app.add_typer(data_app, name="data")


def print_result(
    work: Callable[..., dict[str, Any]], *args: Any, starts_tensorflow: bool = True, **kwargs: Any
) -> None:
    """Prints what `work` returns as JSON."""
    result = (work_quietly if starts_tensorflow else _without_stdout)(work, *args, **kwargs)
    print(json.dumps(result, indent=2), flush=True)


def work_quietly(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls `work` with nothing on stdout, where Keras' progress bars would go: it is for results alone.

    Raises:
        ImportError: at once, for a backend on which nothing here runs.
    """
    check_backend()
    _import_tensorflow_quietly()
    return _without_stdout(work, *args, **kwargs)


def _without_stdout(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with contextlib.redirect_stdout(sys.stderr):
        return work(*args, **kwargs)


def _import_tensorflow_quietly() -> None:
    """Imports TensorFlow without the lines that its start-up code writes, past Python, to the process's stderr."""
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            captured.seek(0)
            os.write(original, captured.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)
    # TensorFlow Datasets warns in the first of its own deprecations, TensorFlow in the second that each of several
    # models has graphs of its own.
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)


def verbosity() -> int | str:
    """A moving bar on a terminal, one line an epoch in a file."""
    return "auto" if sys.stderr.isatty() else 2


def say(message: str) -> None:
    """Prints a line for people, or several, on stderr; a terminal obeys none of it."""
    print("\n".join(map(escaped, message.split("\n"))), file=sys.stderr, flush=True)
