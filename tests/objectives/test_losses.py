import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import one_line

from keras_t2i import losses

REAL = np.array([-2.0, -0.5, 0.3, 3.0], np.float32)
FAKE = np.array([1.5, -0.2, -2.5, 0.7], np.float32)


def _softplus(x):
    return np.log1p(np.exp(x))


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


FORMULAS = {
    "minimax": (
        lambda real, fake: -np.log(_sigmoid(real)) - np.log(1 - _sigmoid(fake)),
        lambda real, fake: np.log(1 - _sigmoid(fake)),
    ),
    "non_saturating": (
        lambda real, fake: -np.log(_sigmoid(real)) - np.log(1 - _sigmoid(fake)),
        lambda real, fake: -np.log(_sigmoid(fake)),
    ),
    "least_squares": (lambda real, fake: (real - 1) ** 2 + fake**2, lambda real, fake: (fake - 1) ** 2),
    "hinge": (
        lambda real, fake: np.maximum(0, 1 - real) + np.maximum(0, 1 + fake),
        lambda real, fake: -fake,
    ),
    "wasserstein": (lambda real, fake: fake - real, lambda real, fake: -fake),
    "relativistic": (lambda real, fake: _softplus(fake - real), lambda real, fake: _softplus(real - fake)),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values_follow_the_formulas(name):
    loss = losses.get(name)
    discriminator, generator = FORMULAS[name]
    np.testing.assert_allclose(loss.discriminator(REAL, FAKE), discriminator(REAL, FAKE), rtol=1e-5)
    np.testing.assert_allclose(loss.generator(FAKE, REAL), generator(REAL, FAKE), rtol=1e-5)


@pytest.mark.parametrize("name", sorted(set(FORMULAS) - {"relativistic"}))
def test_fakes_weigh_less_where_mismatched_pairs_share_their_part(name):
    loss = losses.get(name)
    expected = loss.real(REAL) + 0.25 * loss.fake(FAKE)
    np.testing.assert_allclose(loss.discriminator(REAL, FAKE, 0.25), expected, rtol=1e-6)


@pytest.mark.parametrize("name", FORMULAS)
def test_what_a_fake_weighs_less_is_its_slope_and_a_real_image_keeps_its_own(name):
    loss = losses.get(name)
    real, fake = tf.constant(REAL), tf.constant(FAKE)

    def slopes(weight):
        with tf.GradientTape() as tape:
            tape.watch([real, fake])
            value = tf.reduce_sum(loss.discriminator(real, fake, weight))
        return tape.gradient(value, [real, fake])

    (real_slope, fake_slope), (real_weighed, fake_weighed) = slopes(1.0), slopes(0.25)
    np.testing.assert_allclose(real_weighed, real_slope, rtol=1e-5)
    np.testing.assert_allclose(fake_weighed, 0.25 * fake_slope, rtol=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_gradients_point_the_right_way(name):
    loss = losses.get(name)
    # Undecided logits, where every loss has a gradient.
    real, fake = tf.constant([0.2, 0.4]), tf.constant([0.3, 0.1])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        discriminator, generator = loss.discriminator(real, fake), loss.generator(fake, real)
        accepted, rejected = loss.real(real), loss.fake(fake)
    assert (tape.gradient(discriminator, real) < 0).numpy().all()
    assert (tape.gradient(discriminator, fake) > 0).numpy().all()
    assert (tape.gradient(generator, fake) < 0).numpy().all()
    assert (tape.gradient(accepted, real) < 0).numpy().all()
    assert (tape.gradient(rejected, fake) > 0).numpy().all()


@pytest.mark.parametrize("name", FORMULAS)
def test_extreme_logits_stay_finite(name):
    loss = losses.get(name)
    logits = tf.constant([-1e4, 0.0, 1e4])
    for values in (loss.discriminator(logits, -logits), loss.generator(logits, -logits)):
        assert np.isfinite(values).all()


@pytest.mark.parametrize("name", FORMULAS)
def test_each_loss_moves_a_point_onto_the_data(name):
    """The Dirac GAN: data at 2, one generated point, a linear discriminator with a penalty on its slope."""
    loss = losses.get(name)
    point, slope, offset = tf.Variable(0.0), tf.Variable(0.0), tf.Variable(0.0)

    def step():
        with tf.GradientTape(persistent=True) as tape:
            real_logits, fake_logits = slope * 2.0 + offset, slope * point + offset
            discriminator = loss.discriminator(real_logits, fake_logits) + 0.5 * slope**2
            generator = loss.generator(fake_logits, real_logits)
        gradients = tape.gradient(discriminator, [slope, offset], unconnected_gradients="zero")
        point_gradient = tape.gradient(generator, point)
        slope.assign_sub(0.1 * gradients[0])
        offset.assign_sub(0.1 * gradients[1])
        point.assign_sub(0.1 * point_gradient)

    @tf.function
    def train():
        for _ in tf.range(4000):
            step()

    train()
    # Least squares, whose target logits hold the slope back, creeps over the last stretch.
    assert abs(point.numpy() - 2.0) < 0.3


@pytest.mark.parametrize("name", FORMULAS)
def test_losses_survive_serialisation(name):
    loss = losses.get(name)
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(restored) is type(loss)
    assert losses.get(restored) is restored


def test_the_contrastive_term_does_not_count_equal_captions_as_mistakes():
    similarities = np.array([[2.0, 1.0, 0.5], [0.3, 1.5, 3.0], [-1.0, 0.2, 0.1]], np.float32)
    same = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], bool)
    counted = [[0, 2], [1, 2], [0, 1, 2]]
    expected = [
        np.log(np.exp(row[columns]).sum()) - row[number]
        for number, (row, columns) in enumerate(zip(similarities, counted, strict=True))
    ]
    np.testing.assert_allclose(losses.contrastive(similarities, same), expected, rtol=1e-5)


@pytest.mark.parametrize("identifier", ["wgan", "", None, 3])
def test_unknown_losses_are_refused_in_one_line(identifier):
    with pytest.raises(ValueError, match="Unknown loss") as error:
        losses.get(identifier)
    assert "non_saturating" in one_line(error)


class _RandomFeatures:
    """Two feature maps of a random convolutional network."""

    def __init__(self, scale=1.0):
        generator = np.random.default_rng(0)
        self.kernels = [generator.normal(size=shape).astype("float32") for shape in ((3, 3, 3, 8), (3, 3, 8, 12))]
        self.scale = scale

    def maps(self, images):
        first = tf.nn.elu(tf.nn.conv2d(images, self.kernels[0], 2, "SAME"))
        return [self.scale * first, self.scale * tf.nn.elu(tf.nn.conv2d(first, self.kernels[1], 2, "SAME"))]


def _pictures(seed):
    return tf.constant(np.random.default_rng(seed).uniform(-1, 1, (3, 16, 16, 3)).astype("float32"))


def test_content_and_style_follow_their_formulas_whatever_the_scale_of_the_features():
    generated, real = _pictures(0), _pictures(1)
    contents, styles = [], []
    for one, other in zip(*(_RandomFeatures().maps(images) for images in (generated, real)), strict=True):
        one, other = (maps.numpy() / np.linalg.norm(maps, axis=-1, keepdims=True) for maps in (one, other))
        contents.append(((one - other) ** 2).sum(axis=-1).mean())
        grams = [np.einsum("bhwc,bhwd->bcd", maps, maps) / (maps.shape[1] * maps.shape[2]) for maps in (one, other)]
        styles.append(((grams[0] - grams[1]) ** 2).sum(axis=(1, 2)).mean())
    for scale in (1.0, 100.0):
        maps = [_RandomFeatures(scale).maps(images) for images in (generated, real)]
        np.testing.assert_allclose(losses.perceptual_loss(*maps), np.mean(contents), rtol=1e-4)
        np.testing.assert_allclose(losses.gram_loss(*maps), np.mean(styles), rtol=1e-4)
    term = losses.ContentStyle(_RandomFeatures(), content_weight=0.3, style_weight=2.0)
    expected = 0.3 * np.mean(contents) + 2.0 * np.mean(styles)
    np.testing.assert_allclose(term(generated, {"images": real}), expected, rtol=1e-4)


def test_style_forgets_where_and_content_does_not():
    maps = _RandomFeatures().maps(_pictures(0))
    turned = [tf.reverse(one, axis=[1, 2]) for one in maps]
    assert float(losses.gram_loss(maps, turned)) < 1e-6
    assert float(losses.perceptual_loss(maps, turned)) > 0.1
    assert float(losses.perceptual_loss(maps, maps)) == 0


def test_descending_the_term_brings_images_closer_and_leaves_the_real_ones_alone():
    term = losses.ContentStyle(_RandomFeatures())
    generated, real = tf.Variable(_pictures(0)), _pictures(1)

    def descend():
        with tf.GradientTape() as tape:
            tape.watch(real)
            value = term(generated, {"images": real})
        to_generated, to_real = tape.gradient(value, [generated, real])
        assert to_real is None
        generated.assign_sub(20.0 * to_generated)
        return float(value)

    values = [descend() for _ in range(20)]
    assert 0.3 < values[0] < 4
    assert values[-1] < 0.7 * values[0]


def test_reconstruction_is_the_mean_absolute_difference_of_pixels():
    generated, real = tf.Variable(_pictures(0)), _pictures(1)
    with tf.GradientTape() as tape:
        value = losses.Reconstruction(weight=3.0)(generated, {"images": real})
    np.testing.assert_allclose(value, 3.0 * np.abs(generated.numpy() - np.asarray(real)).mean(), rtol=1e-5)
    assert np.abs(tape.gradient(value, generated)).max() > 0


@pytest.mark.parametrize("weights", [(-1.0, 1.0), (1.0, -0.5)])
def test_negative_weights_are_refused(weights):
    with pytest.raises(ValueError, match="at least 0") as error:
        losses.ContentStyle(_RandomFeatures(), *weights)
    one_line(error)
    with pytest.raises(ValueError, match="at least 0") as error:
        losses.Reconstruction(min(weights))
    one_line(error)
