"""Draws with a LiteRT bundle, without TensorFlow: what an app on a phone does, in Python.

bundle = LiteRTBundle("shapes_litert")
images = bundle.generate("a large red star", seed=3)
answers = bundle.complete([picture], [mask], "a large red star", num_images=3)  # If images guide the model.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from keras_t2i.core.files import sha256
from keras_t2i.core.gate import read_json
from keras_t2i.core.incomplete import Incomplete
from keras_t2i.core.latents import latents_for
from keras_t2i.core.pixels import to_uint8
from keras_t2i.core.prompts import check_prompts
from keras_t2i.core.provenance import png, provenance
from keras_t2i.export.wordpiece import WordPiece

__all__ = ["BUNDLE", "COMPLETER", "LiteRTBundle"]

BUNDLE = "bundle.json"
COMPLETER = "completer.tflite"
_LARGEST_TENSOR = 256 << 20


class LiteRTBundle:
    """A generator, and the text encoder beside it, in the interpreter of `ai-edge-litert`; one image at a time.

    Args:
        directory: A bundle that `keras_t2i.export.litert` has written.
        num_threads: Threads of the interpreter.

    Raises:
        ValueError: if there is no bundle, or a file of it has changed.
    """

    def __init__(self, directory: str | os.PathLike[str], num_threads: int = 1) -> None:
        self.directory = Path(directory)
        self.num_threads = num_threads
        try:
            self.description = read_json(self.directory / BUNDLE)
            self._checksums = dict(self.description["sha256"])
            self._latent_dim = int(self.description["generator"]["inputs"]["latents"]["shape"][-1])
            self._reads_pictures = _pictures_read(self.description.get("completer"))
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise ValueError(
                f"{str(directory)!r} is no LiteRT bundle: it needs a {BUNDLE} such as `keras-t2i export --to litert` "
                "writes."
            ) from error
        for name, expected in self._checksums.items():
            file = self.directory / Path(name).name
            if not file.is_file() or sha256(file) != expected:
                raise ValueError(f"{str(file)!r} is not what {BUNDLE} says: it is missing or damaged. Export it again.")

    @property
    def latent_dim(self) -> int:
        """Length of the noise vector, Z, which the generator has been asked for as well."""
        return self._latent_dim if self._generator else 0

    @property
    def fingerprint(self) -> str:
        """That of the model before it was converted: see `keras_t2i.models.TextToImage.fingerprint`."""
        return self.description["model"]

    @property
    def image_input(self) -> str:
        """Name of what it completes pictures from; `ValueError` where it draws from captions alone."""
        return self._pictures[0]

    @property
    def has_hole(self) -> bool:
        """Whether that is a picture with a hole; likewise."""
        return self._pictures[1]

    @property
    def _pictures(self) -> tuple[str, bool, int]:
        if self._reads_pictures is None or not self._completer:  # Which has been asked for its sizes as well.
            raise ValueError(f"{str(self.directory)!r} draws from captions alone: export a model that completes.")
        return self._reads_pictures

    def token_ids(self, captions: Sequence[str]) -> np.ndarray:
        """Token numbers, int32, shape `(len(captions), sequence_length)`."""
        return self.wordpiece(captions)[0]

    def encode(self, captions: Sequence[str]) -> np.ndarray:
        """Sentence embeddings, float32, shape `(len(captions), D)`.

        Raises:
            ValueError: if the bundle has no text encoder; the message says why.
        """
        if not captions:
            return np.zeros(
                (0, self.description["generator"]["inputs"]["sentence_embeddings"]["shape"][-1]), np.float32
            )
        rows = zip(*self.wordpiece(captions), strict=True)
        run = self._text_encoder
        return np.concatenate(
            [run(token_ids=ids[None], padding_mask=mask[None])["sentence_embeddings"] for ids, mask in rows]
        )

    def generate(
        self, prompts: str | Sequence[str], num_images: int = 1, seed: int = 0, truncation: float = 1.0
    ) -> np.ndarray:
        """Images, uint8, shape `(len(prompts) * num_images, H, W, 3)`: those of `TextToImageGAN.generate`.

        Raises:
            ValueError: if there is no caption, or no text encoder.
        """
        prompts = check_prompts(prompts, num_images)
        return self.generate_from_embeddings(self.encode(prompts).repeat(num_images, axis=0), seed, truncation)

    def complete(
        self,
        images: np.ndarray | Sequence[np.ndarray],
        masks: np.ndarray | Sequence[np.ndarray] | None,
        prompts: str | Sequence[str],
        num_images: int = 1,
        seed: int = 0,
        context: float = 2.0,
    ) -> np.ndarray | list[np.ndarray]:
        """Pictures completed: arguments, pixels and errors are those of `TextToImageGAN.complete`.

        Raises:
            ValueError: also if the bundle draws from captions alone, or has no text encoder.
        """
        image_input, has_hole, size = self._pictures
        incomplete = Incomplete.of(images, masks, image_input, has_hole, size, context)
        captions = check_prompts(incomplete.captions(prompts), num_images)
        rows = {"sentence_embeddings": self.encode(captions), "pictures": incomplete.squares}
        if incomplete.masks is not None:
            rows["masks"] = incomplete.masks
        rows = {name: values.repeat(num_images, axis=0) for name, values in rows.items()}
        latents = latents_for(seed, len(captions) * num_images, self.latent_dim)
        return incomplete.finished(to_uint8(self.draw(latents, **rows)))

    def png(self, prompt: str, seed: int = 0, truncation: float = 1.0) -> bytes:
        """A PNG file of one image, which says what it is: see `keras_t2i.core.provenance`."""
        facts = provenance(self.fingerprint, prompt, seed, 0, truncation)
        return png(self.generate(prompt, 1, seed, truncation)[0], facts)

    def generate_from_embeddings(
        self, sentence_embeddings: np.ndarray, seed: int = 0, truncation: float = 1.0
    ) -> np.ndarray:
        """One image, uint8, from each sentence embedding, by the same rule."""
        images = self.draw(
            latents_for(seed, len(sentence_embeddings), self.latent_dim, truncation), sentence_embeddings
        )
        return to_uint8(images)

    def draw(self, latents: np.ndarray, sentence_embeddings: np.ndarray, **pictures: np.ndarray) -> np.ndarray:
        """What the generator gives, or the completer: float32 in [-1, 1], shape `(N, H, W, 3)`.

        Args:
            latents: float32, shape `(N, Z)`.
            sentence_embeddings: float32, shape `(N, D)`.
            **pictures: What the completer takes of pictures: `pictures`, and `masks` where it fills holes.

        Raises:
            ValueError: if the bundle's networks are not those that it describes, or draw numbers that are not finite.
        """
        inputs = {"latents": latents, "sentence_embeddings": sentence_embeddings, **pictures}
        run = self._completer if pictures else self._generator
        rows = zip(*(np.asarray(values, np.float32) for values in inputs.values()), strict=True)
        images = np.concatenate(
            [run(**{name: value[None] for name, value in zip(inputs, row, strict=True)})["images"] for row in rows]
        )
        if not np.isfinite(images).all():
            raise ValueError(f"{str(self.directory)!r} draws numbers that are not finite: its weights are spoiled.")
        return images

    @cached_property
    def wordpiece(self) -> WordPiece:
        """What splits captions into tokens; `ValueError` for a bundle that reads none."""
        rules = self.description["tokenizer"]
        if rules is None:
            raise ValueError(f"This bundle reads no captions. {self.description.get('note', '')}".strip())
        vocabulary = self._listed(rules["vocabulary"]).read_text(encoding="utf-8").removesuffix("\n").split("\n")
        return WordPiece(vocabulary, rules)

    @cached_property
    def _text_encoder(self) -> Any:
        return self._runner("text_encoder")

    @cached_property
    def _generator(self) -> Any:
        return self._runner("generator")

    @cached_property
    def _completer(self) -> Any:
        return self._runner("completer")

    def _runner(self, network: str) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        path = self._listed(self.description[network]["file"])
        interpreter = Interpreter(str(path), num_threads=self.num_threads)
        # Nothing has been allocated yet: these are the file's own words.
        most = max(_LARGEST_TENSOR, 2 * path.stat().st_size)
        large = [each for each in interpreter.get_tensor_details() if math.prod(map(int, each["shape"])) * 4 > most]
        if large:
            raise ValueError(
                f"{str(path)!r} asks for a tensor of shape {tuple(map(int, large[0]['shape']))}: it is none of ours."
            )
        found = {tuple(map(int, each["shape"])) for each in interpreter.get_input_details()}
        told = {tuple(each["shape"]) for each in self.description[network]["inputs"].values()}
        if found != told:
            raise ValueError(f"{str(path)!r} takes {sorted(found)}, and {BUNDLE} says {sorted(told)}. Export it again.")
        return interpreter.get_signature_runner()

    def _listed(self, name: str) -> Path:
        """A file of the bundle, by a name whose checksum was right."""
        if name not in self._checksums or Path(name).name != name:
            raise ValueError(f"{BUNDLE} has no checksum of {name!r}. Export it again.")
        return self.directory / name


def _pictures_read(completer: Any) -> tuple[str, bool, int] | None:
    """What a completer is given of pictures, whether these have holes, and its size; `None` where there is none."""
    if completer is None:
        return None
    inputs = completer["inputs"]
    return str(completer["image_input"]), "masks" in inputs, int(inputs["pictures"]["shape"][1])
