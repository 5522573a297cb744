"""The chest phantoms: reports true to the picture, as long as promised, every word visible, sides as in radiographs."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from keras_t2i.data import PHANTOM_ATTRIBUTES, CaptionedImages, phantom_reports, phantoms, render_phantoms

PLAIN = {
    "number": "one",
    "size": "20 mm",
    "opacity": "calcified",
    "side": "right",
    "zone": "middle",
    "effusion": "no effusion",
    "heart": "normal",
    "device": "no pacemaker",
}
OTHER_WORDS = [(name, word) for name, words in PHANTOM_ATTRIBUTES.items() for word in words if word != PLAIN[name]]


@pytest.fixture(scope="module")
def images() -> CaptionedImages:
    return phantoms(image_size=48, batch_size=8, seed=5)


def labels_of(**words: str) -> np.ndarray:
    return np.array([values.index((PLAIN | words)[name]) for name, values in PHANTOM_ATTRIBUTES.items()])


def rendered(draw: int = 0, pixels: int = 64, **words: str) -> np.ndarray:
    seeds = tf.constant([[0, draw]], tf.int64)
    return render_phantoms(tf.constant(labels_of(**words)[None], tf.int64), seeds, pixels).numpy()[0]


def test_set_has_every_combination_and_holds_some_out(images: CaptionedImages) -> None:
    held_out = images.validation_split
    assert held_out is not None
    trained = np.unique(images.train_split.labels, axis=0)
    labels = np.concatenate([trained, held_out.labels])
    assert len(labels) == len(np.unique(labels, axis=0)) == 3 * 3 * 2 * 2 * 3 * 3 * 2 * 2
    assert 0.07 < len(held_out.labels) / len(labels) < 0.13
    assert not set(images.train_split.captions) & set(held_out.captions)


def test_reports_have_forty_to_eighty_words_and_six_forms(images: CaptionedImages) -> None:
    for row in images.train_split.labels[::37]:
        reports = phantom_reports(row)
        assert len(set(reports)) == 6
        assert all(40 <= len(report.split()) <= 80 for report in reports)
        assert all(re.fullmatch(r"[A-Z](?:[^.{}]|\.(?= [A-Z]|$))*\.", report) for report in reports)


@pytest.mark.parametrize(("name", "word"), OTHER_WORDS)
def test_another_finding_is_another_report_and_another_picture(name: str, word: str) -> None:
    for one, other in zip(phantom_reports(labels_of()), phantom_reports(labels_of(**{name: word})), strict=True):
        assert one != other
    for draw in range(3):
        changed = np.abs(rendered(draw, **{name: word}) - rendered(draw)).max(-1) > 0.15
        assert changed.sum() >= 15, "of 4,096 pixels"


def test_reports_name_findings_by_their_words() -> None:
    labels = labels_of(number="three", size="32 mm", opacity="ground-glass", side="left", zone="lower")
    for report in phantom_reports(labels):
        text = report.lower()
        assert "three nodules" in text
        assert "32 mm" in text
        assert "ground-glass" in text
        assert re.search(
            r"left lower zone|lower zone of the left lung|left lung, lower zone|lower zone on the left", text
        ) or ("the left lung has three nodules in its lower zone" in text)


@pytest.mark.parametrize("effusion", ["right effusion", "left effusion"])
def test_the_side_of_fluid_is_not_that_of_the_nodules(effusion: str) -> None:
    side = effusion.partition(" ")[0]
    for report in phantom_reports(labels_of(effusion=effusion, side="right" if side == "left" else "left")):
        assert re.search(rf"(effusion|fluid)[^.]* {side}|{side} [^.]*(effusion|pleural)", report.lower()), report


def test_the_left_of_the_patient_is_on_the_right() -> None:
    for draw in range(4):
        right, left = (rendered(draw, side=side, size="32 mm")[..., 0] for side in ("right", "left"))
        difference = right - left
        assert difference[:, :32].max() > 0.5 > difference[:, 32:].max()
        assert difference[:, 32:].min() < -0.5
        empty, filled = (rendered(draw, effusion=word)[..., 0] for word in ("no effusion", "left effusion"))
        assert np.abs(filled - empty)[:, :32].max() < 1e-3
    device = np.abs(rendered(device="pacemaker") - rendered())[..., 0]
    assert device[:16, 40:].max() > 0.5 > device[:16, :24].max()


def test_pictures_are_gray_and_differ_within_their_words() -> None:
    pictures = [rendered(draw) for draw in range(4)]
    for picture in pictures:
        assert picture.min() >= -1.0
        assert picture.max() <= 1.0
        np.testing.assert_array_equal(picture[..., 0], picture[..., 1])
        np.testing.assert_array_equal(picture[..., 0], picture[..., 2])
    assert min(np.abs(pictures[0] - other).mean() for other in pictures[1:]) > 0.02


def test_too_few_pixels_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"from 32 to 256 pixels; got 16\.$"):
        phantoms(image_size=16)
