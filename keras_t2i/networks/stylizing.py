"""A network that draws any picture in the one style that it was trained on, in one pass."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_t2i.core import replicas
from keras_t2i.networks.blocks import Block, relu, upsample

__all__ = ["STRIDE", "StylizingNetwork"]

STRIDE = 4
"""Height and width of what it takes are multiples of this many pixels."""
_GRAIN_SIZE, _GRAIN_CHANNELS = 64, 4
"""The grain that is kept repeats after so many positions, each of which are `STRIDE` pixels."""

_GRAIN = keras.initializers.RandomNormal(stddev=1.0, seed=0)


@keras.saving.register_keras_serializable("keras_t2i")
class StylizingNetwork(keras.Model):
    """Draws a picture again in a style: convolutions down to a quarter of the size, residual blocks, and up again.

    It is fully convolutional: what it was trained on may have another size than what it is asked for. Strokes have so
    many pixels in any. What is flat in a picture gets them from grain, which is noise in training, and then always the
    same: so the same picture is always drawn alike.

    Reference:
        Perceptual Losses for Real-Time Style Transfer and Super-Resolution (Johnson et al., 2016), arXiv:1603.08155,
        with instance normalization (Ulyanov et al., 2016), arXiv:1607.08022. Differs: the first convolution halves the
        size, channels are fewer, maps are enlarged by repeating pixels and a convolution, which leaves no grid, and
        there is noise, as in Texture Networks (Ulyanov et al., 2016), arXiv:1603.03417.

    Args:
        width: Channels at full size; twice as many at half of it, three times at a quarter.
        depth: Residual blocks.

    Call arguments:
        images: Images in [-1, 1], float32, shape `(B, H, W, 3)` with static multiples of 4.

    Returns:
        Images in [-1, 1], float32, of the same shape.

    Raises:
        ValueError: if `width` or `depth` is not positive.
    """

    def __init__(self, width: int = 16, depth: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if width < 1 or depth < 1:
            raise ValueError(f"`width` and `depth` must be at least 1; got {width} and {depth}.")
        self.width, self.depth = width, depth
        self.reduced = [Normalized(2 * width, 5, 2), Normalized(3 * width, 3, 2)]
        self.grain = Grain(3 * width)
        self.blocks = [Residual(3 * width) for _ in range(depth)]
        self.grown = [Normalized(2 * width), Normalized(width)]
        self.to_image = Extended(3, 5, scale=0.5)

    built: bool

    def build(self, input_shape: Any = None) -> None:
        """Creates the weights, whatever the shape is."""
        if not self.built:
            self.built = True
            self(ops.zeros((1, 4 * STRIDE, 4 * STRIDE, 3)))

    def call(self, images: Any, training: bool | None = None) -> Any:
        features = images
        for layer in self.reduced:
            features = layer(features)
        features = self.grain(features, training=training)
        for layer in self.blocks:
            features = layer(features)
        for layer in self.grown:
            features = layer(upsample(features))
        return ops.cast(ops.tanh(self.to_image(features)), "float32")

    def copy(self) -> StylizingNetwork:
        """A network of the same form with the same weights."""
        copy = type(self).from_config(self.get_config())
        copy.build()
        copy.set_weights([np.array(ops.convert_to_numpy(weight)) for weight in self.weights])
        return copy

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width, "depth": self.depth}


class Extended(Block):
    """A convolution beyond whose borders the outermost pixels go on: zeros there would be drawn as a frame."""

    def __init__(self, filters: int, size: int = 3, strides: int = 1, scale: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.margin = size // 2
        self.convolution = layers.Conv2D(
            filters,
            size,
            strides=strides,
            kernel_initializer=keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal"),
        )

    def call(self, features: Any) -> Any:
        # Not `ops.pad`, whose mirrored borders take as long in LiteRT as all convolutions together.
        margin = self.margin
        features = ops.concatenate([*[features[:, :1]] * margin, features, *[features[:, -1:]] * margin], axis=1)
        features = ops.concatenate([*[features[:, :, :1]] * margin, features, *[features[:, :, -1:]] * margin], axis=2)
        return self.convolution(features)


class Normalized(Block):
    """A convolution, instance normalization, and ReLU unless it is told not to."""

    def __init__(self, filters: int, size: int = 3, strides: int = 1, activate: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.convolution = Extended(filters, size, strides)
        self.normalization = InstanceNormalization()
        self.activate = activate

    def call(self, features: Any) -> Any:
        features = self.normalization(self.convolution(features))
        return relu(features) if self.activate else features


class Residual(Block):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first, self.second = Normalized(width), Normalized(width, activate=False)

    def call(self, features: Any) -> Any:
        return features + self.second(self.first(features))


class Grain(layers.Layer):
    """Adds noise to maps, as much of it to each channel as is learned.

    Args:
        width: Channels of the maps.
    """

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mix = layers.Dense(width, use_bias=False)
        self.seed_generator = keras.random.SeedGenerator(0)

    def build(self, input_shape: Any) -> None:
        shape = (_GRAIN_SIZE, _GRAIN_SIZE, _GRAIN_CHANNELS)
        self.kept = self.add_weight(shape, _GRAIN, trainable=False, name="kept")
        self.mix.build(shape)
        self.built = True

    def call(self, features: Any, training: bool | None = None) -> Any:
        _, height, width, _ = features.shape
        if training:
            noise = replicas.normal((ops.shape(features)[0], height, width, _GRAIN_CHANNELS), seed=self.seed_generator)
        else:
            times = (-(-height // _GRAIN_SIZE), -(-width // _GRAIN_SIZE), 1)
            noise = ops.tile(self.kept, times)[None, :height, :width]
        return features + self.mix(noise)


class InstanceNormalization(layers.Layer):
    """Brings each channel of each image to a mean and a spread that are learned.

    Reference:
        Instance Normalization: The Missing Ingredient for Fast Stylization (Ulyanov et al., 2016), arXiv:1607.08022.
    """

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight((input_shape[-1],), "ones", name="scale")
        self.offset = self.add_weight((input_shape[-1],), "zeros", name="offset")
        self.built = True

    def call(self, features: Any) -> Any:
        centered = features - ops.mean(features, axis=(1, 2), keepdims=True)
        spread = ops.rsqrt(ops.mean(ops.square(centered), axis=(1, 2), keepdims=True) + 1e-5)
        return centered * (spread * self.scale) + self.offset
