"""ImageFeatures: the same numbers in any batch, the resizing as documented, and gradients that reach the image."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tiny_image_networks import tiny_network, write_inception_like_graph

from keras_t2i.core.pixels import resize
from keras_t2i.image_features import ImageFeatures

IMAGES = np.random.default_rng(0).integers(0, 256, (11, 24, 20, 3), dtype=np.uint8)


@pytest.fixture
def features() -> ImageFeatures:
    return ImageFeatures(tiny_network(), "tiny-16")


def test_features_do_not_depend_on_batch_or_order(features: ImageFeatures) -> None:
    expected = features(IMAGES)
    assert expected.shape == (11, features.dim) == (11, 6)
    assert expected.dtype == np.float32
    assert expected.std(axis=0).max() > 0.01
    for batch_size in (1, 4):
        np.testing.assert_allclose(features(IMAGES, batch_size), expected, atol=1e-5)
    np.testing.assert_allclose(features(IMAGES[::-1]), expected[::-1], atol=1e-5)
    assert features(IMAGES[:0]).shape == (0, 6)


def test_features_are_the_networks_own_on_antialiased_images(features: ImageFeatures) -> None:
    pixels = tf.image.resize(IMAGES, (16, 16), antialias=True) / 127.5 - 1.0
    expected = features.network(pixels)["pool"].numpy()
    np.testing.assert_allclose(features(IMAGES), expected, atol=1e-4)


@pytest.mark.parametrize("size", [7, 16, 24, 61])
def test_resize_is_the_antialiased_resize_of_tensorflow(size: int) -> None:
    images = tf.constant(IMAGES, tf.float32)
    expected = tf.image.resize(images, (size, size), antialias=True).numpy()
    np.testing.assert_allclose(resize(images, size).numpy(), expected, atol=1e-2)  # of 255


def test_maps_go_from_fine_to_coarse_and_carry_gradients(features: ImageFeatures) -> None:
    images = tf.Variable(tf.random.stateless_uniform((2, 24, 24, 3), (1, 2), -1.0, 1.0))
    with tf.GradientTape() as tape:
        maps = features.maps(images)
        loss = tf.add_n([tf.reduce_sum(each**2) for each in maps])
    assert [tuple(each.shape) for each in maps] == [(2, 8, 8, 4), (2, 4, 4, 6)]
    gradient = tape.gradient(loss, images)
    assert float(tf.reduce_min(tf.reduce_max(tf.abs(gradient), axis=(1, 2, 3)))) > 0
    pixels = ((images.numpy() + 1) * 127.5).round().astype(np.uint8)
    pooled = tf.reduce_mean(features.maps(pixels / np.float32(127.5) - 1.0)[-1], axis=(1, 2))
    np.testing.assert_allclose(features(pixels), pooled, atol=1e-5)


def test_one_trace_serves_every_size_of_image_and_batch(features: ImageFeatures) -> None:
    for height in (16, 24, 40):
        features(np.zeros((3, height, 32, 3), np.uint8), batch_size=2)
    assert features._traced_embed.experimental_get_tracing_count() == 1


def test_the_network_is_frozen(features: ImageFeatures) -> None:
    assert features.network.trainable_variables == []


def test_the_fingerprint_tells_networks_apart_and_same_ones_not() -> None:
    network = tiny_network()
    twin, larger = tiny_network(), tiny_network(32)
    twin.set_weights(network.get_weights())
    larger.set_weights(network.get_weights())
    fingerprints = [ImageFeatures(each, "tiny").fingerprint for each in (network, twin, larger, tiny_network())]
    assert fingerprints[0] == fingerprints[1]
    assert len(set(fingerprints)) == 3
    assert len(fingerprints[0]) == 64


@pytest.mark.parametrize("bad", [IMAGES / 255, IMAGES[0], IMAGES[..., :1], IMAGES[:, :0]])
def test_other_images_are_refused(features: ImageFeatures, bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 images of shape \(N, H, W, 3\)") as info:
        features(bad)
    assert "\n" not in str(info.value)


def test_other_networks_are_refused() -> None:
    images = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match=r"\(B, S, S, 3\)"):
        ImageFeatures(keras.Model(images, {"pool": layers.GlobalAveragePooling2D()(images)}), "any size")
    images = keras.Input((16, 16, 3))
    with pytest.raises(ValueError, match='"pool"'):
        ImageFeatures(keras.Model(images, layers.GlobalAveragePooling2D()(images)), "no dictionary")


def test_the_inception_graph_sees_images_as_the_distance_is_defined(tmp_path: Path) -> None:
    kernel = write_inception_like_graph(tmp_path / "classify_image_graph_def.pb")
    features = ImageFeatures.from_preset(tmp_path / "classify_image_graph_def.pb")
    assert (features.name, features.dim, features.image_size) == ("classify_image_graph_def", 5, 8)
    # Old bilinear resizing: sample at corners, without antialiasing; then the pixels as (value - 128) / 128.
    pixels = tf.compat.v1.image.resize_bilinear(IMAGES.astype(np.float32), (8, 8)).numpy()
    expected = ((pixels - 128) / 128).mean(axis=(1, 2)) @ kernel[0, 0]
    np.testing.assert_allclose(features(IMAGES, batch_size=4), expected, atol=1e-5)
    with pytest.raises(ValueError, match="no feature maps"):
        features.maps(tf.zeros((1, 8, 8, 3)))


def test_another_graph_is_refused_in_one_line(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        tf.compat.v1.placeholder(tf.float32, (None, 3), name="inputs")
    (tmp_path / "other.pb").write_bytes(graph.as_graph_def().SerializeToString())
    (tmp_path / "noise.pb").write_bytes(bytes(range(200)))
    for name in ("other.pb", "noise.pb"):
        with pytest.raises(ValueError, match=f"{name} is not the Inception graph") as info:
            ImageFeatures.from_preset(tmp_path / name)
        assert "\n" not in str(info.value)


def test_unknown_names_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'vgg16'"):
        ImageFeatures.from_preset("vgg16")
    with pytest.raises(FileNotFoundError, match=r"missing\.npz"):
        ImageFeatures.from_preset(tmp_path / "missing.npz")
