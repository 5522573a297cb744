import csv
import json
import os
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import STEPS_PER_EPOCH, ShortEpochs, digest, make_gan

from keras_t2i.training import Checkpoints, TrainingState, train


class StopAfter(keras.callbacks.Callback):
    """Ends `fit` as a time budget would, after so many batches of this process."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        self.model.stop_training = self.left <= 0


def read_log(run_dir):
    """The log without its clock, which no two runs share."""
    with open(run_dir / "log.csv", newline="") as file:
        return [{name: row[name] for name in row if name != "minutes"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("family", ["mlp", "dcgan"])
def test_resumed_in_the_middle_of_an_epoch_equals_uninterrupted(tmp_path, family):
    whole = make_gan(family)
    train(whole, ShortEpochs(), tmp_path / "whole", epochs=3, verbose=0)
    for seed, batches in enumerate((3, 7, 1000)):  # Stops inside of epoch 1, then of epoch 2.
        parts = make_gan(family, seed=seed)
        state = train(parts, ShortEpochs(), tmp_path / "parts", epochs=3, callbacks=[StopAfter(batches)], verbose=0)
    assert state.step == 3 * STEPS_PER_EPOCH
    assert digest(parts) == digest(whole)
    assert read_log(tmp_path / "parts") == read_log(tmp_path / "whole")
    for number in (1, 2, 3):
        grid = Path("grids") / f"epoch-000{number}.png"
        assert (tmp_path / "parts" / grid).read_bytes() == (tmp_path / "whole" / grid).read_bytes()


def test_killed_before_the_first_checkpoint_is_a_new_run(tmp_path):
    # All that such a process leaves: its lock, its configuration and half of a checkpoint.
    gan = make_gan("mlp")
    run_dir = tmp_path / "run"
    (run_dir / "checkpoints" / ".tmp-checkpoint-000001").mkdir(parents=True)
    (run_dir / "lock").write_text("1")
    (run_dir / "config.json").write_text(json.dumps({"steps_per_epoch": STEPS_PER_EPOCH}))
    assert train(gan, ShortEpochs(), run_dir, epochs=1, verbose=0).step == STEPS_PER_EPOCH


def test_a_finished_run_is_left_alone_and_can_go_on(tmp_path, capsys):
    gan = make_gan("mlp")
    train(gan, ShortEpochs(), tmp_path, epochs=1, verbose=0)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    again = make_gan("mlp", seed=1)
    state = train(again, ShortEpochs(), tmp_path, epochs=1, verbose=0)
    assert state.epoch == 1
    assert "is finished: 8 steps, 1 epochs" in capsys.readouterr().err
    assert digest(again) == digest(gan)
    assert {path: path.read_bytes() for path in files} == files
    assert train(again, ShortEpochs(), tmp_path, epochs=2, verbose=0).epoch == 2
    assert "Continuing" in capsys.readouterr().err
    assert [(row["epoch"], row["step"]) for row in read_log(tmp_path)] == [("1", "8"), ("2", "16")]


def test_training_by_the_clock_names_the_minute_and_not_a_number_of_epochs(tmp_path, capsys):
    train(make_gan("mlp"), ShortEpochs(), tmp_path, minutes=0.02, verbose=2)
    printed = capsys.readouterr().out
    assert "Epoch 1, minute 0.0 of 0.02" in printed
    assert "000000" not in printed


@pytest.mark.parametrize("limit", [{"epochs": 2}, {"minutes": 5}, {"steps": 20}])
def test_the_last_line_of_a_run_that_was_stopped_tells_the_steps_that_were_done(tmp_path, capsys, limit):
    train(make_gan("mlp", penalty=None), ShortEpochs(), tmp_path, **limit, callbacks=[StopAfter(3)], verbose=2)
    printed = capsys.readouterr().out
    assert f"3/{STEPS_PER_EPOCH} - " in printed
    assert f"{STEPS_PER_EPOCH}/{STEPS_PER_EPOCH}" not in printed
    assert ("Epoch 1/2" in printed) == ("epochs" in limit)


def test_time_budget_is_kept_over_processes(tmp_path, capsys):
    class Clock(keras.callbacks.Callback):
        state, seconds = TrainingState(), []

        def on_train_batch_end(self, batch, logs=None):
            self.seconds.append(self.state.seconds)

    gan, clock = make_gan("mlp", penalty=None), Clock()
    # Saved after each batch, so that the validation at the end comes after the last of these.
    options = {"minutes": 0.02, "checkpoint_minutes": 0.0, "verbose": 0}
    state = train(gan, ShortEpochs(), tmp_path, callbacks=[clock], **options)
    assert [seconds >= 1.2 for seconds in clock.seconds] == [False] * (state.step - 1) + [True]
    assert Checkpoints(tmp_path / "checkpoints").restore(gan) == state
    assert train(gan, ShortEpochs(), tmp_path, **options) == state
    assert "is finished" in capsys.readouterr().err


def test_refuses_another_configuration(tmp_path):
    config = {"family": "mlp", "learning_rate": 1e-4, "widths": (8, 8)}
    gan = make_gan("mlp")
    train(gan, ShortEpochs(), tmp_path, epochs=1, config=config, verbose=0)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    other = {"family": "mlp", "learning_rate": 2e-4, "widths": (8, 8), "seed": 1}
    message = r"other settings: learning_rate \(0.0001 there, 0.0002 now\), seed \(null there, 1 now\); choose another"
    with pytest.raises(ValueError, match=message) as error:
        train(gan, ShortEpochs(), tmp_path, epochs=2, config=other, verbose=0)
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in before} == before
    with pytest.raises(ValueError, match="`config` must be made of what JSON can hold"):
        train(gan, ShortEpochs(), tmp_path, epochs=2, config={"array": np.zeros(2)}, verbose=0)


def test_refuses_two_runs_at_once(tmp_path):
    running, done = threading.Event(), threading.Event()

    class Wait(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            running.set()
            done.wait(60)

    gan = make_gan("mlp", penalty=None)
    arguments = {"epochs": 1, "callbacks": [Wait()], "verbose": 0}
    thread = threading.Thread(target=train, args=(gan, ShortEpochs(), tmp_path), kwargs=arguments)
    thread.start()
    try:
        assert running.wait(60)
        with pytest.raises(ValueError, match=f"Process {os.getpid()} is training in .*; wait for it") as error:
            train(gan, ShortEpochs(), tmp_path, epochs=1, verbose=0)
        assert "\n" not in str(error.value)
    finally:
        done.set()
        thread.join()
    assert Checkpoints(tmp_path / "checkpoints").restore(gan).epoch == 1


def test_says_where_a_run_that_diverged_stopped(tmp_path):
    gan = make_gan("mlp", penalty=None)

    class Poison(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                bias = self.model.discriminator.trainable_variables[-1]
                bias.assign(np.full(bias.shape, np.nan))

    with pytest.raises(ValueError, match="Training stopped after step 4: a loss or a gradient is not finite") as error:
        train(gan, ShortEpochs(), tmp_path, epochs=1, callbacks=[Poison()], checkpoint_steps=3, verbose=0)
    assert "\n" not in str(error.value)
    restored = make_gan("mlp", penalty=None)
    assert Checkpoints(tmp_path / "checkpoints").restore(restored).step == 3
    assert all(np.isfinite(weight).all() for weight in restored.get_weights())


def test_needs_a_limit(tmp_path):
    with pytest.raises(ValueError, match="pass `epochs`, `minutes` or `steps`"):
        train(make_gan("mlp"), ShortEpochs(), tmp_path)
    with pytest.raises(ValueError, match="`epochs` must be at least 1; got 0"):
        train(make_gan("mlp"), ShortEpochs(), tmp_path, epochs=0)
