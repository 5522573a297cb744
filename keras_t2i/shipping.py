"""What the commands do with a trained model, without the command line: pictures, exports, and who drew a picture.

Nothing heavy is imported before a function needs it, so that `keras-t2i --help` answers at once.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from keras_t2i.config import RunConfig

__all__ = ["demo", "export", "generate", "inspect", "serve"]

_SERVING, _SAVED_MODEL = "serving.json", "saved_model.pb"
_FORMATS = {"serving": "serving", "saved_model": "tf_saved_model", "litert": "litert"}


def generate(
    model: Path,
    captions: Sequence[str],
    output: Path,
    num_images: int = 4,
    seed: int = 0,
    truncation: float = 1.0,
    guidance: float = 1.0,
    negative_prompt: str | None = None,
    record_prompts: bool = True,
) -> dict[str, Any]:
    """Draws captions with a trained model, one PNG an image, and a grid of all; written all or none.

    Each file says what drew it, from what: see `keras_t2i.provenance`.

    Args:
        model: A run, a preset or its name, or a LiteRT bundle, which is drawn with by its own interpreter.
        captions: What to draw.
        output: The directory to write to.
        num_images: Images of each caption.
        seed: Seed of the noise.
        truncation: Factor on the noise.
        guidance: See `TextToImageGAN.generate`; not with a bundle.
        negative_prompt: Likewise.
        record_prompts: Whether the files hold their captions.

    Returns:
        Where the `images`, in order, and the `grid` are.

    Raises:
        ValueError: for a text that is no caption, a factor that is no truncation, or if `model` is no model.
        OSError: if the files cannot be written.
    """
    from keras_t2i.data.rows import caption_problem
    from keras_t2i.provenance import png, provenance
    from keras_t2i.training import draw_grid

    for number, caption in enumerate(captions, start=1):
        if problem := caption_problem(caption):
            raise ValueError(f"Caption {number} cannot be drawn: {problem}.")
    fingerprint, draw = _drawer(model, guidance, negative_prompt)
    images = draw(captions, num_images, seed, truncation)
    pictures = {}
    for number, image in enumerate(images):
        recorded = captions[number // num_images] if record_prompts else None
        name = f"{number // num_images:02d}-{number % num_images:02d}.png"
        pictures[name] = png(image, provenance(fingerprint, recorded, seed, number, truncation))
    names = list(pictures)
    grid = draw_grid(images.reshape(len(captions), num_images, *images.shape[1:]), captions)
    pictures["grid.png"] = png(grid, provenance(fingerprint, None, seed, 0, truncation))
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".generate-") as beside:
        for name, content in pictures.items():
            (Path(beside) / name).write_bytes(content)
        for name in pictures:
            os.replace(Path(beside) / name, output / name)
    return {"images": [str(output / name) for name in names], "grid": str(output / "grid.png")}


def _drawer(model: Path, guidance: float, negative_prompt: str | None) -> tuple[str, Callable[..., Any]]:
    """The fingerprint of a model and what draws with it."""
    from keras_t2i import TextToImageGAN
    from keras_t2i.export.litert_runner import BUNDLE, LiteRTBundle
    from keras_t2i.provenance import fingerprint

    if (Path(model) / BUNDLE).is_file():
        if guidance != 1.0 or negative_prompt is not None:
            raise ValueError("A LiteRT bundle knows no guidance and no negative prompt; draw with the run or preset.")
        bundle = LiteRTBundle(model)
        return bundle.fingerprint, bundle.generate
    gan = TextToImageGAN.from_preset(model)
    return fingerprint(gan), partial(gan.generate, guidance=guidance, negative_prompt=negative_prompt)


def export(
    model: Path,
    output: Path,
    to: str = "serving",
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
    from keras_t2i import TextToImageGAN
    from keras_t2i.export.litert_runner import BUNDLE

    gan = TextToImageGAN.from_preset(model)
    gan.card.setdefault("name", Path(model).resolve().name if Path(model).is_dir() else str(model))
    options: dict[str, Any] = {"record_prompts": record_prompts}
    if to == "litert":
        options = {"precision": precision, "captions": _captions(model, captions)}
    gan.export(output, _FORMATS[to], **options)
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
    try:
        captions = RunConfig.read(model).dataset().train_split.captions
    except (ValueError, OSError):
        return None  # A preset without its data.
    return list(dict.fromkeys(captions))


def inspect(image: Path) -> dict[str, Any]:
    """What a picture says of its origin: see `keras_t2i.provenance.inspect`.

    Raises:
        ValueError: if it is no image, or says nothing.
    """
    from keras_t2i import provenance

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
    from keras_t2i import TextToImageGAN
    from keras_t2i.serve import serve

    if (exported := _exported(Path(model))) is not None:
        serve(exported, name, host, port, say, **settings)
        return
    with tempfile.TemporaryDirectory(prefix="keras-t2i-serve-") as folder:
        name = name or Path(model).name
        TextToImageGAN.from_preset(model).export(Path(folder) / name)
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
        ValueError: if `model` is no model, the page cannot be built, or the port is taken.
    """
    from keras_t2i.demo import build_page, serve_demo
    from keras_t2i.export.litert_runner import BUNDLE

    page = build_page()
    with tempfile.TemporaryDirectory(prefix="keras-t2i-demo-") as folder:
        bundle = Path(model)
        if not (bundle / BUNDLE).is_file():
            bundle = Path(folder) / "bundle"
            export(model, bundle, "litert", precision)
        serve_demo(bundle, page, host, port, on_ready=lambda url: say(f"{url}  (Ctrl-C ends it)"))
