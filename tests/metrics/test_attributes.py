"""The packaged judges of shapes and faces can be trusted, and their shares are counted right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_t2i
from keras_t2i.data import (
    FACE_ATTRIBUTES,
    PHANTOM_ATTRIBUTES,
    SHAPE_ATTRIBUTES,
    faces,
    render_faces,
    render_phantoms,
    render_shapes,
)
from keras_t2i.metrics import AttributeJudge, attribute_accuracy

JUDGES = Path(keras_t2i.__file__).parent / "metrics" / "judges"


@dataclass
class Domain:
    attributes: dict[str, tuple[str, ...]]
    render: Callable[..., Any]
    file: Path

    def __post_init__(self) -> None:
        self.judge = AttributeJudge.load(self.attributes, self.file)

    def random_labels(self, count: int, seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        return np.stack([random.integers(0, len(words), count) for words in self.attributes.values()], axis=1)

    def rendered(self, labels: np.ndarray, image_size: int = 64) -> np.ndarray:
        """Fresh renderings, uint8: the seeds are none that training of the judge has used."""
        seeds = np.stack([np.full(len(labels), 77_000_000), np.arange(len(labels))], axis=1)
        return np.rint((self.render(labels, seeds, image_size).numpy() + 1) * 127.5).astype(np.uint8)

    def shares(self, seen: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        return attribute_accuracy(seen, labels, list(self.attributes))


DOMAINS = {
    "shapes": (SHAPE_ATTRIBUTES, render_shapes),
    "faces": (FACE_ATTRIBUTES, render_faces),
    "phantoms": (PHANTOM_ATTRIBUTES, render_phantoms),
}


@pytest.fixture(scope="module", params=list(DOMAINS))
def domain(request: pytest.FixtureRequest) -> Domain:
    return Domain(*DOMAINS[request.param], JUDGES / f"{request.param}.npz")


def test_judge_is_right_on_fresh_images_and_at_chance_on_wrong_labels(domain: Domain) -> None:
    labels = domain.random_labels(500, seed=1)
    seen = domain.judge.predict(domain.rendered(labels))
    assert domain.shares(seen, labels)["all_attributes"] >= 0.98
    by_chance = domain.shares(seen, domain.random_labels(500, seed=2))
    assert by_chance.pop("all_attributes") <= 0.01
    for name, share in by_chance.items():
        assert share == pytest.approx(1 / len(domain.attributes[name]), abs=0.09), name


@pytest.mark.parametrize("image_size", [32, 128])
def test_judge_reads_other_sizes(domain: Domain, image_size: int) -> None:
    if "opacity" in domain.attributes:
        image_size = max(image_size, 48)  # Nodules of 12 mm have less than two pixels in 32.
    labels = domain.random_labels(100, seed=3)
    assert domain.shares(domain.judge.predict(domain.rendered(labels, image_size)), labels)["all_attributes"] >= 0.9


def test_judge_of_faces_is_right_on_all_held_out_faces_and_on_their_mirror_images() -> None:
    """A mirrored face has the same attributes, which is why faces may be flipped in training."""
    domain = Domain(FACE_ATTRIBUTES, render_faces, JUDGES / "faces.npz")
    held_out = faces().validation_split
    assert held_out is not None
    images = domain.rendered(held_out.labels)
    for pictures in (images, images[:, :, ::-1]):
        assert domain.shares(domain.judge.predict(pictures), held_out.labels)["all_attributes"] >= 0.98


def test_packaged_judge_of_faces_is_small() -> None:
    assert (JUDGES / "faces.npz").stat().st_size < 250_000


def test_judge_can_be_trained_saved_and_read(tmp_path: Path) -> None:
    """On an easy question, a few steps tell dark images from light ones."""
    attributes = {"light": ("dark", "light"), "side": ("left", "right")}

    def draw(step: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(step)
        labels = random.integers(0, 2, (16, 2))
        images = np.full((16, 64, 64, 3), -0.5, np.float32)
        for image, side in zip(images, labels[:, 1], strict=True):
            image[:, 32 * side : 32 * (side + 1)] += 0.4
        return images + 0.6 * labels[:, 0, None, None, None].astype(np.float32), labels

    judge = AttributeJudge(attributes)
    judge.fit(draw, num_steps=40)
    images, labels = draw(1000)
    pixels = np.rint((images + 1) * 127.5).astype(np.uint8)
    seen = judge.predict(pixels)
    assert attribute_accuracy(seen, labels, list(attributes))["all_attributes"] >= 0.9
    judge.save(tmp_path / "judge.npz")
    np.testing.assert_array_equal(AttributeJudge.load(attributes, tmp_path / "judge.npz").predict(pixels), seen)


def test_shares_by_hand() -> None:
    seen, asked = np.array([[0, 1], [1, 1], [2, 0], [3, 3]]), np.array([[0, 1], [1, 0], [2, 1], [0, 0]])
    shares = attribute_accuracy(seen, asked, ["a", "b"])
    assert shares == {"all_attributes": 0.25, "a": 0.75, "b": 0.25}


@pytest.mark.parametrize("shape", [(3, 2), (4, 3), (4,)])
def test_shapes_that_do_not_match_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="same shape"):
        attribute_accuracy(np.zeros((4, 2), int), np.zeros(shape, int), ["a", "b"])
