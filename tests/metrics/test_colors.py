"""Color accuracy: high where images show the color their caption names, chance where captions are shuffled."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_t2i.data.synthetic import ATTRIBUTES, render_shapes
from keras_t2i.metrics.colors import COLORS, color_accuracy, color_shares, colors_named

FLOWERS = Path(__file__).resolve().parents[3] / "shared" / "data" / "flowers102"


def flat(color: tuple[int, int, int], size: int = 64) -> np.ndarray:
    return np.broadcast_to(np.array(color, np.uint8), (1, size, size, 3)).copy()


def photograph(center: tuple[int, int, int], surroundings: tuple[int, int, int]) -> np.ndarray:
    """A disk of one color before an uneven surface of another."""
    rows, columns = np.mgrid[:64, :64] - 31.5
    uneven = np.random.default_rng(0).uniform(0.2, 1.2, (64, 64, 1)) * np.array(surroundings)
    image = np.where((np.hypot(rows, columns) < 14)[..., None], center, uneven)
    return np.clip(image, 0, 255).astype(np.uint8)[None]


@pytest.mark.parametrize(
    ("caption", "names"),
    [
        ("A red star", ("red",)),
        ("a Greyish-blue bird, grey", ("gray", "blue")),
        ("violet and purple petals", ("purple",)),
        ("a bored cat, redder than whiteboards", ()),
        ("a cyan star on a navy background", ("blue",)),
        ("", ()),
    ],
)
def test_colors_are_found_as_whole_words(caption: str, names: tuple[str, ...]) -> None:
    assert colors_named(caption) == names


def test_pure_colors_bear_their_names() -> None:
    pure = {
        **{"black": (0, 0, 0), "white": (255, 255, 255), "gray": (128, 128, 128), "red": (255, 0, 0)},
        **{"orange": (255, 150, 0), "yellow": (255, 255, 0), "green": (0, 200, 0), "blue": (0, 0, 255)},
        **{"purple": (128, 0, 128), "pink": (255, 182, 193), "brown": (139, 69, 19)},
    }
    assert set(pure) == set(COLORS)
    for name, color in pure.items():
        shares, plain = color_shares(flat(color))
        assert COLORS[shares[0].argmax()] == name
        assert shares.sum() == pytest.approx(1)
        assert not plain[0]


def test_shapes_are_judged_by_the_object_wherever_it_lies() -> None:
    generator = np.random.default_rng(0)
    labels = np.stack([generator.integers(0, len(words), 200) for words in ATTRIBUTES.values()], axis=1)
    rendered = render_shapes(tf.constant(labels), tf.constant(generator.integers(0, 999, (200, 2))), 48).numpy()
    images = ((rendered + 1) * 127.5).round().astype(np.uint8)
    captions = [f"a {ATTRIBUTES['color'][row[1]]} {ATTRIBUTES['shape'][row[0]]}" for row in labels]
    accuracy = color_accuracy(images, captions)
    assert accuracy.share > 0.98
    assert accuracy.num_judged == 200
    assert color_accuracy(images, captions[1:] + captions[:1]).share < 0.3


def test_foliage_around_an_object_counts_only_where_it_is_named() -> None:
    image = photograph((230, 30, 40), (60, 120, 40))
    assert color_accuracy(image, ["a red flower"]).share == 1
    assert color_accuracy(image, ["a green bush"]).share == 1
    assert color_accuracy(image, ["a yellow flower"]).share == 0
    assert color_accuracy(photograph((60, 120, 40), (60, 120, 40)), ["a red flower"]).share == 0


def test_only_captions_with_one_color_are_judged() -> None:
    images = np.concatenate([flat((230, 30, 40))] * 4)
    accuracy = color_accuracy(images, ["a red star", "a star", "a red and white star", "a blue star"])
    assert accuracy == (0.5, 2)
    none = color_accuracy(images, ["a star"] * 4)
    assert np.isnan(none.share)
    assert none.num_judged == 0


def test_wrong_images_and_counts_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"uint8 images of shape \(N, H, W, 3\); got float64"):
        color_accuracy(flat((1, 2, 3)) / 255, ["a red star"])
    with pytest.raises(ValueError, match="1 images and 2 captions"):
        color_accuracy(flat((1, 2, 3)), ["a red star", "a blue star"])


@pytest.mark.skipif(not FLOWERS.is_dir(), reason="needs the captioned flowers")
def test_photographs_of_flowers_show_the_color_of_their_petals() -> None:
    rows = [json.loads(line) for line in (FLOWERS / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["split"] == "test" and row["text"][2:]][:300]
    images = np.stack(
        [np.asarray(Image.open(FLOWERS / row["file_name"]).convert("RGB").resize((64, 64))) for row in rows]
    )
    captions = [row["text"][2] for row in rows]
    accuracy = color_accuracy(images, captions)
    assert accuracy.num_judged > 150
    assert accuracy.share >= 0.85
    shuffled = np.random.default_rng(0).permutation(captions).tolist()
    assert color_accuracy(images, shuffled).share < 0.3
