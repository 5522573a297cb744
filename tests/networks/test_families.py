import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import EMBEDDING_DIM, FAMILIES, built_networks, make_batch, make_latents, move_weights, one_line, sizes_of

from keras_t2i import networks

GENERATORS = [
    networks.MLPGenerator,
    networks.DCGANGenerator,
    networks.DFGANGenerator,
    networks.CompactGenerator,
]
DISCRIMINATORS = [
    networks.MLPDiscriminator,
    networks.DCGANDiscriminator,
    networks.DFGANDiscriminator,
    networks.CompactDiscriminator,
]


@functools.cache
def _networks(family):
    """Networks of a family, built once, and the weights they start from."""
    pair = built_networks(family)
    return pair, [network.get_weights() for network in pair]


@pytest.fixture
def pair(family):
    """Networks as `built_networks` makes them: building takes most of the time of these tests."""
    pair, weights = _networks(family)
    for network, start in zip(pair, weights, strict=True):
        network.set_weights(start)
    return pair


def _outputs(generator, discriminator, image_size=32):
    batch = make_batch(image_size=image_size)
    text = batch["sentence_embeddings"]
    images = generator(make_latents(), text, training=False)
    return images.numpy(), discriminator(batch["images"], text, training=False).numpy()


@pytest.mark.parametrize(("family", "image_size"), [(family, size) for family in FAMILIES for size in sizes_of(family)])
def test_images_and_logits_have_the_promised_form(family, image_size):
    generator, discriminator = built_networks(family, image_size)
    images, logits = _outputs(generator, discriminator, image_size)
    assert images.shape == (4, image_size, image_size, 3)
    assert images.dtype == np.float32
    assert np.abs(images).max() <= 1
    assert images.std() > 0
    assert logits.shape == (4,)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_stay_float32_in_mixed_precision(family):
    images, logits = _outputs(*built_networks(family, dtype="mixed_bfloat16"))
    assert images.dtype == logits.dtype == np.float32


@pytest.mark.parametrize("family", FAMILIES)
def test_configuration_restores_the_architecture(pair):
    for network in pair:
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(network)))
        restored = keras.saving.deserialize_keras_object(config)
        restored.build_for(EMBEDDING_DIM)
        assert type(restored) is type(network)
        assert [weight.shape for weight in restored.weights] == [weight.shape for weight in network.weights]
        assert restored.get_config() == network.get_config()


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_weights_restore_the_outputs(pair, family, tmp_path):
    others = built_networks(family)
    for network, other in zip(pair, others, strict=True):
        move_weights(network)
        network.save_weights(tmp_path / "network.weights.h5")
        other.load_weights(tmp_path / "network.weights.h5")
    for saved, loaded in zip(_outputs(*pair), _outputs(*others), strict=True):
        np.testing.assert_array_equal(saved, loaded)


@pytest.mark.parametrize("family", FAMILIES)
def test_noise_and_caption_both_matter(pair):
    generator, discriminator = pair
    move_weights(generator)
    move_weights(discriminator)
    first, second = make_batch(seed=0), make_batch(seed=1)
    latents, text, other_text = make_latents(), first["sentence_embeddings"], second["sentence_embeddings"]
    images = generator(latents, text, training=False).numpy()
    assert np.abs(images - generator(make_latents(seed=1), text, training=False)).mean() > 1e-3
    assert np.abs(images - generator(latents, other_text, training=False)).mean() > 1e-3
    logits = discriminator(first["images"], text, training=False).numpy()
    assert np.abs(logits - discriminator(second["images"], text, training=False)).min() > 1e-6
    assert np.abs(logits - discriminator(first["images"], other_text, training=False)).min() > 1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_inference_repeats_itself_and_ignores_the_rest_of_the_batch(pair):
    images, logits = _outputs(*pair)
    again, logits_again = _outputs(*pair)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(logits, logits_again)
    text = make_batch()["sentence_embeddings"]
    alone = pair[0](make_latents()[:1], text[:1], training=False)
    np.testing.assert_allclose(alone[0], images[0], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_extracted_once_for_several_captions(pair):
    _, discriminator = pair
    batch = make_batch()
    features = discriminator.extract(tf.constant(batch["images"]), training=False)
    for text in (batch["sentence_embeddings"], batch["sentence_embeddings"][::-1].copy()):
        expected = discriminator(batch["images"], text, training=False)
        np.testing.assert_allclose(discriminator.judge(features, text, training=False), expected, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_adapted_networks_see_centered_and_scaled_captions(pair):
    text = 0.1 * make_batch(64)["sentence_embeddings"] + 3.0
    standardized = (text - text.mean(axis=0)) / (text - text.mean(axis=0)).std()
    for network, first in zip(pair, (make_latents(), make_batch()["images"]), strict=True):
        move_weights(network)
        expected = network(first, standardized[:4], training=False).numpy()
        network.adapt(text)
        np.testing.assert_allclose(network(first, text[:4], training=False), expected, atol=1e-3)


def test_df_gan_starts_without_the_caption_and_learns_to_use_it():
    generator, _ = built_networks("df_gan")
    first, second = (make_batch(seed=seed)["sentence_embeddings"] for seed in (0, 1))
    latents = make_latents()
    np.testing.assert_array_equal(generator(latents, first), generator(latents, second))
    move_weights(generator)
    assert np.abs(generator(latents, first) - generator(latents, second)).max() > 1e-3


@pytest.mark.parametrize("network", [*GENERATORS, *DISCRIMINATORS])
@pytest.mark.parametrize("image_size", [0, 16, 48, 100, 512, "64", 64.0])
def test_impossible_image_sizes_are_refused_in_one_line(network, image_size):
    with pytest.raises(ValueError, match="image_size") as error:
        network(image_size=image_size)
    assert repr(image_size) in one_line(error)


@pytest.mark.parametrize("network", [networks.MLPGenerator, networks.MLPDiscriminator])
def test_mlp_is_for_small_images(network):
    with pytest.raises(ValueError, match="one of 32, 64; got 128"):
        network(image_size=128)
