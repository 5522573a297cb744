"""PNG files with their provenance, written by TensorFlow's graph: a server needs nothing else to send them."""

from __future__ import annotations

import json
import zlib

import numpy as np
import tensorflow as tf

from keras_t2i.core import provenance

__all__ = ["PngWriter"]

_HEADER = 33  # Bytes of the signature and of the first chunk, after which others may stand.
_BITS = np.arange(8, dtype=np.uint8)
_MAX_BYTES = 4 * 2 * provenance.MAX_PROMPT + 512
"""Of a chunk: four bytes a character, of which any may need a backslash, and what stands around the caption."""


class PngWriter(tf.Module):
    """Encodes images as `keras_t2i.core.provenance.png` does, inside a graph.

    TensorFlow can encode a PNG, but cannot put text into it, which takes a checksum. CRC-32 is linear over bits: that
    of a message is the exclusive or of one constant for each bit that is set, found in a table by the bit's distance
    from the end, and of one constant for the message's length.

    Args:
        model: The model's fingerprint.
        with_prompts: Whether captions are recorded.
        asked: What else decided what was drawn: see `provenance`.
        composite: Whether parts of the images are real.
    """

    def __init__(
        self, model: str, with_prompts: bool = True, asked: dict[str, str] | None = None, composite: bool = False
    ) -> None:
        super().__init__()
        self.with_prompts = with_prompts
        facts = provenance.provenance(model, seed=0, asked=asked)
        names = (*(asked or {}), "model", "generator")
        self._after = json.dumps({name: facts[name] for name in names})[1:].encode()
        self._source = provenance.source_chunk(composite)
        bit_table, length_table = _crc_tables(_MAX_BYTES)
        self._bit_table, self._length_table = tf.constant(bit_table), tf.constant(length_table)
        self._byte = tf.constant([bytes([value]) for value in range(256)])

    def __call__(self, images: tf.Tensor, prompts: tf.Tensor, seeds: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
        """PNG files, string, shape `(B,)`, of uint8 images, shape `(B, H, W, 3)`, and what is recorded of each."""
        files = tf.TensorSpec((), tf.string)
        facts = self.facts(prompts, seeds, truncation)
        return tf.map_fn(lambda row: self.file(*row), (images, facts), fn_output_signature=files)

    def facts(self, prompts: tf.Tensor, seeds: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
        """The JSON text of `provenance`."""
        parts = [
            *([', "prompt": "', _escaped(prompts), '"'] if self.with_prompts else []),
            *[', "seed": ', tf.strings.as_string(seeds), ', "index": 0, "truncation": '],
            *[tf.strings.as_string(truncation, shortest=True), ", "],
        ]
        text = tf.strings.substr(tf.strings.join(parts), 2, -1)  # Without the first comma.
        return tf.strings.join(["{", text, self._after])

    def file(self, image: tf.Tensor, facts: tf.Tensor) -> tf.Tensor:
        """One file."""
        encoded = tf.io.encode_png(image)
        data = tf.strings.join([b"iTXt" + provenance.itxt_start(provenance.KEYWORD), facts])
        length = tf.strings.length(data) - 4
        chunk = tf.strings.join([self._big_endian(length), data, self._checksum(data)])
        head, rest = tf.strings.substr(encoded, 0, _HEADER), tf.strings.substr(encoded, _HEADER, -1)
        return tf.strings.join([head, chunk, self._source, rest])

    def _big_endian(self, number: tf.Tensor) -> tf.Tensor:
        """Four bytes of a number below 2 ** 31."""
        values = tf.bitwise.bitwise_and(tf.bitwise.right_shift(number, [24, 16, 8, 0]), 255)
        return tf.strings.reduce_join(tf.gather(self._byte, values))

    def _checksum(self, data: tf.Tensor) -> tf.Tensor:
        values = tf.reverse(tf.io.decode_raw(data, tf.uint8), [0])
        count = tf.shape(values)[0]
        bits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(values[:, None], _BITS), tf.constant(1, tf.uint8))
        # Of every bit of the checksum: is the number of constants in which it is set even or odd?
        table = self._bit_table[:count, :, :, None]
        set_bits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(table, _BITS), tf.constant(1, tf.uint8))
        odd = tf.reduce_sum(tf.cast(set_bits, tf.int32) * tf.cast(bits, tf.int32)[:, :, None, None], axis=(0, 1)) % 2
        linear = tf.reduce_sum(tf.bitwise.left_shift(odd, np.arange(8, dtype=np.int32)), axis=-1)
        whole = tf.bitwise.bitwise_xor(linear, tf.cast(self._length_table[count], tf.int32))
        return tf.strings.reduce_join(tf.gather(self._byte, whole))


def _escaped(prompts: tf.Tensor) -> tf.Tensor:
    """Captions as they stand inside the quotation marks of JSON: printable, and no longer than is recorded."""
    clean = tf.strings.unicode_transcode(
        prompts, "UTF-8", "UTF-8", errors="replace", replacement_char=0x20, replace_control_characters=True
    )
    cut = tf.strings.substr(clean, 0, provenance.MAX_PROMPT, unit="UTF8_CHAR")
    return tf.strings.regex_replace(cut, r'([\\"])', r"\\\1")


def _crc_tables(size: int) -> tuple[np.ndarray, np.ndarray]:
    """What a bit adds to a CRC-32, by its byte's distance from the end, and what a length does; four bytes each.

    Returns:
        uint8 of shape `(size, 8, 4)` and of shape `(size + 1, 4)`, the first byte of a checksum first.
    """
    lengths = np.array([zlib.crc32(bytes(length)) for length in range(size + 1)], np.uint32)
    one_bit = [zlib.crc32(bytes([1 << bit]) + bytes(after)) for after in range(size) for bit in range(8)]
    bits = np.array(one_bit, np.uint32).reshape(size, 8) ^ lengths[1:, None]
    return tuple(table.astype(">u4").view(np.uint8).reshape(*table.shape, 4) for table in (bits, lengths))  # type: ignore[return-value]
