"""Run by tests, once for each of two workers: a small run under `TF_CONFIG`, with plain gradient descent."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tiny_run import TableEncoder, make_gan

from keras_t2i.data.synthetic import shapes
from keras_t2i.training import on_devices, train


def main(place: Path, steps: int, killed_at: str = "") -> None:
    """Trains in `place / "run"` and writes this worker's weights beside it.

    Args:
        place: A directory.
        steps: Steps of the run.
        killed_at: Name of a checkpoint: once it is there, this process kills itself.
    """
    if killed_at:
        threading.Thread(target=kill_at, args=(place / "run" / "checkpoints" / killed_at,), daemon=True).start()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # It takes longer than it saves.
    with on_devices(told={"steps": steps}, wait_minutes=2) as devices:
        rates = {f"{side}_optimizer": keras.optimizers.SGD(0.05) for side in ("generator", "discriminator")}
        gan = make_gan("mlp", **rates)
    data = shapes(image_size=32, num_images=24, batch_size=8, seed=3).encode(TableEncoder())
    train(gan, data, place / "run", steps=steps, checkpoint_steps=2, verbose=0)
    found = {name: enumerate(part.network.variables) for name, part in gan.parts().items()}
    weights = {f"{name}/{number}": weight.numpy() for name, each in found.items() for number, weight in each}
    np.savez(place / f"worker-{devices.worker}.npz", **weights)


def kill_at(checkpoint: Path) -> None:
    while not checkpoint.exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
