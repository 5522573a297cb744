"""What only the default family does: it matches every image with every caption of a batch."""

import json

import keras
import numpy as np
import pytest
from checks import EMBEDDING_DIM, built_networks, make_batch, move_weights, tiny_gan

from keras_t2i import TextToImageGAN, losses
from keras_t2i.models import build_gan, family_of, files
from keras_t2i.networks import GuidedGenerator, UpscaledGenerator
from keras_t2i.networks.compact import CompactGenerator
from keras_t2i.networks.projected import ProjectedDiscriminator
from keras_t2i.networks.residual import UpBlock
from keras_t2i.runs import RunConfig
from keras_t2i.runs.prepare import build
from keras_t2i.transfer.layers import blocks


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


def tiny_projected():
    return ProjectedDiscriminator(32, input_size=32, widths=(4, 4, 6, 6), head_width=8)


def test_features_of_any_scale_draw_the_same_where_they_are_normalized():
    text = np.random.default_rng(0).normal(size=(4, EMBEDDING_DIM)).astype("float32")
    drawn = {}
    for normalized in (True, False):
        generator = CompactGenerator(image_size=32, widths=(8, 8, 8), normalized=normalized)
        generator.build_for(EMBEDDING_DIM)
        noise = np.random.default_rng(1).normal(size=(4, 64)).astype("float32")
        before = np.asarray(generator(noise, text))
        # Not through the blocks, which add to what they get: the last two layers.
        for layer in (generator.full_size, generator.to_features):
            layer.kernel.assign(1000 * layer.kernel)
        drawn[normalized] = before, np.asarray(generator(noise, text))
    assert np.abs(drawn[False][1]).mean() > 0.99  # All black, white and glaring.
    assert np.abs(drawn[True][1]).mean() < 0.9
    assert np.abs(drawn[True][0]).mean() < 0.9


def test_maps_grow_without_steps_unless_told_to():
    text, noise = np.zeros((1, EMBEDDING_DIM), "float32"), np.random.default_rng(1).normal(size=(1, 64))
    steps = {}
    for interpolation in ("bilinear", "nearest"):
        block = UpBlock(6, interpolation=interpolation)
        maps = np.random.default_rng(0).normal(size=(1, 8, 8, 6)).astype("float32")
        grown = np.asarray(block(maps, np.concatenate([noise, text], axis=1).astype("float32")))
        assert grown.shape == (1, 16, 16, 6)
        across = np.abs(np.diff(grown, axis=2)).mean(axis=(0, 1, 3))
        steps[interpolation] = across[1::2].mean() / across[::2].mean()  # Between old pixels, and within them.
    assert steps["nearest"] > 5
    assert steps["bilinear"] < 3


def test_a_model_from_before_the_choice_keeps_its_form_also_where_training_starts_from_it(tmp_path):
    old, new = (
        TextToImageGAN(None, CompactGenerator(32, widths=(8, 8, 8), **form), tiny_projected(), embedding_dim=8)
        for form in ({}, {"normalized": True, "interpolation": "bilinear", "noise_first": True})
    )
    text = np.random.default_rng(0).normal(size=(2, 8)).astype("float32")
    for name, gan in (("old", old), ("new", new)):
        gan.card = {"family": "projected"}
        gan.save_to_preset(tmp_path / name)
    file = tmp_path / "old" / "config.json"
    described = json.loads(file.read_text())
    for setting in ("normalized", "interpolation", "activation", "noise_first"):  # Nobody knew of them.
        del described["generator"]["config"][setting]
    assert family_of({**described, "card": {}}) == "projected"
    started = {
        name: build_gan("projected", None, 32, embedding_dim=8, start_from=config).generator
        for name, config in (("old", described), ("new", json.loads((tmp_path / "new" / "config.json").read_text())))
    }
    found = {name: (made.normalized, made.interpolation, made.noise_first) for name, made in started.items()}
    assert found == {"old": (False, "nearest", False), "new": (True, "bilinear", True)}
    again = CompactGenerator.from_config(described["generator"]["config"])
    again.build_for(8)
    again.set_weights(old.generator.get_weights())
    noise = np.random.default_rng(1).normal(size=(2, 64)).astype("float32")
    np.testing.assert_array_equal(again(noise, text), old.generator(noise, text))


def test_where_noise_is_first_captions_choose_among_what_it_has_begun():
    keras.utils.set_random_seed(0)
    generator = CompactGenerator(32, latent_dim=6, widths=(8, 8, 8), noise_first=True)
    generator.build_for(EMBEDDING_DIM)
    move_weights(generator)
    noise = np.random.default_rng(1).normal(size=(2, 6)).astype("float32")
    texts = np.random.default_rng(2).normal(size=(2, EMBEDDING_DIM)).astype("float32")
    (first, *_), (others, *_) = (generator.features(noise, text) for text in (texts, texts[::-1]))
    np.testing.assert_array_equal(first, others)
    assert not np.any(generator.features(np.zeros_like(noise), texts)[0]), "no noise, no forms"
    assert np.abs(np.asarray(generator(noise, texts)) - np.asarray(generator(noise, texts[::-1]))).mean() > 0.01


def test_training_starts_from_a_packaged_model_of_before():
    started = build(RunConfig("shapes", start_from="shapes_64"))
    files.initialize(started, "shapes_64")
    packaged = TextToImageGAN.from_preset("shapes_64")
    packaged.caption_denoiser = None  # A model that is to be trained has none.
    caption = "a large red star on a white background"
    np.testing.assert_array_equal(started.generate(caption, 2), packaged.generate(caption, 2))
    with pytest.raises(ValueError, match="its discriminator is another one"):
        files.initialize(build(RunConfig("shapes", discriminator_depth=2)), "shapes_64")


def test_maps_may_start_at_eight_pixels_and_say_so_in_the_configuration():
    latents, text = np.zeros((2, 64), "float32"), np.ones((2, EMBEDDING_DIM), "float32")
    generator = CompactGenerator(32, widths=(6, 4), text_width=8, start_size=8)
    generator.build_for(EMBEDDING_DIM)
    assert generator.features(latents, text)[0].shape == (2, 8, 8, 6)
    assert generator(latents, text).shape == (2, 32, 32, 3)
    again = CompactGenerator.from_config(generator.get_config())
    again.build_for(EMBEDDING_DIM)
    again.set_weights(generator.get_weights())
    np.testing.assert_array_equal(again(latents, text), generator(latents, text))
    with pytest.raises(ValueError, match=r"`start_size` must be 4 or 8; got 16"):
        CompactGenerator(32, start_size=16)


def test_widths_have_names_and_the_wide_ones_are_wide_where_maps_are_small():
    assert CompactGenerator(64).widths == CompactGenerator(64, widths="narrow").widths == (128, 96, 64, 32)
    wide = CompactGenerator(64, widths="wide", text_width=256)
    assert wide.widths == (256, 192, 96, 32)
    assert wide.get_config()["widths"] == wide.widths  # Numbers, so that a preset stays as it is.
    assert CompactGenerator(32, widths="wide", start_size=8).widths == (256, 192)
    with pytest.raises(ValueError, match=r"Unknown widths 'huge'\. Expected one of: narrow, wide"):
        CompactGenerator(64, widths="huge")


def test_deeper_text_is_read_where_it_is_asked_for_and_is_no_block_that_is_frozen_by_its_number():
    plain, deep = (CompactGenerator(32, widths=(6, 4, 4), text_width=8, text_depth=depth) for depth in (1, 3))
    for network in (plain, deep):
        network.build_for(EMBEDDING_DIM)
    assert deep.count_params() == plain.count_params() + 2 * (8 * 8 + 8)
    again = CompactGenerator.from_config(deep.get_config())
    assert again.text_depth == 3
    assert blocks(deep) == blocks(plain)
    latents, text = np.ones((4, 64), "float32"), make_batch()["sentence_embeddings"]
    before = np.array(deep(latents, text))
    move_weights(deep.deeper_text)
    assert np.abs(np.array(deep(latents, text)) - before).max() > 1e-3
    with pytest.raises(ValueError, match="`text_depth` must be at least 1; got 0"):
        CompactGenerator(32, text_depth=0)


def test_the_greatest_of_the_first_numbers_of_the_noise_chooses_a_mode():
    generator = CompactGenerator(32, latent_dim=6, text_width=16, widths=(16, 8, 8), modes=3)
    generator.build_for(EMBEDDING_DIM)
    move_weights(generator)
    for name in ("to_style", "to_features"):  # So that the noise has no other way.
        kernel, bias = getattr(generator, name).get_weights()
        kernel[:6] = 0.0
        getattr(generator, name).set_weights([kernel, bias])
    latents = np.zeros((6, 6), "float32")
    latents[np.arange(6), np.arange(6) % 3] = (2.0, 2.0, 2.0, 3.0, 3.0, 3.0)
    embeddings = np.repeat(make_batch(1)["sentence_embeddings"], 6, axis=0)
    images = np.asarray(generator(latents, embeddings))
    np.testing.assert_allclose(images[:3], images[3:], atol=1e-4)
    apart = [np.abs(images[one] - images[other]).max() for one, other in ((0, 1), (0, 2), (1, 2))]
    assert min(apart) > 0.01
    copy = CompactGenerator.from_config(generator.get_config())
    assert copy.modes == 3


def test_modes_are_no_more_than_there_is_noise_and_none_has_no_weights():
    with pytest.raises(ValueError, match="`modes` must be at least 0 and at most `latent_dim`, 6; got 7"):
        CompactGenerator(32, latent_dim=6, modes=7)
    generator, _ = built_networks("compact")
    assert not [weight.path for weight in generator.weights if "/mode/" in weight.path]


def mirroring(mirrored: bool = True) -> CompactGenerator:
    keras.utils.set_random_seed(0)
    generator = CompactGenerator(image_size=32, latent_dim=6, widths=(8, 8, 8), mirrored=mirrored)
    generator.build_for(EMBEDDING_DIM)
    move_weights(generator)
    return generator


def test_the_sign_of_the_last_number_of_the_noise_mirrors():
    plain, generator = mirroring(False), mirroring()
    batch = make_batch(8, seed=3)
    noise = np.random.default_rng(1).normal(size=(8, 6)).astype("float32")
    expected = np.array(plain(noise, batch["sentence_embeddings"]))
    turned = noise[:, -1] < 0
    assert 0 < turned.sum() < 8
    expected[turned] = expected[turned, :, ::-1]
    np.testing.assert_array_equal(generator(noise, batch["sentence_embeddings"]), expected)
    again = CompactGenerator.from_config(generator.get_config())
    assert again.mirrored


def test_mirror_images_are_mirrored_back():
    noise = np.random.default_rng(1).normal(size=(8, 6)).astype("float32")
    batch = make_batch(8, seed=3)
    plain, generator = mirroring(False), mirroring()
    upright = plain(noise, batch["sentence_embeddings"])
    drawn = generator(noise, batch["sentence_embeddings"])
    np.testing.assert_array_equal(generator.unmirrored(drawn, noise), upright)
    np.testing.assert_array_equal(plain.unmirrored(upright, noise), upright)


def test_what_draws_with_a_generator_that_mirrors_is_mirrored_back_where_it_was_mirrored():
    """A second stage enlarges mirror images; what completes a picture draws none."""
    noise = np.abs(np.random.default_rng(1).normal(size=(8, 6)).astype("float32"))
    turned = np.concatenate([noise[:, :-1], -noise[:, -1:]], axis=1)
    batch = make_batch(8, seed=3)
    large = UpscaledGenerator(mirroring(), image_size=64, width=4, depth=1)
    large.build_for(EMBEDDING_DIM)
    drawn = np.asarray(large(turned, batch["sentence_embeddings"]))
    np.testing.assert_array_equal(large.unmirrored(drawn, turned), drawn[:, :, ::-1])
    np.testing.assert_array_equal(large.unmirrored(drawn, noise), drawn)
    guided = GuidedGenerator(mirroring(), width=4)
    guided.build_for(EMBEDDING_DIM)
    condition = {"sentence_embeddings": batch["sentence_embeddings"], **guided.given(batch["images"], 0)}
    of_picture = np.asarray(guided(turned, condition))
    np.testing.assert_array_equal(guided.unmirrored(of_picture, turned), of_picture)
    np.testing.assert_allclose(of_picture, mirroring(False)(turned, batch["sentence_embeddings"]), atol=1e-5)


def test_a_run_mirrors_where_its_images_are_and_goes_on_as_it_was_begun(tmp_path):
    def mirrored(flip, run_dir=None, start_from=None):
        config = RunConfig("images", "compact", image_size=32, flip=flip, start_from=start_from)
        return [build(config, run_dir).parts()[name].network.mirrored for name in ("generator", "ema_generator")]

    assert mirrored(False) == [False, False]
    assert mirrored(True) == [True, True]
    assert [build(RunConfig("images", "df_gan", image_size=32, flip=True)).generator.get_config().get("mirrored")] == [
        None
    ]
    for number, flip in enumerate((False, True)):
        run, tuned = tmp_path / f"run_{number}", tmp_path / f"tuned_{number}"
        model = build(RunConfig("images", "compact", image_size=32, flip=flip))
        model.save_to_preset(run / "preset")
        assert mirrored(True, run) == [flip, flip], "what was begun goes on"
        assert mirrored(not flip, tuned, str(run / "preset")) == [not flip, not flip], "what starts anew does not"
        assert TextToImageGAN.from_preset(run / "preset").generator.mirrored == flip
