"""Spectral normalisation: kernels of norm 1, found while training, without a hand on the trained weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import make_batch, one_line, tiny_gan

from keras_t2i import networks

LAYERS = [
    (lambda: networks.SpectralConv2D(6, 3, padding="same"), keras.layers.Conv2D(6, 3, padding="same"), (2, 8, 8, 4)),
    (lambda: networks.SpectralDense(5), keras.layers.Dense(5), (3, 7)),
]


@pytest.mark.parametrize(("make", "plain", "shape"), LAYERS)
def test_output_is_that_of_the_plain_layer_with_a_kernel_of_norm_one(make: Any, plain: Any, shape: Any) -> None:
    inputs = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    layer = make()
    layer.build(shape)
    layer.bias.assign(np.arange(layer.bias.shape[0], dtype=np.float32))
    kernel = layer.kernel.numpy()
    for _ in range(100):
        outputs = layer(inputs, training=True)
    np.testing.assert_array_equal(layer.kernel.numpy(), kernel)
    norm = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
    plain.build(shape)
    plain.set_weights([kernel / norm, layer.bias.numpy()])
    np.testing.assert_allclose(outputs, plain(inputs), rtol=1e-3, atol=1e-4)
    direction = layer.direction.numpy()
    np.testing.assert_allclose(layer(inputs, training=False), outputs, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(layer.direction.numpy(), direction)


def test_gradient_does_not_lengthen_the_kernel() -> None:
    """The output does not depend on the kernel's length, so neither may the gradient point along it."""
    inputs = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)
    layer = networks.SpectralDense(5)
    for _ in range(100):
        layer(inputs, training=True)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs) ** 2)
    kernel, gradient = layer.kernel.numpy(), tape.gradient(loss, layer.kernel.value).numpy()
    assert np.abs(gradient).max() > 0.1
    assert abs((kernel * gradient).sum()) < 1e-3 * np.linalg.norm(kernel) * np.linalg.norm(gradient)


def test_mixed_precision_keeps_the_weights_exact() -> None:
    layer = networks.SpectralDense(5, dtype="mixed_bfloat16")
    outputs = layer(np.ones((3, 7), np.float32), training=True)
    assert outputs.dtype == tf.bfloat16
    assert layer.kernel.dtype == layer.direction.dtype == "float32"
    norm = np.linalg.norm(layer.direction.numpy())
    assert norm == pytest.approx(1.0, abs=1e-3)


def check_a_step_that_is_called_off(gan: Any, step: Any) -> None:
    batch = make_batch()
    batch["images"][0, 0, 0] = np.nan
    before = [weight.numpy().copy() for weight in gan.generator.weights + gan.discriminator.weights]
    with pytest.raises(tf.errors.InvalidArgumentError, match="not finite"):
        step({name: tf.constant(value) for name, value in batch.items()})
    for old, weight in zip(before, gan.generator.weights + gan.discriminator.weights, strict=True):
        np.testing.assert_array_equal(old, weight.numpy(), err_msg=weight.path)


def test_a_step_that_is_called_off_leaves_the_directions_alone() -> None:
    gan = tiny_gan("self_attention", run_eagerly=True)
    check_a_step_that_is_called_off(gan, gan.train_step)


def test_compiled_steps_give_kernels_of_norm_one_and_leave_them_alone_when_called_off() -> None:
    gan = tiny_gan("self_attention")
    step = tf.function(gan.train_step)
    check_a_step_that_is_called_off(gan, step)
    for seed in range(10):
        step({name: tf.constant(value) for name, value in make_batch(seed=seed).items()})
    for layer in (gan.discriminator.stem, gan.discriminator.join, gan.generator.to_features, gan.discriminator.to_text):
        kernel = np.asarray(layer.normalized_kernel(False))
        norm = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
        assert norm == pytest.approx(1.0, abs=0.15), layer.name


def test_unknown_normalization_is_refused() -> None:
    with pytest.raises(ValueError, match="batch, spectral, none; got 'layer'") as error:
        networks.DCGANDiscriminator(normalization="layer")
    one_line(error)
