"""Commands for what a trained model can be asked: one for each task in the table."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_t2i.cli.app import app, print_result
from keras_t2i.cli.options import Model, Output
from keras_t2i.tasks import TASKS, Setting, Task


def _command(name: str, task: Task) -> None:
    captions = Annotated[list[str], typer.Argument(metavar="CAPTIONS...", help="What to draw; quote each caption.")]
    listed = Annotated[Path, typer.Argument(metavar="CAPTIONS", help="A file of captions.")]
    picture = Annotated[Path, typer.Argument(metavar="PICTURE", help="The picture, which is only read.")]
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("model", kind, annotation=Model),
        *([inspect.Parameter("picture", kind, annotation=picture)] if task.of_picture else []),
        inspect.Parameter("captions", kind, annotation=listed if task.of_list else captions),
        inspect.Parameter("output", kind, annotation=Output, default=Path("generated")),
        *(
            inspect.Parameter(setting, kind, annotation=_declared(setting, described), default=described.default)
            for setting, described in task.settings.items()
        ),
    ]

    def run(**given: Any) -> None:
        print_result(task, **given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app.command(name, help=inspect.cleandoc(task.help))(run)


def _declared(name: str, setting: Setting) -> Any:
    kind = setting.type or type(setting.default)
    limits: dict[str, Any] = {"min": setting.least} if setting.least is not None else {}
    flags = setting.flags or (f"--{name.replace('_', '-')}",)
    return Annotated[kind, typer.Option(*flags, help=setting.help, **limits)]


for _name, _task in TASKS.items():
    _command(_name, _task)
