"""What reads captions for Stable Diffusion 3: two text encoders of CLIP, side by side."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import keras_nlp
import numpy as np
import tensorflow as tf
from keras import layers, ops

from keras_t2i.core.gate import read_json
from keras_t2i.text.base import CaptionEncoder, assets_of, clean, config_of
from keras_t2i.text.preset_gate import opened

__all__ = ["DESCRIPTION", "StableDiffusion3TextEncoder"]

DESCRIPTION = "stable_diffusion_3.json"
"""The file by which a directory of such an encoder is known."""
_TOWERS = ("clip_l", "clip_g")
_WEIGHTS = "text_encoder.weights.h5"
_OF_TOWER = (
    "vocabulary_size",
    "embedding_dim",
    "hidden_dim",
    "num_layers",
    "num_heads",
    "intermediate_dim",
    "intermediate_activation",
    "intermediate_output_index",
    "max_sequence_length",
)
_OF_PREPROCESSOR = ("sequence_length", "add_start_token", "add_end_token", "to_lower")


class StableDiffusion3TextEncoder(CaptionEncoder):
    """Turns captions into what Stable Diffusion 3 reads of them: frozen, as everything that reads captions is.

    Its sentence embeddings are all of that in one row, so that it is computed once, kept, left out, replaced and moved
    away from as any other embedding: what both encoders pool, then their tokens, one behind the other.

    Build it with `keras_t2i.models.stable_diffusion_3`, or read it with `TextEncoder.from_preset`.

    Reference:
        Scaling Rectified Flow Transformers for High-Resolution Image Synthesis (Esser et al., 2024), arXiv:2403.03206,
        whose third encoder, T5, is left out, as in KerasHub's presets.

    Args:
        towers: The two encoders of CLIP, with their projections.
        preprocessors: KerasNLP's `CLIPPreprocessor` of each.

    Call arguments:
        captions: Strings, a tensor of shape `(B,)` or a list; eagerly or in a graph.

    Returns:
        A dictionary of `sentence_embeddings`, float32, shape `(B, W * (1 + T))`, where W is the width of both encoders
        together and T the number of tokens.
    """

    def __init__(self, towers: Towers, preprocessors: dict[str, Any]) -> None:
        self._preprocessors = preprocessors
        super().__init__(_First(preprocessors[_TOWERS[0]]), towers.length, embedding_dim=towers.row_length)
        self.max_sequence_length = towers.length
        towers.trainable = False
        self.towers = towers

    @classmethod
    def of(cls, backbone: Any, preprocessor: Any) -> StableDiffusion3TextEncoder:
        """The encoder within KerasHub's `StableDiffusion3Backbone`, whose networks it shares.

        Args:
            backbone: The backbone.
            preprocessor: Its `StableDiffusion3TextToImagePreprocessor`.

        Raises:
            ValueError: if it has T5 too.
        """
        if getattr(backbone, "t5", None) is not None:
            raise ValueError("it reads captions by T5 too, and only releases without it can be used, as KerasHub's own")
        towers = Towers(backbone.clip_l, backbone.clip_g)
        for name in _TOWERS:
            kernel = getattr(backbone, f"{name}_projection").dense.kernel
            getattr(towers, f"{name}_projection").kernel.assign(kernel)
        return cls(towers, {name: getattr(preprocessor, f"{name}_preprocessor") for name in _TOWERS})

    @classmethod
    def read(cls, directory: str | Path) -> StableDiffusion3TextEncoder:
        """Reads what `save_to_preset` has written."""
        directory = Path(directory)
        with opened(str(directory)):
            described = read_json(directory / DESCRIPTION)
            preprocessors = {}
            for name in _TOWERS:
                about = described[f"{name}_preprocessor"]
                tokenizer = keras_nlp.models.CLIPTokenizer(pad_with_end_token=bool(about["pad_with_end_token"]))
                tokenizer.load_assets(str(directory / "assets" / name))
                settings = {each: about[each] for each in _OF_PREPROCESSOR}
                preprocessors[name] = keras_nlp.models.CLIPPreprocessor(tokenizer, **settings)
            built = {}
            for name in _TOWERS:
                settings = {each: described[name][each] for each in (*_OF_TOWER, "dtype")}
                built[name] = keras_nlp.models.CLIPTextEncoder(**settings, name=name)
            towers = Towers(**built)
            towers.load_weights(directory / _WEIGHTS)
        return cls(towers, preprocessors)

    def embed(self, token_ids: Any, padding_mask: Any) -> dict[str, Any]:
        """The part after the tokenizers, in `keras.ops` alone: what `__call__` returns, from token numbers."""
        return {"sentence_embeddings": self.towers(token_ids, training=False)}

    @property
    def trackables(self) -> list[Any]:
        """What holds the tables of the tokenizers, for a graph that is written."""
        return [self._preprocessors[name].tokenizer for name in _TOWERS]

    @property
    def framing(self) -> int:  # type: ignore[override]
        """Start and end."""
        return 2

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override]
        """SHA-256 of all that decides a row: weights, vocabularies and configuration."""
        digest = hashlib.sha256(json.dumps(self._described(), sort_keys=True).encode())
        for weight in self.towers.weights:
            digest.update(np.ascontiguousarray(ops.convert_to_numpy(weight)).tobytes())
        for name in _TOWERS:
            digest.update(assets_of(self._preprocessors[name].tokenizer))
        return digest.hexdigest()

    def save_to_preset(self, directory: str | Path) -> None:
        """Writes a directory that `TextEncoder.from_preset` can read."""
        directory = Path(directory)
        for name in _TOWERS:
            assets = directory / "assets" / name
            assets.mkdir(parents=True, exist_ok=True)
            self._preprocessors[name].tokenizer.save_assets(str(assets))
        self.towers.save_weights(directory / _WEIGHTS)
        text = json.dumps(self._described(), indent=2) + "\n"
        (directory / DESCRIPTION).write_text(text, encoding="utf-8")

    def _described(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in _TOWERS:
            tower, preprocessor = getattr(self.towers, name), self._preprocessors[name]
            settings = {each: getattr(tower, each) for each in _OF_TOWER}
            found[name] = {**settings, "dtype": tower.dtype_policy.name}
            about = config_of(preprocessor)
            found[f"{name}_preprocessor"] = {each: about[each] for each in _OF_PREPROCESSOR} | {
                "pad_with_end_token": preprocessor.tokenizer.pad_with_end_token
            }
        return found

    @property
    def _padding(self) -> int:
        return -1  # Every token is read, padding too: that is how the transformer was trained.

    def _token_ids(self, captions: tf.Tensor) -> tf.Tensor:
        """Token numbers by one encoder, then by the other, int32, shape `(B, 2 T)`."""
        prompts = {"prompts": clean(captions), "images": None}
        found = [tf.cast(self._preprocessors[name](prompts)["token_ids"], tf.int32) for name in _TOWERS]
        return tf.concat([tf.ensure_shape(ids, (None, self.sequence_length)) for ids in found], axis=1)

    def _pieces(self, captions: tf.Tensor) -> tf.RaggedTensor:
        first = self._preprocessors[_TOWERS[0]]
        return super()._pieces(tf.strings.lower(captions) if first.to_lower else captions)


class Towers(keras.Model):
    """Both text encoders of CLIP with their projections, from token numbers to a row: see above.

    Args:
        clip_l: KerasNLP's `CLIPTextEncoder` with an intermediate output.
        clip_g: Likewise.

    Raises:
        ValueError: if they read captions of different lengths, or show no intermediate output.
    """

    def __init__(self, clip_l: Any, clip_g: Any) -> None:
        super().__init__(name="towers", dtype="float32", autocast=False)
        both = (clip_l, clip_g)
        self.length = int(clip_l.max_sequence_length)
        if clip_g.max_sequence_length != self.length or None in [each.intermediate_output_index for each in both]:
            raise ValueError("the text encoders in it are not a pair that Stable Diffusion 3 can have")
        self.row_length = sum(each.hidden_dim for each in both) * (1 + self.length)
        self.clip_l, self.clip_g = both
        self.clip_l_projection, self.clip_g_projection = (
            layers.Dense(each.hidden_dim, use_bias=False, name=f"{name}_projection")
            for name, each in zip(_TOWERS, both, strict=True)
        )
        for each, projection in zip(both, (self.clip_l_projection, self.clip_g_projection), strict=True):
            projection.build((None, each.hidden_dim))
        self.built = True

    def call(self, token_ids: Any, training: bool | None = None) -> Any:
        pooled, tokens = [], []
        pairs = ((self.clip_l, self.clip_l_projection), (self.clip_g, self.clip_g_projection))
        for ids, (tower, projection) in zip(ops.split(token_ids, 2, axis=1), pairs, strict=True):
            found = tower({"token_ids": ids}, training=False)
            # The end of a caption has the highest number of all tokens.
            at_end = ops.cast(ops.argmax(ids, axis=-1), "int32")[:, None, None]
            end = ops.squeeze(ops.take_along_axis(found["sequence_output"], at_end, axis=1), axis=1)
            pooled.append(projection(ops.cast(end, "float32")))
            tokens.append(ops.cast(found["intermediate_output"], "float32"))
        rows = ops.concatenate(tokens, axis=-1)
        rows = ops.reshape(rows, (-1, self.length * rows.shape[-1]))
        return ops.concatenate([*pooled, rows], axis=-1)


class _First:
    """The tokenizer that stands for both where captions are counted: they have the same vocabulary."""

    def __init__(self, preprocessor: Any) -> None:
        self.tokenizer = preprocessor.tokenizer
