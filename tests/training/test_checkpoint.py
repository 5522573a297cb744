import json
import resource
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import ShortEpochs, TableEncoder, digest, make_gan

from keras_t2i.training import Checkpoints, TrainingState
from keras_t2i.training.model_state import model_state


def fit(gan, first_step, steps):
    dataset = ShortEpochs()
    gan.fit(dataset.train_from(first_step), steps_per_epoch=steps, verbose=0, shuffle=False)


@pytest.fixture(scope="module")
def trained():
    gan = make_gan("mlp", encoder=TableEncoder())
    fit(gan, 0, 3)
    return gan


def everything(gan):
    return {name: variable.numpy() for name, variable in model_state(gan).items()}


def test_restores_every_variable_into_another_model(tmp_path, trained):
    Checkpoints(tmp_path).save(trained, TrainingState(step=3, epoch=1, seconds=0.1 + 0.2))
    other = make_gan("mlp", seed=5)
    assert digest(other) != digest(trained)
    state = Checkpoints(tmp_path).restore(other)
    assert state == TrainingState(3, 1, 0.1 + 0.2)
    assert digest(other) == digest(trained)
    before, after = everything(trained), everything(other)
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)


def test_holds_slots_and_all_random_state(trained):
    values = everything(trained)
    # Adam: iterations, learning rate, and two slots for each weight.
    num_slots = len([name for name in values if name.startswith("generator_optimizer/")])
    assert num_slots == 2 + 2 * len(trained.generator.trainable_variables)
    assert max(np.abs(value).max() for name, value in values.items() if name.startswith("discriminator_optimizer/")) > 0
    # Latents, the penalty's points and dropout draw their own numbers; all have advanced.
    assert values["random/0000"][1] == 3
    penalty = [value for name, value in values.items() if name.startswith("state/")]
    assert [value[1] for value in penalty] == [3]
    dropout = [v for v in trained.discriminator.variables if v.name == "seed_generator_state"]
    assert dropout
    assert all(v.numpy()[1] > 0 for v in dropout)
    held = {id(variable) for variable in model_state(trained).values()}
    assert all(id(variable) in held for variable in dropout)


def test_finds_the_state_of_an_augmentation():
    class Jitter:
        def __init__(self):
            self.parts = {"noise": keras.layers.GaussianNoise(0.1), "strength": keras.Variable(0.5)}

        def apply(self, images):
            return self.parts["noise"](images, training=True) * self.parts["strength"]

    augmentation = Jitter()
    gan = make_gan("mlp", augmentation=augmentation.apply, penalty="r1")
    held = {id(variable) for name, variable in model_state(gan).items() if name.startswith("state/")}
    assert held == {id(augmentation.parts["strength"]), id(augmentation.parts["noise"].seed_generator.state)}


def test_keeps_two_and_cleans_up(tmp_path, trained):
    checkpoints = Checkpoints(tmp_path)
    for step in range(4):
        if step == 2:  # What a kill in the middle of a save leaves.
            (tmp_path / ".tmp-checkpoint-000009").mkdir()
            (tmp_path / ".tmp-checkpoint-000009" / "arrays.npz").write_bytes(b"half")
        checkpoints.save(trained, TrainingState(step=step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-000003", "checkpoint-000004"]
    assert Checkpoints(tmp_path).restore(trained).step == 3
    with pytest.raises(ValueError, match="`keep` must be at least 1; got 0"):
        Checkpoints(tmp_path, keep=0)


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def spoil_counter(path):
    path.write_text(path.read_text().replace('"step": 2', '"step": 7'))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("arrays.npz", flip_a_bit),
        ("arrays.npz", lambda path: path.write_bytes(path.read_bytes()[:1000])),
        ("arrays.npz", Path.unlink),
        ("manifest.json", flip_a_bit),
        ("manifest.json", spoil_counter),
        ("manifest.json", lambda path: path.write_bytes(b"")),
        ("manifest.json", lambda path: path.write_text("[]")),
    ],
)
def test_falls_back_from_a_damaged_checkpoint(tmp_path, trained, caplog, file, damage):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        newest = checkpoints.save(trained, TrainingState(step=step))
    damage(newest / file)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.restore(make_gan("mlp")).step == 1
    assert [record.getMessage().count("\n") for record in caplog.records] == [0]
    assert "damaged" in caplog.text
    # The next one saved must push out the damaged one, never the good one that the run goes on from.
    checkpoints.save(trained, TrainingState(step=3))
    assert [path.name for path in checkpoints.paths()] == ["checkpoint-000001", "checkpoint-000003"]
    assert not newest.exists()


def test_all_damaged_is_an_error(tmp_path, trained):
    flip_a_bit(Checkpoints(tmp_path).save(trained, TrainingState()) / "arrays.npz")
    with pytest.raises(ValueError, match=r"None of the 1 checkpoints .* remove that directory"):
        Checkpoints(tmp_path).restore(trained)


def test_nothing_to_restore(tmp_path, trained):
    assert Checkpoints(tmp_path / "missing").restore(trained) is None


def test_refuses_another_model(tmp_path, trained):
    Checkpoints(tmp_path).save(trained, TrainingState())
    others = {
        "generator MLPGenerator, but this model has DCGANGenerator": make_gan("dcgan"),
        "generator_optimizer Adam, but this model has SGD": make_gan("mlp", generator_optimizer=keras.optimizers.SGD()),
        r"state/0000 is .*\(2,\) there and nothing here": make_gan("mlp", penalty="r1"),
        r"another text encoder \(fingerprint aaaaaaaaaaaa, not bbbbbbbbbbbb\)": make_gan(
            "mlp", encoder=TableEncoder("b" * 64)
        ),
    }
    for message, other in others.items():
        before = digest(other)
        with pytest.raises(ValueError, match=message) as error:
            Checkpoints(tmp_path).restore(other)
        assert "\n" not in str(error.value)
        assert digest(other) == before


def test_refuses_other_shapes(tmp_path, trained):
    other = make_gan("mlp")
    Checkpoints(tmp_path).save(trained, TrainingState())
    wider = type(other)(
        None,
        type(other.generator)(32, latent_dim=4, text_width=4, widths=(8, 9)),
        other.discriminator,
        embedding_dim=other.embedding_dim,
    )
    wider.compile(penalty="wgan_gp")
    with pytest.raises(ValueError, match=r"ema_generator/\d{4} is float32\(.*8.*\) there and float32\(.*9.*\) here"):
        Checkpoints(tmp_path).restore(wider)


def test_refuses_optimizers_without_slots(tmp_path):
    # Keras would load nothing into an unbuilt optimizer and only warn; its momenta would restart from zero.
    gan = make_gan("mlp")
    gan.generator_optimizer = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="generator_optimizer is not built"):
        Checkpoints(tmp_path).save(gan, TrainingState())
    uncompiled = type(gan)(None, gan.generator, gan.discriminator, embedding_dim=gan.embedding_dim)
    with pytest.raises(ValueError, match="call `compile` first"):
        Checkpoints(tmp_path).restore(uncompiled)


def test_a_full_disk_leaves_the_earlier_one(tmp_path, trained):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(trained, TrainingState(step=1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # The system refuses to write more into any one file.
    try:
        with pytest.raises(OSError, match=r"Could not save a checkpoint in .* the earlier ones are untouched") as error:
            checkpoints.save(trained, TrainingState(step=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000001"]
    assert checkpoints.restore(trained).step == 1


def test_arrays_need_no_pickle_and_no_keras(tmp_path, trained):
    path = Checkpoints(tmp_path).save(trained, TrainingState(step=3))
    manifest = json.loads((path / "manifest.json").read_text())
    with np.load(path / "arrays.npz", allow_pickle=False) as arrays:
        assert {name: list(arrays[name].shape) for name in arrays.files} == {
            name: described["shape"] for name, described in manifest["arrays"].items()
        }
    assert not any(name.startswith("text_encoder/") for name in manifest["arrays"])
    assert manifest["text_encoder"] == "a" * 64
