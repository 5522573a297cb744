"""CachedTextEncoder: embeddings kept on disk, so that a caption is encoded once and not once a run."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_t2i.core.files import write_file
from keras_t2i.text.base import CaptionEncoder

__all__ = ["CachedTextEncoder"]

_CAPTIONS_PER_FILE = 2048


class CachedTextEncoder:
    """Serves `TextEncoder.encode` from files.

    The files of one encoder lie in `directory/<fingerprint>`, so that another encoder, vocabulary or sequence length
    never reads them. Each holds the embeddings of some captions and is named after the SHA-256 of its own content: it
    appears complete or not at all, processes that share the directory cannot disturb each other, and a damaged file is
    recognised, reported, removed and computed again.

    Args:
        encoder: The encoder to ask for what is not there yet.
        directory: Where to keep the files. Where it cannot be written, one warning says so and nothing is kept.
    """

    def __init__(self, encoder: CaptionEncoder, directory: str | Path) -> None:
        self.encoder = encoder
        self.directory = Path(directory) / encoder.fingerprint[:32]
        self._row = np.dtype([("caption", "V32"), ("embedding", "<f4", (encoder.embedding_dim,))])
        self._writable = True

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
        for path in sorted(self.directory.glob("*.npy")):
            try:
                content = path.read_bytes()
            except OSError:
                continue  # Another process has just removed it, or it is not ours to read: it is computed again.
            if hashlib.sha256(content).hexdigest() != path.stem:
                warnings.warn(f"The cached embeddings in {path} are damaged; they are computed again.", stacklevel=3)
                path.unlink(missing_ok=True)
                continue
            rows = np.load(io.BytesIO(content), allow_pickle=False)
            if rows.dtype == self._row:
                known.update(zip((bytes(key) for key in rows["caption"]), rows["embedding"], strict=True))
        return known

    def _write(self, new: list[tuple[bytes, np.ndarray]]) -> list[tuple[bytes, np.ndarray]]:
        if not new or not self._writable:
            return new
        buffer = io.BytesIO()
        np.save(buffer, np.array([(np.void(key), embedding) for key, embedding in new], self._row), allow_pickle=False)
        content = buffer.getvalue()
        try:
            write_file(self.directory / f"{hashlib.sha256(content).hexdigest()}.npy", content)
        except OSError as error:
            self._writable = False
            warnings.warn(f"Embeddings are not cached: {self.directory} cannot be written ({error}).", stacklevel=3)
        return new
