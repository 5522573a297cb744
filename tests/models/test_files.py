"""Presets: what is saved comes back to the last pixel, and what is not as it was saved is refused."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import EMBEDDING_DIM, FAMILIES, make_batch, move_weights, one_line, tiny_gan
from tiny_encoder import write_bert_preset

from keras_t2i import networks
from keras_t2i.core.files import CHECKSUMS, verify, write_checksums
from keras_t2i.models.files import initialize
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.presets import describe, resolve
from keras_t2i.text import TextEncoder

PROMPTS = ["a red star", "a blue circle", "CAFÉ \0 star"]


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> TextToImageGAN:
    """A model whose averaged generator differs from the trained one, and both from a fresh one."""
    encoder = TextEncoder.from_preset(write_bert_preset(tmp_path_factory.mktemp("loader") / "bert"))
    gan = tiny_gan("dcgan", encoder)
    for number, network in enumerate((gan.generator, gan.discriminator)):
        move_weights(network, seed=number)
    for average, current in zip(gan.ema_generator.weights, gan.generator.weights, strict=True):
        average.assign(0.7 * current + 0.01)
    return gan


@pytest.fixture(scope="module")
def preset(gan: TextToImageGAN, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("loader") / "preset"
    gan.save_to_preset(directory, card={"license": "CC0-1.0", "training": {"images": 12}})
    return directory


@pytest.fixture
def copy(preset: Path, tmp_path: Path) -> Path:
    return shutil.copytree(preset, tmp_path / "copy")


def change_config(directory: Path, change: object) -> None:
    """Changes the configuration as somebody would who also knows how to list checksums."""
    path = directory / "config.json"
    config = json.loads(path.read_text())
    change(config)  # type: ignore[operator]
    path.write_text(json.dumps(config))
    write_checksums(directory)


def test_generates_identical_pixels_and_keeps_every_weight(gan: TextToImageGAN, preset: Path) -> None:
    loaded = TextToImageGAN.from_preset(preset)
    images = gan.generate(PROMPTS, num_images=2, seed=5)
    np.testing.assert_array_equal(loaded.generate(PROMPTS, num_images=2, seed=5), images)
    assert images.std() > 1
    for name in ("generator", "ema_generator", "discriminator"):
        for before, after in zip(getattr(gan, name).weights, getattr(loaded, name).weights, strict=True):
            np.testing.assert_array_equal(before.numpy(), after.numpy())
    assert loaded.card["license"] == "CC0-1.0"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_comes_back_and_can_be_trained_on(family: str, tmp_path: Path) -> None:
    gan = tiny_gan(family)
    move_weights(gan.generator)
    gan.ema_generator.set_weights([0.7 * weight for weight in gan.generator.get_weights()])
    gan.save_to_preset(tmp_path / "preset")
    loaded = TextToImageGAN.from_preset(tmp_path / "preset")
    text = make_batch()["sentence_embeddings"]
    np.testing.assert_array_equal(loaded.generate_from_embeddings(text), gan.generate_from_embeddings(text))
    for before, after in zip(gan.generator.weights, loaded.generator.weights, strict=True):
        np.testing.assert_array_equal(before.numpy(), after.numpy())
    loaded.compile(penalty=None)
    before = [weight.numpy().copy() for weight in loaded.generator.trainable_weights]
    history = loaded.fit(tf.data.Dataset.from_tensors(make_batch()), shuffle=False, verbose=0).history
    assert np.isfinite(history["generator_loss"]).all()
    after = loaded.generator.trainable_weights
    assert any(not np.array_equal(old, new.numpy()) for old, new in zip(before, after, strict=True))


def test_resolve_finds_presets_and_runs(preset: Path, tmp_path: Path) -> None:
    shutil.copytree(preset, tmp_path / "run" / "preset")
    assert resolve(preset) == preset
    assert resolve(tmp_path / "run") == tmp_path / "run" / "preset"
    for name in (tmp_path, tmp_path / "missing", "no_such_preset"):
        with pytest.raises(ValueError, match="pass a preset directory") as error:
            resolve(name)
        assert str(name) in one_line(error)


def test_a_flipped_bit_anywhere_is_refused(copy: Path) -> None:
    draw = random.Random(0)
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    positions = [(path, draw.randrange(path.stat().st_size)) for path in files for _ in range(6)]
    positions += [(copy / CHECKSUMS, place) for place in range(0, (copy / CHECKSUMS).stat().st_size, 23)]
    for path, place in positions:
        content = path.read_bytes()
        flipped = bytearray(content)
        flipped[place] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match="damaged") as error:
            TextToImageGAN.from_preset(copy)
        assert "\n" not in one_line(error)
        path.write_bytes(content)
    assert TextToImageGAN.from_preset(copy) is not None


@pytest.mark.parametrize("damage", ["missing", "extra", "link", "pipe", "no list"])
def test_other_files_than_listed_are_refused(copy: Path, damage: str) -> None:
    weights = copy / "generator.weights.h5"
    if damage == "missing":
        weights.unlink()
    elif damage == "extra":
        (copy / "extra.txt").write_text("hello")
    elif damage == "link":
        weights.rename(copy.parent / "elsewhere.h5")
        weights.symlink_to(copy.parent / "elsewhere.h5")
    elif damage == "pipe":
        os.mkfifo(copy / "pipe")
    else:
        (copy / CHECKSUMS).unlink()
    with pytest.raises(ValueError, match=str(copy)) as error:
        TextToImageGAN.from_preset(copy)
    one_line(error)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.update(format="something else"),
        lambda config: config.pop("generator"),
        lambda config: config["generator"].update(registered_name="no>Such"),
        lambda config: config["generator"].update(registered_name="keras_t2i>CompactDiscriminator"),
        lambda config: config["generator"].update(registered_name=None, module="os", class_name="system"),
        lambda config: config["generator"].update(config={"class_name": "__lambda__", "config": {"value": "x"}}),
        lambda config: config["generator"]["config"].update(unknown=1),
        lambda config: config["generator"]["config"].update(image_size=33),
        lambda config: config["generator"]["config"].update(width=3),
        lambda config: config["generator"]["config"].update(
            dtype={"class_name": "function", "module": "os", "config": "system", "registered_name": "keras_t2i>x"}
        ),
        lambda config: config["generator"]["config"].update(latent_dim=30_000_000),
        lambda config: config["generator"]["config"].update(latent_dim=200_000),
        lambda config: config["discriminator"]["config"].update(depth=10**9),
        lambda config: config.update(embedding_dim=10**9),
        lambda config: config.update(card=["a list"]),
        lambda config: config.update(card="a text"),
        lambda config: config.update(embedding_dim="many"),
        lambda config: config.update(text_encoder_fingerprint="0" * 64),
    ],
)
def test_configurations_from_strangers_are_refused_in_one_line(copy: Path, change: object) -> None:
    change_config(copy, change)
    with pytest.raises(ValueError, match="cannot be loaded") as error:
        TextToImageGAN.from_preset(copy)
    assert str(copy) in one_line(error)


def test_text_encoders_cannot_name_foreign_classes(copy: Path, tmp_path: Path) -> None:
    task = copy / "text_encoder" / "task.json"
    config = json.loads(task.read_text())
    proof = tmp_path / "proof"
    config["config"]["preprocessor"]["config"]["tokenizer"] = {
        "module": "builtins",
        "class_name": "function",
        "config": f"open({str(proof)!r}, 'w')",
        "registered_name": "keras_hub>BertTokenizer",
    }
    task.write_text(json.dumps(config))
    write_checksums(copy)
    with pytest.raises(ValueError, match="'function' in it is not one that a preset may hold") as error:
        TextToImageGAN.from_preset(copy)
    one_line(error)
    assert not proof.exists()


@pytest.mark.parametrize("part", ["generator", "ema_generator", "discriminator", "text_encoder/model"])
def test_weights_that_are_not_finite_are_refused_by_the_name_of_their_file(part: str, copy: Path) -> None:
    with h5py.File(copy / f"{part}.weights.h5", "r+") as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if getattr(item, "ndim", 0) >= 2 else None)
        values = file[names[-1]][()]
        values.flat[-1] = np.nan
        file[names[-1]][()] = values
    write_checksums(copy)
    with pytest.raises(ValueError, match="holds numbers that are not finite") as error:
        TextToImageGAN.from_preset(copy)
    assert f"{Path(part).name}.weights.h5" in one_line(error)


def test_a_model_is_not_started_from_what_a_preset_could_not_be_loaded_from(gan: TextToImageGAN, copy: Path) -> None:
    before = [weight.numpy().copy() for weight in gan.weights]
    change_config(copy, lambda config: config["generator"]["config"].update(latent_dim=200_000))
    with pytest.raises(ValueError, match="cannot be started from") as error:
        initialize(gan, copy)
    one_line(error)
    with h5py.File(copy / "generator.weights.h5", "r+") as file:
        file["text_encoder"] = np.full(3, np.inf)
    write_checksums(copy)
    with pytest.raises(ValueError, match=r"generator\.weights\.h5 holds numbers that are not finite"):
        initialize(gan, copy)
    for old, weight in zip(before, gan.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), old)


def test_a_text_encoder_in_any_directory_goes_through_the_same_gate(copy: Path, tmp_path: Path) -> None:
    encoder = copy / "text_encoder"
    assert TextEncoder.from_preset(encoder).embedding_dim == 16
    spoiled = {
        "larger": ("config.json", lambda config: config["config"].update(vocabulary_size=10**9)),
        "elsewhere": (
            "task.json",
            lambda config: config["config"]["preprocessor"]["config"]["tokenizer"]["config"].update(
                vocabulary="/dev/zero"
            ),
        ),
        "foreign": ("tokenizer.json", lambda config: config.update(registered_name=None, class_name="Lambda")),
    }
    for name, (file, change) in spoiled.items():
        other = shutil.copytree(encoder, tmp_path / name)
        config = json.loads((other / file).read_text())
        change(config)
        (other / file).write_text(json.dumps(config))
        with pytest.raises(ValueError, match="cannot be loaded") as error:
            TextEncoder.from_preset(other)
        assert ("10000000" in one_line(error), "vocabulary" in one_line(error), "'Lambda'" in one_line(error)) == (
            name == "larger",
            name == "elsewhere",
            name == "foreign",
        )


@pytest.mark.parametrize("kind", ["hollow", "deep", "many", "odd name"])
def test_folders_that_would_be_read_for_ever_are_refused(kind: str, copy: Path) -> None:
    if kind == "hollow":
        os.truncate(copy / "generator.weights.h5", 1 << 40)
    elif kind == "deep":
        (copy / Path(*"abcdefghijklmnopqrstuvwxyz")).mkdir(parents=True)
    elif kind == "many":
        for number in range(1001):
            (copy / f"{number}.txt").touch()
    else:
        with open(os.fsencode(copy) + b"/\xff", "w"):
            pass
    with pytest.raises(ValueError, match=str(copy)) as error:
        TextToImageGAN.from_preset(copy)
    one_line(error)


def test_networks_of_other_packages_are_kept_once_they_are_registered(tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable("somebody")
    class OtherGenerator(networks.MLPGenerator):
        pass

    discriminator = networks.MLPDiscriminator(32, text_width=4, widths=(8, 8, 8))
    gan = TextToImageGAN(None, OtherGenerator(32, 4, text_width=4, widths=(8, 8)), discriminator, EMBEDDING_DIM)
    gan.save_to_preset(tmp_path / "preset")
    assert type(TextToImageGAN.from_preset(tmp_path / "preset").generator) is OtherGenerator


def test_networks_that_nobody_has_registered_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    class OtherGenerator(networks.MLPGenerator):
        pass

    discriminator = networks.MLPDiscriminator(32, text_width=4, widths=(8, 8, 8))
    gan = TextToImageGAN(None, OtherGenerator(32, 4, text_width=4, widths=(8, 8)), discriminator, EMBEDDING_DIM)
    with pytest.raises(ValueError, match="'OtherGenerator' is not a network that is known here") as error:
        gan.save_to_preset(tmp_path / "preset")
    one_line(error)
    assert list(tmp_path.iterdir()) == []


def test_saving_replaces_a_preset_but_never_other_files(gan: TextToImageGAN, copy: Path, tmp_path: Path) -> None:
    gan.save_to_preset(copy, card={"second": True})
    assert TextToImageGAN.from_preset(copy).card == {"second": True}
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "holiday.png").write_bytes(b"precious")
    (tmp_path / "file").write_text("precious")
    for target in (mine, tmp_path / "file"):
        with pytest.raises(ValueError, match=str(target)) as error:
            gan.save_to_preset(target)
        one_line(error)
    assert [path.name for path in mine.iterdir()] == ["holiday.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "file", "mine"]


def test_float16_takes_fewer_bytes_and_one_gray_level_at_most(gan: TextToImageGAN, tmp_path: Path) -> None:
    for name, dtype in (("whole", None), ("half", "float16")):
        gan.save_to_preset(tmp_path / name, card={}, dtype=dtype)
    loaded = TextToImageGAN.from_preset(tmp_path / "half")
    assert {weight.dtype for weight in loaded.weights} == {weight.dtype for weight in gan.weights}
    for name in ("generator", "ema_generator", "discriminator"):
        for before, after in zip(getattr(gan, name).weights, getattr(loaded, name).weights, strict=True):
            exact = before.numpy()
            expected = exact.astype(np.float16).astype(np.float32) if exact.dtype == np.float32 else exact
            np.testing.assert_array_equal(after.numpy(), expected)
    pixels = [model.generate(PROMPTS, seed=5).astype(int) for model in (gan, loaded)]
    assert np.abs(pixels[0] - pixels[1]).max() <= 1
    # Saved again, nothing is lost a second time.
    loaded.save_to_preset(tmp_path / "again", dtype="float16")
    for half in (tmp_path / "half").glob("*.h5"):
        assert half.read_bytes() == (tmp_path / "again" / half.name).read_bytes()
        assert half.stat().st_size < (tmp_path / "whole" / half.name).stat().st_size


def test_float16_that_cannot_hold_a_weight_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    gan = tiny_gan("mlp")
    gan.discriminator.trainable_weights[0].assign(gan.discriminator.trainable_weights[0] + 70_000.0)
    with pytest.raises(ValueError, match=r"discriminator.weights.h5 has numbers that float16 cannot hold") as error:
        gan.save_to_preset(tmp_path / "preset", dtype="float16")
    one_line(error)
    with pytest.raises(ValueError, match="got dtype 'int8'") as error:
        gan.save_to_preset(tmp_path / "preset", dtype="int8")
    one_line(error)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def with_packaged_encoder(text_encoder: TextEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("loader") / "shapes"
    tiny_gan("mlp", text_encoder).save_to_preset(directory, card={"license": "CC0-1.0"})
    return directory


def test_the_packaged_text_encoder_is_named_and_not_copied(
    with_packaged_encoder: Path, text_encoder: TextEncoder, tmp_path: Path
) -> None:
    assert not (with_packaged_encoder / "text_encoder").exists()
    loaded = TextToImageGAN.from_preset(with_packaged_encoder)
    assert loaded.text_encoder.fingerprint == text_encoder.fingerprint
    assert loaded.text_encoder.sequence_length == 16
    loaded.save_to_preset(tmp_path / "again")  # The name survives a round trip.
    assert not (tmp_path / "again" / "text_encoder").exists()


def test_a_preset_of_the_first_format_still_loads(
    with_packaged_encoder: Path, text_encoder: TextEncoder, tmp_path: Path
) -> None:
    old = shutil.copytree(with_packaged_encoder, tmp_path / "old")
    text_encoder.save_to_preset(old / "text_encoder")
    (old / "README.md").unlink()

    def as_it_was(config: dict) -> None:
        config["format"] = "keras_t2i preset 1"
        del config["text_encoder"], config["conditioning_dropout"]

    change_config(old, as_it_was)
    models = [TextToImageGAN.from_preset(directory) for directory in (old, with_packaged_encoder)]
    np.testing.assert_array_equal(*[model.generate(PROMPTS) for model in models])


@pytest.mark.parametrize("name", ["hf://somebody/encoder", "bert_tiny_en_uncased", "../caption_mini_en", ["x"], 3])
def test_a_preset_cannot_name_text_encoders_of_others(
    name: object, with_packaged_encoder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(with_packaged_encoder, tmp_path / "copy")
    change_config(copy, lambda config: config.update(text_encoder=name))
    with pytest.raises(ValueError, match="names a text encoder that is not in this release") as error:
        TextToImageGAN.from_preset(copy)
    one_line(error)


def test_another_packaged_text_encoder_than_in_training_is_refused(with_packaged_encoder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(with_packaged_encoder, tmp_path / "copy")
    change_config(copy, lambda config: config.update(text_encoder_fingerprint="0" * 64))
    with pytest.raises(ValueError, match=r"not the one .* trained with \(keras_t2i .* has it\)") as error:
        TextToImageGAN.from_preset(copy)
    one_line(error)


def test_a_preset_says_what_it_is(with_packaged_encoder: Path) -> None:
    verify(with_packaged_encoder)
    told = describe(with_packaged_encoder)
    size = sum(path.stat().st_size for path in with_packaged_encoder.iterdir())
    assert told == {"description": None, "image_size": 32, "bytes": size, "quality": None, "license": "CC0-1.0"}
    readme = (with_packaged_encoder / "README.md").read_text()
    assert "# shapes\n" in readme
    assert "caption_mini_en" in readme


def test_weights_that_a_part_shares_with_its_average_are_written_once(tmp_path: Path) -> None:
    gan = tiny_gan("compact")
    gan.train_on_batch(make_batch())
    gan.save_to_preset(tmp_path / "trained")
    gan.generator.set_weights(gan.ema_generator.get_weights())
    gan.save_to_preset(tmp_path / "shared", dtype="float16")
    assert not (tmp_path / "shared" / "ema_generator.weights.h5").exists()
    assert (tmp_path / "trained" / "ema_generator.weights.h5").exists()
    again = TextToImageGAN.from_preset(tmp_path / "shared")
    for ours, theirs in zip(again.ema_generator.get_weights(), again.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    started = tiny_gan("compact")
    initialize(started, tmp_path / "shared")
    for ours, theirs in zip(again.generator.get_weights(), started.ema_generator.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("shared", [{"ema_generator": "../generator"}, {"ema_generator": 3}, ["generator"]])
def test_a_preset_shares_weights_of_its_own_alone(tmp_path: Path, shared: Any) -> None:
    gan = tiny_gan("compact")
    gan.save_to_preset(tmp_path / "preset")
    config = json.loads((tmp_path / "preset" / "config.json").read_text())
    (tmp_path / "preset" / "config.json").write_text(json.dumps({**config, "shared_weights": shared}))
    write_checksums(tmp_path / "preset")
    with pytest.raises(ValueError, match="shared_weights") as error:
        TextToImageGAN.from_preset(tmp_path / "preset")
    assert one_line(error)
