import importlib.util
import logging
import os
import resource
import signal
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import EMBEDDING_DIM, ShortEpochs, TableEncoder, make_gan

from keras_t2i.training import (
    Checkpoints,
    EveryEpochs,
    ImageGrid,
    Progress,
    SaveCheckpoints,
    StopOnSignals,
    TimeBudget,
    TrainingState,
    draw_grid,
)


@pytest.fixture(scope="module")
def gan():
    return make_gan("mlp", encoder=TableEncoder(), penalty=None)


def fit(gan, callbacks, epochs=1, steps=6):
    gan.fit(
        ShortEpochs().train_from(0), steps_per_epoch=steps, epochs=epochs, callbacks=callbacks, verbose=0, shuffle=False
    )


class Call(keras.callbacks.Callback):
    """Calls a function after each batch."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def on_train_batch_end(self, batch, logs=None):
        self.function(batch)


def images(rows, columns, size=32):
    return np.random.default_rng(0).integers(0, 256, (rows, columns, size, size, 3), dtype=np.uint8)


def test_grid_shows_the_very_pixels_beside_their_captions():
    pixels = images(2, 3)
    picture = np.asarray(draw_grid(pixels, ["a red circle", "a blue star"]))
    enlarged = pixels.repeat(3, axis=2).repeat(3, axis=3)  # 32 pixels are shown as 96.
    for row in range(2):
        for column in range(3):
            top, left = 6 + row * 102, 226 + column * 102
            np.testing.assert_array_equal(picture[top : top + 96, left : left + 96], enlarged[row, column])
    text = picture[:, :220].min(axis=(1, 2))
    assert text[6:102].min() < 100
    assert text[108:204].min() < 100  # Each row has dark ink on its left,
    assert text[102:108].min() > 200  # and none between rows.


@pytest.mark.parametrize(
    "caption",
    [
        "",
        " ",
        "word " * 3000,
        "x" * 100_000,
        "红色的花 на снегу 🌹 زهرة",
        "line\nbreak\ttab\0nul",
        "a\udcffb",
        "\u202eabc",
    ],
)
@pytest.mark.filterwarnings("ignore:No font on this system has")
def test_grid_takes_any_caption(caption):
    plain = draw_grid(images(1, 2), ["a flower"])
    started = time.monotonic()
    picture = draw_grid(images(1, 2), [caption])
    assert time.monotonic() - started < 5
    assert picture.size == plain.size
    # A caption never runs into the images.
    np.testing.assert_array_equal(np.asarray(picture)[:, 220:], np.asarray(plain)[:, 220:])


def test_grid_refuses_what_it_cannot_draw():
    with pytest.raises(ValueError, match="A grid needs uint8 images"):
        draw_grid(images(2, 2).astype(np.float32), ["a", "b"])
    with pytest.raises(ValueError, match="and 1 captions"):
        draw_grid(images(2, 2), ["a"])


def test_grid_has_headings_where_they_are_asked_for():
    plain, headed = (np.asarray(draw_grid(images(2, 2), ["a", "b"], heads)) for heads in ((), ("real", "drawn")))
    added = len(headed) - len(plain)
    np.testing.assert_array_equal(headed[added + 6 :], plain[6:])
    left, right = np.split(headed[:added, 226:], 2, axis=1)
    assert left.min() < 100  # Ink above each column,
    assert right.min() < 100
    assert headed[:added, :220].min() > 200  # and none above the captions.
    with pytest.raises(ValueError, match="1 headings for 2 columns"):
        draw_grid(images(2, 2), ["a", "b"], ["real"])


def test_image_grid_repeats_captions_and_noise(tmp_path, gan):
    captions = ["a red circle", "a blue star"]
    callback = ImageGrid(tmp_path / "grids", captions, num_images=3)
    callback.set_model(gan)
    callback.on_epoch_end(0)
    callback.on_epoch_end(1)
    assert sorted(path.name for path in (tmp_path / "grids").iterdir()) == ["epoch-0001.png", "epoch-0002.png"]
    first, second = (np.asarray(Image.open(tmp_path / "grids" / f"epoch-000{i}.png")) for i in (1, 2))
    np.testing.assert_array_equal(first, second)
    generated = gan.generate(captions, num_images=3, seed=0)
    np.testing.assert_array_equal(first, np.asarray(draw_grid(generated.reshape(2, 3, 32, 32, 3), captions)))
    given = ImageGrid(tmp_path / "given", captions, TableEncoder().encode(captions), num_images=3)
    given.set_model(gan)
    given.on_epoch_end(0)
    np.testing.assert_array_equal(first, np.asarray(Image.open(tmp_path / "given" / "epoch-0001.png")))


def test_image_grid_checks_its_arguments(tmp_path):
    with pytest.raises(ValueError, match="got 0 captions"):
        ImageGrid(tmp_path, [])
    with pytest.raises(ValueError, match="Got 1 captions but 2 embeddings"):
        ImageGrid(tmp_path, ["a"], np.zeros((2, EMBEDDING_DIM), np.float32))


def test_image_grid_on_a_full_disk_warns_and_goes_on(tmp_path, gan, caplog):
    callback = ImageGrid(tmp_path, ["a red circle"])
    callback.set_model(gan)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        callback.on_epoch_end(0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "Training goes on" in caplog.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is not None, reason="TensorBoard is installed")
def test_tensorboard_names_its_extra(tmp_path):
    with pytest.raises(ImportError, match=r"pip install .*keras-t2i\[tensorboard\]"):
        ImageGrid(tmp_path, ["a"], tensorboard_dir=tmp_path)


def test_image_grid_writes_to_tensorboard(tmp_path, gan):
    pytest.importorskip("tensorboard")
    callback = ImageGrid(tmp_path, ["a red circle"], tensorboard_dir=tmp_path / "events")
    callback.set_model(gan)
    callback.on_epoch_end(0)
    assert sum(path.stat().st_size for path in (tmp_path / "events").iterdir()) > 5000


def test_progress_counts_steps_and_seconds(gan):
    state = TrainingState(step=6, epoch=1, seconds=100.0)
    started = time.monotonic()
    fit(gan, [Progress(state, 6), Call(lambda batch: time.sleep(0.02))], epochs=2)
    assert (state.step, state.epoch) == (18, 3)
    assert 100.2 < state.seconds <= 100 + time.monotonic() - started


def test_progress_counts_several_steps_at_once():
    gan = make_gan("mlp", penalty=None, steps_per_execution=3)
    state = TrainingState()
    fit(gan, [Progress(state, 6)], epochs=2)
    assert (state.step, state.epoch) == (12, 2)
    assert int(gan.generator_optimizer.iterations) == 12


def test_time_budget_counts_earlier_time(gan):
    state = TrainingState(seconds=59.9)
    budget = TimeBudget(1.0, state)
    assert not budget.used
    fit(gan, [Progress(state, 6), budget, Call(lambda batch: time.sleep(0.05))], epochs=50)
    assert budget.used
    assert 1 <= state.step <= 6
    with pytest.raises(ValueError, match="`minutes` must be positive; got 0"):
        TimeBudget(0, state)


def test_saves_between_epochs_by_steps_and_at_the_end(tmp_path, gan):
    state, steps = TrainingState(), []

    class Recording(Checkpoints):
        def save(self, gan, state):
            steps.append((state.step, state.epoch))
            return super().save(gan, state)

    fit(gan, [Progress(state, 6), SaveCheckpoints(Recording(tmp_path), state, 6, steps=4)], epochs=3)
    # Step 12 ends an epoch: it is saved after the epoch is counted. Step 18 is the end.
    assert steps == [(4, 0), (8, 1), (12, 2), (16, 2), (18, 3)]


def test_a_full_disk_does_not_stop_training(tmp_path, gan, caplog):
    state = TrainingState()
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(gan, state)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    after = Call(lambda batch: resource.setrlimit(resource.RLIMIT_FSIZE, (soft if batch >= 4 else 10_000, hard)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        fit(gan, [Progress(state, 6), SaveCheckpoints(checkpoints, state, 6, steps=2), after])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings
    assert all("Training goes on." in record.getMessage() for record in warnings)
    assert state.step == 6
    assert checkpoints.restore(gan).step == 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_training_after_the_batch(gan, number):
    before = signal.getsignal(number)
    state = TrainingState()
    with StopOnSignals() as stop:
        fit(gan, [Progress(state, 6), Call(lambda batch: os.kill(os.getpid(), number) if batch == 2 else None), stop])
        assert stop.received
    assert state.step in (3, 4)  # Python runs handlers between two of its instructions.
    assert signal.getsignal(number) is before


class Ends(keras.callbacks.Callback):
    """Notes the ends it is told of."""

    def __init__(self):
        super().__init__()
        self.epochs = []
        self.ended = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)

    def on_train_end(self, logs=None):
        self.ended += 1


@pytest.mark.parametrize(("epochs", "told"), [(6, [2, 5]), (7, [2, 5, 6]), (1, [0])])
def test_every_so_many_epochs_and_the_last_are_passed_on(epochs, told):
    inner = Ends()
    callback = EveryEpochs(inner, 3)
    for epoch in range(epochs):
        callback.on_epoch_end(epoch)
    callback.on_train_end()
    assert (inner.epochs, inner.ended) == (told, 1)
