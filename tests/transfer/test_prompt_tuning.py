"""A word learned from a few images: it moves towards them, survives files, and nothing else changes, to the bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_encoder
from checks import copies, move_weights, one_line, tiny_gan

from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.text import TextEncoder
from keras_t2i.transfer.prompt_tuning import SoftPrompt, add_tokens, learn_token

OTHER_CAPTIONS = ["a red star on the left", "blue circle"]


class Coarse:
    """Image features that say no more than what is where, roughly."""

    def maps(self, images: tf.Tensor) -> list[tf.Tensor]:
        return [tf.nn.avg_pool2d(images, 8, 8, "VALID")]


def make_gan(encoder: TextEncoder | None = None) -> TextToImageGAN:
    encoder = encoder or TextEncoder.from_preset("caption_mini_en")
    keras.utils.set_random_seed(0)
    gan = tiny_gan("compact", encoder)
    for network in (gan.generator, gan.discriminator):
        move_weights(network)
    gan.ema_generator.set_weights(gan.generator.get_weights())
    return gan


def every_weight(gan: TextToImageGAN) -> dict[str, np.ndarray]:
    networks = (gan.generator, gan.discriminator, gan.ema_generator, gan.text_encoder.backbone)
    return copies([weight for network in networks for weight in network.weights])


@pytest.fixture(scope="module")
def learned() -> dict[str, Any]:
    """A word for what a model draws of a caption, learned by that model; and all there was before."""
    gan = make_gan()
    before = {"weights": every_weight(gan), "images": gan.generate(OTHER_CAPTIONS, num_images=2)}
    examples = gan.generate(["a red star"], num_images=8, seed=3)
    prompt = learn_token(
        gan, examples, "mystar", template="a {}", init="dog", features=Coarse(), steps=60, judge_weight=0.0
    )
    return {**before, "gan": gan, "examples": examples, "prompt": prompt, "after": every_weight(gan)}


def test_learning_draws_towards_the_examples(learned: dict[str, Any]) -> None:
    prompt, gan, examples = learned["prompt"], make_gan(learned["gan"].text_encoder), learned["examples"]
    before, after = prompt.objective
    assert after < 0.8 * before
    prompt.attach(gan)
    drawn = {word: gan.generate([f"a {word}"], num_images=64, seed=11) for word in ("mystar", "dog")}
    distance = {word: np.square(images.mean(axis=0) - examples.mean(axis=0)).mean() for word, images in drawn.items()}
    assert distance["mystar"] < distance["dog"]


def test_learning_moves_no_weight(learned: dict[str, Any]) -> None:
    for name, value in learned["weights"].items():
        np.testing.assert_array_equal(learned["after"][name], value, err_msg=name)
    np.testing.assert_array_equal(learned["gan"].generate(OTHER_CAPTIONS, num_images=2), learned["images"])


def test_a_model_with_the_word_draws_all_else_as_before(learned: dict[str, Any], tmp_path: Path) -> None:
    gan = make_gan(learned["gan"].text_encoder)
    weights = [weight.numpy() for weight in gan.generator.weights]
    learned["prompt"].attach(gan)
    np.testing.assert_array_equal(gan.generate(OTHER_CAPTIONS, num_images=2), learned["images"])
    for weight, value in zip(gan.generator.weights, weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    assert [layer for layer in gan.layers if isinstance(layer, TextEncoder)] == [gan.text_encoder]
    gan.save_to_preset(tmp_path / "preset")
    again = TextToImageGAN.from_preset(tmp_path / "preset")
    captions = ["a mystar", *OTHER_CAPTIONS]
    np.testing.assert_array_equal(again.generate(captions), gan.generate(captions))


def test_files_hold_the_word_to_the_bit(learned: dict[str, Any], tmp_path: Path) -> None:
    prompt, path = learned["prompt"], tmp_path / "mystar.safetensors"
    prompt.save(path)
    again = SoftPrompt.load(path)
    np.testing.assert_array_equal(again.vector, prompt.vector)
    assert again == prompt
    assert hash(again) == hash(prompt)
    assert again != dataclasses.replace(prompt, vector=prompt.vector + 1)
    assert again != dataclasses.replace(prompt, init="another")
    assert again != "mystar"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    one, other = (make_gan(learned["gan"].text_encoder) for _ in range(2))
    prompt.attach(one)
    again.attach(other)
    np.testing.assert_array_equal(one.generate(["a mystar"]), other.generate(["a mystar"]))


def test_damaged_and_foreign_files_are_refused(learned: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "mystar.safetensors"
    with pytest.raises(ValueError, match="is not a file") as error:
        SoftPrompt.load(path)
    one_line(error)
    learned["prompt"].save(path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged") as error:
        SoftPrompt.load(path)
    one_line(error)
    path.write_bytes(b"\x00" * 40)
    with pytest.raises(ValueError, match="is damaged, or no safetensors file") as error:
        SoftPrompt.load(path)
    one_line(error)


def test_other_encoders_and_known_words_are_refused(learned: dict[str, Any], tmp_path: Path) -> None:
    prompt, encoder = learned["prompt"], learned["gan"].text_encoder
    tiny = TextEncoder.from_preset(tiny_encoder.write_bert_preset(tmp_path), sequence_length=16)
    for gan in (make_gan(tiny), tiny_gan("compact")):
        has = gan.text_encoder
        with pytest.raises(ValueError, match="learned with another text encoder") as error:
            prompt.attach(gan)
        one_line(error)
        assert gan.text_encoder is has
    gan = make_gan(encoder)
    add_tokens(gan, prompt, dataclasses.replace(prompt, token="ourstar"))
    np.testing.assert_array_equal(gan.generate(["a mystar"]), gan.generate(["a ourstar"]))
    with pytest.raises(ValueError, match="another text encoder"):
        prompt.attach(gan)
    with pytest.raises(ValueError, match="token of this encoder already") as error:
        learn_token(gan, learned["examples"], "mystar", init="red")
    one_line(error)


def test_a_model_with_a_caption_denoiser_learns_words_and_draws_them() -> None:
    """Learned through the denoiser it would hardly move: there is next to no gradient."""
    gan = TextToImageGAN.from_preset("shapes_64")
    assert gan.caption_denoiser is not None
    backgrounds = ["white", "black", "navy", "gray"]
    templates = [f"a large {{}} star in the center on a {color} background" for color in backgrounds]
    examples = gan.generate([text.format("green") for text in templates])
    prompt = learn_token(gan, examples, "mycolor", templates, init="colorful", steps=60, batch_size=8)
    prompt.attach(gan)
    others = [f"a small {{}} circle at the top left on a {color} background" for color in backgrounds]
    drawn = {
        word: gan.generate([text.format(word) for text in others], seed=5).astype(float)
        for word in ("mycolor", "green", "pink")
    }
    distance = {word: np.square(drawn["mycolor"] - drawn[word]).mean() for word in ("green", "pink")}
    assert distance["green"] < 0.1 * distance["pink"]


def test_the_discriminator_s_own_judgement_will_do() -> None:
    """Without image features, and with a caption for each image: every step lowers what it says it lowers."""
    gan = make_gan()
    examples = gan.generate(["a red star on the left", "a red star on the right"], seed=2)
    templates = ["a {} on the left", "a {} on the right"]
    prompt = learn_token(gan, examples / np.float32(127.5) - 1.0, "mystar", templates, init="dog", steps=30)
    assert prompt.objective[1] < prompt.objective[0]
    assert prompt.init == "dog"
    assert prompt.encoder == gan.text_encoder.fingerprint


@pytest.mark.parametrize(
    ("images", "template", "message"),
    [
        (np.zeros((2, 16, 16, 3), np.uint8), "a {}", r"shape \(N, 32, 32, 3\)"),
        (np.zeros((0, 32, 32, 3), np.uint8), "a {}", r"got \(0, 32, 32, 3\)"),
        (np.zeros((3, 32, 32, 3), np.uint8), "a star", "one caption with {} in it"),
        (np.zeros((3, 32, 32, 3), np.uint8), ["a {}", "two {}"], "one for each of the 3 images"),
    ],
)
def test_wrong_examples_say_what_is_wrong(
    learned: dict[str, Any], images: np.ndarray, template: str | list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        learn_token(learned["gan"], images, "mystar", template=template)
    one_line(error)
