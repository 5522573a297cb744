"""Commands that show a trained model on the web: serve and demo."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from keras_t2i.cli.app import app, say, work_quietly
from keras_t2i.cli.options import Host, Model
from keras_t2i.runs import shipping


@app.command()
def serve(
    model: Model,
    name: Annotated[str | None, typer.Option(help="Of the model, in addresses. Default: that of MODEL.")] = None,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; TF Serving's for REST is 8501.")] = 8501,
    max_batch_size: Annotated[int, typer.Option(min=1, help="Images in one call of the model.")] = 8,
    max_queue: Annotated[int, typer.Option(min=1, help="Images that wait; beyond them requests get 503.")] = 128,
) -> None:
    """Serve a model on this machine, with the REST interface of TF Serving, until it is told to stop.

    MODEL may also be a directory that **export** has written. It needs the extra `keras-t2i[serve]`. There is neither
    encryption nor a password: on other hosts than the local one, put a proxy in front.

    `keras-t2i serve shapes_64`

    `python export/serving/client.py --name shapes_64 "a large red star" -o star.png`
    """
    settings = {"max_batch_size": max_batch_size, "max_queue": max_queue}
    work_quietly(shipping.serve, model, name, host, port, say, **settings)


@app.command()
def demo(
    model: Model,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port.")] = 8000,
    precision: Annotated[
        Literal["float32", "float16", "int8"], typer.Option(help="Of the bundle that the page downloads.")
    ] = "int8",
) -> None:
    """Show a page that draws in the browser as one types, from this machine, until it is interrupted.

    MODEL may also be a LiteRT bundle.

    `keras-t2i demo emoji_128`
    """
    work_quietly(shipping.demo, model, host, port, precision, say)
