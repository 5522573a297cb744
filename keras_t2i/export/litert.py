"""A LiteRT bundle for phones, browsers and small boards: two networks, a vocabulary and a description."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import keras_nlp
import numpy as np
import tensorflow as tf

import keras_t2i
from keras_t2i.core.files import sha256
from keras_t2i.core.latents import LATENTS_RULE, example_latents, latents_for
from keras_t2i.core.precision import computing_in
from keras_t2i.export.completer import Completion, completed, completes, own_pictures, picture_rule, picture_shapes
from keras_t2i.export.disk import written_by_tensorflow
from keras_t2i.export.litert_runner import BUNDLE, COMPLETER, LiteRTBundle
from keras_t2i.export.wordpiece import hugging_face_tokenizer

if TYPE_CHECKING:
    from keras_t2i.export import Drawable
    from keras_t2i.networks.base import Generator
    from keras_t2i.text import TextEncoder

__all__ = ["PRECISIONS", "convert", "write", "write_json"]

PRECISIONS = ("float32", "float16", "int8", "int8-static")
"""`float16`: weights in half the bytes. `int8`: weights in a quarter of them, activations quantized as they come.
`int8-static`: the generator's activations too, in ranges seen on captions, as accelerators need it; in the text encoder
fixed ranges cost too much (on `shapes_64` 4 dB of the images' signal-to-noise ratio), so it stays at `int8`; so does
what completes pictures, which divides by the share of a seam that is known: in bytes that may be nothing."""

_CALIBRATED = 100  # Captions that ranges are taken from.
_COMPARED = 16  # Images that are compared with Keras', and timed.

Samples = Callable[[], Iterator[dict[str, np.ndarray]]]
"""Makes inputs of a network, one call's at a time."""


def write(
    gan: Drawable,
    path: str | os.PathLike[str],
    precision: str = "float32",
    captions: Sequence[str] | None = None,
) -> None:
    """Writes a directory with the averaged generator, and the text encoder where an app can tokenize for it.

    - `generator.tflite`: one image a call: `latents` `[1, Z]` and `sentence_embeddings` `[1, D]` to `images`
      `[1, H, W, 3]` in [-1, 1]. Builtin operations alone, so that every LiteRT runtime can run it.
    - `completer.tflite`, where images guide the model: beside those `pictures` `[1, H, W, 3]` in [-1, 1] and, where it
      fills holes, `masks` `[1, H, W, 1]`, to `images`: see `completer.py`.
    - `text_encoder.tflite`: `token_ids` and `padding_mask`, int32, `[1, T]`, to `sentence_embeddings` `[1, D]`.
    - `vocab.txt` and `tokenizer.json`: the WordPiece vocabulary, alone and in Hugging Face's format; the app splits
      captions into its pieces. Encoders with another tokenizer are left out, and `bundle.json` says so: the app then
      takes embeddings computed elsewhere.
    - `latents.json`: noise of some seeds, to test an app's own generator of it against.
    - `bundle.json`: shapes, names, ranges, the rules of tokenization and noise, checksums, sizes and the licence; and,
      measured while it was written, how far images are from Keras' and how long one takes.

    Inputs and outputs are float32 whatever the precision. `LiteRTBundle` draws with it.

    Args:
        gan: The model.
        path: The directory to write.
        precision: One of `PRECISIONS`.
        captions: Captions such as it will be given, best those of the training set: `int8-static` needs them, the
            others compare images by them. By default the one in the model's card.

    Raises:
        ValueError: for an unknown precision, without captions where they are needed, for a network that is too large
            for a phone, or if other files are at `path`.
    """
    if gan.drawer.learns_codes:
        raise ValueError("LiteRT is for phones and browsers, where Stable Diffusion has no place: write a SavedModel.")
    if precision not in PRECISIONS:
        raise ValueError(f"Unknown precision {precision!r}. Expected one of: {', '.join(PRECISIONS)}.")
    if precision == "int8-static" and not captions:
        raise ValueError("`int8-static` takes its ranges from captions: pass some of the training set as `captions`.")
    captions = list(captions or [gan.card.get("caption") or "a picture"])
    encoder = gan.text_encoder
    with written_by_tensorflow(path, marker=BUNDLE) as directory:
        bundle: dict[str, Any] = {
            "format": "keras_t2i litert bundle 2",
            "versions": {"keras_t2i": keras_t2i.__version__, "tensorflow": tf.__version__},
            "name": gan.card.get("name"),
            "example": gan.card.get("caption"),
            "license": gan.card.get("license"),
            "model": gan.fingerprint(),
            "precision": precision,
            "latents": {"rule": LATENTS_RULE, "examples": "latents.json"},
            "generator": _write_generator(gan, directory, precision, captions),
            "text_encoder": None,
            "tokenizer": None,
        }
        if encoder is None:
            bundle["note"] = "This model has no text encoder: it takes sentence embeddings computed elsewhere."
        elif encoder.preprocessor.tokenizer is None:
            bundle["note"] = "This model takes no captions: its sentence embedding is a single zero."
        elif not isinstance(encoder.preprocessor.tokenizer, keras_nlp.tokenizers.WordPieceTokenizer):
            kind = type(encoder.preprocessor.tokenizer).__name__
            bundle["note"] = f"The text encoder is left out: its {kind} is not WordPiece. Compute embeddings elsewhere."
        else:
            bundle["text_encoder"] = _write_text_encoder(gan, directory, precision)
            bundle["tokenizer"] = _write_vocabulary(encoder, directory)
        if completes(gan):
            bundle["completer"] = _write_completer(gan, directory, precision)
        write_json(directory / "latents.json", example_latents(gan.drawer.latent_dim))
        files = sorted(directory.iterdir())
        bundle["bytes"] = {file.name: file.stat().st_size for file in files}
        bundle["sha256"] = {file.name: sha256(file) for file in files}
        write_json(directory / BUNDLE, bundle)
        bundle["measured"] = _measure(LiteRTBundle(directory), gan, captions)
        write_json(directory / BUNDLE, bundle)


def _measure(bundle: LiteRTBundle, gan: Drawable, captions: Sequence[str]) -> dict[str, Any]:
    """How far the bundle's images are from Keras', in [-1, 1], and how long it takes from a caption to pixels."""
    latents = latents_for(0, _COMPARED, bundle.latent_dim)
    some = [captions[number % len(captions)] for number in range(_COMPARED)]
    reads = bundle.description["tokenizer"] is not None
    text = _embeddings(gan, some)
    expected = np.asarray(gan.drawer(latents, text, training=False), np.float32)
    given = bundle.encode(some) if reads else text
    images = bundle.draw(latents, given)
    seconds = []
    for number in range(_COMPARED):
        start = time.perf_counter()
        bundle.draw(latents[number : number + 1], bundle.encode([some[number]]) if reads else text[number : number + 1])
        seconds.append(time.perf_counter() - start)
    measured = {
        "images": _COMPARED,
        **_difference(images, expected),
        "milliseconds": round(float(np.median(seconds)) * 1000, 3),
        "threads": bundle.num_threads,
    }
    if completes(gan):
        rows = own_pictures(gan.drawer, latents, text)
        expected = np.asarray(completed(gan.drawer, rows), np.float32)
        measured["completed"] = _difference(bundle.draw(**{**rows, "sentence_embeddings": given}), expected)
    return measured


def _difference(images: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    error = np.mean((images - expected) ** 2)
    return {
        "max_difference": float(np.abs(images - expected).max()),
        "psnr_db": None if error == 0 else round(float(10 * np.log10(4 / error)), 2),
    }


def _embeddings(gan: Drawable, captions: Sequence[str]) -> np.ndarray:
    if gan.text_encoder is not None:
        return np.asarray(gan.denoised(keras.ops.convert_to_tensor(gan.text_encoder.encode(captions))))
    return np.random.default_rng(0).normal(size=(len(captions), gan.embedding_dim)).astype(np.float32)


def _write_generator(gan: Drawable, directory: Path, precision: str, captions: Sequence[str]) -> dict[str, Any]:
    generator = _float32_copy(gan.drawer)
    latents = keras.Input(batch_shape=(1, generator.latent_dim), name="latents")
    embeddings = keras.Input(batch_shape=(1, gan.embedding_dim), name="sentence_embeddings")
    outputs = {"images": generator(latents, embeddings, training=False)}

    def samples() -> Iterator[dict[str, np.ndarray]]:
        text = _embeddings(gan, captions[:_CALIBRATED])
        for noise, row in zip(latents_for(1, len(text), generator.latent_dim), text, strict=True):
            yield {"latents": noise[None], "sentence_embeddings": row[None]}

    model = keras.Model([latents, embeddings], outputs)
    return {
        **convert(model, directory / "generator.tflite", precision, samples),
        "images": "RGB from -1 to 1, channels last; a byte is round((value + 1) * 127.5)",
    }


def _write_completer(gan: Drawable, directory: Path, precision: str) -> dict[str, Any]:
    drawer = _float32_copy(gan.drawer)
    inputs = {"latents": (drawer.latent_dim,), "sentence_embeddings": (gan.embedding_dim,), **picture_shapes(drawer)}
    tensors = {name: keras.Input(batch_shape=(1, *shape), name=name) for name, shape in inputs.items()}
    model = keras.Model(list(tensors.values()), {"images": Completion(drawer)(tensors)})
    return {
        **convert(model, directory / COMPLETER, precision.removesuffix("-static")),
        "image_input": drawer.image_input,
        "pictures": picture_rule(drawer),
    }


def _write_text_encoder(gan: Drawable, directory: Path, precision: str) -> dict[str, Any]:
    encoder = gan.text_encoder
    shape = (1, encoder.sequence_length)
    token_ids = keras.Input(batch_shape=shape, dtype="int32", name="token_ids")
    padding_mask = keras.Input(batch_shape=shape, dtype="int32", name="padding_mask")
    embeddings = gan.denoised(encoder.embed(token_ids, padding_mask)["sentence_embeddings"])
    model = keras.Model([token_ids, padding_mask], {"sentence_embeddings": embeddings})
    normalization = "unit root mean square: divided by its L2 norm, then multiplied by sqrt(D); already applied"
    if encoder.vocabulary_size is not None:
        normalization = "token ids, as they are"
    elif gan.caption_denoiser is not None:
        normalization += ", and then drawn to the captions of training"
    return {
        **convert(model, directory / "text_encoder.tflite", precision.removesuffix("-static")),
        "padding_mask": "1 at the caption's tokens, start and end included; 0 at padding",
        "normalization": normalization,
    }


def _write_vocabulary(encoder: TextEncoder, directory: Path) -> dict[str, Any]:
    tokenizer = encoder.preprocessor.tokenizer
    vocabulary = tokenizer.get_vocabulary()
    (directory / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8", newline="\n")
    rules = {
        "kind": "wordpiece",
        "vocabulary": "vocab.txt",
        "json": "tokenizer.json",
        "sequence_length": encoder.sequence_length,
        "lowercase": tokenizer.lowercase,
        "strip_accents": tokenizer.strip_accents,
        "split_on_cjk": tokenizer.split_on_cjk,
        "suffix_indicator": tokenizer.suffix_indicator,
        "control_characters": "count as spaces",
        "order": "start, pieces cut to sequence_length - 2, end, padding",
        "start_token_id": tokenizer.start_token_id,
        "end_token_id": tokenizer.end_token_id,
        "padding_token_id": tokenizer.pad_token_id,
        "unknown_token_id": tokenizer.token_to_id(tokenizer.oov_token),
    }
    write_json(directory / "tokenizer.json", hugging_face_tokenizer(vocabulary, rules), indent=None)
    return rules


def _float32_copy(generator: Generator) -> Generator:
    """The same generator in float32, whatever it was trained in: what every LiteRT runtime computes in."""
    with computing_in("float32"):
        return generator.copy(dtype="float32")


def convert(model: keras.Model, path: Path, precision: str, samples: Samples | None = None) -> dict[str, Any]:
    """Writes a `.tflite` file and returns its description.

    Args:
        model: Of inputs with names and static shapes, and a dictionary of outputs.
        path: The file.
        precision: One of `PRECISIONS`.
        samples: What `int8-static` takes its ranges from.
    """
    # Builtins only: an operation that needs more makes the conversion fail here, and not on a phone.
    target: dict[str, Any] = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    options: dict[str, Any] = {} if precision == "float32" else {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if precision == "float16":
        target["supported_types"] = [tf.float16]
    elif precision == "int8-static":
        target["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
        options["representative_dataset"] = samples
    # Spelled out, because Keras would make the batch dimension dynamic, and upsampling cannot be converted with that.
    signature = [[keras.InputSpec(shape=x.shape, dtype=x.dtype, name=x.name) for x in model.inputs]]
    with warnings.catch_warnings():  # The converter itself calibrates with an interpreter that it calls deprecated.
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated", UserWarning)
        model.export(
            str(path), format="litert", verbose=False, input_signature=signature, target_spec=target, **options
        )

    def described(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: {"shape": list(tensor.shape), "dtype": tensor.dtype} for name, tensor in tensors.items()}

    inputs = {tensor.name: tensor for tensor in model.inputs}
    return {"file": path.name, "inputs": described(inputs), "outputs": described(model.output)}


def write_json(path: Path, content: Any, indent: int | None = 2) -> None:
    """Writes a JSON file that people can read."""
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
