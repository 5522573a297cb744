"""What a text encoder reads of captions is counted as its embeddings have it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tiny_encoder import write_bert_preset, write_roberta_preset, xlm_roberta_parts

from keras_t2i.text import TextEncoder, reading_of

SCRIPTS = {
    # What it is, with the numbers of words, unknown words, unread captions, and of those that read alike.
    "arabic": (["نجمة حمراء", "دائرة زرقاء"], (4, 4, 2, 2)),
    "russian": (["красная звезда", "синий круг"], (4, 4, 2, 2)),
    "emoji": (["🎂", "⭐🔴"], (2, 2, 2, 2)),
    "chinese": (["红色的星", "蓝色圆"], (7, 7, 2, 0)),
    "french": (["une étoile rouge", "un cœur bleu, à gauche"], (8, 1, 0, 0)),
    "english": (["a red star", "a blue circle, on the left"], (9, 0, 0, 0)),
}
LONG = "a large red star in the center of a dark blue sky above a small white house with a green door " * 2
CUT = [LONG + "by day", LONG + "by night"]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder.from_preset("caption_mini_en")  # type: ignore[return-value]


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_counted_as_the_packaged_encoder_knows_them(script: str, encoder: TextEncoder) -> None:
    captions, (words, unknown, unread, alike) = SCRIPTS[script]
    found = reading_of(encoder, captions)
    assert (found.num_captions, found.num_words, found.num_unknown_words) == (2, words, unknown)
    assert (found.num_unread, found.num_alike_unread, found.num_cut) == (unread, alike, 0)
    assert found.unread == (captions[0] if unread else None)
    first, second = encoder.encode(captions)
    assert np.array_equal(first, second) == (alike == 2)
    # Half of the words, or more, are what two captions need to be told apart.
    assert (first @ second / encoder.embedding_dim > 0.9) == (unread == 2)


def test_every_kind_of_encoder_says_what_it_reads(encoder: TextEncoder, tmp_path: Path) -> None:
    captions = [caption for listed, _ in SCRIPTS.values() for caption in listed]
    assert reading_of(TextEncoder.from_preset("none"), captions) is None
    assert reading_of(TextEncoder.from_preset("from_scratch"), captions) == reading_of(encoder, captions)
    bert = TextEncoder.from_preset(write_bert_preset(tmp_path / "bert"))
    known = reading_of(bert, ["红色的星", "红的星"])
    assert (known.num_words, known.num_unknown_words, known.num_unread) == (7, 0, 0)
    pieces = TextEncoder(*xlm_roberta_parts())
    found = reading_of(pieces, ["красная звезда", "星的色", "⭐", "🎂"])
    assert (found.num_words, found.num_unknown_words, found.num_unread, found.num_alike_unread) == (18, 2, 2, 2)
    byte_pairs = TextEncoder.from_preset(write_roberta_preset(tmp_path / "roberta"), sequence_length=4)
    assert [row.tolist() for row in byte_pairs.pieces(["red", "red red red"])][1][-1] == byte_pairs.numbers["Ġred"]
    assert reading_of(byte_pairs, ["red red red"]).num_cut == 1


def test_the_same_is_counted_where_functions_run_eagerly(encoder: TextEncoder) -> None:
    captions = [*(caption for listed, _ in SCRIPTS.values() for caption in listed), "", *CUT]
    expected = reading_of(encoder, captions)
    tf.config.run_functions_eagerly(True)
    try:
        assert reading_of(encoder, captions) == expected
        assert reading_of(encoder, [""]).num_words == reading_of(encoder, []).num_words == 0
    finally:
        tf.config.run_functions_eagerly(False)


def test_a_name_that_is_unknown_counts_where_nothing_else_tells_captions_apart(encoder: TextEncoder) -> None:
    apart = reading_of(encoder, ["a photo of Мария", "a drawing of Иван"])
    assert (apart.num_unknown_words, apart.num_unread) == (2, 0)
    assert apart.unknown_words() == "The text encoder does not know 2 of 8 words."
    alike = reading_of(encoder, ["a photo of Мария", "a photo of Иван", "a photo of a dog"])
    assert (alike.num_unread, alike.num_alike_unread, alike.unread_share) == (2, 2, pytest.approx(2 / 3))


def test_what_is_meant_to_read_the_same_does(encoder: TextEncoder) -> None:
    captions = ["A Red STAR", "a red star", "a red star", "a café", "a cafe"]
    found = reading_of(encoder, captions)
    assert (found.num_captions, found.num_unread, found.num_alike_cut) == (4, 0, 0)
    assert found.unknown_words() is found.cut_captions() is None
    folded = reading_of(encoder, ["звезда", "Звезда"])
    assert (folded.num_unread, folded.num_alike_unread) == (2, 0)
    assert reading_of(encoder, []).num_captions == 0


def test_captions_that_differ_beyond_the_cut(encoder: TextEncoder) -> None:
    found = reading_of(encoder, [*CUT, "a red star"])
    assert (found.num_cut, found.num_alike_cut, found.num_unread) == (2, 2, 0)
    assert found.cut_captions().endswith(f"(up to {found.longest} tokens), and 2 read the same as another.")
    np.testing.assert_array_equal(*encoder.encode(CUT))
    longer = TextEncoder.from_preset("caption_mini_en", sequence_length=found.longest)
    assert reading_of(longer, CUT).num_cut == 0
    assert (longer.token_ids(CUT).numpy() != 0).all(axis=1).any()
    assert not np.allclose(*longer.encode(CUT), atol=1e-3)
    shorter = TextEncoder.from_preset("caption_mini_en", sequence_length=found.longest - 1)
    assert (reading_of(shorter, CUT).num_cut, reading_of(shorter, CUT).num_alike_cut) == (2, 2)
