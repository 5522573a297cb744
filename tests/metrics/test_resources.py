"""What a model is said to cost is what it costs, and measuring it changes nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import EMBEDDING_DIM, LATENT_DIM, copies, make_batch, one_line, tensors, tiny_gan
from keras import layers
from keras_t2i.augmentation import DiffAugment

from keras_t2i import networks, penalties
from keras_t2i.metrics.profile import _kinds_of_steps, step_profile
from keras_t2i.metrics.resources import (
    count_multiply_adds,
    latency,
    measure_resources,
    parameters,
    peak_memory_mb,
)
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.networks.attention import SelfAttention
from keras_t2i.training.model_state import model_state


class Calling(layers.Layer):
    """A layer that does what a function says."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def call(self, *inputs: Any) -> Any:
        return self.function(*inputs)


@tf.function
def squared(matrix: tf.Tensor) -> tf.Tensor:
    return tf.matmul(matrix, matrix)


ATTENTION = 2 * 64 * 16 * 2 + 2 * 64 * 16 * 8 + 64 * 16 * (2 + 8)  # query and key; value and join; the two products


@pytest.mark.parametrize(
    ("network", "shapes", "expected"),
    [
        (lambda: layers.Dense(5), [(7,)], 7 * 5),
        (lambda: layers.Dense(5), [(4, 7)], 4 * 7 * 5),
        (lambda: layers.Conv2D(6, 3, strides=2, padding="same"), [(9, 8, 4)], 5 * 4 * 6 * 3 * 3 * 4),
        (lambda: layers.Conv2D(6, (1, 5)), [(9, 8, 4)], 9 * 4 * 6 * 5 * 4),
        (lambda: layers.Conv2D(6, 3, dilation_rate=2), [(10, 8, 4)], 6 * 4 * 6 * 9 * 4),
        (lambda: layers.Conv2D(6, 3, groups=2, padding="same"), [(9, 8, 4)], 9 * 8 * 6 * 9 * 2),
        (lambda: layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2), [(9, 9, 4)], 4 * 4 * 8 * 9),
        (lambda: layers.SeparableConv2D(7, 3), [(9, 9, 4)], 7 * 7 * 4 * 9 + 7 * 7 * 4 * 7),
        (lambda: layers.Conv2DTranspose(3, 4, strides=2, padding="same"), [(5, 6, 2)], 5 * 6 * 2 * 4 * 4 * 3),
        (lambda: SelfAttention(), [(8, 8, 16)], ATTENTION),
        (lambda: layers.Attention(), [[(4, 6), (5, 6)]], 2 * 4 * 5 * 6),
        (lambda: Calling(lambda a, b: tf.matmul(a, b, transpose_a=True)), [(7, 3), (7, 5)], 7 * 3 * 5),
        (lambda: Calling(lambda a, b: tf.einsum("...ij,bkj->...ik", a, b)), [(2, 3), (4, 3)], 2 * 3 * 4),
        (lambda: Calling(lambda a, b: tf.einsum("bhi...,bi...->bh...", a, b)), [(4, 3, 2), (3, 2)], 4 * 2 * 3),
        (lambda: Calling(lambda a: squared(squared(a))), [(6, 6)], 2 * 6**3),
        (lambda: layers.UpSampling2D(2), [(4, 4, 3)], 0),
    ],
)
def test_multiply_adds_are_those_done_by_hand(
    network: Callable[[], keras.Layer], shapes: list[Any], expected: int
) -> None:
    layer = network()
    if isinstance(shapes[0], list):
        shapes, inner = shapes[0], layer
        layer = Calling(lambda *inputs: inner(list(inputs)))
    assert count_multiply_adds(layer, *shapes) == expected


def test_multiply_adds_of_the_default_generator() -> None:
    generator = networks.CompactGenerator(image_size=64)
    generator.build_for(384)
    expected = 384 * 128 + (64 + 128) * 128 + (64 + 128) * 16 * 128  # text, style, features
    channels, side = 128, 4
    for filters in (96, 64, 32):
        expected += channels * filters * side**2  # shortcut, before the upsampling
        expected += 9 * (channels * filters + filters**2) * (2 * side) ** 2 + 128 * 2 * (channels + filters)
        channels, side = filters, 2 * side
    expected += 9 * (32 * 16 + 16 * 3) * 64**2
    assert count_multiply_adds(generator, (64,), (384,)) == expected


def test_what_cannot_be_counted_is_refused() -> None:
    loop = Calling(lambda x: tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, tf.matmul(y, y)), (0, x[0]))[1])
    with pytest.raises(ValueError, match="a loop or branch") as error:
        count_multiply_adds(loop, (4, 4))
    one_line(error)
    unknown = Calling(lambda x: tf.matmul(tf.boolean_mask(x, x[:, 0] > 0), tf.ones((4, 4))))
    with pytest.raises(ValueError, match="make it static") as error:
        count_multiply_adds(unknown, (4,))
    one_line(error)


def test_parameters_are_all_weights(text_encoder: Any) -> None:
    gan = tiny_gan("dcgan", text_encoder)
    counted = parameters(gan)
    assert counted["generator_parameters"] == sum(weight.size for weight in gan.generator.get_weights())
    assert counted["discriminator_parameters"] == sum(weight.size for weight in gan.discriminator.get_weights())
    assert counted["text_encoder_parameters"] == text_encoder.backbone.count_params()
    assert parameters(tiny_gan("dcgan"))["text_encoder_parameters"] == 0


def test_latency_is_the_median_of_the_calls_after_the_first() -> None:
    calls: list[float] = []

    def call() -> None:
        calls.append(0.0)
        time.sleep(0.5 if len(calls) in (1, 4) else 0.01)

    assert 10 <= latency(call, num_runs=5, num_warmup=1) < 400
    assert len(calls) == 6


@pytest.mark.parametrize(("num_runs", "num_warmup"), [(0, 1), (1, -1)])
def test_latency_needs_a_run(num_runs: int, num_warmup: int) -> None:
    with pytest.raises(ValueError, match=f"got {num_runs} and {num_warmup}"):
        latency(lambda: None, num_runs, num_warmup)


def test_exports_are_measured(text_encoder: Any, tmp_path: Path) -> None:
    gan = tiny_gan("compact", text_encoder)
    gan.export(tmp_path / "saved_model")
    gan.export(tmp_path / "litert", format="litert")
    before = copies(gan.variables)
    measured = measure_resources(gan, {"saved_model": tmp_path / "saved_model", "litert": str(tmp_path / "litert")})
    times = {"keras_ms", "saved_model_ms", "saved_model_from_caption_ms", "litert_ms"}
    assert measured.keys() == times | parameters(gan).keys() | {
        "generator_multiply_adds",
        "discriminator_multiply_adds",
        "saved_model_megabytes",
        "litert_megabytes",
    }
    assert all(math.isfinite(value) and value > 0 for value in measured.values())
    assert measured["saved_model_from_caption_ms"] > measured["saved_model_ms"]
    weights = 4 * (measured["generator_parameters"] + measured["text_encoder_parameters"]) / 1e6
    assert measured["litert_megabytes"] >= weights
    assert measured["saved_model_megabytes"] >= weights
    np.testing.assert_equal(copies(gan.variables), before)


def test_a_larger_network_costs_more() -> None:
    def of_width(width: int) -> TextToImageGAN:
        generator = networks.CompactGenerator(image_size=32, latent_dim=LATENT_DIM, widths=(width,) * 3)
        discriminator = networks.CompactDiscriminator(image_size=32, widths=(width,) * 3)
        return TextToImageGAN(None, generator, discriminator, embedding_dim=EMBEDDING_DIM)

    small, large = (measure_resources(of_width(width), {"litert": None}) for width in (4, 192))
    assert small.keys() == large.keys()
    assert "litert_ms" not in small
    costs = [key for key in small if key != "text_encoder_parameters"]
    assert [key for key in costs if not small[key] < large[key]] == []


@pytest.mark.parametrize(
    ("exports", "message"),
    [
        ({"onnx": "."}, "Unknown export 'onnx'. Expected one of: preset, saved_model, litert."),
        ({"litert": "nowhere"}, "The litert at 'nowhere' is not a directory; write it first, or pass None."),
    ],
)
def test_wrong_exports_are_refused(exports: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match="litert") as error:
        measure_resources(tiny_gan(), exports)
    assert one_line(error) == message


def test_megabytes_are_millions_of_bytes_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "one").write_bytes(bytes(300_000))
    (tmp_path / "folder" / "two").write_bytes(bytes(200_000))
    assert measure_resources(tiny_gan("mlp"), {"preset": tmp_path})["preset_megabytes"] == pytest.approx(0.5)


def test_peak_memory_is_what_the_system_reports() -> None:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("only Linux has /proc")
    peak = peak_memory_mb()
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    assert peak == pytest.approx(int(line.split()[1]) * 1024 / 1e6, rel=0.02)


def in_training(gan: TextToImageGAN) -> TextToImageGAN:
    """The same with no weight, slot, count or random state at its first value."""
    for variable in model_state(gan).values():
        variable.assign(variable + keras.ops.cast(0.01 if "float" in variable.dtype else 3, variable.dtype))
    return gan


class Slow(penalties.GradientPenalty):
    """A penalty that takes some ten milliseconds."""

    def __call__(self, discriminator: Any, real: tf.Tensor, fake: tf.Tensor, text: tf.Tensor) -> tf.Tensor:
        matrix = tf.random.normal((1024, 1024))
        return 1e-9 * tf.reduce_mean(matrix @ matrix)


def test_profile_leaves_the_model_as_it_was() -> None:
    batch = tensors(make_batch(6))
    own = [penalties.WGANGP(interval=2)]
    # Batch norm, and random states of the latents, of a penalty and of the augmentation.
    gan = in_training(tiny_gan("dcgan", penalty=own, augmentation=DiffAugment(["cutout"])))
    before = copies(model_state(gan).values())
    profile = step_profile(gan, batch, num_steps=2)
    np.testing.assert_equal(copies(model_state(gan).values()), before)
    assert list(gan.objective.penalties) == own
    assert profile["text_encoding_seconds"] == 0
    assert all(math.isfinite(value) and value >= 0 for value in profile.values())
    assert profile["images_per_second"] == pytest.approx(6 / profile["train_step_seconds"])
    for part in ("generator_forward_seconds", "discriminator_forward_seconds"):
        assert 0 < profile[part] < profile["train_step_seconds"]
    parts = [value for name, value in profile.items() if name.endswith("_seconds") and name != "train_step_seconds"]
    assert sum(parts) >= 0.999 * profile["train_step_seconds"]


def test_profile_of_captions_counts_their_encoding(text_encoder: Any) -> None:
    gan = tiny_gan("mlp", text_encoder, penalty=None)
    batch = {"images": make_batch(4)["images"], "captions": np.array(["a red star", "a blue circle"] * 2)}
    profile = step_profile(gan, batch, num_steps=2)
    assert profile["text_encoding_seconds"] > 0
    assert profile["penalty_seconds"] == 0


def test_penalties_cost_by_how_often_they_are_due() -> None:
    always, seldom = (
        step_profile(tiny_gan("mlp", penalty=Slow(1.0, interval)), make_batch())["penalty_seconds"]
        for interval in (1, 20)
    )
    assert always > 2 * seldom
    assert always > 0.001


def test_a_model_is_restored_where_a_step_fails() -> None:
    batch = make_batch()
    gan = in_training(tiny_gan("mlp", penalty=Slow(1.0)))
    before, own = copies(model_state(gan).values()), list(gan.objective.penalties)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not finite"):
        step_profile(gan, {**batch, "images": batch["images"] * np.float32("nan")}, num_steps=1)
    np.testing.assert_equal(copies(model_state(gan).values()), before)
    assert list(gan.objective.penalties) == own


def test_each_kind_of_step_counts_by_its_share() -> None:
    found = dict(_kinds_of_steps([2, 3]))
    assert found == pytest.approx({0: 1 / 6, 1: 2 / 6, 2: 2 / 6, 3: 1 / 6})
    assert dict(_kinds_of_steps([1])) == {0: 1.0}


def test_profile_says_what_it_needs() -> None:
    gan = TextToImageGAN(None, *(tiny_gan().generator, tiny_gan().discriminator), embedding_dim=EMBEDDING_DIM)
    with pytest.raises(ValueError, match="call `compile` first") as error:
        step_profile(gan, make_batch())
    one_line(error)
    with pytest.raises(ValueError, match="`num_steps` must be at least 1; got 0"):
        step_profile(tiny_gan(), make_batch(), num_steps=0)
    with pytest.raises(ValueError, match="A batch must be a dictionary"):
        step_profile(tiny_gan(), {"images": make_batch()["images"]})
