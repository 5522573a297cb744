"""Run by a test: what two devices make of the same batches as one, and what becomes of a run on them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from checks import EMBEDDING_DIM, make_batch, tiny_gan
from tiny_run import ShortEpochs, TableEncoder, digest, make_gan

from keras_t2i.data.synthetic import shapes
from keras_t2i.models import TextToImageGAN
from keras_t2i.objectives.augmentation import CaptionAugmentation, DiffAugment
from keras_t2i.objectives.variety import Variety
from keras_t2i.training import on_devices, train

STEPS, BATCH = 20, 8
RECIPES: dict[str, dict[str, Any]] = {
    "compact": {"rate": 0.05, "penalty": "r1"},
    # Weights of 0.02 before a normalization are moved far by little; a greater rate is chaos, on one device too.
    "dcgan": {"rate": 0.002, "penalty": None},
}
RANDOM = np.random.default_rng(0)
VARIETY = (RANDOM.normal(size=(192, 4)) / 192**0.5, RANDOM.normal(size=(EMBEDDING_DIM, 4)), np.zeros(4))


def main(place: Path) -> None:
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # It takes longer than it saves.
    found: dict[str, Any] = {}
    for family in RECIPES:
        for count in (None, 2):
            trained(family, count, found)
    np.savez(place / "steps.npz", **found)
    told = [error_of(lambda: enter(3)), error_of(lambda: enter("some"))]
    told.append(error_of(lambda: train(made("all"), Batches(3), place / "odd", steps=1)))
    told.append(error_of(lambda: within_scope(made(2))))
    told.append(error_of(lambda: made(2, family="dcgan", penalty="r1")))
    told += [str(runs_are_equal(place)), goes_on_with_one(place)]
    (place / "told.txt").write_text("\n".join(told), encoding="utf-8")


def trained(family: str, count: int | None, found: dict[str, Any]) -> None:
    """Trains with everything that looks at the whole batch: augmented images and captions."""
    rate = RECIPES[family]["rate"]
    with on_devices(count):
        keras.utils.set_random_seed(0)
        optimizers = {f"{side}_optimizer": keras.optimizers.SGD(rate) for side in ("generator", "discriminator")}
        gan = tiny_gan(
            family,
            penalty=RECIPES[family]["penalty"],
            augmentation=DiffAugment(),
            caption_augmentation=CaptionAugmentation(dropout=0.2, noise=0.1, mixing=0.3),
            variety=Variety(*VARIETY, weight=0.02),
            **optimizers,
        )
    before = values(gan)
    batches = [make_batch(BATCH, seed=seed) for seed in range(STEPS)]
    signature = {name: tf.TensorSpec(rows.shape, rows.dtype) for name, rows in batches[0].items()}
    data = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    history = gan.fit(data.apply(tf.data.experimental.assert_cardinality(STEPS)), verbose=0).history
    for name, value in {**values(gan), **{f"log/{name}": value for name, value in history.items()}}.items():
        found[f"{family}/{gan.devices.num_replicas}/{name}"] = value
        if name in before and "moving" not in name:
            moved = f"{family}/{gan.devices.num_replicas}/moved"
            found[moved] = max(found.get(moved, 0.0), float(np.abs(value - before[name]).max()))
    for weight in (weight for part in gan.parts().values() for weight in part.network.variables):
        copies = [copy.numpy() for copy in getattr(weight.value, "values", ())]
        assert all(np.array_equal(copy, copies[0]) for copy in copies), weight.path


def values(gan: TextToImageGAN) -> dict[str, np.ndarray]:
    networks = {name: enumerate(part.network.weights) for name, part in gan.parts().items()}
    return {f"{name}/{n}/{weight.name}": weight.numpy() for name, weights in networks.items() for n, weight in weights}


def enter(devices: Any) -> None:
    with on_devices(devices):
        pass


def made(devices: Any, seed: int = 0, family: str = "mlp", **recipe: Any) -> TextToImageGAN:
    with on_devices(devices):
        return make_gan(family, seed=seed, **recipe)


class Batches(ShortEpochs):
    """Short epochs, of which it is known how many images a batch has."""

    def __init__(self, batch_size: int = 4) -> None:
        super().__init__(batch_size)
        self.batch_size = batch_size

    def validation_sample(self, max_images: int) -> None:
        """Nothing: it is the same on one device."""


def within_scope(gan: TextToImageGAN) -> None:
    with gan.devices.scope():
        gan.fit(shapes(image_size=32, batch_size=4).encode(TableEncoder()).train, steps_per_epoch=1, verbose=0)


def error_of(function: Any) -> str:
    try:
        function()
    except ValueError as error:
        return str(error)
    return "no error"


def runs_are_equal(place: Path) -> bool:
    """Whether a run that was stopped within an epoch ends with the weights, slots and averages of one that was not."""
    whole = made(2)
    train(whole, Batches(), place / "whole", steps=10, verbose=0)
    for seed, steps in enumerate((3, 10)):
        parts = made(2, seed)
        train(parts, Batches(), place / "parts", steps=steps, verbose=0)
    return digest(parts) == digest(whole)


def goes_on_with_one(place: Path) -> str:
    """What `train` says of a run on two devices that goes on with one, and what is there of it then."""
    gan = made(None, seed=2)
    state = train(gan, Batches(), place / "parts", steps=11, verbose=0)
    drawn = TextToImageGAN.from_preset(place / "parts" / "preset").generate_from_embeddings(np.ones((1, 6), np.float32))
    return f"{state.step} {gan.devices.num_replicas} {drawn.shape}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
