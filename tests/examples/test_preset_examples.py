"""The examples that make presets and compare text encoders: what they tell of a run, and what they measure."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from keras_t2i.data import SHAPE_ATTRIBUTES, render_shapes, shape_captions, shape_synonym_captions, shapes
from keras_t2i.metrics.instruments import instruments_for
from keras_t2i.runs.config import RunConfig
from keras_t2i.text import TextEncoder

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "benchmarks"
presets = SimpleNamespace(**runpy.run_path(str(EXAMPLES / "make_presets.py")))
compare = SimpleNamespace(**runpy.run_path(str(EXAMPLES / "compare_text_encoders.py")))


def test_the_command_of_a_run_names_no_place_of_this_machine(tmp_path: Path) -> None:
    folder = tmp_path / "noto_emoji"
    folder.mkdir()
    config = RunConfig(str(folder), augment=True, seed=3)
    expected = "keras-t2i train noto_emoji --output RUN --minutes 90 --augment --seed 3"
    assert presets.command_of(config, 90.2) == expected
    config = RunConfig("faces:300", start_from="shapes_64", strategy="freeze_d", augment=True)
    expected = "keras-t2i finetune shapes_64 faces:300 --output RUN --minutes 2 --augment --strategy freeze_d"
    assert presets.command_of(config, 2.0) == expected


def test_the_card_tells_what_was_measured_beside_real_images() -> None:
    numbers = {"all_attributes": 0.984, "judge_on_real": 1.0, "kernel_distance": 0.0171, "frechet_distance": 5.0}
    numbers |= {"num_captions": 319, "features": "shapes-judge", "measured_on": "held-out captions"}
    assert presets.quality_of(numbers) == {
        "All attributes right, on 319 held-out captions": "98.4% (real images: 100.0%)",
        "Kernel distance (KID), on 319 held-out captions (shapes-judge features)": "0.0171",
    }


def test_a_bag_of_words_knows_words_and_nothing_else() -> None:
    bag = compare.BagOfWords(64)
    star, order, other, empty = bag.encode(["a red Star", "star, a RED", "a crimson star", "?!"])
    np.testing.assert_allclose(star, order, rtol=1e-6)
    assert np.sqrt(np.mean(star**2)) == pytest.approx(1.0)
    assert 0.3 < np.mean(star * other) < 0.9
    assert not empty.any()
    np.testing.assert_array_equal(compare.BagOfWords(64).encode(["a red star"])[0], star)


def test_random_weights_keep_the_form_and_nothing_that_was_learned(text_encoder: TextEncoder) -> None:
    shuffled, real = compare.random_weights(), TextEncoder.from_preset("caption_mini_en")
    assert shuffled.fingerprint != real.fingerprint
    for ours, theirs in zip(shuffled.backbone.weights, real.backbone.weights, strict=True):
        np.testing.assert_array_equal(np.sort(ours.numpy(), axis=None), np.sort(theirs.numpy(), axis=None))
    captions = ["a red star", "a crimson star", "a blue circle"]
    red, crimson, blue = shuffled.encode(captions)
    learned = real.encode(captions)
    assert np.mean(learned[0] * learned[1]) > np.mean(learned[0] * learned[2]) + 0.1
    assert abs(np.mean(red * crimson) - np.mean(red * blue)) < np.mean(learned[0] * (learned[1] - learned[2]))


def test_measured_is_what_was_drawn() -> None:
    """Perfect drawings score one; with every fourth attribute wrong, that one alone scores nothing."""
    dataset = shapes()
    assert dataset.validation_split is not None
    labels = dataset.validation_split.labels[::16]
    judge = instruments_for(dataset, "shapes", judge="none").attributes
    captions, one, _ = shape_synonym_captions(labels, "one")
    everything, every, _ = shape_synonym_captions(labels, "all")
    meant = dict(zip([*captions, *everything], [*one, *every], strict=True))
    meant |= {caption: row for row in labels for caption in shape_captions(row)}

    def draw(prompts: Sequence[str], position_off: int = 0) -> np.ndarray:
        rows = np.repeat([meant[prompt] for prompt in prompts], compare.IMAGES_PER_CAPTION, axis=0)
        rows[:, 3] = (rows[:, 3] + position_off) % len(SHAPE_ATTRIBUTES["position"])
        seeds = np.stack([np.arange(len(rows))] * 2, axis=1)
        images = tf.function(render_shapes)(tf.constant(rows), tf.constant(seeds), 64).numpy()
        return np.rint((images + 1) * 127.5).astype(np.uint8)

    right = compare.measure(draw, labels, judge)
    assert all(share == pytest.approx(1.0, abs=0.02) for share in right.values())
    wrong = compare.measure(lambda prompts: draw(prompts, 1), labels, judge)
    assert wrong["held_out"] == wrong["one_synonym"] == wrong["all_synonyms"] == wrong["replaced_position"] == 0
    assert wrong["replaced_color"] >= 0.98
    assert wrong["all_synonyms_mean"] == pytest.approx(0.8, abs=0.02)
    table = compare.table({"a": [right], "b": [right, wrong]})
    assert table.splitlines()[2].startswith("| a | 100.0% |")
    assert "| 50.0% (0.0% to 100.0%) |" in table
