"""Sizes: four and sixteen times the multiply-adds, for the families that have them, wherever a size is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from checks import one_line

from keras_t2i import TextToImageGAN
from keras_t2i.metrics import count_multiply_adds
from keras_t2i.models import build_gan
from keras_t2i.networks import FAMILIES, SIZES, CompactGenerator
from keras_t2i.runs import RunConfig
from keras_t2i.runs.prepare import build

WITH_SIZES = [name for name, family in FAMILIES.items() if family.wider is not None]
ADVERSARIAL = [name for name in WITH_SIZES if FAMILIES[name].discriminator is not None]


@pytest.mark.parametrize("family", WITH_SIZES)
def test_base_costs_four_times_and_large_sixteen_times_as_much(family: str) -> None:
    found = FAMILIES[family]
    costs = []
    for size in SIZES:
        of_generator, of_discriminator = found.settings(64, size)
        generator = found.generator(image_size=64, **of_generator)
        generator.build_for(32)
        costs.append(count_multiply_adds(generator, generator.noise_shape, (32,)))
        if found.discriminator is not None:
            assert found.discriminator(image_size=64, **of_discriminator).image_size == 64
    assert costs[1] / costs[0] == pytest.approx(4, rel=0.1)
    assert costs[2] / costs[0] == pytest.approx(16, rel=0.1)


def test_small_is_what_every_family_has_without_being_asked() -> None:
    plain, small = (build_gan("compact", None, 32, embedding_dim=8, **size) for size in ({}, {"size": "small"}))
    assert small.generator.get_config()["widths"] == plain.generator.get_config()["widths"]
    assert WITH_SIZES == ["compact", "projected", "flow"]


def test_a_run_of_another_size_is_built_and_kept_so(tmp_path) -> None:
    gan = build(RunConfig("shapes", image_size=32, size="base"))
    assert gan.generator.widths == (256, 192, 128)
    assert gan.discriminator.head_width == 384
    gan.save_to_preset(tmp_path / "preset")
    loaded = TextToImageGAN.from_preset(tmp_path / "preset")
    assert loaded.generator.widths == gan.generator.widths


@pytest.mark.parametrize(("family", "size"), [("compact", "huge"), ("mlp", "base")])
def test_sizes_that_are_not_there_are_refused_in_one_line(family: str, size: str) -> None:
    with pytest.raises(ValueError, match=size) as error:
        build_gan(family, None, 32, embedding_dim=8, size=size)
    one_line(error)


@pytest.mark.parametrize("family", ADVERSARIAL)
def test_activation_and_depth_are_the_networks_and_reach_every_weight(family: str, tmp_path: Path) -> None:
    form = {"activation": "gelu", "discriminator_depth": 2}
    gan = build_gan(family, None, 32, embedding_dim=8, loss="non_saturating", **form)  # Hinge: a bias rests at first.
    plain = build_gan(family, None, 32, embedding_dim=8)
    if family == "projected":
        gan.discriminator.initialize_backbone(
            [w + 0.01 * (w.ndim == 1) for w in gan.discriminator.backbone.get_weights()]
        )
    assert (gan.generator.activation, gan.discriminator.activation, gan.discriminator.depth) == ("gelu", "gelu", 2)
    assert gan.generator.count_params() == plain.generator.count_params()
    assert len(gan.discriminator.trainable_weights) > len(plain.discriminator.trainable_weights)
    before = [[np.array(w) for w in part.trainable_weights] for part in (gan.generator, gan.discriminator)]
    random = np.random.default_rng(0)
    batch = {"images": random.uniform(-1, 1, (4, 32, 32, 3)), "sentence_embeddings": random.normal(size=(4, 8))}
    gan.train_on_batch({name: array.astype(np.float32) for name, array in batch.items()})
    for part, old in zip((gan.generator, gan.discriminator), before, strict=True):
        assert all((np.array(w) != o).any() for w, o in zip(part.trainable_weights, old, strict=True))
    gan.save_to_preset(tmp_path / "preset")
    again = TextToImageGAN.from_preset(tmp_path / "preset")
    text = random.normal(size=(2, 8)).astype(np.float32)
    np.testing.assert_array_equal(again.generate_from_embeddings(text), gan.generate_from_embeddings(text))


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu"])
def test_each_activation_draws_its_own_picture_here_and_on_a_phone(activation: str, tmp_path: Path) -> None:
    text = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)
    settings = {"image_size": 32, "widths": (8, 8, 8)}
    leaky, other = (CompactGenerator(**settings, activation=name) for name in ("leaky", activation))
    for generator in (leaky, other):
        generator.build_for(8)
    other.set_weights(leaky.get_weights())
    noise = np.random.default_rng(1).normal(size=(2, 64)).astype(np.float32)
    images = np.asarray(other(noise, text))
    assert np.abs(images - np.asarray(leaky(noise, text))).max() > 1e-3
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [tf.function(lambda z, t: other(z, t)).get_concrete_function(tf.TensorSpec((2, 64)), tf.TensorSpec((2, 8)))]
    )
    interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], noise if detail["shape"][1] == 64 else text)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, images, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "form", "problem"),
    [
        ("compact", {"activation": "swish"}, "Unknown activation 'swish'. Expected one of: leaky, relu, silu, gelu"),
        ("mlp", {"activation": "relu"}, "has one activation, not 'relu'. Families with a choice: compact, projected"),
        ("dcgan", {"discriminator_depth": 2}, "has one discriminator depth, not 2"),
        ("compact", {"discriminator_depth": 0}, "`depth` must be at least 1; got 0"),
    ],
)
def test_forms_that_are_not_there_are_refused_in_one_line(family: str, form: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as error:
        build_gan(family, None, 32, embedding_dim=8, **form)
    one_line(error)
