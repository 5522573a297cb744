"""Does a caption denoiser let a trained model draw words that it was never trained on? Shapes, with synonyms.

Command:  python examples/benchmarks/read_synonyms.py
          python examples/benchmarks/read_synonyms.py --model RUN_OR_PRESET --seeds 3
Needs:    a model trained on shapes with the packaged text encoder; the packaged `shapes_64` by default
Cost:     about two minutes of one core for the first seed, a minute and a half for each more
Result:   a table: share of images with all five attributes right (by the packaged judge of shapes), with captions as
          they are and denoised, on held-out combinations in known words, with one word and with every word replaced by
          one that no training caption has, and with synonyms of another list (`data.shapes(paraphrase=True)`), which
          the settings of the denoiser were chosen on; and a list of the words that are understood less often than in
          nine of ten captions
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np

import keras_t2i
from keras_t2i.data import HELD_OUT_SYNONYMS, SHAPE_ATTRIBUTES, Split, shape_synonym_captions, shapes
from keras_t2i.metrics import AttributeJudge
from keras_t2i.text import CaptionDenoiser

JUDGE = Path(keras_t2i.__file__).parent / "metrics" / "judges" / "shapes.npz"
ONE_WORD = "one word replaced"
OTHERS = 2000


def captions_of(split: Split, known: set[str]) -> tuple[list[str], np.ndarray]:
    """Captions that are not known, with the labels of their images."""
    rows = [(i, row) for i, ids in enumerate(split.caption_ids) for row in ids if split.captions[row] not in known]
    assert split.labels is not None
    return [split.captions[row] for _, row in rows], split.labels[[i for i, _ in rows]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shapes_64")
    parser.add_argument("--seeds", type=int, default=1, help="denoisers, and images of each caption")
    options = parser.parse_args()

    gan = keras_t2i.TextToImageGAN.from_preset(options.model)
    judge = AttributeJudge.load(SHAPE_ATTRIBUTES, JUDGE)
    dataset = shapes(gan.image_size)
    train, held_out = dataset.train_split, dataset.validation_split
    assert held_out is not None  # Rendered images always have one.
    wordings = {
        "known words": captions_of(held_out, set()),
        ONE_WORD: shape_synonym_captions(held_out.labels, "one")[:2],
        "every word replaced": shape_synonym_captions(held_out.labels, "all")[:2],
    }
    others, labels = captions_of(
        shapes(gan.image_size, paraphrase=True).train_split, {*train.captions, *held_out.captions}
    )
    some = np.random.default_rng(0).permutation(len(others))[:OTHERS]
    wordings["synonyms of another list"] = [others[i] for i in some], labels[some]
    encoded = {name: (gan.text_encoder.encode(captions), labels) for name, (captions, labels) in wordings.items()}
    known = gan.text_encoder.encode(train.captions)

    right: dict[str, list[tuple[float, float]]] = {name: [] for name in encoded}
    understood: list[np.ndarray] = []
    for seed in range(options.seeds):
        denoiser = CaptionDenoiser(seed=seed)
        denoiser.adapt(known)
        for name, (embeddings, labels) in encoded.items():
            both = (embeddings, denoiser.predict(embeddings, verbose=0))
            before, after = (
                (judge.predict(gan.generate_from_embeddings(rows, seed=seed)) == labels).all(axis=1) for rows in both
            )
            right[name].append((before.mean(), after.mean()))
            if name == ONE_WORD:
                understood.append(after)
    print("| captions | number | as they are | denoised |\n|---|---|---|---|")
    for name, shares in right.items():
        cells = [told([share[i] for share in shares]) for i in (0, 1)]
        print(f"| {name} | {len(encoded[name][1]):,} | {' | '.join(cells)} |")
    shares = by_word(wordings[ONE_WORD][0], np.mean(understood, axis=0))
    rare = [f"{word} ({share:.0%})" for word, share in shares.items() if share < 0.9]
    print(f"\nOf {len(shares)} words, denoised, {len(rare)} in less than nine of ten captions: {', '.join(rare)}.")


def by_word(captions: list[str], right: np.ndarray) -> dict[str, float]:
    """Of each held-out word, the share of its captions that are drawn right, from the lowest."""
    words = sorted((word for words in HELD_OUT_SYNONYMS.values() for word in words), key=len, reverse=True)
    # The longest first, for "plus sign" has "plus" in it.
    word_of = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in words))
    found = np.array([word_of.search(caption)[0] for caption in captions])  # type: ignore[index]
    shares = {word: float(right[found == word].mean()) for word in words if (found == word).any()}
    return dict(sorted(shares.items(), key=lambda item: item[1]))


def told(shares: list[float]) -> str:
    mean = f"{np.mean(shares):.1%}"
    return mean if len(shares) < 2 else f"{mean} ({min(shares):.1%} to {max(shares):.1%})"


if __name__ == "__main__":
    main()
