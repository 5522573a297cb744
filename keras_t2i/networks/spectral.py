"""Spectral normalisation: layers whose kernel is divided by its largest singular value."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

__all__ = ["SpectralConv2D", "SpectralDense"]


class _Spectral:
    """Divides a layer's kernel by its largest singular value, found by one power iteration a call in training.

    Unlike `keras.layers.SpectralNormalization`, which overwrites the kernel in the forward pass, it leaves the trained
    weights to the optimizer: a step that is called off changes none of them, and mixed precision does not round them.
    """

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)  # type: ignore[misc]
        self.direction = self.add_weight(  # type: ignore[attr-defined]
            (self.kernel.shape[-1],),  # type: ignore[attr-defined]
            keras.initializers.RandomNormal(),
            trainable=False,
            autocast=False,
            name="direction",
        )

    # Keras' own for convolutions and dense layers know of a kernel and a bias alone.
    save_own_variables = layers.Layer.save_own_variables
    load_own_variables = layers.Layer.load_own_variables

    def normalized_kernel(self, training: bool | None) -> Any:
        kernel = ops.convert_to_tensor(self.kernel)  # type: ignore[attr-defined]
        matrix = ops.reshape(ops.cast(kernel, "float32"), (-1, kernel.shape[-1]))
        fixed = ops.stop_gradient(matrix)
        left = _unit(ops.matmul(fixed, self.direction[:, None]))
        right = _unit(ops.matmul(ops.transpose(fixed), left))
        # A frozen layer stays as it is in this too.
        if training and self.trainable:  # type: ignore[attr-defined]
            self.direction.assign(right[:, 0])
        norm = ops.sum(left * ops.matmul(matrix, right))
        return kernel / ops.cast(norm, kernel.dtype)


class SpectralConv2D(_Spectral, layers.Conv2D):
    """A convolution that stretches no pattern of its inputs more than a kernel of spectral norm 1 does.

    Reference:
        Spectral Normalization for Generative Adversarial Networks (Miyato et al., 2018), arXiv:1802.05957.
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        outputs = self.convolution_op(inputs, self.normalized_kernel(training))
        return outputs if self.bias is None else outputs + self.bias


class SpectralDense(_Spectral, layers.Dense):
    """A fully connected layer of spectral norm 1; see `SpectralConv2D`."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        outputs = ops.matmul(inputs, self.normalized_kernel(training))
        return outputs if self.bias is None else outputs + self.bias


def _unit(vector: Any) -> Any:
    return vector * ops.rsqrt(ops.maximum(ops.sum(ops.square(vector)), 1e-12))
