"""The projected discriminator: what is frozen stays so to the bit, is saved with the rest, and is needed to train."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from checks import EMBEDDING_DIM, copies, make_batch, one_line, tensors, tiny_gan, tiny_networks
from PIL import Image

from keras_t2i import TextToImageGAN
from keras_t2i.core.pixels import resize
from keras_t2i.image_features import ImageFeatures
from keras_t2i.networks import CompactGenerator, ProjectedDiscriminator
from keras_t2i.networks.mobilenet_v2 import build_mobilenet_v2, kernel_shapes
from keras_t2i.objectives.augmentation import DiffAugment
from keras_t2i.runs import RunConfig
from keras_t2i.runs.prepare import prepare


@pytest.fixture(scope="module")
def features():
    """MobileNetV2 with random weights and biases, in place of the pretrained ones."""
    random = np.random.default_rng(0)
    arrays = []
    for shape in kernel_shapes():
        fan_in = shape[0] * shape[1] * (1 if shape[3] == 1 else shape[2])
        channels = shape[2] if shape[3] == 1 else shape[3]
        kernel = random.normal(scale=(2 / fan_in) ** 0.5, size=shape).astype(np.float32)
        arrays.append((kernel, random.uniform(-0.1, 0.1, channels).astype(np.float32)))
    return ImageFeatures(build_mobilenet_v2(arrays, 32), "random")


@pytest.fixture(scope="module")
def made(features):
    gan = tiny_gan("projected", augmentation=DiffAugment(), loss="non_saturating", penalty=None)
    gan.discriminator.initialize_backbone(features.network.get_weights())
    return gan, gan.get_weights()


@pytest.fixture
def gan(made):
    """The same model for every test, with the weights that it started from."""
    gan, weights = made
    gan.set_weights(weights)
    return gan


def _fixed(discriminator):
    return [discriminator.backbone, *discriminator.mix_channels, *discriminator.mix_scales]


def _fixed_weights(discriminator):
    return [weight for layer in _fixed(discriminator) for weight in layer.weights]


def test_training_moves_every_head_and_nothing_that_is_fixed(gan):
    fixed, trained = _fixed_weights(gan.discriminator), gan.discriminator.trainable_weights
    assert len(fixed) == 2 * 51 + 4 + 3
    assert not {id(weight) for weight in fixed} & {id(weight) for weight in trained}
    fixed_before, trained_before = copies(fixed), copies(trained)
    data = tf.data.Dataset.from_tensors(tensors(make_batch())).repeat(2)
    gan.fit(data, epochs=1, verbose=0)
    for name, value in copies(fixed).items():
        np.testing.assert_array_equal(value, fixed_before[name], err_msg=name)
    for name, value in copies(trained).items():
        assert np.abs(value - trained_before[name]).max() > 0, name


def test_no_one_sets_the_fixed_part_trainable_by_the_whole(gan):
    discriminator = gan.discriminator
    count = len(discriminator.trainable_weights)
    discriminator.trainable = False
    assert not discriminator.trainable
    assert discriminator.trainable_weights == []
    discriminator.trainable = True
    assert len(discriminator.trainable_weights) == count
    assert not any(weight.trainable for weight in _fixed_weights(discriminator))


def test_gradients_pass_through_the_fixed_part_to_every_pixel(gan):
    batch = tensors(make_batch())
    with tf.GradientTape() as tape:
        tape.watch(batch["images"])
        logits = gan.discriminator(batch["images"], batch["sentence_embeddings"], training=True)
    gradient = tape.gradient(logits, batch["images"]).numpy()
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max(axis=-1) > 0).mean() > 0.99


def test_a_preset_brings_the_frozen_weights_along(gan, tmp_path):
    gan.save_to_preset(tmp_path / "preset")
    loaded = TextToImageGAN.from_preset(tmp_path / "preset")
    for ours, theirs in zip(gan.discriminator.weights, loaded.discriminator.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    loaded.compile(loss="non_saturating", penalty=None)
    loaded.fit(tf.data.Dataset.from_tensors(tensors(make_batch())), verbose=0)
    batch = make_batch(seed=1)
    assert np.isfinite(loaded.discriminator(batch["images"], batch["sentence_embeddings"])).all()


def test_training_without_pretrained_weights_is_refused_in_one_line():
    gan = TextToImageGAN(None, *tiny_networks("projected"), embedding_dim=EMBEDDING_DIM)
    gan.compile(penalty=None)
    with pytest.raises(ValueError, match="call `initialize_backbone`") as error:
        gan.fit(tf.data.Dataset.from_tensors(tensors(make_batch())), verbose=0)
    one_line(error)


def test_taps_are_those_of_the_pretrained_network(features, gan):
    images = make_batch()["images"]
    taps = gan.discriminator.backbone(images)
    expected = features.network(images)
    for tap, stride in zip(taps, (4, 8, 16, 32), strict=True):
        np.testing.assert_array_equal(tap, expected[f"stride_{stride}"])


def test_other_weights_are_refused_in_one_line(gan, features):
    weights = features.network.get_weights()
    for wrong in (weights[:-4], weights[2:], []):
        with pytest.raises(ValueError, match="102 kernels and biases of MobileNetV2") as error:
            gan.discriminator.initialize_backbone(wrong)
        one_line(error)


@pytest.mark.parametrize("channels", [3, 8])
@pytest.mark.parametrize(("image_size", "input_size"), [(64, 32), (64, 96), (64, 128), (128, 96), (32, 32)])
def test_images_and_maps_are_resized_as_those_of_image_features_are(image_size, input_size, channels):
    images = tf.random.stateless_uniform((2, image_size, image_size, channels), (1, 2), -1.0, 1.0)
    expected = tf.image.resize(images, (input_size, input_size), antialias=True)
    np.testing.assert_allclose(resize(images, input_size), expected, atol=1e-5)


def test_layouts_have_forms_which_neither_light_nor_contrast_changes():
    _, discriminator = tiny_networks("projected")
    assert discriminator.forms, "as the family has it"
    plain = ProjectedDiscriminator.from_config({**discriminator.get_config(), "forms": 0.0})
    plain.build_for(EMBEDDING_DIM)
    discriminator.build_for(EMBEDDING_DIM)
    assert (plain.num_layout_numbers, discriminator.num_layout_numbers) == (16, 32)
    random = np.random.default_rng(0)
    images = np.kron(random.uniform(-0.5, 0.5, (2, 4, 4, 3)), np.ones((1, 8, 8, 1))).astype("float32")

    def forms(images):
        layouts = np.asarray(discriminator.layout(images))
        assert layouts.shape[1] == plain.layout(images).shape[1] + 64
        return layouts[:, -64:] / discriminator.forms

    np.testing.assert_allclose(forms(images).std(axis=-1), 1.0, atol=0.05)
    np.testing.assert_allclose(forms(0.8 * images + 0.3), forms(images), atol=0.05)
    mirrored = forms(images[:, :, ::-1]).reshape(2, 8, 8)[:, :, ::-1]
    np.testing.assert_allclose(mirrored.reshape(2, 64), forms(images), atol=1e-4)
    assert np.abs(forms(images[:, :, ::-1]) - forms(images)).mean() > 0.3
    flat = np.zeros((1, 32, 32, 3), "float32")
    np.testing.assert_allclose(forms(flat), 0.0, atol=1e-6)


def test_match_is_the_logit_without_realness():
    _, discriminator = tiny_networks("projected")
    discriminator.build_for(EMBEDDING_DIM)
    batch = make_batch(5, seed=1)
    found = discriminator.extract(batch["images"])
    match = np.asarray(discriminator.match(found, batch["sentence_embeddings"]))
    logits = discriminator.judge(found, batch["sentence_embeddings"])
    assert match.shape == (5, 5)
    np.testing.assert_allclose(logits, np.asarray(found[0]) + np.diag(match), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "problem"), [({"input_size": 50}, "multiple of 32; got 50"), ({"widths": (4, 4)}, "4 numbers")]
)
def test_impossible_settings_are_refused_in_one_line(options, problem):
    with pytest.raises(ValueError, match=problem) as error:
        ProjectedDiscriminator(32, **options)
    one_line(error)


def test_a_run_that_was_begun_in_another_form_goes_on_in_it(features, tmp_path):
    """As it was before: features neither scaled nor grown smoothly, fewer channels, images at their own size, one a
    caption."""
    weights = features.network.get_weights()
    names = [f"{kind}{number:02d}" for number in range(len(weights) // 2) for kind in "kb"]
    np.savez(tmp_path / "mobilenet.npz", **dict(zip(names, weights, strict=True)))
    for number in range(24):
        pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((32, 32)).save(tmp_path / f"{number:02d}.png")
        (tmp_path / f"{number:02d}.txt").write_text(f"a picture of kind {number % 2}")
    config = RunConfig(str(tmp_path), "projected", image_size=32, frozen_features=str(tmp_path / "mobilenet.npz"))
    new = prepare(config, tmp_path / "run").model
    assert (new.generator.normalized, new.discriminator.input_size) == (True, 128)
    assert (new.generator.widths, new.generator.text_width) == ((256, 192, 96), 256)
    assert new.discriminator.pixel_width == 32
    assert (new.generator.noise_first, new.discriminator.forms > 0) == (True, True)
    assert (new.variety.num_numbers, new.variety.weight) == (20, 4.0), "one less than there are training images"
    old = TextToImageGAN(
        new.text_encoder, CompactGenerator(32, normalized=False), ProjectedDiscriminator(32, input_size=64)
    )
    old.save_to_preset(tmp_path / "run" / "preset")
    for begun in (
        prepare(config, tmp_path / "run").model,
        prepare(replace(config, start_from=str(tmp_path / "run"))).model,
    ):
        assert (begun.generator.normalized, begun.generator.interpolation) == (False, "nearest")
        assert (begun.generator.widths, begun.generator.text_width) == ((128, 96, 64), 128)
        assert (begun.discriminator.input_size, begun.discriminator.pixel_width) == (64, 0)
        assert (begun.generator.noise_first, begun.discriminator.forms) == (False, 0.0)
        assert begun.variety is None
    scaled = TextToImageGAN(new.text_encoder, CompactGenerator(32, normalized=True), ProjectedDiscriminator(32))
    scaled.save_to_preset(tmp_path / "scaled" / "preset")
    begun = prepare(config, tmp_path / "scaled").model
    assert (begun.generator.noise_first, begun.discriminator.forms) == (False, 0.0)
    assert (begun.variety.num_numbers, begun.variety.weight) == (16, 2.0)
    with pytest.raises(ValueError, match="its generator is another one"):
        prepare(replace(config, size="base", start_from=str(tmp_path / "run")))
