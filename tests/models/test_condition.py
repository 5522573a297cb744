"""Networks say what they read of a caption, and get it: the sentence, its tokens, or both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from checks import copies, make_batch, one_line, tiny_networks
from keras import layers, ops

from keras_t2i import TextToImageGAN
from keras_t2i.networks import Discriminator

CAPTIONS = ["a small red star", "two dogs on a beach", "a blue ring, top left", "a yellow flower"]


class WordDiscriminator(Discriminator):
    """Lets every place of an image look at the words of its caption."""

    reads = ("sentence_embeddings", "token_embeddings", "padding_mask")

    def __init__(self, image_size: int = 32, **kwargs: Any) -> None:
        super().__init__(image_size, **kwargs)
        self.down = layers.Conv2D(8, 8, strides=8, activation="relu")
        self.to_words = layers.Dense(8)
        self.to_sentence = layers.Dense(8)
        self.realness = layers.Dense(1)

    def _condition_shape(self, embedding_dim: int) -> dict[str, tuple[int | None, ...]]:
        tokens = (None, None, embedding_dim)
        return {"sentence_embeddings": (None, embedding_dim), "token_embeddings": tokens, "padding_mask": (None, None)}

    def extract(self, images: Any, training: bool | None = None) -> Any:
        return ops.reshape(self.down(images), (-1, 16, 8))

    def judge(self, features: Any, condition: Any, training: bool | None = None) -> Any:
        words = self.to_words(condition["token_embeddings"])
        present = ops.cast(condition["padding_mask"], "float32")[:, None, :]
        scores = ops.matmul(features, ops.transpose(words, (0, 2, 1))) - 1e9 * (1.0 - present)
        read = ops.matmul(ops.softmax(scores), words)
        sentence = self.to_sentence(self.standardized(condition["sentence_embeddings"]))
        fit = ops.mean(ops.sum(read * features, axis=-1), axis=-1) + ops.sum(sentence * ops.mean(features, 1), axis=-1)
        return self.realness(ops.mean(features, axis=1))[:, 0] + fit


def gan_of(text_encoder: Any, **compiled: Any) -> TextToImageGAN:
    gan = TextToImageGAN(text_encoder, tiny_networks("mlp")[0], WordDiscriminator())
    gan.compile(**compiled)
    return gan


@pytest.mark.parametrize("penalty", ["r1", None])
def test_a_network_that_reads_words_is_trained_on_captions(text_encoder: Any, penalty: str | None) -> None:
    gan = gan_of(text_encoder, penalty=penalty)
    assert gan.reads == ("sentence_embeddings", "token_embeddings", "padding_mask")
    gan.adapt(CAPTIONS)
    before = copies(gan.discriminator.trainable_weights)
    batch = {"images": make_batch()["images"], "captions": np.array(CAPTIONS)}
    gan.fit(tf.data.Dataset.from_tensors(batch).repeat(3), verbose=0)
    after = copies(gan.discriminator.trainable_weights)
    assert [name for name, value in before.items() if np.array_equal(value, after[name])] == []
    assert gan.evaluate(tf.data.Dataset.from_tensors(batch), verbose=0, return_dict=True)["caption_accuracy"] >= 0
    assert gan.generate("a red star").shape == (1, 32, 32, 3)  # The generator reads the sentence alone.


def test_what_was_read_ahead_of_time_gives_the_same_losses(text_encoder: Any) -> None:
    gan = gan_of(text_encoder, penalty=None)
    images = make_batch()["images"]
    read = {name: value for name, value in text_encoder(CAPTIONS).items() if name in gan.reads}
    captioned, ahead = (
        gan.test_on_batch({"images": images, **more}, return_dict=True)
        for more in ({"captions": np.array(CAPTIONS)}, read)
    )
    assert captioned == pytest.approx(ahead, rel=1e-5)


def test_what_nobody_gives_is_named_in_one_line(text_encoder: Any) -> None:
    gan = gan_of(text_encoder, penalty=None)
    batch = make_batch()
    batch["sentence_embeddings"] = np.zeros((4, gan.embedding_dim), np.float32)
    with pytest.raises(ValueError, match="'token_embeddings' of a caption; the batch has neither") as error:
        gan.train_step(batch)
    one_line(error)
