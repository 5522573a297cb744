import numpy as np
import pytest
import tensorflow as tf

from keras_t2i.networks.blocks import convolution, convolve_doubled, upsample


@pytest.fixture(scope="module")
def maps():
    return tf.random.stateless_normal((2, 4, 6, 5), (1, 2))


@pytest.mark.parametrize("with_bias", [True, False])
def test_a_convolution_of_doubled_maps_is_the_same_in_training_with_the_same_gradients(maps, with_bias):
    layer = convolution(3, use_bias=with_bias)
    found = []
    for training in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            outputs = convolve_doubled(layer, maps, training=training)
            total = tf.reduce_sum(outputs * tf.random.stateless_normal(outputs.shape, (3, 4)))
        found.append([outputs, *tape.gradient(total, [maps, *layer.trainable_variables])])
    assert found[0][0].shape == (2, 8, 12, 3)
    for plain, folded in zip(*found, strict=True):
        np.testing.assert_allclose(folded, plain, atol=2e-5)


def test_where_maps_grow_smoothly_training_changes_nothing(maps):
    layer = convolution(3)
    smooth = convolve_doubled(layer, maps, "bilinear", training=True)
    np.testing.assert_array_equal(smooth, layer(upsample(maps, "bilinear")))
    assert np.abs(smooth - convolve_doubled(layer, maps, training=True)).max() > 0.1


def test_it_builds_the_convolution_and_keeps_to_the_type_of_its_maps(maps):
    layer = convolution(3)
    convolve_doubled(layer, maps, training=True)
    assert layer.built
    halves = convolve_doubled(layer, tf.cast(maps, tf.bfloat16), training=True)
    assert halves.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(halves, tf.float32), layer(upsample(maps)), atol=0.1)
