"""Does an image show its caption? Cosines and R-precision of the embeddings of a judge, a network of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from keras_t2i.metrics.feature_checks import checked_features
from keras_t2i.metrics.measure import Examined, Measure

__all__ = ["R_PRECISION", "Retrieval", "TextImageJudge", "evaluate_text_image", "r_precision", "text_image_score"]

_TIE = 1e-6  # Cosines of float32 embeddings that differ by less are alike: batches alone move them by 1e-7.


class TextImageJudge(Protocol):
    """What can judge: `Retriever`, `CLIPJudge`, or any object with these three."""

    name: str

    def image_embeddings(self, images: np.ndarray) -> np.ndarray: ...

    def text_embeddings(self, captions: Sequence[str]) -> np.ndarray: ...


class Retrieval(NamedTuple):
    """The share of images whose own caption ranks first, and what guessing would reach."""

    share: float
    chance: float


def text_image_score(image_embeddings: np.ndarray, text_embeddings: np.ndarray) -> float:
    """Returns the mean cosine between each image and its own caption.

    Cosines of two judges cannot be compared, and those of one judge only with its own on real images.

    Args:
        image_embeddings: One row an image, shape `(N, E)`, of any length.
        text_embeddings: The embedding of each image's caption, shape `(N, E)`.

    Returns:
        The mean, in [-1, 1].

    Raises:
        ValueError: if the shapes differ or a value is not finite.
    """
    images, texts = _unit_rows(image_embeddings, text_embeddings)
    return float(np.mean(np.sum(images * texts, axis=1)))


def r_precision(
    image_embeddings: np.ndarray,
    text_embeddings: np.ndarray,
    captions: Sequence[str],
    num_candidates: int = 100,
    seed: int = 0,
) -> Retrieval:
    """Share of images that are closer to their own caption than to the captions of other images.

    Each image is compared with its own caption and with `num_candidates - 1` others, drawn from the distinct captions
    here by `seed` and the caption itself: neither the order of the images nor how many show a caption matters. Where
    there are fewer distinct captions, all of them are candidates. An image whose caption shares the first place with
    k others counts as 1 / (k + 1), so that a judge that sees no difference scores exactly what guessing would.

    Reference:
        AttnGAN: Fine-Grained Text to Image Generation with Attentional Generative Adversarial Networks (Xu et al.,
        2018), https://arxiv.org/abs/1711.10485. Differs from the paper: the judge is not the encoder trained with, and
        candidates differ in text.

    Args:
        image_embeddings: One row an image, shape `(N, E)`.
        text_embeddings: The embedding of each image's caption, shape `(N, E)`.
        captions: The caption of each image.
        num_candidates: Captions that each image is compared with, its own among them; at least 2.
        seed: Seed of the captions drawn.

    Returns:
        `share`, in [0, 1], and `chance`, one over the number of candidates.

    Raises:
        ValueError: if the numbers of rows differ, a value is not finite, or fewer than two captions differ.
    """
    images, texts = _unit_rows(image_embeddings, text_embeddings)
    if len(captions) != len(images):
        raise ValueError(f"Each image needs one caption; got {len(images)} images and {len(captions)} captions.")
    if num_candidates < 2:
        raise ValueError(f"`num_candidates` must be at least 2, a caption and another; got {num_candidates}.")
    rows: dict[str, list[int]] = {}
    for row, caption in enumerate(captions):
        rows.setdefault(caption, []).append(row)
    if len(rows) < 2:
        raise ValueError(f"R-precision needs at least 2 different captions; got {len(rows)}. Pass more images.")
    distinct = sorted(rows)
    embeddings = texts[[rows[caption][0] for caption in distinct]]
    num_candidates = min(num_candidates, len(distinct))
    right = 0.0
    for place, caption in enumerate(distinct):
        own_seed = hashlib.sha256(f"{seed}/{caption}".encode("utf-8", "surrogatepass")).digest()
        random = np.random.default_rng(int.from_bytes(own_seed[:8], "big"))
        others = random.choice(len(distinct) - 1, num_candidates - 1, replace=False)
        others += others >= place
        shown = images[rows[caption]]
        own = (shown @ embeddings[place])[:, None]
        cosines = shown @ embeddings[others].T
        num_tied = np.sum(np.abs(cosines - own) <= _TIE, axis=1)
        first = np.all(cosines <= own + _TIE, axis=1)
        right += float(np.sum(first / (1.0 + num_tied)))
    return Retrieval(right / len(images), 1.0 / num_candidates)


def evaluate_text_image(
    judge: TextImageJudge,
    images: np.ndarray,
    captions: Sequence[str],
    real_images: np.ndarray,
    real_captions: Sequence[str],
    num_candidates: int = 100,
    seed: int = 0,
) -> dict[str, Any]:
    """Judges generated images by their captions, and the judge by real images and theirs.

    Args:
        judge: A network that the generator was not trained with, such as a `Retriever` or a `CLIPJudge`.
        images: Generated images, uint8, shape `(N, H, W, 3)`.
        captions: The caption of each.
        real_images: Real images that neither the generator nor the judge was trained on, uint8, shape `(M, H, W, 3)`,
            of the size of the generated ones.
        real_captions: The caption of each.
        num_candidates: Captions that each image is compared with, its own among them.
        seed: Seed of the captions drawn.

    Returns:
        `text_image_score` and `r_precision` of the generated images, `r_precision_on_real`, which is what the judge
        makes of real images, `r_precision_chance`, and the name of the `judge`.

    Raises:
        ValueError: if images and captions differ in number, or fewer than two captions differ.
    """
    real_texts = judge.text_embeddings(real_captions)
    on_real = r_precision(judge.image_embeddings(real_images), real_texts, real_captions, num_candidates, seed)
    image_embeddings, text_embeddings = judge.image_embeddings(images), judge.text_embeddings(captions)
    generated = r_precision(image_embeddings, text_embeddings, captions, num_candidates, seed)
    return {
        "text_image_score": text_image_score(image_embeddings, text_embeddings),
        "r_precision": generated.share,
        "r_precision_on_real": on_real.share,
        "r_precision_chance": generated.chance,
        "judge": judge.name,
    }


def _unit_rows(image_embeddings: np.ndarray, text_embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    images, texts = checked_features(1, image_embeddings=image_embeddings, text_embeddings=text_embeddings)
    if len(images) != len(texts):
        raise ValueError(
            f"Each image needs the embedding of its caption; got {len(images)} images and {len(texts)} texts."
        )
    return tuple(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in (images, texts))


def _text_image(examined: Examined) -> dict[str, Any]:
    if examined.text_image is None or len(set(examined.captions)) < 2:
        return {}
    judge, captions = examined.text_image, examined.captions
    return evaluate_text_image(judge, examined.generated, examined.repeated, examined.real, captions)


R_PRECISION = Measure(
    _text_image,
    "R-precision",
    "higher",
    "share",
    "How often an image's own caption comes first among 100, as judged by a network that was not trained with.",
    on_real="r_precision_on_real",
)
