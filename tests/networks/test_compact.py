"""What only the default family does: it matches every image with every caption of a batch."""

import keras
import numpy as np
import pytest
from checks import EMBEDDING_DIM, built_networks, make_batch, tiny_gan

from keras_t2i import losses


def test_match_is_the_logit_without_realness():
    _, discriminator = built_networks("compact")
    batch = make_batch(5, seed=1)
    features = discriminator.extract(batch["images"])
    match = np.asarray(discriminator.match(features, batch["sentence_embeddings"]))
    realness = np.asarray(discriminator.to_realness(features))[:, 0]
    rolled = np.roll(batch["sentence_embeddings"], 2, axis=0)
    assert match.shape == (5, 5)
    np.testing.assert_allclose(
        discriminator.judge(features, batch["sentence_embeddings"]), realness + np.diag(match), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        discriminator.judge(features, rolled),
        realness + match[np.arange(5), np.roll(np.arange(5), 2)],
        rtol=1e-5,
        atol=1e-6,
    )


def test_contrastive_term_is_on_where_the_discriminator_can_match_and_refused_elsewhere():
    assert tiny_gan("compact").objective.contrastive_weight == 0.5
    assert tiny_gan("dcgan").objective.contrastive_weight == 0
    with pytest.raises(ValueError, match="`contrastive_weight` needs a discriminator with a `match` method"):
        tiny_gan("dcgan", contrastive_weight=0.5)


def test_contrastive_loss_equals_its_definition_and_forgives_the_same_caption():
    generator = np.random.default_rng(0)
    similarities = generator.normal(size=(4, 4)).astype("float32")
    different = np.eye(4, dtype=bool)
    expected = -np.log(np.exp(np.diag(similarities)) / np.exp(similarities).sum(axis=1))
    np.testing.assert_allclose(losses.contrastive(similarities, different), expected, rtol=1e-5)

    same = different.copy()
    same[0, 1] = same[1, 0] = True
    kept = np.where(same & ~different, -np.inf, similarities)
    expected = -np.log(np.exp(np.diag(similarities)) / np.exp(kept).sum(axis=1))
    np.testing.assert_allclose(losses.contrastive(similarities, same), expected, rtol=1e-5)


def test_adapting_centers_and_scales_the_text_of_both_networks_and_of_the_average():
    embeddings = np.random.default_rng(0).normal(3.0, 0.2, size=(50, EMBEDDING_DIM)).astype("float32")
    gan = tiny_gan("compact")
    gan.adapt(embeddings)
    for network in (gan.generator, gan.discriminator, gan.ema_generator):
        standardized = keras.ops.convert_to_numpy(network.standardized(embeddings))
        np.testing.assert_allclose(standardized.mean(axis=0), 0.0, atol=1e-4)
        assert standardized.std() == pytest.approx(1.0, abs=1e-3)


def test_adapting_to_a_single_caption_keeps_the_scale():
    gan = tiny_gan("compact")
    gan.adapt(np.ones((3, EMBEDDING_DIM), "float32"))
    assert float(gan.generator.text_scale) == 1.0
