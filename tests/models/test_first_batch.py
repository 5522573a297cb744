"""What `fit` says of images that are not in [-1, 1], however they come, and that it changes nothing where they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import copies, make_batch, one_line, tiny_gan


class Batches(keras.utils.PyDataset):
    """Two batches, the same one twice."""

    def __init__(self, batch: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.batch = batch

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return self.batch


def generator(batch: dict[str, np.ndarray]) -> Any:
    while True:
        yield (batch,)


FORMS: dict[str, Callable[[dict[str, np.ndarray]], Any]] = {
    "arrays": lambda batch: batch,
    "tf.data": lambda batch: tf.data.Dataset.from_tensor_slices(batch).batch(4).repeat(2),
    "PyDataset": Batches,
    "generator": generator,
}


@pytest.fixture(scope="module")
def gan() -> Any:
    return tiny_gan("mlp", run_eagerly=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("images", "found"),
    [
        (lambda images: np.uint8((images + 1) * 127.5), "uint8"),
        (lambda images: np.float32(np.rint((images + 1) * 127.5)), "values from "),
        (lambda images: images * 2.6, "values from -2."),
    ],
    ids=["bytes", "0 to 255", "standardized"],
)
def test_images_beyond_one_are_refused_before_anything_is_trained(gan: Any, form: str, images: Any, found: str) -> None:
    before = copies(gan.variables)
    batch = make_batch(4)
    with pytest.raises(ValueError, match=r"A batch has 'images' in \[-1, 1\], floating point; got " + found) as caught:
        gan.fit(FORMS[form]({**batch, "images": images(batch["images"])}), verbose=0, shuffle=False)
    assert one_line(caught)
    for name, value in copies(gan.variables).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("form", FORMS)
def test_images_between_0_and_1_are_warned_of(gan: Any, form: str) -> None:
    batch = make_batch(4)
    with pytest.warns(UserWarning, match=r"first batch lie between 0\.\d+ and .* Multiply by 2"):
        gan.fit(
            FORMS[form]({**batch, "images": batch["images"] / 2 + 0.5}), verbose=0, shuffle=False, steps_per_epoch=1
        )


@pytest.mark.parametrize("form", FORMS)
def test_looking_takes_no_batch_away(gan: Any, form: str) -> None:
    before = int(gan.generator_optimizer.iterations)
    steps = 1 if form == "arrays" else 2
    gan.fit(FORMS[form](make_batch(4)), verbose=0, shuffle=False, steps_per_epoch=steps)
    assert int(gan.generator_optimizer.iterations) - before == steps


def test_only_the_first_batch_is_looked_at(gan: Any) -> None:
    good = make_batch(4)
    later = {**good, "images": good["images"] * 2.6}
    data = tf.data.Dataset.from_tensors(good).concatenate(tf.data.Dataset.from_tensors(later))
    before = int(gan.generator_optimizer.iterations)
    gan.fit(data, verbose=0)
    assert int(gan.generator_optimizer.iterations) - before == 2
