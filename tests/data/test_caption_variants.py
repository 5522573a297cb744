"""Further captions for training: what each function makes, and what it must leave alone."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf
from checks import one_line

from keras_t2i.data import (
    HELD_OUT_SYNONYMS,
    SHAPE_ATTRIBUTES,
    SHAPE_SYNONYMS,
    CaptionedImages,
    Split,
    shape_captions,
    shape_synonym_captions,
    shapes,
    synonyms,
    templates,
    word_dropout,
)


def no_images(indices: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
    return tf.zeros((len(indices), 8, 8, 3))


def captioned(seed: int = 0) -> CaptionedImages:
    captions = ("a red star on the left", "a blue circle", "an orange ring")
    split = Split(captions, ((0,), (1, 2), (2,)), no_images)
    return CaptionedImages(split, split, 8, seed=seed)


def words_of(captions: list[str] | tuple[str, ...]) -> set[str]:
    return {word for caption in captions for word in re.findall(r"[\w-]+", caption)}


def test_further_captions_join_those_of_their_image() -> None:
    images = captioned()
    more = images.with_captions(templates(["a picture of {}", "{}, drawn"]), word_dropout(0.3))
    split = more.train_split
    assert split.captions[:3] == images.train_split.captions
    assert len(set(split.captions)) == len(split.captions)
    for before, ids in zip(images.train_split.caption_ids, split.caption_ids, strict=True):
        texts = [split.captions[number] for number in ids]
        for number in before:
            caption = images.train_split.captions[number]
            assert {caption, f"a picture of {caption}", f"{caption}, drawn"} <= set(texts)
        others = [text for text in texts if "picture" not in text and "drawn" not in text]
        assert all(
            any(words_of([text]) <= words_of([images.train_split.captions[n]]) for n in before) for text in others
        )
    assert more.validation_split == images.validation_split
    assert images.with_captions().train_split == images.train_split


def test_variants_follow_from_seed_and_caption_alone() -> None:
    made = [captioned(seed).with_captions(word_dropout(0.5, count=3)).train_split for seed in (0, 0, 1)]
    assert made[0] == made[1]
    assert made[0].captions != made[2].captions
    alone = Split(("a blue circle",), ((0,),), no_images)
    few = CaptionedImages(alone, None, 8).with_captions(word_dropout(0.5, count=3)).train_split
    assert set(few.captions) <= set(made[0].captions)


def test_variants_come_before_embeddings() -> None:
    class Lengths:
        def encode(self, captions: tuple[str, ...]) -> np.ndarray:
            return np.asarray([[len(caption)] for caption in captions], np.float32)

    more = captioned().with_captions(templates(["{}!"])).encode(Lengths())
    assert len(more.train_split.embeddings) == len(more.train_split.captions) == 6
    with pytest.raises(ValueError, match="before `encode`") as error:
        more.with_captions(word_dropout())
    one_line(error)


def test_dropped_words_are_the_share_asked_for_and_order_stays() -> None:
    caption = " ".join(f"w{number}" for number in range(40))
    drawn = word_dropout(0.25, count=50)(caption, np.random.default_rng(0))
    assert np.mean([len(text.split()) for text in drawn]) == pytest.approx(30, abs=1.5)
    for text in drawn:
        numbers = [int(word[1:]) for word in text.split()]
        assert numbers == sorted(set(numbers))
    assert word_dropout(1.0, count=5)("star", np.random.default_rng(0)) == ["star"] * 5
    assert word_dropout()("", np.random.default_rng(0)) == []


def test_synonyms_replace_whole_words_and_mind_the_article() -> None:
    table = {"red": ["amber"], "orange": ["tangerine"], "at the top": ["above"], "at the top left": ["up left"]}
    make = synonyms(table, share=1.0)
    random = np.random.default_rng(0)
    assert make("a red star, reddish", random) == ["an amber star, reddish"]
    assert make("an orange ring at the top left", random) == ["a tangerine ring up left"]
    assert make("a european hour at the top", random) == ["a european hour above"]
    half = synonyms(table, share=0.5, count=200)("red", random)
    assert np.mean([text == "amber" for text in half]) == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: word_dropout(0.0), "`share` must be above 0 and at most 1"),
        (lambda: word_dropout(0.5, count=0), "`count` at least 1; got 0.5 and 0"),
        (lambda: templates([]), "exactly one {}"),
        (lambda: templates(["a {} of {}"]), "exactly one {}.*a {} of {}"),
        (lambda: synonyms({}), "an empty table"),
        (lambda: synonyms({"red": "scarlet"}), "list of synonyms; .'red'. has none"),
        (lambda: shape_synonym_captions(np.zeros((1, 5), np.int64), "two"), "'one' or 'all'; got 'two'"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(build: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        build()  # type: ignore[operator]
    one_line(error)


@pytest.fixture(scope="module")
def paraphrased() -> CaptionedImages:
    return shapes(image_size=16, num_images=400, paraphrase=True)


def test_paraphrased_shapes_keep_plain_captions_and_validation(paraphrased: CaptionedImages) -> None:
    plain = shapes(image_size=16, num_images=400)
    assert set(plain.train_split.captions) < set(paraphrased.train_split.captions)
    assert paraphrased.validation_split.captions == plain.validation_split.captions
    np.testing.assert_array_equal(paraphrased.train_split.labels, plain.train_split.labels)
    for row, ids in zip(paraphrased.train_split.labels, paraphrased.train_split.caption_ids, strict=True):
        texts = [paraphrased.train_split.captions[number] for number in ids]
        assert set(shape_captions(row)) < set(texts)
        assert len(texts) >= 24
        for values, label in zip(SHAPE_ATTRIBUTES.values(), row, strict=True):
            known = (values[label], *SHAPE_SYNONYMS[values[label]])
            assert all(any(word in text for word in known) for text in texts)


def test_words_kept_for_tests_are_never_trained_on() -> None:
    """Every synonym has a word that no training caption has, whatever is drawn: the tables themselves say so."""
    trained = words_of(shapes(image_size=16, num_images=200, paraphrase=True).train_split.captions)
    trained |= words_of([other for others in SHAPE_SYNONYMS.values() for other in others])
    every_word = {word for words in SHAPE_ATTRIBUTES.values() for word in words}
    assert set(SHAPE_SYNONYMS) == set(HELD_OUT_SYNONYMS) == every_word
    for word, others in HELD_OUT_SYNONYMS.items():
        assert len(others) >= 2
        for other in others:
            assert words_of([other]) - trained, f"{other!r} for {word!r} has no word of its own"
    assert {"crimson", "disk", "tiny", "azure"} <= {other for others in HELD_OUT_SYNONYMS.values() for other in others}


def test_synonym_captions_replace_what_they_say() -> None:
    labels = shapes(image_size=16).validation_split.labels
    names = list(SHAPE_ATTRIBUTES)
    for replaced, per_row in (("one", 5), ("all", 1)):
        captions, rows, which = shape_synonym_captions(labels, replaced)
        assert len(captions) == len(rows) == len(which) == per_row * len(labels)
        np.testing.assert_array_equal(rows[::per_row], labels)
        for caption, row, changed in zip(captions[:500], rows, which, strict=False):
            for attribute, name in enumerate(names):
                word = SHAPE_ATTRIBUTES[name][row[attribute]]
                is_replaced = changed in (attribute, -1)
                expected = HELD_OUT_SYNONYMS[word] if is_replaced else (word,)
                assert any(re.search(rf"\b{other}\b", caption) for other in expected), caption
    assert set(shape_synonym_captions(labels)[2]) == set(range(5))
    used = " ".join(shape_synonym_captions(labels)[0])
    assert all(other in used for others in HELD_OUT_SYNONYMS.values() for other in others)
