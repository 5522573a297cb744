import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import make_batch, one_line, tensors, tiny_networks

from keras_t2i import penalties
from keras_t2i.models.gan import TextToImageGAN

RANDOM = np.random.default_rng(0)
IMAGE_WEIGHT = RANDOM.normal(size=(4, 4, 3)).astype(np.float32) / 7
TEXT_WEIGHT = RANDOM.normal(size=(5,)).astype(np.float32) / 7
REAL, FAKE = (RANDOM.normal(size=(6, 4, 4, 3)).astype(np.float32) for _ in range(2))
TEXT = RANDOM.normal(size=(6, 5)).astype(np.float32)


def _linear(images, text):
    return tf.reduce_sum(images * IMAGE_WEIGHT, axis=(1, 2, 3)) + tf.reduce_sum(text * TEXT_WEIGHT, axis=1)


def _quadratic(images, text):
    """Its gradient is the image itself."""
    return 0.5 * tf.reduce_sum(tf.square(images), axis=(1, 2, 3))


def _value(penalty, discriminator, real=REAL, fake=FAKE):
    return penalty(discriminator, tf.constant(real), tf.constant(fake), tf.constant(TEXT)).numpy()


def _squares(array):
    return np.sum(np.square(array), axis=tuple(range(1, array.ndim)))


def test_a_linear_discriminator_is_penalised_by_its_weights():
    image, text = np.sum(IMAGE_WEIGHT**2), np.sum(TEXT_WEIGHT**2)
    expected = {
        penalties.R1(): image / 2,
        penalties.R2(): image / 2,
        penalties.WGANGP(): (np.sqrt(image) - 1) ** 2,
        penalties.MAGP(): (image + text) ** 3,
        penalties.MAGP(power=2.0): image + text,
    }
    for penalty, value in expected.items():
        np.testing.assert_allclose(_value(penalty, _linear), value, rtol=1e-4, err_msg=type(penalty).__name__)


def test_r1_looks_at_real_images_and_r2_at_generated_ones():
    np.testing.assert_allclose(_value(penalties.R1(), _quadratic), _squares(REAL).mean() / 2, rtol=1e-5)
    np.testing.assert_allclose(_value(penalties.R2(), _quadratic), _squares(FAKE).mean() / 2, rtol=1e-5)


def test_wgan_gp_looks_between_real_and_generated_images():
    # Along the segment from 0 to an image of norm 2 the gradient norm is uniform in [0, 2]: E (n - 1)^2 = 1/3.
    real = np.full((4000, 1, 1, 4), 1.0, np.float32)
    penalty = penalties.WGANGP()(_quadratic, tf.constant(real), tf.zeros_like(real), tf.zeros((4000, 1)))
    assert abs(penalty.numpy() - 1 / 3) < 0.02


def test_penalties_reach_the_weights_of_the_discriminator():
    weight = tf.Variable(2.0)
    with tf.GradientTape() as tape:
        value = penalties.R1()(
            lambda images, text: weight * _linear(images, text), *map(tf.constant, (REAL, FAKE, TEXT))
        )
    expected = 2.0 * np.sum(IMAGE_WEIGHT**2)  # d/dw of w^2 |v|^2 / 2
    np.testing.assert_allclose(tape.gradient(value, weight), expected, rtol=1e-5)


def test_lazy_application_is_the_same_on_average():
    generator, discriminator = tiny_networks("compact")

    def mean_penalty(interval, steps):
        gan = TextToImageGAN(None, generator, discriminator, embedding_dim=8)
        still = [keras.optimizers.SGD(0.0) for _ in range(2)]
        gan.compile(
            penalty=penalties.R1(weight=3.0, interval=interval),
            generator_optimizer=still[0],
            discriminator_optimizer=still[1],
            run_eagerly=True,
        )
        values = []
        for _ in range(steps):
            gan.reset_metrics()
            values.append(float(gan.train_step(tensors(make_batch()))["penalty"]))
        return values

    eager, lazy = mean_penalty(1, 2), mean_penalty(3, 6)
    assert eager[0] > 0
    np.testing.assert_allclose(eager[0], eager[1], rtol=1e-5)
    assert [value > 0 for value in lazy] == [True, False, False] * 2
    np.testing.assert_allclose(np.mean(lazy), eager[0], rtol=1e-5)


def test_a_penalty_can_be_named_given_listed_or_absent():
    own = penalties.R2(weight=0.5, interval=2)
    assert penalties.get(None) == []
    assert penalties.get(own) == [own]
    assert [type(penalty).__name__ for penalty in penalties.get(["r1", own, "ma_gp"])] == ["R1", "R2", "MAGP"]


@pytest.mark.parametrize("penalty", [penalties.R1(2.0, 4), penalties.WGANGP(5.0), penalties.MAGP(1.0, 2, power=4.0)])
def test_penalties_survive_serialisation(penalty):
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(penalty))
    assert type(restored) is type(penalty)
    assert restored.get_config() == penalty.get_config()


def test_impossible_penalties_are_refused_in_one_line():
    with pytest.raises(ValueError, match="Unknown penalty 'r3'") as error:
        penalties.get("r3")
    assert "ma_gp" in one_line(error)
    with pytest.raises(ValueError, match="Unknown penalty"):
        penalties.get(["r1", "nothing"])
    with pytest.raises(ValueError, match="weight=-1") as error:
        penalties.R1(weight=-1)
    one_line(error)
    with pytest.raises(ValueError, match="interval=0"):
        penalties.R1(interval=0)
