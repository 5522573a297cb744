"""generate(): an image follows from its caption, the seed and its place in the call, and from nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import move_weights, one_line, tiny_gan
from keras_t2i.augmentation import CaptionAugmentation
from tiny_encoder import write_bert_preset

from keras_t2i.core.latents import latents_for
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.text import TextEncoder

PROMPTS = [f"a {size} {color} {shape}" for size in ("large", "small") for color in ("red", "blue")
           for shape in ("star", "circle", "star on white")]  # fmt: skip


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> TextToImageGAN:
    encoder = TextEncoder.from_preset(write_bert_preset(tmp_path_factory.mktemp("generate") / "bert"))
    gan = tiny_gan("dcgan", encoder)
    move_weights(gan.generator, amount=0.3)
    gan.ema_generator.set_weights(gan.generator.get_weights())
    return gan


def test_images_are_bytes_of_the_promised_shape(gan: TextToImageGAN) -> None:
    images = gan.generate("a red star", num_images=3)
    assert images.shape == (3, 32, 32, 3)
    assert images.dtype == np.uint8
    assert images.std() > 5


@pytest.mark.parametrize("count", [1, 3, 8, 9])
def test_shorter_calls_make_the_first_images_of_longer_ones(gan: TextToImageGAN, count: int) -> None:
    np.testing.assert_array_equal(gan.generate(PROMPTS[:count], seed=2), gan.generate(PROMPTS, seed=2)[:count])


def test_an_image_does_not_depend_on_the_other_captions(gan: TextToImageGAN) -> None:
    others = [*reversed(PROMPTS[1:]), PROMPTS[0]]
    others[5] = PROMPTS[5]
    np.testing.assert_array_equal(gan.generate(PROMPTS)[5], gan.generate(others)[5])


def test_images_of_one_caption_follow_each_other(gan: TextToImageGAN) -> None:
    images = gan.generate(PROMPTS[:2], num_images=3, seed=4)
    repeated = [prompt for prompt in PROMPTS[:2] for _ in range(3)]
    np.testing.assert_array_equal(images, gan.generate(repeated, seed=4))
    assert len({image.tobytes() for image in images}) == 6


def test_seed_and_caption_and_place_change_the_image(gan: TextToImageGAN) -> None:
    first = gan.generate("a red star", num_images=2, seed=0)
    np.testing.assert_array_equal(first, gan.generate("a red star", num_images=2, seed=0))
    assert (first[0] != first[1]).any()
    assert (first != gan.generate("a red star", num_images=2, seed=1)).any()
    assert (first[0] != gan.generate("a blue circle", seed=0)[0]).any()
    assert (latents_for(0, 2, 6)[1] != latents_for(1, 1, 6)[0]).any()


def test_truncation_shrinks_variety_to_one_image(gan: TextToImageGAN) -> None:
    typical = gan.generate("a red star", num_images=3, seed=0, truncation=0.0)
    assert (typical == typical[0]).all()
    np.testing.assert_array_equal(typical, gan.generate("a red star", num_images=3, seed=9, truncation=0.0))
    full, half = (gan.generate("a red star", 6, truncation=amount).astype(float) for amount in (1.0, 0.5))
    assert half.std(axis=0).mean() < full.std(axis=0).mean()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"prompts": []}, "0 captions"),
        ({"prompts": "a star", "num_images": 0}, "num_images=0"),
        ({"prompts": "a star", "num_images": -1}, "num_images=-1"),
    ],
)
def test_bad_arguments_get_one_line(gan: TextToImageGAN, arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match="Nothing to generate") as error:
        gan.generate(**arguments)
    assert named in one_line(error)


def test_without_an_encoder_captions_are_refused_and_embeddings_are_not() -> None:
    gan = tiny_gan("mlp")
    with pytest.raises(ValueError, match="text_encoder") as error:
        gan.generate("a star")
    assert "generate_from_embeddings" in one_line(error)
    assert gan.generate_from_embeddings(np.zeros((2, 8), np.float32)).shape == (2, 32, 32, 3)


def test_any_string_is_a_caption(gan: TextToImageGAN) -> None:
    images = gan.generate(["", "\0", "s" * 100_000, "\ud83d", "红"])
    assert images.shape == (5, 32, 32, 3)


@pytest.fixture(scope="module")
def guidable(gan: TextToImageGAN, tmp_path_factory: pytest.TempPathFactory) -> TextToImageGAN:
    """A model of the same weights that has been trained with dropped captions, and saved and loaded since."""
    trained = tiny_gan("dcgan", gan.text_encoder, caption_augmentation=CaptionAugmentation(dropout=0.2))
    for part in ("generator", "ema_generator"):
        getattr(trained, part).set_weights(gan.generator.get_weights())
    trained.adapt(PROMPTS)
    directory = tmp_path_factory.mktemp("guided") / "preset"
    trained.save_to_preset(directory)
    return TextToImageGAN.from_preset(directory)


def test_guidance_goes_from_no_caption_over_the_caption_and_beyond(guidable: TextToImageGAN) -> None:
    plain, nothing, half, beyond = (
        guidable.generate("a red star", num_images=2, guidance=guidance).astype(float)
        for guidance in (1.0, 0.0, 0.5, 2.0)
    )
    np.testing.assert_array_equal(plain, guidable.generate("a red star", num_images=2))
    np.testing.assert_array_equal(nothing, guidable.generate("a blue circle", num_images=2, guidance=0.0))
    assert 0 < abs(half - nothing).mean() < abs(plain - nothing).mean() < abs(beyond - nothing).mean()


def test_a_negative_prompt_is_where_guidance_starts_from(guidable: TextToImageGAN) -> None:
    away = guidable.generate("a red star", guidance=2.0, negative_prompt="a blue circle")
    assert (away != guidable.generate("a red star", guidance=2.0)).any()
    start = guidable.generate("a red star", guidance=0.0, negative_prompt="a blue circle")
    np.testing.assert_array_equal(start, guidable.generate("a blue circle"))


@pytest.mark.parametrize("arguments", [{"guidance": 1.5}, {"negative_prompt": "a blue circle"}])
def test_guidance_is_refused_where_captions_were_never_dropped(gan: TextToImageGAN, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="CaptionAugmentation") as error:
        gan.generate("a red star", **arguments)
    one_line(error)
