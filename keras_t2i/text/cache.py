"""CachedTextEncoder: embeddings kept on disk, so that a caption is encoded once and not once a run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_t2i.core.cache import Cache
from keras_t2i.text.base import CaptionEncoder

__all__ = ["CachedTextEncoder"]

_CAPTIONS_PER_FILE = 2048


class CachedTextEncoder:
    """Serves `TextEncoder.encode` from files.

    The files of one encoder lie in `directory/<fingerprint>`, so that another encoder, vocabulary or sequence length
    never reads them. Each holds the embeddings of some captions: see `keras_t2i.core.cache.Cache`.

    Args:
        encoder: The encoder to ask for what is not there yet.
        directory: Where to keep the files.
    """

    def __init__(self, encoder: CaptionEncoder, directory: str | Path) -> None:
        self.encoder = encoder
        self._cache = Cache(Path(directory) / encoder.fingerprint[:32], "embeddings")
        self._row = np.dtype([("caption", "V32"), ("embedding", "<f4", (encoder.embedding_dim,))])

    @property
    def fingerprint(self) -> str:
        """That of the encoder."""
        return self.encoder.fingerprint

    def encode(self, captions: Sequence[str]) -> np.ndarray:
        """Sentence embeddings, float32, shape `(len(captions), D)`: equal to the encoder's own, to the last bit."""
        keys = [hashlib.sha256(str(caption).encode("utf-8", "surrogatepass")).digest() for caption in captions]
        known = self._read()
        missing = {key: caption for key, caption in zip(keys, captions, strict=True) if key not in known}
        new: list[tuple[bytes, np.ndarray]] = []
        waiting = iter(missing)
        for chunk in self.encoder.encode_chunks(list(missing.values())):
            new.extend((next(waiting), embedding) for embedding in chunk)
            if len(new) >= _CAPTIONS_PER_FILE:
                known.update(self._write(new))
                new = []
        known.update(self._write(new))
        return np.stack([known[key] for key in keys]) if keys else self.encoder.encode([])

    def _read(self) -> dict[bytes, np.ndarray]:
        known: dict[bytes, np.ndarray] = {}
        for rows in map(self._cache.read, self._cache.names()):
            if rows is not None and rows.dtype == self._row:
                known.update(zip((bytes(key) for key in rows["caption"]), rows["embedding"], strict=True))
        return known

    def _write(self, new: list[tuple[bytes, np.ndarray]]) -> list[tuple[bytes, np.ndarray]]:
        if new:
            name = hashlib.sha256(b"".join(key for key, _ in new)).hexdigest()
            self._cache.write(name, np.array([(np.void(key), embedding) for key, embedding in new], self._row))
        return new
