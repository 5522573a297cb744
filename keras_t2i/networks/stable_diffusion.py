"""Stable Diffusion 3 as a network of this package: KerasHub's transformer and autoencoder, captions in, images out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_t2i.core.keras_internals import keras_hub_class
from keras_t2i.networks.base import Generator
from keras_t2i.networks.families import Family
from keras_t2i.networks.stepping import follow, shifted

__all__ = ["STABLE_DIFFUSION_3", "StableDiffusion3Generator", "check_size", "computing_again"]

_PIXELS = 8
"""Pixels that one place of the latents stands for, in each direction."""
_CONTEXT_WIDTH = 4096
"""Length of a token to the transformer: that of T5, which only some releases read captions by."""
_OF_DIFFUSER = ("patch_size", "hidden_dim", "num_layers", "num_heads", "position_size", "mlp_ratio", "qk_norm")
_OF_AUTOENCODER = ("encoder_num_filters", "encoder_num_blocks", "decoder_num_filters", "decoder_num_blocks")


@keras.saving.register_keras_serializable("keras_t2i")
class StableDiffusion3Generator(Generator):
    """Draws by following, from noise to an image, the velocity that a transformer finds in an autoencoder's latents.

    The autoencoder is frozen. What is read of a caption is one row: what `StableDiffusion3TextEncoder` has pooled, then
    its tokens, one behind the other. `text_mean` is the row of the empty caption, which stands for no caption.

    Reference:
        Scaling Rectified Flow Transformers for High-Resolution Image Synthesis (Esser et al., 2024), arXiv:2403.03206.
        Transformer and autoencoder are KerasHub's; the steps of `draw` are those of its scheduler.

    Args:
        image_size: Output height and width in pixels, a multiple of 8 times the transformer's patch.
        diffuser: What KerasHub's transformer is built from, as `get_config` has it, or the transformer itself.
        autoencoder: Likewise, the autoencoder.
        text_width: Length of a token by both of CLIP's encoders together.
        text_length: Tokens of a caption.
        shift: How far the times of drawing, and of training, lie towards noise; 1 for even ones.
        num_train_timesteps: What the transformer calls the time 1.
        num_steps: Steps from noise to image; it can be changed at any time.
        guidance: How far to go from no caption to the caption at each step: 1 arrives there, more goes beyond.
        rematerialized: Whether the transformer's blocks are computed again for the gradient instead of kept: less
            memory, about a third more time.

    Call arguments:
        latents: Standard normal noise, float32, shape `(B, image_size / 8, image_size / 8, channels)`, or as one row.
        sentence_embeddings: Rows of captions, float32, shape `(B, D)`.

    Returns:
        Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.

    Raises:
        ValueError: for a size that is not such a multiple, or larger than the transformer has places for.
    """

    has_average = False
    pretrained_dropout = 0.464  # By each text encoder, as the paper says.
    learns_codes = True
    unfolded = ("diffuser",)
    adapts = ("*attention_qkv*", "*attention_proj*")
    reading_text = ("context_embedding", "vector_embedding", "timestep_embedding")

    def __init__(
        self,
        image_size: int,
        diffuser: Any,
        autoencoder: Any,
        text_width: int = 2048,
        text_length: int = 77,
        shift: float = 3.0,
        num_train_timesteps: int = 1000,
        num_steps: int = 28,
        guidance: float = 7.0,
        rematerialized: bool = False,
        **kwargs: Any,
    ) -> None:
        for name in ("latent_dim", "vocabulary_size"):
            kwargs.pop(name, None)
        self.text_width, self.text_length = text_width, text_length
        given = _config_of(diffuser)
        side = check_size(image_size, given["patch_size"], given["position_size"])
        channels = given["latent_channels"]
        super().__init__(image_size, side * side * channels, **kwargs)
        if num_steps < 1:
            raise ValueError(f"`num_steps` must be at least 1; got {num_steps}.")
        self.latents_shape = (side, side, channels)
        self.shift, self.num_train_timesteps = float(shift), int(num_train_timesteps)
        self.num_steps, self.guidance, self.rematerialized = num_steps, guidance, rematerialized
        with computing_again(given["num_layers"]) if rematerialized else nullcontext():
            self.diffuser = self._diffuser(given) if isinstance(diffuser, Mapping) else diffuser
        if isinstance(autoencoder, Mapping):
            autoencoder = keras_hub_class("VAEBackbone")(
                **{**autoencoder, "sampler_method": "mode"}, dtype=self.dtype_policy, name="autoencoder"
            )
        autoencoder.name = "autoencoder"  # Whatever a preset of KerasHub calls it.
        self.autoencoder = autoencoder
        self.autoencoder.trainable = False

    def _diffuser(self, given: Mapping[str, Any]) -> Any:
        settings = {name: value for name, value in given.items() if name != "latent_channels"}
        return keras_hub_class("MMDiT")(
            **settings,
            latent_shape=self.latents_shape,
            context_shape=(None, _CONTEXT_WIDTH),
            pooled_projection_shape=(self.text_width,),
            dtype=self.dtype_policy,
            name="diffuser",
        )

    @property
    def row_length(self) -> int:
        """Length of what is read of a caption."""
        return self.text_width * (1 + self.text_length)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return self.latents_shape

    @property
    def manner(self) -> tuple[Any, ...]:
        return (self.num_steps, self.guidance)

    @property
    def own_guidance(self) -> float | None:
        """The `guidance` that `draw` takes where no other is asked for."""
        return None if self.guidance == 1.0 else self.guidance

    def build_for(self, embedding_dim: int) -> None:
        """Creates `text_mean`; all else there is already.

        Raises:
            ValueError: if rows of captions are not of the length that is read.
        """
        if self.embedding_dim is not None:
            return
        if embedding_dim != self.row_length:
            raise ValueError(f"Rows of captions have {self.row_length} numbers for this network; got {embedding_dim}.")
        self.embedding_dim = embedding_dim
        self.text_mean = self.add_weight((embedding_dim,), "zeros", trainable=False, name="text_mean")
        self.text_scale = self.add_weight((), "ones", trainable=False, name="text_scale")
        self.built = True

    def adapt(self, sentence_embeddings: Any) -> None:
        """Leaves `text_mean` as it is: these captions are read as the ones that it was trained on."""

    def encoded(self, images: Any) -> Any:
        """Latents of images in [-1, 1], float32, shape `(B, *noise_shape)`, without the autoencoder's own noise."""
        found = self.autoencoder.encode(ops.cast(images, self.compute_dtype), training=False)
        return (ops.cast(found, "float32") - self.autoencoder.shift) * self.autoencoder.scale

    @property
    def codes_fingerprint(self) -> str:
        """SHA-256 of all that decides what `encoded` makes of an image."""
        known = (self.autoencoder.scale, self.autoencoder.shift, self.compute_dtype)
        digest = hashlib.sha256(json.dumps(known).encode())
        for weight in self.autoencoder.encoder.weights:
            digest.update(np.ascontiguousarray(ops.convert_to_numpy(weight), np.float32).tobytes())
        return digest.hexdigest()

    def decoded(self, codes: Any) -> Any:
        """Images of latents, not clipped to [-1, 1], float32."""
        found = ops.cast(codes / self.autoencoder.scale + self.autoencoder.shift, self.compute_dtype)
        return ops.cast(self.autoencoder.decode(found, training=False), "float32")

    def velocity(self, noisy: Any, times: Any, sentence_embeddings: Any, training: bool | None = None) -> Any:
        """Where noise lies, as seen from the latents of the image.

        Args:
            noisy: Latents with noise, float32, shape `(B, *noise_shape)`.
            times: The share of noise in each, float32, shape `(B,)`: 0 for latents of images, 1 for noise.
            sentence_embeddings: As for `call`.
            training: As in Keras.

        Returns:
            Noise less latents, as far as it can be told, float32, shape of `noisy`.
        """
        context, pooled = self._taken_apart(sentence_embeddings)
        inputs = {
            "latent": noisy,
            "context": context,
            "pooled_projection": pooled,
            "timestep": self.num_train_timesteps * ops.cast(times, "float32")[:, None],
        }
        del training  # Nothing differs, and TensorFlow computes nothing again that is given a keyword.
        return ops.cast(self.diffuser(inputs), "float32")

    def draw(
        self, latents: Any, sentence_embeddings: Any, num_steps: Any, guidance: Any = None, instead: Any = None
    ) -> Any:
        """Images in [-1, 1] from noise, in so many steps of Euler's method.

        Args:
            latents: As for `call`.
            sentence_embeddings: As for `call`.
            num_steps: How many: an integer, or a tensor of integers, a scalar or one for each image.
            guidance: How far to go from no caption to the caption, a number or a scalar tensor; `None` for the caption
                alone, at half the time.
            instead: Rows of what to go away from, shape `(D,)` or `(B, D)`, instead of no caption.
        """
        noisy = ops.reshape(ops.cast(latents, "float32"), (-1, *self.latents_shape))
        steps = ops.cast(num_steps, "float32") * ops.ones_like(noisy[:, 0, 0, 0])
        if guidance is not None and instead is None:
            instead = self.text_mean
        found = follow(
            self.velocity,
            noisy,
            sentence_embeddings,
            lambda number: self.times(number, steps),
            ops.max(steps),  # In a loop: a graph of so many transformers would be larger than they are.
            guidance,
            instead,
        )
        return ops.clip(self.decoded(found), -1.0, 1.0)

    def times(self, number: Any, num_steps: Any) -> Any:
        """The share of noise before step `number`, counted from 0, of so many, as KerasHub's scheduler has it.

        Args:
            number: A scalar, float32.
            num_steps: float32, shape `(B,)`.

        Returns:
            float32, shape `(B,)`: 1 before the first step, 0 after the last.
        """
        least = self.shifted(1.0 / self.num_train_timesteps)
        even = 1.0 + (least - 1.0) * number / ops.maximum(num_steps - 1.0, 1.0)
        return ops.where(number < num_steps, self.shifted(even), 0.0)

    def shifted(self, times: Any) -> Any:
        """Times from 0 to 1, those of steps and of training, by the `shift`."""
        return shifted(times, self.shift)

    def coarse(self, latents: Any, length: int) -> Any:
        """The noise as latents of few places, each the mean of those it stands for: see `Generator.coarse`."""
        side, _, channels = self.latents_shape
        fitting = [cells for cells in range(1, side + 1) if side % cells == 0 and channels * cells**2 <= length]
        cells = max(fitting, default=1)
        edge = side // cells
        blocks = ops.reshape(latents, (-1, cells, edge, cells, edge, channels))
        return ops.reshape(edge * ops.mean(blocks, axis=(2, 4)), (-1, channels * cells**2))[:, :length]

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """What `call` returns, without what Keras tells layers within of training: see `velocity`."""
        return self.call(*args, **kwargs)

    def call(self, latents: Any, sentence_embeddings: Any, training: bool | None = None) -> Any:
        return self.draw(latents, sentence_embeddings, self.num_steps, self.own_guidance)

    def _taken_apart(self, rows: Any) -> tuple[Any, Any]:
        """Tokens, shape `(B, T, width)`, and what is pooled of them, shape `(B, W)`, as the transformer reads them."""
        pooled, tokens = ops.split(rows, [self.text_width], axis=1)
        context = ops.reshape(tokens, (-1, self.text_length, self.text_width))
        # As KerasHub has it: tokens as long as those of T5, and zeros in the place of T5's own.
        return ops.pad(context, [[0, 0], [0, self.text_length], [0, _CONTEXT_WIDTH - self.text_width]]), pooled

    def get_config(self) -> dict[str, Any]:
        names = ("text_width", "text_length", "shift", "num_train_timesteps", "num_steps", "guidance")
        return {
            **super().get_config(),
            "dtype": self.dtype_policy.get_config()["name"],
            **{name: getattr(self, name) for name in (*names, "rematerialized")},
            "diffuser": _config_of(self.diffuser),
            "autoencoder": {
                **{name: list(getattr(self.autoencoder, name)) for name in _OF_AUTOENCODER},
                "sample_channels": self.autoencoder.sample_channels,
                "scale": self.autoencoder.scale,
                "shift": self.autoencoder.shift,
            },
        }


def check_size(image_size: int, patch_size: int, position_size: int) -> int:
    """Height and width of the latents of an image, or a `ValueError` where it cannot have that size."""
    unit = _PIXELS * patch_size
    if not isinstance(image_size, int) or image_size < unit or image_size % unit:
        below = max(unit, int(image_size) // unit * unit)
        raise ValueError(
            f"`image_size` must be a multiple of {unit} for Stable Diffusion 3; got {image_size!r}: take {below} or "
            f"{below + unit}."
        )
    if image_size > unit * position_size:
        raise ValueError(
            f"`image_size` can be {unit * position_size} at most, for so many places this transformer knows; "
            f"got {image_size}."
        )
    return image_size // _PIXELS


def _config_of(diffuser: Any) -> dict[str, Any]:
    if isinstance(diffuser, Mapping):
        return dict(diffuser)
    found = {name: getattr(diffuser, name) for name in _OF_DIFFUSER}
    dual = [int(number) for number in diffuser.dual_attention_indices or ()]
    return {**found, "dual_attention_indices": dual, "latent_channels": int(diffuser.latent_shape[-1])}


def computing_again(num_layers: int = 64) -> Any:
    """A context: blocks of a transformer that is built in it are computed again for the gradient instead of kept."""
    names = [f"joint_block_{number}" for number in range(num_layers)]
    return keras.RematScope(mode="list_of_layers", layer_names=names)


STABLE_DIFFUSION_3 = Family(
    StableDiffusion3Generator,
    None,
    loss=None,
    penalty=None,
    learning_rates=(1e-4,),
    betas=(0.9, 0.999),
    reference="Esser et al., 2024",
    label="Stable Diffusion 3",
    description="A transformer of billions of weights, pretrained on images from the web.",
    tiny=lambda image_size: ({}, {}),
    caption_dropout=0.1,
)
"""How it is fine-tuned. It does not stand in the table of families: nobody here trains it from nothing."""
