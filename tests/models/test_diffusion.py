"""DiffusionTextToImage: what it minimises, what it draws, and that everything a model can do it can do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from checks import EMBEDDING_DIM, copies, make_batch, one_line, tensors, tiny_flow
from keras import ops

from keras_t2i import DiffusionTextToImage, TextToImage, TextToImageGAN, data, training
from keras_t2i.models import build_gan, compile_gan, family_of
from keras_t2i.networks import FlowGenerator
from keras_t2i.objectives.augmentation import CaptionAugmentation
from keras_t2i.objectives.flow_matching import FlowMatching
from keras_t2i.transfer import strategies


def test_the_loss_is_that_of_the_straight_line_from_image_to_noise(monkeypatch: Any) -> None:
    """By the formula: at `(1 - t) image + t noise`, the squared error from `noise - image`, at the network's times."""
    random = np.random.default_rng(0)
    images, noise = random.uniform(-1, 1, (3, 4, 4, 3)).astype(np.float32), random.normal(size=(3, 4, 4, 3))
    normal = random.normal(size=3)
    drawn = iter([noise, normal])
    monkeypatch.setattr(keras.random, "normal", lambda shape, seed: ops.convert_to_tensor(np.float32(next(drawn))))
    seen: dict[str, Any] = {}

    class Network:
        def velocity(self, noisy: Any, times: Any, text: Any, training: bool) -> Any:
            seen.update(noisy=np.array(noisy), times=np.array(times), text=text)
            return 0.5 * noisy

        def shifted(self, times: Any) -> Any:
            return times**2

    loss = FlowMatching(mean=0.3, deviation=2.0)(Network(), images, "text", 0, True)
    times = 1 / (1 + np.exp(-(0.3 + 2.0 * normal))) ** 2
    noisy = (1 - times)[:, None, None, None] * images + times[:, None, None, None] * noise
    np.testing.assert_allclose(seen["times"], times, rtol=1e-5)
    np.testing.assert_allclose(seen["noisy"], noisy, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(float(loss), np.mean((0.5 * noisy - (noise - images)) ** 2), rtol=1e-5)
    assert seen["text"] == "text"


@pytest.mark.parametrize("num_steps", [1, 2, 7])
def test_the_true_velocity_of_an_image_leads_to_it_in_any_number_of_steps(num_steps: int) -> None:
    """It catches a wrong sign, or another scale of time, where images are drawn."""
    image = np.random.default_rng(1).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)

    class Truth(FlowGenerator):
        def velocity(self, noisy: Any, times: Any, sentence_embeddings: Any, training: bool | None = None) -> Any:
            return (noisy - image) / ops.reshape(times, (-1, 1, 1, 1))

    network = Truth(32, num_steps=num_steps)
    latents = np.random.default_rng(2).normal(size=(2, 3 * 32 * 32)).astype(np.float32)
    text = np.zeros((2, EMBEDDING_DIM), np.float32)
    network.embedding_dim = EMBEDDING_DIM
    for steps in (num_steps, ops.convert_to_tensor(num_steps)):
        np.testing.assert_allclose(network.draw(latents, text, steps), image, atol=1e-5)


def test_steps_begin_near_noise_by_the_shift() -> None:
    """`s t / (1 + (s - 1) t)`: of 8 steps by a shift of 6, seven lie in the noisier half; a shift of 1 leaves them."""
    times = np.linspace(0, 1, 9)
    shifted = np.asarray(FlowGenerator(32, shift=6.0).shifted(times))
    np.testing.assert_allclose(shifted, 6 * times / (1 + 5 * times), rtol=1e-6)
    assert (shifted[1:] >= 0.46).sum() == 8
    np.testing.assert_allclose(FlowGenerator(32, shift=1.0).shifted(times), times)
    with pytest.raises(ValueError, match=r"`shift` must be above 0; got 0\."):
        FlowGenerator(32, shift=0.0)


def test_a_row_is_drawn_in_its_own_number_of_steps() -> None:
    network = tiny_flow().generator
    latents = np.random.default_rng(0).normal(size=(3, 3 * 32 * 32)).astype(np.float32)
    text = make_batch(3)["sentence_embeddings"]
    together = network.draw(latents, text, ops.convert_to_tensor(np.array([1, 5, 2], np.int32)))
    for row, steps in enumerate((1, 5, 2)):
        alone = network.draw(latents[row : row + 1], text[row : row + 1], steps)
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)
    assert np.abs(np.array(network.draw(latents, text, 5)) - np.array(network.draw(latents, text, 1))).max() > 0.01


def test_the_gradient_reaches_every_weight_and_none_of_the_average() -> None:
    model = tiny_flow(depth=2)
    before, average = copies(model.generator.trainable_variables), copies(model.ema_generator.variables)
    model.train_on_batch(make_batch())
    after = copies(model.generator.trainable_variables)
    assert all(np.any(before[name] != after[name]) for name in before)
    moved = copies(model.ema_generator.variables)
    share = [np.abs(moved[name] - average[name]).max() for name in average if average[name].size > 1]
    assert 0 < max(share) < 0.01, "the average follows by a thousandth"


def test_training_lowers_the_error_on_images_that_are_held_out() -> None:
    model = tiny_flow()
    batch, held_out = tensors(make_batch(16, seed=1)), tensors(make_batch(16, seed=2))
    model.ema_decay = 0.9
    before = model.test_on_batch(held_out, return_dict=True)["generator_loss"]
    for _ in range(40):
        model.train_on_batch(batch)
    model.reset_metrics()
    after = model.test_on_batch(held_out, return_dict=True)["generator_loss"]
    assert after < 0.9 * before
    model.reset_metrics()
    assert model.test_on_batch(held_out, return_dict=True)["generator_loss"] == after, "the same noise each time"


def test_images_depend_on_caption_seed_and_number_alone(text_encoder: Any) -> None:
    model = tiny_flow(text_encoder)
    captions = ["a red circle", "a blue square", "two green stars"]
    images = model.generate(captions, num_images=2, seed=3)
    assert images.shape == (6, 32, 32, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(model.generate(captions[:1], num_images=2, seed=3), images[:2])
    assert np.any(images[0] != images[1])
    assert np.any(model.generate(captions[0], seed=4)[0] != images[0])
    embeddings = np.repeat(text_encoder.encode(captions), 2, axis=0)
    np.testing.assert_array_equal(model.generate_from_embeddings(embeddings, seed=3), images)


def test_steps_guidance_and_a_negative_prompt_change_what_is_drawn(text_encoder: Any) -> None:
    model = tiny_flow(text_encoder)
    plain = model.generate("a red circle")
    np.testing.assert_array_equal(model.generate("a red circle", num_steps=2, guidance=1.0), plain)
    others = [{"num_steps": 3}, {"guidance": 3.0}, {"guidance": 3.0, "negative_prompt": "a blue square"}]
    drawn = [model.generate("a red circle", **options) for options in others]
    assert len({image.tobytes() for image in [plain, *drawn]}) == 4
    instead = model.generate("a red circle", guidance=0.0, negative_prompt="a blue square")
    np.testing.assert_allclose(instead.astype(int), model.generate("a blue square").astype(int), atol=1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"num_steps": 0}, "`num_steps` must be at least 1; got 0"),
        ({"truncation": 0.5}, "`truncation` must be 1"),
        ({"num_images": 0}, "Nothing to generate"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(text_encoder: Any, options: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)) as error:
        tiny_flow(text_encoder).generate("a red circle", **options)
    assert one_line(error)


def test_guidance_needs_dropped_captions(text_encoder: Any) -> None:
    model = tiny_flow(text_encoder)
    assert model.conditioning_dropout == 0.1, "so that guidance works unless dropping is turned off"
    model.compile(caption_augmentation=None)
    with pytest.raises(ValueError, match="--caption-dropout") as error:
        model.generate("a red circle", guidance=2.0)
    assert one_line(error)


def test_a_preset_gives_the_same_pixels_and_the_kind_of_model_that_was_saved(text_encoder: Any, tmp_path: Path) -> None:
    model = tiny_flow(text_encoder, num_steps=3)
    model.save_to_preset(tmp_path / "flow")
    again = TextToImage.from_preset(tmp_path / "flow")
    assert (type(again), again.generator.num_steps, family_of(again)) == (DiffusionTextToImage, 3, "flow")
    assert again.fingerprint() == model.fingerprint()
    np.testing.assert_array_equal(again.generate("a red circle", num_images=2), model.generate("a red circle", 2))
    with pytest.raises(ValueError, match="a DiffusionTextToImage, not a TextToImageGAN") as error:
        TextToImageGAN.from_preset(tmp_path / "flow")
    assert one_line(error)
    assert type(TextToImage.from_preset("shapes_64")) is TextToImageGAN


def test_keras_own_file_holds_the_whole_model(text_encoder: Any, tmp_path: Path) -> None:
    model = tiny_flow(text_encoder)
    model.train_on_batch({**make_batch(), "sentence_embeddings": text_encoder.encode(["a", "b", "c", "d"])})
    model.save(tmp_path / "flow.keras")
    again = keras.saving.load_model(tmp_path / "flow.keras")
    np.testing.assert_array_equal(again.generate("a star"), model.generate("a star"))
    batch = {**make_batch(seed=5), "sentence_embeddings": text_encoder.encode(["a", "b", "c", "d"])}
    for each in (model, again):
        each.train_on_batch(batch)
    for ours, theirs in zip(model.generator.get_weights(), again.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_interrupted_run_ends_as_one_that_was_not(text_encoder: Any, tmp_path: Path) -> None:
    images = data.shapes(num_images=32, image_size=32, batch_size=8).encode(text_encoder)

    def new() -> DiffusionTextToImage:
        keras.utils.set_random_seed(1)
        return tiny_flow(text_encoder)

    whole, parts = new(), new()
    training.train(whole, images, tmp_path / "whole", steps=6)
    training.train(parts, images, tmp_path / "parts", steps=3)
    parts = new()
    training.train(parts, images, tmp_path / "parts", steps=6)
    for ours, theirs in zip(whole.variables, parts.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"loss": "hinge"}, "loss"),
        ({"penalty": "r1"}, "penalty"),
        ({"augmentation": lambda images: images}, "augmentation"),
    ],
)
def test_what_only_a_discriminator_has_is_refused_in_one_line(options: Any, named: str) -> None:
    with pytest.raises(ValueError, match=f"flow is trained without a discriminator, and {named}") as error:
        build_gan("flow", None, 32, embedding_dim=EMBEDDING_DIM, **options)
    assert one_line(error)


def test_dropping_captions_can_be_changed() -> None:
    dropping = CaptionAugmentation(0.3, 0.0)
    model = tiny_flow()
    compile_gan(model, "flow", caption_augmentation=dropping)
    assert model.conditioning_dropout == 0.3


def test_settings_that_make_no_network_are_refused_in_one_line() -> None:
    for settings, expected in (({"widths": (8,)}, "`widths` must be two"), ({"num_steps": 0}, "must be at least 1")):
        with pytest.raises(ValueError, match=re.escape(expected)) as error:
            FlowGenerator(32, **settings)
        assert one_line(error)


@pytest.mark.parametrize(
    "strategy", ["full", "freeze:early_blocks=1", "freeze:late_blocks=1", "modulation", "lora:rank=2"]
)
def test_a_strategy_moves_what_it_says_and_nothing_else(strategy: str) -> None:
    model = tiny_flow()
    plan = strategies.apply(strategy, model)
    compile_gan(model, "flow", generator_terms=plan.terms)
    before = copies(model.generator.variables)
    model.train_on_batch(make_batch())
    after = copies(model.generator.variables)
    moved = sum(before[name].size for name in before if np.any(before[name] != after[name]))
    assert moved == plan.count("generator", "trained") - (0 if strategy != "lora:rank=2" else _untouched(model))
    assert (moved == model.generator.count_params() - 9) == (strategy == "full"), "text_mean and text_scale stay"


def _untouched(model: DiffusionTextToImage) -> int:
    """Of LoRA's factors those that meet a factor of zeros in the first step."""
    return sum(int(np.prod(w.shape)) for w in model.generator.trainable_variables if "lora_kernel_a" in w.path)


def test_a_strategy_of_discriminators_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="has no discriminator to freeze layers of") as error:
        strategies.apply("freeze:discriminator=stem", tiny_flow())
    assert one_line(error)
    with pytest.raises(ValueError, match=r"freeze_d needs a discriminator.*lora") as error:
        strategies.apply("freeze_d", tiny_flow())
    assert one_line(error)
