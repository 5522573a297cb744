"""Terms on frozen features: their values follow from moments, and descending them does what they are for."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import make_batch, one_line, tensors, tiny_gan
from feature_losses import FeatureMatching, TextImageAgreement
from tiny_image_networks import tiny_network

from keras_t2i.image_features import ImageFeatures
from keras_t2i.training.model_state import model_state


@pytest.fixture
def features():
    keras.utils.set_random_seed(0)
    return ImageFeatures(tiny_network(16), "tiny")


def _pixels(count=40, seed=0, size=16):
    """Smooth images, each of one color with a bright corner."""
    random = np.random.default_rng(seed)
    images = np.ones((count, size, size, 3)) * random.uniform(40, 160, (count, 1, 1, 3))
    images[:, : size // 2, : size // 2] += 80
    return images.astype(np.uint8)


def _floats(pixels):
    return tf.constant(pixels.astype(np.float32) / 127.5 - 1.0)


def _standardized_moments(features, real, generated):
    """Mean maps and channel products of both, where the real channels have mean 0 and variance 1."""
    for maps in zip(features.maps(_floats(real)), features.maps(_floats(generated)), strict=True):
        real_maps, generated_maps = (each.numpy().astype(np.float64) for each in maps)
        center = real_maps.mean(axis=(0, 1, 2))
        deviation = real_maps.std(axis=(0, 1, 2))
        pair = [(each - center) / deviation for each in (real_maps, generated_maps)]
        flat = [each.reshape(-1, each.shape[-1]) for each in pair]
        yield [each.mean(axis=0) for each in pair], [each.T @ each / len(each) for each in flat]


def test_value_is_the_squared_difference_of_moments(features):
    real, generated = _pixels(), _pixels(seed=1)[:, ::-1]
    expected = [
        np.mean((means[1] - means[0]) ** 2) + np.mean((products[1] - products[0]) ** 2)
        for means, products in _standardized_moments(features, real, generated)
    ]
    term = FeatureMatching(features, weight=3.0)
    term.adapt(real)
    assert float(term(_floats(generated), {})) == 0  # Nothing is known of the generated images yet.
    value = float(term(_floats(generated), {}))
    np.testing.assert_allclose(value, 3.0 * np.mean(expected), rtol=1e-3)
    assert value > 0.1


def test_real_images_match_themselves(features):
    term = FeatureMatching(features)
    term.adapt(_pixels())
    values = [float(term(_floats(_pixels()), {})) for _ in range(3)]
    assert max(map(abs, values)) < 1e-6


def test_descending_the_term_brings_images_to_the_moments_of_the_real_ones(features):
    real = _pixels()
    term = FeatureMatching(features, decay=0.5)
    term.adapt(real)
    images = tf.Variable(_floats(_pixels(8, seed=1)[:, ::-1]))
    optimizer = keras.optimizers.Adam(0.02)

    @tf.function
    def descend():
        with tf.GradientTape() as tape:
            value = term(images, {})
        optimizer.apply([tape.gradient(value, images)], [images])
        return value

    values = [float(descend()) for _ in range(60)]
    assert values[1] > 0.1
    assert values[-1] < 0.3 * values[1]


def test_the_average_is_part_of_a_checkpoint_and_training_moves_it(features):
    term = FeatureMatching(features)
    term.adapt(_pixels())
    gan = tiny_gan("mlp", penalty=None, generator_terms=[term])
    state = {name: variable for name, variable in model_state(gan).items() if name.startswith("state/")}
    assert len(state) == 1 + 6 * len(term.taps)
    before = {name: variable.numpy().copy() for name, variable in state.items()}
    frozen = [weight.copy() for weight in features.network.get_weights()]
    gan.fit(tf.data.Dataset.from_tensors(tensors(make_batch())).repeat(2), verbose=0)
    moved = {name for name, variable in state.items() if (variable.numpy() != before[name]).any()}
    assert len(moved) == 1 + 2 * len(term.taps)  # The real moments stay.
    for ours, theirs in zip(features.network.get_weights(), frozen, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def _captioned(count=200, seed=0):
    """Images of one color each, and embeddings that name the color in other coordinates."""
    pixels = _pixels(count, seed)
    colors = pixels[:, -1, -1].astype(np.float32) / 127.5 - 1.0
    return pixels, (colors @ np.random.default_rng(5).normal(size=(3, 8)) + 2.0).astype(np.float32)


def test_agreement_finds_what_captions_say_and_draws_images_to_it(features):
    term = TextImageAgreement(features, weight=2.0)
    term.adapt(*_captioned())
    assert term.agreement > 0.8
    pixels, text = _captioned(16, seed=3)
    right = float(term(_floats(pixels), {"sentence_embeddings": text}))
    wrong = float(term(_floats(pixels), {"sentence_embeddings": np.roll(text, 1, axis=0)}))
    assert 3 * right < wrong
    images = tf.Variable(_floats(np.roll(pixels, 1, axis=0)))
    optimizer = keras.optimizers.Adam(0.02)
    for _ in range(60):
        with tf.GradientTape() as tape:
            value = term(images, {"sentence_embeddings": text})
        optimizer.apply([tape.gradient(value, images)], [images])
    assert float(term(images, {"sentence_embeddings": text})) < 0.3 * wrong


def test_terms_must_be_adapted_and_weights_be_positive(features):
    batch = {"sentence_embeddings": np.zeros((2, 8), np.float32)}
    for term in (FeatureMatching(features), TextImageAgreement(features)):
        with pytest.raises(ValueError, match="call its `adapt` before training") as error:
            term(_floats(_pixels(2)), batch)
        one_line(error)
        with pytest.raises(ValueError, match="at least 0"):
            type(term)(features, weight=-1.0)
    with pytest.raises(ValueError, match=r"`decay` in \[0, 1\)"):
        FeatureMatching(features, decay=1.0)
    with pytest.raises(ValueError, match="got 19 images and 19 captions") as error:
        TextImageAgreement(features).adapt(_pixels(19), np.zeros((19, 8), np.float32))
    one_line(error)
