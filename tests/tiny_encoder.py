"""Text encoders small enough for tests, as real KerasNLP presets."""

from __future__ import annotations

import io
import json
import string
from pathlib import Path

import keras
import keras_nlp
import sentencepiece

WORDS = ("a", "the", "red", "blue", "large", "small", "star", "circle", "on", "cafe", "white", "background", "[", "]")


def write_bert_preset(directory: Path, pooling_mode: str = "mean") -> Path:
    """A text embedder: 2-layer BERT, WordPiece with single letters, no training."""
    letters = string.ascii_lowercase
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [
        *WORDS,
        *letters[1:],
        *(f"##{letter}" for letter in letters),
        *"红色的星",
        ",",
        "'",
        "0",
        "1",
        "##0",
        "##1",
    ]
    vocabulary = [*special, *dict.fromkeys(pieces)]
    tokenizer = keras_nlp.models.BertTokenizer(vocabulary, lowercase=True, strip_accents=True)
    keras.utils.set_random_seed(3)
    backbone = keras_nlp.models.BertBackbone(
        vocabulary_size=len(vocabulary),
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=64,
    )
    _spread_weights(backbone)
    preprocessor = keras_nlp.models.BertTextEmbedderPreprocessor(tokenizer, sequence_length=64)
    embedder = keras_nlp.models.BertTextEmbedder(backbone, preprocessor, pooling_mode=pooling_mode)
    embedder.save_to_preset(str(directory))
    return directory


def write_distil_bert_preset(directory: Path) -> Path:
    """A plain WordPiece encoder, for which KerasNLP has no text embedder."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    keras.utils.set_random_seed(4)
    backbone = keras_nlp.models.DistilBertBackbone(
        vocabulary_size=len(vocabulary),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=8,
        max_sequence_length=64,
    )
    _spread_weights(backbone)
    backbone.save_to_preset(str(directory))
    keras_nlp.models.DistilBertTokenizer(vocabulary, lowercase=True).save_to_preset(str(directory))
    return directory


def write_roberta_preset(directory: Path) -> Path:
    """A plain encoder with byte-pair tokens."""
    pieces = ["<s>", "<pad>", "</s>", "<mask>", "<unk>", "a", "e", "d", "s", "t", "r", "Ġ", "Ġr", "Ġs", "Ġre", "Ġred"]
    backbone = keras_nlp.models.RobertaBackbone(
        vocabulary_size=len(pieces),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=8,
        max_sequence_length=64,
    )
    _spread_weights(backbone)
    backbone.save_to_preset(str(directory))
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    merges = ["Ġ r", "Ġ s", "Ġr e", "Ġre d"]
    keras_nlp.models.RobertaTokenizer(vocabulary=vocabulary, merges=merges).save_to_preset(str(directory))
    return directory


def xlm_roberta_parts() -> tuple[keras.Model, keras.Layer]:
    """Backbone and preprocessor of an encoder with SentencePiece's tokens: the letters of these captions."""
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a red star", "красная звезда", "红色的星"]),
        model_writer=proto,
        vocab_size=26,
        model_type="char",
        unk_id=0,
        bos_id=1,
        eos_id=2,
        minloglevel=2,
    )
    tokenizer = keras_nlp.models.XLMRobertaTokenizer(proto.getvalue())
    backbone = keras_nlp.models.XLMRobertaBackbone(
        vocabulary_size=tokenizer.vocabulary_size(),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=8,
        max_sequence_length=64,
    )
    return backbone, keras_nlp.models.XLMRobertaTextClassifierPreprocessor(tokenizer)


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _spread_weights(backbone: keras.Model) -> None:
    """Initial weights of 0.02 leave all captions nearly alike; trained ones do not."""
    for weight in backbone.weights:
        if weight.name in ("kernel", "embeddings"):
            weight.assign(weight * 12.0)
