"""Residual blocks that double or halve the resolution."""

from __future__ import annotations

from typing import Any

from keras import layers

from keras_t2i.networks.blocks import Block, Modulation, as_it_is, convolution, convolve_doubled, unit_rms, upsample
from keras_t2i.networks.families import ACTIVATIONS

__all__ = ["DownBlock", "UpBlock"]


class UpBlock(Block):
    """Doubles the resolution: a modulated residual pair of convolutions beside a 1x1 shortcut."""

    def __init__(
        self,
        filters: int,
        activation: str = "leaky",
        normalized: bool = False,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.activate = ACTIVATIONS[activation]
        self.normalize = unit_rms if normalized else as_it_is
        self.modulation_in = Modulation()
        self.conv_in = convolution(filters)
        self.modulation_out = Modulation()
        self.conv_out = convolution(filters, scale=0.02)
        self.shortcut = convolution(filters, 1, scale=1.0, use_bias=False)
        self.interpolation = interpolation

    def call(self, features: Any, style: Any, training: bool | None = None) -> Any:
        modulated = self.modulation_in(self.normalize(features), style)
        residual = convolve_doubled(self.conv_in, self.activate(modulated), self.interpolation, training)
        residual = self.conv_out(self.activate(self.modulation_out(self.normalize(residual), style)))
        return upsample(self.shortcut(features), self.interpolation) + residual


class DownBlock(Block):
    """Halves the resolution: residual convolutions beside average pooling and a 1x1 shortcut."""

    def __init__(self, filters: int, activation: str = "leaky", depth: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activate = ACTIVATIONS[activation]
        self.conv_in = convolution(filters, 4, strides=2)
        self.convs = [convolution(filters) for _ in range(depth - 1)]
        self.conv_out = convolution(filters, scale=0.5)
        self.shortcut = convolution(filters, 1, scale=1.0, use_bias=False)
        self.pool = layers.AveragePooling2D(2)

    def call(self, features: Any) -> Any:
        residual = self.conv_in(self.activate(features))
        for conv in (*self.convs, self.conv_out):
            residual = conv(self.activate(residual))
        return self.shortcut(self.pool(features)) + residual
