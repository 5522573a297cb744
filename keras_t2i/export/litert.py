"""A LiteRT bundle for phones, browsers and small boards: two networks, a vocabulary and a description."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import keras_nlp
import numpy as np
import tensorflow as tf

import keras_t2i
from keras_t2i.presets.directory import sha256, written_atomically

if TYPE_CHECKING:
    from keras_t2i.gan import TextToImageGAN
    from keras_t2i.networks.base import Generator
    from keras_t2i.text import TextEncoder

__all__ = ["run_generator", "write"]

_BUNDLE = "bundle.json"


def write(gan: TextToImageGAN, path: str | os.PathLike[str]) -> None:
    """Writes a directory with the averaged generator, and the text encoder where an app can tokenize for it.

    - `generator.tflite`: float32, one image a call: `latents` `[1, Z]` and `sentence_embeddings` `[1, D]` to `images`
      `[1, H, W, 3]` in [-1, 1]. Builtin operations alone, so that every LiteRT runtime can run it.
    - `text_encoder.tflite`: `token_ids` and `padding_mask`, int32, `[1, T]`, to `sentence_embeddings` `[1, D]`.
    - `vocab.txt`: the WordPiece vocabulary; the app splits captions into its pieces. Encoders with another tokenizer
      are left out, and `bundle.json` says so: the app then takes embeddings computed elsewhere.
    - `bundle.json`: shapes, names, ranges, the rules of tokenization, checksums and the licence.

    Raises:
        ValueError: if other files are at `path`.
    """
    encoder = gan.text_encoder
    with written_atomically(path, marker=_BUNDLE) as directory:
        bundle: dict[str, Any] = {
            "format": "keras_t2i litert bundle 1",
            "versions": {"keras_t2i": keras_t2i.__version__, "tensorflow": tf.__version__},
            "license": getattr(gan, "card", {}).get("license"),
            "generator": _write_generator(gan, directory),
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
            bundle["text_encoder"] = _write_text_encoder(encoder, directory)
            bundle["tokenizer"] = _write_vocabulary(encoder, directory)
        bundle["sha256"] = {file.name: sha256(file) for file in sorted(directory.iterdir())}
        (directory / _BUNDLE).write_text(json.dumps(bundle, indent=2) + "\n", encoding="utf-8")


def run_generator(
    directory: str | os.PathLike[str], latents: np.ndarray, sentence_embeddings: np.ndarray
) -> np.ndarray:
    """Draws with a bundle's generator in the LiteRT interpreter, one image at a time, as a phone would.

    Args:
        directory: A bundle made by `write`.
        latents: Noise, float32, shape `(B, Z)`.
        sentence_embeddings: Float32, shape `(B, D)`.

    Returns:
        Images in [-1, 1], float32, shape `(B, H, W, 3)`.
    """
    from ai_edge_litert.interpreter import Interpreter

    draw = Interpreter(str(Path(directory) / "generator.tflite"), num_threads=1).get_signature_runner()
    pairs = zip(np.asarray(latents, np.float32), np.asarray(sentence_embeddings, np.float32), strict=True)
    return np.concatenate([draw(latents=z[None], sentence_embeddings=e[None])["images"] for z, e in pairs])


def _write_generator(gan: TextToImageGAN, directory: Path) -> dict[str, Any]:
    generator = _float32_copy(gan.ema_generator)
    latents = keras.Input(batch_shape=(1, generator.latent_dim), name="latents")
    embeddings = keras.Input(batch_shape=(1, gan.embedding_dim), name="sentence_embeddings")
    outputs = {"images": generator(latents, embeddings, training=False)}
    description = _convert(keras.Model([latents, embeddings], outputs), directory / "generator.tflite")
    return {
        **description,
        "latents": "independent standard normal numbers, multiplied by a truncation factor from 0 to 1",
        "images": "RGB from -1 to 1, channels last; a byte is round((value + 1) * 127.5)",
    }


def _write_text_encoder(encoder: TextEncoder, directory: Path) -> dict[str, Any]:
    shape = (1, encoder.sequence_length)
    token_ids = keras.Input(batch_shape=shape, dtype="int32", name="token_ids")
    padding_mask = keras.Input(batch_shape=shape, dtype="int32", name="padding_mask")
    outputs = {"sentence_embeddings": encoder.embed(token_ids, padding_mask)["sentence_embeddings"]}
    description = _convert(keras.Model([token_ids, padding_mask], outputs), directory / "text_encoder.tflite")
    return {
        **description,
        "padding_mask": "1 at the caption's tokens, start and end included; 0 at padding",
        "normalization": "token ids, as they are"
        if hasattr(encoder, "vocabulary_size")
        else "unit root mean square: divided by its L2 norm, then multiplied by sqrt(D); already applied",
    }


def _write_vocabulary(encoder: TextEncoder, directory: Path) -> dict[str, Any]:
    tokenizer = encoder.preprocessor.tokenizer
    vocabulary = tokenizer.get_vocabulary()
    (directory / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8", newline="\n")
    return {
        "kind": "wordpiece",
        "vocabulary": "vocab.txt",
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


def _float32_copy(generator: Generator) -> Generator:
    """The same generator in float32, whatever it was trained in: what every LiteRT runtime computes in."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        return generator.copy(dtype="float32")
    finally:
        keras.config.set_dtype_policy(policy)


def _convert(model: keras.Model, path: Path) -> dict[str, Any]:
    """Writes a `.tflite` file and returns its description."""
    # Builtins only: an operation that needs more makes the conversion fail here, and not on a phone.
    supported = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    # Spelled out, because Keras would make the batch dimension dynamic, and upsampling cannot be converted with that.
    signature = [[keras.InputSpec(shape=x.shape, dtype=x.dtype, name=x.name) for x in model.inputs]]
    model.export(str(path), format="litert", verbose=False, input_signature=signature, target_spec=supported)

    def described(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: {"shape": list(tensor.shape), "dtype": tensor.dtype} for name, tensor in tensors.items()}

    inputs = {tensor.name: tensor for tensor in model.inputs}
    return {"file": path.name, "inputs": described(inputs), "outputs": described(model.output)}
