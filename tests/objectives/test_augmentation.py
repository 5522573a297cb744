import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import make_batch, one_line, tensors, tiny_gan
from keras_t2i.augmentation import DiffAugment

from keras_t2i import augmentation, penalties
from keras_t2i.training.model_state import model_state

NAMES = ("brightness", "saturation", "contrast", "translation", "cutout")
SIZE = 32


def _same_image(count, seed=0):
    return tf.constant(np.repeat(make_batch(1, SIZE, seed)["images"], count, axis=0))


def _seed():
    return keras.random.SeedGenerator(5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_shape_and_type_are_kept(name, dtype):
    images = tf.cast(_same_image(3), dtype)
    augmented = DiffAugment((name,))(images)
    assert augmented.shape == images.shape
    assert augmented.dtype == images.dtype


def test_mixed_precision_does_not_round_the_images():
    images = _same_image(3)
    layer = DiffAugment(("brightness",), dtype="mixed_bfloat16")
    np.testing.assert_array_equal(layer(images), DiffAugment(("brightness",))(images))


@pytest.mark.parametrize("name", NAMES)
def test_every_image_gets_its_own_draw_and_every_call_new_ones(name):
    layer, images = DiffAugment((name,)), _same_image(8)
    first, second = layer(images).numpy(), layer(images).numpy()
    assert len(np.unique(first.reshape(8, -1), axis=0)) > 4
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides(name):
    images = _same_image(8)
    first, again, other = (DiffAugment((name,), seed=seed)(images).numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_graph_and_eager_draw_alike():
    eager, compiled = DiffAugment(NAMES), DiffAugment(NAMES)
    call = tf.function(compiled)
    for _ in range(2):
        np.testing.assert_allclose(call(_same_image(4)), eager(_same_image(4)), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_the_images(name):
    layer, images = DiffAugment((name,)), _same_image(8)
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(tf.square(layer(images)))
    gradients = tape.gradient(total, images).numpy()
    assert np.isfinite(gradients).all()
    assert (np.abs(gradients).sum(axis=(1, 2, 3)) > 0).all()


def test_translation_moves_whole_pixels_by_an_eighth_at_most():
    images = tf.constant(np.random.default_rng(0).normal(size=(64, SIZE, SIZE, 3)), tf.float32)
    moved = augmentation.translation(images, _seed()).numpy()
    limit = SIZE // 8
    padded = np.pad(images, ((0, 0), (limit, limit), (limit, limit), (0, 0)))
    found = []
    for image, result in zip(padded, moved, strict=True):
        matches = [
            (down - limit, across - limit)
            for down in range(2 * limit + 1)
            for across in range(2 * limit + 1)
            if np.array_equal(image[down : down + SIZE, across : across + SIZE], result)
        ]
        assert len(matches) == 1
        found += matches
    assert {-limit, limit} <= {down for down, _ in found} & {across for _, across in found}


def test_cutout_blanks_one_box_and_leaves_the_rest():
    masks = augmentation.cutout(tf.ones((256, SIZE, SIZE, 3)), _seed()).numpy()
    assert set(np.unique(masks)) == {0.0, 1.0}
    blank = masks[..., 0] == 0
    heights, widths = blank.any(axis=2).sum(axis=1), blank.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(blank.sum(axis=(1, 2)), heights * widths)  # nothing but full boxes
    assert heights.max() == widths.max() == SIZE // 2
    assert heights.min() < SIZE // 2  # some boxes reach over the edge
    assert blank.any(axis=0).all()  # no place is always spared


def test_colour_changes_keep_what_they_promise():
    images = _same_image(16).numpy()
    shift = augmentation.brightness(images, _seed()).numpy() - images
    np.testing.assert_allclose(shift - shift[:, :1, :1, :1], 0, atol=1e-6)
    assert np.abs(shift).max() <= 0.5
    gray = augmentation.saturation(images, _seed()).numpy().mean(axis=-1)
    np.testing.assert_allclose(gray, images.mean(axis=-1), atol=1e-5)
    contrasted = augmentation.contrast(images, _seed()).numpy()
    np.testing.assert_allclose(contrasted.mean(axis=(1, 2, 3)), images.mean(axis=(1, 2, 3)), atol=1e-5)
    factors = contrasted.std(axis=(1, 2, 3)) / images.std(axis=(1, 2, 3))
    assert factors.min() >= 0.5 - 1e-4
    assert factors.max() <= 1.5 + 1e-4


def test_colours_are_left_alone_by_default():
    gray, red = tf.zeros((8, SIZE, SIZE, 3)), tf.tile(tf.constant([1.0, -1.0, -1.0]), (8 * SIZE * SIZE,))
    np.testing.assert_array_equal(DiffAugment()(gray), gray)
    augmented = DiffAugment()(tf.reshape(red, (8, SIZE, SIZE, 3))).numpy().reshape(-1, 3)
    assert {tuple(pixel) for pixel in np.unique(augmented, axis=0)} == {(0, 0, 0), (1, -1, -1)}


def test_configuration_restores_the_augmentation():
    layer = DiffAugment(("contrast", "cutout"), seed=3)
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    np.testing.assert_array_equal(layer(_same_image(4)), restored(_same_image(4)))


@pytest.mark.parametrize("policy", [(), ("blur",), ("cutout", "color"), "cutout"])
def test_unknown_policies_are_refused_in_one_line(policy):
    with pytest.raises(ValueError, match="policy") as error:
        DiffAugment(policy)
    assert "translation" in one_line(error)


def test_r1_sees_through_the_augmentation():
    images = _same_image(4)
    cutout, clone = DiffAugment(("cutout",)), DiffAugment(("cutout",))
    penalty = penalties.R1()(lambda x, _: tf.reduce_sum(cutout(x), axis=(1, 2, 3)), images, images, tf.zeros((4, 1)))
    kept = tf.reduce_sum(clone(tf.ones_like(images))) / 4  # the gradient is 1 where an image is kept, 0 in the box
    np.testing.assert_allclose(penalty, kept / 2, rtol=1e-5)


def test_real_and_generated_images_get_independent_draws():
    layer, drawn = DiffAugment(("cutout",)), []

    def recorded(images):
        factor = layer(tf.ones_like(images))
        drawn.append(factor.numpy())
        return images * factor

    gan = tiny_gan("mlp", augmentation=recorded, penalty="r1", run_eagerly=True)
    logs = gan.train_step(tensors(make_batch()))
    assert len(drawn) == 3  # real, generated, and real again for R1
    assert not np.array_equal(drawn[0], drawn[1])
    assert float(logs["penalty"]) > 0


def test_a_gan_trains_through_every_augmentation():
    gan = tiny_gan("compact", augmentation=DiffAugment(NAMES), penalty=["r1", "r2"])
    before = gan.generator.trainable_weights[0].numpy().copy()
    history = gan.fit(tf.data.Dataset.from_tensors(make_batch()).repeat(2), shuffle=False, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    assert not np.array_equal(before, gan.generator.trainable_weights[0])


MEAN, SCALE = np.linspace(-1, 1, 8).astype(np.float32), np.float32(4.0)


def _captions(count=2000):
    return tf.constant(np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32))


def test_dropped_captions_become_the_mean_and_the_others_stay():
    text = _captions()
    changed = augmentation.CaptionAugmentation(dropout=0.25)(text, MEAN, SCALE).numpy()
    dropped = (changed == MEAN).all(axis=1)
    assert 0.2 < dropped.mean() < 0.3
    np.testing.assert_array_equal(changed[~dropped], text.numpy()[~dropped])


def test_noise_is_in_units_of_the_spread_of_the_captions():
    text = _captions()
    moved = augmentation.CaptionAugmentation(noise=0.5)(text, MEAN, SCALE).numpy() - text.numpy()
    np.testing.assert_allclose(moved.std(), 0.5 / SCALE, rtol=0.05)


def test_a_mixture_lies_between_a_caption_and_the_next_and_nearer_to_its_own():
    text = _captions()
    mixed = augmentation.CaptionAugmentation(mixing=0.4)(text, MEAN, SCALE).numpy()
    towards = np.roll(text, 1, axis=0) - text.numpy()
    shares = ((mixed - text.numpy()) * towards).sum(axis=1) / (towards**2).sum(axis=1)
    np.testing.assert_allclose(mixed, text.numpy() + shares[:, None] * towards, atol=1e-5)
    assert -1e-6 <= shares.min() < 0.05
    assert 0.35 < shares.max() <= 0.4


@pytest.mark.parametrize("options", [{"dropout": 1.0}, {"noise": -0.1}, {"mixing": 0.5}])
def test_impossible_caption_augmentation_is_refused(options):
    with pytest.raises(ValueError, match="must be in") as error:
        augmentation.CaptionAugmentation(**options)
    one_line(error)


def test_training_with_augmented_captions_reaches_both_networks_and_resumes_its_draws():
    layer = augmentation.CaptionAugmentation(dropout=0.2, noise=0.1, mixing=0.2)
    gan = tiny_gan("compact", caption_augmentation=layer)
    state = layer.seed_generator.state
    before = state.numpy().copy()
    first = gan.train_step(tensors(make_batch(8)))
    assert np.isfinite(float(first["generator_loss"]))
    assert (state.numpy() != before).any()
    assert any(variable is state for variable in model_state(gan).values())
