"""What a Keras user always does with a model works here too, or is refused before training."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import EMBEDDING_DIM, make_batch, move_weights, one_line, tiny_gan
from keras_t2i.augmentation import CaptionAugmentation, DiffAugment
from keras_t2i.losses import Reconstruction
from tiny_encoder import write_bert_preset

from keras_t2i import TextToImageGAN, networks, transfer
from keras_t2i.objectives.penalties import R1
from keras_t2i.text import CaptionDenoiser, TextEncoder

EMBEDDINGS = np.random.default_rng(0).normal(size=(3, EMBEDDING_DIM)).astype(np.float32)


def moved(gan: TextToImageGAN) -> TextToImageGAN:
    """The model with weights that are nobody's starting values, different in each network."""
    for seed, part in enumerate(gan.parts().values()):
        if part.network.trainable_weights:
            move_weights(part.network, 0.2, seed)
        else:
            part.network.set_weights(
                [w + 0.05 * np.sin(np.arange(w.size)).reshape(w.shape) for w in part.network.get_weights()]
            )
    return gan


def batches() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensors(make_batch()).repeat(2)


def weights(gan: TextToImageGAN) -> list[np.ndarray]:
    return [weight for part in gan.parts().values() for weight in part.network.get_weights()]


def test_a_keras_file_holds_the_whole_model_for_a_fresh_process(tmp_path: Path) -> None:
    encoder = TextEncoder.from_preset("caption_mini_en", sequence_length=16)
    gan = moved(tiny_gan("compact", encoder))
    gan.caption_denoiser = CaptionDenoiser(width=8, steps=2)
    gan.caption_denoiser.build((None, gan.embedding_dim))
    gan.caption_denoiser.adapted.assign(1.0)
    gan.card = {"license": "Apache-2.0"}
    gan.save(tmp_path / "model.keras")
    code = f"""
import keras_t2i
import keras, numpy as np
gan = keras.saving.load_model({str(tmp_path / "model.keras")!r})
assert type(gan) is keras_t2i.TextToImageGAN and gan.card == {{"license": "Apache-2.0"}}
np.save({str(tmp_path / "images.npy")!r}, gan.generate(["a red star", "a green disk"], num_images=2, seed=3))
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    drawn = gan.generate(["a red star", "a green disk"], num_images=2, seed=3)
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), drawn)


def test_an_encoder_from_outside_the_package_is_in_the_file(tmp_path: Path) -> None:
    gan = moved(tiny_gan("mlp", TextEncoder.from_preset(write_bert_preset(tmp_path / "encoder"))))
    gan.save(tmp_path / "model.keras")
    drawn = gan.generate("a red star")
    (tmp_path / "encoder").rename(tmp_path / "gone")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras").generate("a red star"), drawn)


def test_a_loaded_model_goes_on_training_as_if_it_had_not_been_away(tmp_path: Path) -> None:
    gan = tiny_gan("mlp", loss="hinge", penalty=["r1", "r2"], ema_decay=0.9, augmentation=DiffAugment(seed=3), seed=5)
    gan.fit(batches(), verbose=0)
    gan.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for each in (gan, loaded):
        each.fit(batches(), verbose=0)
    for ours, theirs in zip(weights(gan), weights(loaded), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_cannot_be_kept_of_training_is_said(tmp_path: Path) -> None:
    gan = tiny_gan("mlp", generator_terms=[Reconstruction()])
    with pytest.warns(UserWarning, match="not how it is trained: `generator_terms` cannot be serialized"):
        gan.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.generate_from_embeddings(EMBEDDINGS), gan.generate_from_embeddings(EMBEDDINGS))
    assert not loaded.compiled


class Unregistered(R1):
    """A penalty that Keras could write, but would not find again."""


def test_what_keras_would_not_find_again_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    gan = tiny_gan("mlp", penalty=Unregistered())
    with pytest.warns(UserWarning, match="`penalty` cannot be serialized"):
        gan.save(path)
    assert not keras.saving.load_model(path).compiled

    class Unknown(networks.MLPGenerator):
        pass

    before = path.read_bytes()
    unknown = Unknown.from_config(gan.generator.get_config())
    other = TextToImageGAN(None, unknown, gan.discriminator, embedding_dim=EMBEDDING_DIM)
    other.compile()
    refused(other, keras.callbacks.ModelCheckpoint(path), "'Unknown' is not a network that is known here")
    gan.card = {"set": {1, 2}}
    for model, match in ((other, "import the module that registers it"), (gan, "must be plain JSON")):
        with pytest.raises(ValueError, match=match) as error:
            model.save(path)
        one_line(error)
    assert path.read_bytes() == before


def test_what_was_frozen_is_frozen_in_the_loaded_model(tmp_path: Path) -> None:
    gan = tiny_gan("mlp")
    transfer.freeze(gan, discriminator=["text"], late_blocks=1)
    gan.compile(seed=1)
    gan.fit(batches(), verbose=0)
    gan.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Skipping variable loading")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    for side in ("generator", "discriminator"):
        ours, theirs = ([w.trainable for w in getattr(model, side).weights] for model in (gan, loaded))
        assert ours == theirs
        assert not all(ours)
    for each in (gan, loaded):
        each.fit(batches(), verbose=0)
    for one, other in zip(weights(gan), weights(loaded), strict=True):
        np.testing.assert_array_equal(one, other)


def test_adapters_are_merged_and_that_is_said(tmp_path: Path) -> None:
    gan = tiny_gan("compact")
    transfer.lora(gan)
    gan.compile()
    gan.fit(batches(), verbose=0)
    with pytest.warns(UserWarning, match="adapters of LoRA are merged"):
        gan.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not loaded.compiled
    np.testing.assert_array_equal(loaded.generate_from_embeddings(EMBEDDINGS), gan.generate_from_embeddings(EMBEDDINGS))


def test_weights_go_without_the_encoder_and_to_a_model_with_the_same(tmp_path: Path) -> None:
    encoders = [TextEncoder.from_preset("caption_mini_en", sequence_length=length) for length in (16, 12)]
    gan = moved(tiny_gan("mlp", encoders[0]))
    gan.save_weights(tmp_path / "m.weights.h5")
    assert (tmp_path / "m.weights.h5").stat().st_size < 2**20
    same, other = (tiny_gan("mlp", encoder) for encoder in encoders)
    same.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(same.generate("a red star"), gan.generate("a red star"))
    with pytest.raises(ValueError, match="trained with another text encoder"):
        other.load_weights(tmp_path / "m.weights.h5")


def test_configurations_and_clones_have_the_same_form() -> None:
    gan = tiny_gan("compact", caption_augmentation=CaptionAugmentation(dropout=0.1))
    for other in (TextToImageGAN.from_config(gan.get_config()), keras.models.clone_model(gan)):
        assert [w.shape for w in weights(other)] == [w.shape for w in weights(gan)]
        assert other.get_config()["generator"]["config"] == gan.get_config()["generator"]["config"]
        assert other.conditioning_dropout == 0.1


def test_a_configuration_brings_a_packaged_encoder_along() -> None:
    encoder = TextEncoder.from_preset("caption_mini_en", sequence_length=16)
    other = TextToImageGAN.from_config(tiny_gan("mlp", encoder).get_config())
    assert other.text_encoder.fingerprint == encoder.fingerprint


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_files_of_model_checkpoint_can_be_read(name: str, tmp_path: Path) -> None:
    gan = tiny_gan("mlp")
    path = tmp_path / name
    callback = keras.callbacks.ModelCheckpoint(path, save_weights_only=name.endswith(".h5"))
    gan.fit(batches(), callbacks=[callback], verbose=0)
    if name.endswith(".h5"):
        loaded = moved(tiny_gan("mlp"))
        loaded.load_weights(path)
    else:
        loaded = keras.saving.load_model(path)
    for ours, theirs in zip(weights(gan), weights(loaded), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def rates(gan: TextToImageGAN) -> list[float]:
    return [float(o.learning_rate.numpy()) for o in (gan.generator_optimizer, gan.discriminator_optimizer)]


def two_rates(schedule: Any = 2e-3) -> dict[str, Any]:
    return {
        "generator_optimizer": keras.optimizers.Adam(1e-3),
        "discriminator_optimizer": keras.optimizers.Adam(schedule),
    }


def test_learning_rate_callbacks_move_both_rates_and_keep_their_ratio() -> None:
    gan = tiny_gan("mlp", **two_rates())
    gan.fit(batches(), callbacks=[keras.callbacks.LearningRateScheduler(lambda _, rate: rate / 4)], verbose=0)
    np.testing.assert_allclose(rates(gan), [2.5e-4, 5e-4], rtol=1e-6)
    plateau = keras.callbacks.ReduceLROnPlateau("generator_loss", factor=0.5, patience=1, min_delta=1e9, mode="min")
    gan.fit(batches(), epochs=2, callbacks=[plateau], verbose=0)
    np.testing.assert_allclose(rates(gan), [1.25e-4, 2.5e-4], rtol=1e-6)
    warm_up = keras.callbacks.LearningRateScheduler(lambda epoch: 1e-3 * epoch)
    gan.fit(batches(), epochs=2, callbacks=[warm_up], verbose=0)
    np.testing.assert_allclose(rates(gan), [1e-3, 2e-3], rtol=1e-6)


def refused(gan: TextToImageGAN, callback: Any, match: str) -> None:
    before = weights(gan)
    with pytest.raises(ValueError, match=match) as error:
        gan.fit(batches(), callbacks=[callback], verbose=0)
    one_line(error)
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(gan), strict=True))


def test_what_would_lose_something_is_refused_before_training(tmp_path: Path) -> None:
    gan = tiny_gan("mlp", **two_rates(keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.9)))
    refused(gan, keras.callbacks.LearningRateScheduler(lambda _: 1e-3), "follows a ExponentialDecay: pass a number")
    refused(gan, keras.callbacks.ReduceLROnPlateau("generator_loss"), "pass a number")
    refused(gan, keras.callbacks.BackupAndRestore(tmp_path / "backup"), r"use keras_t2i\.training\.train")
    refused(gan, keras.callbacks.SwapEMAWeights(), "leave it out")
    refused(gan, keras.callbacks.EarlyStopping("generator_loss"), "pass mode='min' or mode='max'")
    best = keras.callbacks.ModelCheckpoint(tmp_path / "m.keras", monitor="val_caption_accuracy", save_best_only=True)
    refused(gan, best, "pass mode='min' or mode='max'")
    with pytest.raises(ValueError, match="leave it out"):
        gan.fit(batches(), None, None, 1, 0, [keras.callbacks.SwapEMAWeights()])
    with pytest.raises(ValueError, match="`jit_compile=True`") as error:
        tiny_gan("mlp", jit_compile=True)
    one_line(error)
    with pytest.raises(ValueError, match="pass them to `compile` by name") as error:
        gan.optimizer = keras.optimizers.Adam()
    one_line(error)
    assert tiny_gan("mlp").jit_compile is False


def test_single_batches_can_be_trained_and_tested_on() -> None:
    gan = tiny_gan("mlp")
    before = weights(gan)
    logs = gan.train_on_batch(make_batch(), return_dict=True)
    assert np.isfinite(list(logs.values())).all()
    assert any(not np.array_equal(a, b) for a, b in zip(before, weights(gan), strict=True))
    tested = gan.test_on_batch(make_batch(), return_dict=True)
    assert tested.keys() == logs.keys()
    assert len(gan.test_on_batch(make_batch())) == len(logs)


def test_other_callbacks_do_what_they_say(tmp_path: Path) -> None:
    gan = tiny_gan("mlp")
    stop = keras.callbacks.EarlyStopping("generator_loss", patience=0, min_delta=1e9, mode="min")
    callbacks = [stop, keras.callbacks.CSVLogger(tmp_path / "log.csv"), keras.callbacks.TerminateOnNaN()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = gan.fit(batches(), epochs=5, callbacks=callbacks, verbose=0)
    assert len(history.epoch) == 2
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3
    assert gan.predict(
        {"latents": np.zeros((3, 6), np.float32), "sentence_embeddings": EMBEDDINGS}, verbose=0
    ).shape == (
        3,
        32,
        32,
        3,
    )
    lines: list[str] = []
    gan.summary(print_fn=lambda line, **_: lines.append(line))
    assert "Total params" in "".join(lines)


def test_tensorboard_logs(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    board = keras.callbacks.TensorBoard(tmp_path, write_steps_per_second=True)
    tiny_gan("mlp").fit(batches(), callbacks=[board], verbose=0)
    assert list(tmp_path.rglob("events.*"))
