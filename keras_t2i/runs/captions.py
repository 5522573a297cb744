"""Whether captions can be told apart by what is to read them: asked before anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from keras_t2i.data import CaptionedImages
from keras_t2i.models import files
from keras_t2i.runs.config import RunConfig
from keras_t2i.text import CaptionEncoder, Reading, TextEncoder, reading_of

__all__ = ["check_captions", "check_texts", "read_captions", "reader_of"]

_READERS = "distil_bert_base_multi for most languages, or bge_small_v1.5_zh for Chinese"


def check_captions(encoder: CaptionEncoder, images: CaptionedImages, max_unread_share: float) -> None:
    """Warns of what a text encoder loses of the captions of a data set.

    Args:
        encoder: What is to read them.
        images: The data set.
        max_unread_share: Share of captions, in [0, 1], that may be unread (see `keras_t2i.text.Reading`).

    Raises:
        ValueError: if more are.
    """
    splits = [split for split in (images.train_split, images.validation_split) if split is not None]
    check_texts(encoder, [caption for split in splits for caption in split.captions], max_unread_share)


def check_texts(encoder: CaptionEncoder, captions: Iterable[str], max_unread_share: float) -> None:
    """`check_captions` of captions.

    Raises:
        ValueError: likewise.
    """
    reading = reading_of(encoder, list(captions))
    if reading is None:
        return
    lines = _losses(encoder, reading)
    if reading.unread_share > max_unread_share:
        raise ValueError(f"{lines[0]} At most {max_unread_share:.0%} may be unread (`max_unread_share`).")
    for line in lines:
        warnings.warn(line, stacklevel=2)


def reader_of(config: RunConfig) -> CaptionEncoder | None:
    """What reads the captions of a run: with a strategy, that of the model it starts from; `None` where it has none.

    Raises:
        ValueError: if it cannot be loaded.
    """
    if config.strategy is not None and config.start_from is not None:
        return files.encoder_of(config.start_from)
    return TextEncoder.from_preset(config.text_encoder, config.sequence_length)


def read_captions(
    captions: Sequence[str], text_encoder: str, sequence_length: int, say: Callable[[str], None]
) -> dict[str, Any] | None:
    """Counts what a text encoder reads of captions.

    Args:
        captions: Any captions.
        text_encoder: As in `RunConfig`.
        sequence_length: Likewise.
        say: Told what is lost, a line at a time.

    Returns:
        The encoder, the length and the fields of a `keras_t2i.text.Reading`; `None` where captions are not read.

    Raises:
        ValueError: if the text encoder cannot be loaded.
    """
    encoder = TextEncoder.from_preset(text_encoder, sequence_length)
    reading = reading_of(encoder, captions)
    if reading is None:
        return None
    for line in _losses(encoder, reading):
        say(line)
    return {"text_encoder": text_encoder, "sequence_length": sequence_length, **asdict(reading)}


def _losses(encoder: CaptionEncoder, reading: Reading) -> Sequence[str]:
    """What an encoder loses of captions, a line each: where some cannot be read, and where some are cut."""
    lines: list[str] = []
    if reading.num_unread:
        lines.append(f"{reading.unknown_words()} A text encoder for their script is needed, such as {_READERS}.")
    if (cut := reading.cut_captions()) is not None:
        most = encoder.max_sequence_length
        reads = f"{reading.longest} reads all" if reading.longest <= most else f"{most}, the most it takes, reads more"
        at_most = encoder.sequence_length >= most
        lines.append(f"{cut} It takes no more than {most}." if at_most else f"{cut} A `sequence_length` of {reads}.")
    return lines
