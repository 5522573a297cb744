"""What TensorFlow Serving needs to serve a model: a versioned SavedModel that is warm from the start, and settings."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import keras_t2i
from keras_t2i.core.latents import LATENTS_RULE, example_latents, latents_for
from keras_t2i.export import saved_model
from keras_t2i.export.completer import completes, picture_shapes
from keras_t2i.export.disk import written_by_tensorflow
from keras_t2i.export.serving_ops import oldest_server, operations
from keras_t2i.export.serving_warm_up import write_warm_up

if TYPE_CHECKING:
    from keras_t2i.export import Drawable

__all__ = ["BATCH_SIZES", "write"]

BATCH_SIZES = (1, 2, 4, 8, 16)
"""Batches that the server runs. It pads to the next of them, so that no other shape is ever met cold."""

_MARKER = "serving.json"
_VERSION = "1"
_Signatures = dict[str, dict[str, dict[str, str]]]


def write(gan: Drawable, path: str | os.PathLike[str], record_prompts: bool = True, name: str | None = None) -> str:
    """Writes a directory that TensorFlow Serving takes as its `/models`.

    - `<name>/1/`: the SavedModel of `saved_model.py`, and in its `assets.extra` requests that warm every signature at
      every batch size that the server may run.
    - `models.config`, `batching.config`, `monitoring.config`: the files for the server's flags of like names.
    - `MODEL_CARD.md`: what the model is, its signatures, and an example request.
    - `latents.json`: test vectors for whoever computes the noise elsewhere.
    - `serving.json`: the facts in a form for programs.

    An older export at `path` is replaced, unless files that are not its own lie in it.

    Args:
        gan: The model; its averaged generator is what is written.
        path: The directory to write.
        record_prompts: Whether PNG files hold the caption that they were drawn from.
        name: The model's name in requests: letters, digits, `_` and `-`. By default the name on the model's card,
            made so, or `keras_t2i`.

    Returns:
        The oldest version of TensorFlow Serving that can run the model, such as `"2.12"`.

    Raises:
        ValueError: if `name` has other characters, other files are at `path`, or the model has operations that no
            stock TensorFlow Serving has.
    """
    name = _model_name(gan, name)
    _refuse_other_files(Path(path).expanduser())
    with written_by_tensorflow(path, marker=_MARKER) as directory:
        model = directory / name / _VERSION
        saved_model.write(gan, model, record_prompts)
        server = oldest_server(operations(model))
        signatures = _signatures(model)
        write_warm_up(model, name, {key: _rows(gan, value["inputs"]) for key, value in signatures.items()}, BATCH_SIZES)
        facts = {
            "format": "keras_t2i serving 1",
            "name": name,
            "model": gan.fingerprint(),
            "versions": {"keras_t2i": keras_t2i.__version__, "tensorflow": tf.__version__},
            "tensorflow_serving": server,
            "license": gan.card.get("license"),
            "batch_sizes": BATCH_SIZES,
            "signatures": signatures,
        }
        texts = {
            "models.config": _MODELS.format(name=name),
            "batching.config": _batching(),
            "monitoring.config": _MONITORING,
            "MODEL_CARD.md": _card(gan, facts),
            "latents.json": _json({"rule": LATENTS_RULE, "examples": example_latents(gan.drawer.latent_dim)}),
        }
        for file, text in texts.items():
            (directory / file).write_text(text, encoding="utf-8", newline="\n")
        facts["files"] = [*_files(directory), _MARKER]
        (directory / _MARKER).write_text(_json(facts), encoding="utf-8", newline="\n")
    return server


def _model_name(gan: Drawable, name: str | None) -> str:
    if name is None:
        return re.sub(r"[^A-Za-z0-9_-]+", "_", str(gan.card.get("name") or "")).strip("_-") or "keras_t2i"
    # Without dots, so that it is never the name of a file beside it.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise ValueError(f"A model's name in TF Serving is made of letters, digits, `_` and `-`; got {name!r}.")
    return name


def _refuse_other_files(target: Path) -> None:
    """An administrator may have put a second model, or a version, into an older export: it would be lost."""
    if not (target / _MARKER).is_file():
        return
    try:
        listed = set(json.loads((target / _MARKER).read_text(encoding="utf-8"))["files"])
    except (ValueError, KeyError, TypeError):
        listed = set()
    if others := sorted(set(_files(target)) - listed):
        raise ValueError(
            f"{target} holds files that are no part of an older export, such as {others[0]!r}, which are not "
            "overwritten; choose a new or an empty directory."
        )


def _files(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir())


def _signatures(model: Path) -> _Signatures:
    """Inputs and outputs of each signature, as `{"prompts": "string [B]"}`."""
    meta_graph = saved_model_pb2.SavedModel.FromString((model / "saved_model.pb").read_bytes()).meta_graphs[0]

    def described(tensors: Any) -> dict[str, str]:
        sizes = {name: ["B", *(str(dim.size) for dim in tensors[name].tensor_shape.dim[1:])] for name in tensors}
        return {name: f"{tf.as_dtype(tensors[name].dtype).name} [{', '.join(sizes[name])}]" for name in sorted(tensors)}

    return {
        name: {"inputs": described(signature.inputs), "outputs": described(signature.outputs)}
        for name, signature in sorted(meta_graph.signature_def.items())
        if signature.inputs  # The initialization of tables is listed as one too.
    }


def _rows(gan: Drawable, inputs: Collection[str]) -> dict[str, np.ndarray]:
    """An ordinary request for as many rows as the server runs at once."""
    most = BATCH_SIZES[-1]
    values = {
        "prompts": np.array([_caption(gan).encode()] * most, object),
        "seeds": np.arange(most, dtype=np.int64),
        "truncation": np.ones(most, np.float32),
        "num_steps": np.zeros(most, np.int32),
        "latents": latents_for(0, most, gan.drawer.latent_dim),
        "sentence_embeddings": np.ones((most, gan.embedding_dim), np.float32),
    }
    if completes(gan):
        shapes, white = picture_shapes(gan.drawer), tf.io.encode_png(np.full((16, 16, 3), 255, np.uint8)).numpy()
        values |= {name: np.ones((most, *shape), np.float32) for name, shape in shapes.items()}
        values |= {name: np.array([white] * most, object) for name in ("picture_bytes", "mask_bytes")}
    return {name: values[name] for name in inputs}


_MODELS = """\
model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
  }}
}}
"""

_MONITORING = """\
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""


def _batching() -> str:
    # The server waits two milliseconds for company: little beside the drawing of an image.
    values = {"batch_timeout_micros": 2000, "max_enqueued_batches": 64, "num_batch_threads": 2}
    lines = [f"{key} {{ value: {value} }}" for key, value in {"max_batch_size": BATCH_SIZES[-1], **values}.items()]
    return "\n".join([*lines, *(f"allowed_batch_sizes: {size}" for size in BATCH_SIZES)]) + "\n"


def _caption(gan: Drawable) -> str:
    return str(gan.card.get("caption") or "a picture")


_CARD = """\
---
{license_line}library_name: tensorflow
pipeline_tag: text-to-image
tags: [tensorflow-serving, text-to-image, gan]
---

# {name}

{description}

{size} x {size} pixels, drawn by a {generator} in {passes}. Fingerprint: `{model}`

{sections}## Serve

TensorFlow Serving {server} or later can run it: that version has all of its operations.

```
docker run --rm -p 8501:8501 -v "$PWD:/models:ro" tensorflow/serving:2.20.0 \\
  --model_config_file=/models/models.config --monitoring_config_file=/models/monitoring.config \\
  --enable_batching=true --batching_parameters_file=/models/batching.config
```

```
curl http://localhost:8501/v1/models/{name}:predict -d '{request}'
```

The answer: `{answer}`. {reading}
A request has up to {most} rows, and no row depends on the others.

## Signatures

`B` is the number of rows.

| signature | inputs | outputs |
|---|---|---|
{table}

The noise: see the rule and the test vectors in `latents.json`.
"""


def _card(gan: Drawable, facts: dict[str, Any]) -> str:
    default = facts["signatures"]["serving_default"]["inputs"]
    if "prompts" in default:
        inputs: dict[str, Any] = {"prompts": [_caption(gan)], "seeds": [3], "truncation": [1.0]}
        inputs |= {"num_steps": [0]} if "num_steps" in default else {}
        answer = '{"outputs": [{"b64": "..."}]}'
        reading = "What is in `b64` is a PNG file, which records that this model drew it."
    else:
        widths = {"latents": gan.drawer.latent_dim, "sentence_embeddings": gan.embedding_dim}
        inputs = {name: [[0.0] * width] for name, width in widths.items()}
        answer, reading = '{"outputs": [...]}', "Images from -1 to 1, channels last."
    rows = [
        f"| `{name}` | {_cell(signature['inputs'])} | {_cell(signature['outputs'])} |"
        for name, signature in facts["signatures"].items()
    ]
    headings = {"training_data": "Training data", "credit": "Credit", "limits": "Limits", "license": "License"}
    sections = [f"## {heading}\n\n{gan.card[key]}\n\n" for key, heading in headings.items() if gan.card.get(key)]
    # In a shell's single quotes, one of its own is written as an escape of JSON.
    request = json.dumps({"signature_name": "serving_default", "inputs": inputs}).replace("'", r"\u0027")
    license = facts["license"]
    return _CARD.format(
        license_line=f"license: {json.dumps(str(license).lower())}\n" if license else "",
        name=facts["name"],
        description=gan.card.get("description") or "A text-to-image generator trained with keras_t2i.",
        size=gan.drawer.image_size,
        generator=type(gan.drawer).__name__,
        passes=f"{gan.drawer.num_steps} steps" if hasattr(gan.drawer, "num_steps") else "one pass",
        model=facts["model"],
        sections="".join(sections) if license else "".join([*sections, "## License\n\nNot stated.\n\n"]),
        server=facts["tensorflow_serving"],
        request=request,
        answer=answer,
        reading=reading,
        most=BATCH_SIZES[-1],
        table="\n".join(rows),
    )


def _cell(tensors: dict[str, str]) -> str:
    return "<br>".join(f"`{name}`: {tensor}" for name, tensor in tensors.items())


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
