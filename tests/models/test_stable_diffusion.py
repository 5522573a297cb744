"""Stable Diffusion 3: that it draws what KerasHub draws, learns by the paper's formula, and moves what is planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tiny_stable_diffusion
from keras import ops
from tiny_stable_diffusion import batch, keras_hub_model

from keras_t2i import DiffusionTextToImage, TextToImage, transfer
from keras_t2i.core.latents import latents_for
from keras_t2i.models import stable_diffusion_3
from keras_t2i.models.stable_diffusion import of_backbone
from keras_t2i.objectives.flow_matching import FlowMatching
from keras_t2i.transfer.layers import named_layers, own_weights
from keras_t2i.transfer.memory import memory_of
from keras_t2i.transfer.plan import Plan

CAPTIONS = ["a red circle", "two blue squares"]


def tiny(**settings: Any) -> DiffusionTextToImage:
    return of_backbone(keras_hub_model(**settings).backbone, None, num_steps=2, guidance=1.0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A preset as KerasHub has saved it, and KerasHub's own model."""
    task = keras_hub_model()
    return tiny_stable_diffusion.save(tmp_path_factory.mktemp("hub") / "tiny", task), task


@pytest.fixture(scope="module")
def model(saved: tuple[Path, Any]) -> DiffusionTextToImage:
    """The same, loaded."""
    return stable_diffusion_3(saved[0])


@pytest.fixture(scope="module")
def preset(model: DiffusionTextToImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a preset of this package."""
    directory = tmp_path_factory.mktemp("ours") / "tiny"
    model.save_to_preset(directory)
    return directory


def drawn(model: DiffusionTextToImage) -> np.ndarray:
    noise = latents_for(0, 2, model.generator.noise_shape)
    return np.asarray(model.drawer.draw(noise, batch(2)["sentence_embeddings"], 2))


def test_it_draws_what_keras_hub_draws(saved: tuple[Path, Any], model: DiffusionTextToImage, preset: Path) -> None:
    _, task = saved
    steps, guidance = 5, 4.0
    images = model.generate(CAPTIONS, seed=1, num_steps=steps, guidance=guidance, negative_prompt="green")
    latents = latents_for(1, len(CAPTIONS), model.generator.noise_shape)
    tokens = [task.preprocessor.generate_preprocess(texts) for texts in (CAPTIONS, ["green"] * len(CAPTIONS))]
    task.backbone.configure_scheduler(steps)
    theirs = task.generate_step(
        ops.convert_to_tensor(latents), tokens, ops.convert_to_tensor(steps), ops.convert_to_tensor(guidance)
    )
    expected = np.round((np.clip(np.asarray(theirs), -1, 1) + 1) * 127.5)
    assert np.std(expected) > 20
    assert np.abs(images - expected).max() <= 1
    empty = model.text_encoder.encode([""])[0]
    np.testing.assert_array_equal(model.generator.text_mean, empty, err_msg="what is moved away from otherwise")
    again = TextToImage.from_preset(preset)
    assert isinstance(again, DiffusionTextToImage)
    np.testing.assert_array_equal(drawn(again), drawn(model))
    assert again.fingerprint() == model.fingerprint()


def test_the_times_are_those_of_keras_hubs_scheduler(saved: tuple[Path, Any], model: DiffusionTextToImage) -> None:
    scheduler = saved[1].backbone.scheduler
    for num_steps in (1, 2, 7, 28):
        scheduler.set_sigmas(num_steps)
        steps = [model.generator.times(float(number), ops.ones(1) * num_steps) for number in range(num_steps + 1)]
        np.testing.assert_allclose(np.ravel(steps), scheduler.sigmas, rtol=1e-5, atol=1e-7)


def test_the_true_velocity_of_an_image_leads_to_it_in_one_step(monkeypatch: Any) -> None:
    """By KerasHub's own step and by ours: it catches a wrong sign, and times that are not a thousand."""
    task = keras_hub_model(num_layers=1)
    model = of_backbone(task.backbone, None)
    network, image = model.generator, batch(1)["images"]
    codes = network.encoded(image)
    seen: list[float] = []

    def truth(inputs: dict[str, Any], training: bool = False) -> Any:
        seen.append(float(np.max(inputs["timestep"])))
        times = ops.reshape(inputs["timestep"], (-1, 1, 1, 1)) / 1000.0
        return (inputs["latent"] - codes) / times

    monkeypatch.setattr(network, "diffuser", truth)
    monkeypatch.setattr(task.backbone, "diffuser", truth)
    noise = latents_for(0, 1, network.noise_shape)
    rows = batch(1)["sentence_embeddings"]
    drawn = network.draw(noise, rows, 1)
    expected = np.clip(network.decoded(codes), -1, 1)
    np.testing.assert_allclose(drawn, expected, atol=1e-4)
    task.backbone.configure_scheduler(1)
    embeddings = [ops.zeros((1, 32, 4096))] * 2 + [ops.zeros((1, 192))] * 2
    theirs = task.backbone.decode_step(task.backbone.denoise_step(noise, embeddings, 0, 1))
    np.testing.assert_allclose(np.clip(theirs, -1, 1), expected, atol=1e-4)
    assert seen == [1000.0, 1000.0]


def test_the_loss_is_that_of_the_paper(monkeypatch: Any) -> None:
    """Esser et al. 2024: at `(1 - t) z + t e`, the squared distance to `e - z`, times shifted by 3, in thousandths."""
    model = tiny(num_layers=1)
    random = np.random.default_rng(0)
    codes = random.normal(size=(3, *model.generator.noise_shape)).astype(np.float32)
    noise, normal = random.normal(size=codes.shape).astype(np.float32), random.normal(size=3).astype(np.float32)
    drawn = iter([noise, normal])
    monkeypatch.setattr(keras.random, "normal", lambda shape, seed: ops.convert_to_tensor(next(drawn)))
    rows = batch(3)["sentence_embeddings"]
    loss = FlowMatching()(model.generator, codes, rows, 0, True)
    uniform = 1 / (1 + np.exp(-normal))
    times = 3 * uniform / (1 + 2 * uniform)
    share = times[:, None, None, None]
    context = np.zeros((3, 32, 4096), np.float32)
    context[:, :16, :192] = rows[:, 192:].reshape(3, 16, 192)
    velocity = model.generator.diffuser(
        {
            "latent": (1 - share) * codes + share * noise,
            "context": context,
            "pooled_projection": rows[:, :192],
            "timestep": 1000 * times[:, None],
        }
    )
    np.testing.assert_allclose(float(loss), np.mean((np.asarray(velocity) - (noise - codes)) ** 2), rtol=1e-4)


def compiled(model: DiffusionTextToImage, rate: float = 3e-3) -> DiffusionTextToImage:
    model.compile(FlowMatching(), keras.optimizers.Adam(rate), run_eagerly=True)
    return model


def codes_of(model: DiffusionTextToImage, count: int = 8) -> dict[str, Any]:
    """A batch without images: what the autoencoder makes of them, once."""
    whole = batch(count)
    return {
        "codes": np.asarray(model.generator.encoded(whole["images"])),
        "sentence_embeddings": whole["sentence_embeddings"],
    }


def test_fit_lowers_the_error_on_what_is_held_out() -> None:
    model = compiled(tiny(num_layers=1), rate=1e-2)
    codes = codes_of(model)
    held_out = {name: rows[:4] for name, rows in codes.items()}
    before = model.test_on_batch(held_out, return_dict=True)["generator_loss"]
    model.reset_metrics()
    model.fit(codes, batch_size=4, epochs=4, validation_data=held_out, verbose=0)
    after = model.history.history["val_generator_loss"]
    assert after[-1] < 0.9 * before
    images = {name: rows[:4] for name, rows in batch().items()}
    model.reset_metrics()
    alike = model.test_on_batch(images, return_dict=True)["generator_loss"]
    np.testing.assert_allclose(alike, after[-1], rtol=1e-4, err_msg="images are encoded where no codes are given")


STRATEGIES = {
    "full": ("joint_block_0/x_block/attention_qkv/kernel", "output_dense/bias"),
    "freeze:trained_blocks=1": ("joint_block_1/x_block/attention_qkv/kernel", "output_dense/kernel"),
    "biases": ("joint_block_0/x_block/attention_qkv/bias", "joint_block_0/x_block/q_norm/scale"),
    "lora:rank=2": (
        "joint_block_0/x_block/attention_qkv/lora_kernel_b",
        "joint_block_1/x_block/attention_proj/lora_kernel_a",
    ),
    "lora:rank=2:adapt=joint_block_1/*": ("joint_block_1/x_block/mlp/dense1/lora_kernel_a",),
}


LOOKED_UP_BY_NOBODY = "joint_block_1/context_block/q_norm/scale"
"""Of the last block, what the caption's tokens would look up is not used, so that this scale has no gradient."""


@pytest.mark.parametrize("spec", STRATEGIES)
def test_exactly_the_planned_weights_move(spec: str) -> None:
    model = tiny()
    plan = transfer.strategies.apply(spec, model)
    compiled(model)
    before, codes = named_values(model), codes_of(model, 4)
    for _ in range(2):  # The first factor of an adapter has no gradient before the second has moved.
        model.train_on_batch(codes)
    moved = {name for name, value in named_values(model).items() if np.any(value != before[name])}
    trained = {weight.path.removeprefix("generator/") for weight in plan.trained}
    assert set(STRATEGIES[spec]) <= trained
    assert not any(name.startswith(("autoencoder", "text_mean")) for name in trained)
    counted = memory_of(model.generator, 4)
    slots = [slot for slot in model.generator_optimizer.variables if len(slot.shape)]
    found = [model.generator.weights, model.generator.trainable_variables, slots]
    assert [counted.weights, counted.gradients, counted.slots] == [
        sum(w.numpy().nbytes for w in each) for each in found
    ]
    assert moved <= trained
    assert trained - moved <= {LOOKED_UP_BY_NOBODY}


def named_values(model: Any) -> dict[str, np.ndarray]:
    layers = {"": model.generator, **named_layers(model.generator)}
    weights = {f"{name}/{weight.name}".strip("/"): weight for name in layers for weight in own_weights(layers[name])}
    assert len(weights) == len(model.generator.weights)
    return {name: np.array(weight) for name, weight in weights.items()}


def test_adapters_and_presets_draw_the_very_same_pixels(preset: Path, tmp_path: Path) -> None:
    model: Any = TextToImage.from_preset(preset)
    before = drawn(model)
    plan = transfer.lora(model, rank=2)
    compiled(model, rate=1e-2)
    for _ in range(2):
        model.train_on_batch(codes_of(model, 4))
    images = drawn(model)
    transfer.save_adapters(model, tmp_path / "mine.safetensors")
    model.save_to_preset(tmp_path / "whole")
    afresh: Any = TextToImage.from_preset(preset)
    np.testing.assert_array_equal(drawn(afresh), before)
    assert np.any(before != images)
    assert transfer.load_adapters(afresh, tmp_path / "mine.safetensors").trained == plan.trained
    np.testing.assert_array_equal(drawn(afresh), images)
    merged: Any = TextToImage.from_preset(tmp_path / "whole")
    np.testing.assert_allclose(drawn(merged), images, atol=1e-4)
    sizes = [(tmp_path / name).stat().st_size for name in ("mine.safetensors", "whole/generator.weights.h5")]
    assert sizes[0] < 0.1 * sizes[1]


def test_a_plan_without_a_layer_lists_what_there_is() -> None:
    model = tiny(num_layers=1)
    with pytest.raises(ValueError, match="joint_block_0, output_ada_layer_norm, output_dense, autoencoder"):
        transfer.strategies.apply("lora:adapt=query", model)
    with pytest.raises(ValueError, match="from 0 to 1"):
        transfer.strategies.apply("freeze:trained_blocks=2", model)
    assert Plan.of(model, "as it is").count("generator", "trained") == model.generator.diffuser.count_params()


@pytest.mark.parametrize(
    ("source", "size", "told"),
    [
        ("stable_diffusion_9", None, "one of stable_diffusion_3_medium"),
        ("tiny", 100, "multiple of 16"),
        ("tiny", 4096, "3072 at most"),
    ],
)
def test_bad_input_is_refused_in_a_line(saved: tuple[Path, Any], source: str, size: int | None, told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        stable_diffusion_3(saved[0] if source == "tiny" else source, image_size=size)
    assert "\n" not in str(refused.value)


def test_litert_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="write a SavedModel"):
        tiny(num_layers=1).export(tmp_path / "exported", "litert")
    assert not (tmp_path / "exported").exists()


def test_noise_of_fewer_numbers_says_most_of_the_picture() -> None:
    network = tiny(num_layers=1).generator
    noise = latents_for(0, 64, network.noise_shape)
    for length, expected in ((64, 64), (100, 64), (16, 16), (8, 8)):
        coarse = np.asarray(network.coarse(noise, length))
        assert coarse.shape == (64, expected)
        assert 0.9 < coarse.std() < 1.1


def test_without_a_network_one_line_says_so(monkeypatch: Any, tmp_path: Path) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # Where nobody listens.
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="Without a network, pass a directory") as refused:
        stable_diffusion_3("stable_diffusion_3_medium")
    assert "\n" not in str(refused.value)
