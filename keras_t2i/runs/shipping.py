"""Shipping a trained model: exports, servers, and who drew a picture.

Nothing heavy is imported before a function needs it, so that `keras-t2i --help` answers at once.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_t2i.runs.config import RunConfig

__all__ = ["demo", "export", "inspect", "serve"]

_SERVING, _SAVED_MODEL = "serving.json", "saved_model.pb"


def export(
    model: Path,
    output: Path,
    to: str = "saved_model",
    precision: str = "float32",
    captions: Path | None = None,
    record_prompts: bool = True,
) -> dict[str, Any]:
    """Exports a trained model: see `keras_t2i.export`.

    Args:
        model: A run, a preset or its name.
        output: The directory to write.
        to: `"serving"`, `"saved_model"` or `"litert"`.
        precision: Of `"litert"`: see `keras_t2i.export.litert.PRECISIONS`.
        captions: A text file of captions, one a line, for `"litert"`; by default the training captions of a run.
        record_prompts: Whether PNG files that a server sends hold their captions.

    Returns:
        The `format`, the `path` and how many `bytes` are there; for `"serving"` also the model's `name` and the oldest
        `tensorflow_serving` that can run it; for `"litert"` what was `measured`.

    Raises:
        ValueError: if `model` is no model, or other files are in the way.
        OSError: if the files cannot be written.
    """
    from keras_t2i.export.litert_runner import BUNDLE
    from keras_t2i.models import TextToImage

    gan = TextToImage.from_preset(model)
    gan.card.setdefault("name", Path(model).resolve().name if Path(model).is_dir() else str(model))
    options: dict[str, Any] = {"record_prompts": record_prompts} if to in ("saved_model", "serving") else {}
    if to == "litert":
        options = {"precision": precision, "captions": _captions(model, captions)}
    gan.export(output, to, **options)
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    result = {"format": to, "path": str(output), "bytes": size}
    if to == "serving":
        facts = json.loads((output / _SERVING).read_text(encoding="utf-8"))
        result.update(name=facts["name"], tensorflow_serving=facts["tensorflow_serving"])
    if to == "litert":
        bundle = json.loads((output / BUNDLE).read_text(encoding="utf-8"))
        result.update(precision=precision, measured=bundle["measured"])
    return result


def _captions(model: Path, file: Path | None) -> list[str] | None:
    """Captions such as a model will be given: those of a file, or those a run was trained on."""
    if file is not None:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        found = [line for line in lines if line]
        if not found:
            raise ValueError(f"{str(file)!r} has no captions; it should have one a line.")
        return found
    from keras_t2i.runs.prepare import dataset

    try:
        captions = dataset(RunConfig.read(model), model).train_split.captions
    except (ValueError, OSError):
        return None  # A preset without its data.
    return list(dict.fromkeys(captions))


def inspect(image: Path) -> dict[str, Any]:
    """What a picture says of its origin: see `keras_t2i.core.provenance.inspect`.

    Raises:
        ValueError: if it is no image, or says nothing.
    """
    from keras_t2i.core import provenance

    return provenance.inspect(image)


def serve(
    model: Path,
    name: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8501,
    say: Callable[[str], None] = lambda message: None,
    **settings: Any,
) -> None:
    """Serves a model with TF Serving's REST interface until it is told to stop: see `keras_t2i.serve`.

    Args:
        model: A run, a preset or its name, which is exported first; or a SavedModel that has been.
        name: Of the model, in addresses; by default that of the run or preset.
        host: The address to listen at.
        port: The port.
        say: Told the address once the model is ready.
        **settings: Of `keras_t2i.serve.Settings`.

    Raises:
        ValueError: if `model` is no model, or the port is taken.
        ImportError: without the extra `serve`.
    """
    from keras_t2i.models import TextToImage
    from keras_t2i.serve import serve

    if (exported := _exported(Path(model))) is not None:
        serve(exported, name, host, port, say, **settings)
        return
    with tempfile.TemporaryDirectory(prefix="keras-t2i-serve-") as folder:
        name = name or Path(model).name
        TextToImage.from_preset(model).export(Path(folder) / name)
        serve(Path(folder) / name, name, host, port, say, **settings)


def _exported(directory: Path) -> Path | None:
    """The SavedModel, or the folder of its versions, where a directory is an export; a run that holds some is none."""
    if (directory / _SERVING).is_file():
        return directory / json.loads((directory / _SERVING).read_text(encoding="utf-8"))["name"]
    found = any(file.is_file() for file in (directory / _SAVED_MODEL, *directory.glob(f"[0-9]*/{_SAVED_MODEL}")))
    return directory if found else None


def demo(
    model: Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    precision: str = "int8",
    say: Callable[[str], None] = lambda message: None,
) -> None:
    """Serves the page that draws in the browser, with a model's LiteRT bundle, until it is interrupted.

    Args:
        model: A run, a preset or its name, which is exported first; or a bundle.
        host: The address to listen at.
        port: The port.
        precision: Of the export: see `keras_t2i.export.litert.PRECISIONS`.
        say: Told the page's address.

    Raises:
        ValueError: if `model` is no model, the page is not in the package, or the port is taken.
    """
    from keras_t2i.export.litert_runner import BUNDLE
    from keras_t2i.serve.demo import serve_demo

    with tempfile.TemporaryDirectory(prefix="keras-t2i-demo-") as folder:
        bundle = Path(model)
        if not (bundle / BUNDLE).is_file():
            bundle = Path(folder) / "bundle"
            export(model, bundle, "litert", precision)
        serve_demo(bundle, host=host, port=port, on_ready=lambda url: say(f"{url}  (Ctrl-C ends it)"))
