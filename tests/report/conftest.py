"""Results as a comparison and a run would give them, with all that can go wrong in text and numbers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keras_t2i.report import RunPage, render_comparison

HOSTILE = "</script><img src=x onerror=alert(1)>"
CAPTIONS = [
    "this flower has petals that are yellow with red at the center",
    "a purple flower with long thin petals and a dark stigma",
    "زهرة حمراء ذات بتلات كثيرة",
    "a 🌻 in front of a 🏠, « drawn » & <b>bold</b>",
    HOSTILE,
    "a very long caption that goes on, " * 12,
]
METHODS = [
    ("df_gan", "DF-GAN", 0.71, 2.3e9),
    ("compact", "Compact", 0.66, 2.4e8),
    ("dcgan", "DCGAN", 0.52, 4.1e8),
    ("mlp", "Fully connected", 0.31, 9.5e6),
    ("retrieval", "Nearest training image", 0.94, 4.0e6),
    ("matching", "Matching-aware DCGAN", 0.55, 4.1e8),
    ("dm_gan", "DM-GAN", 0.63, 7.2e9),
    ("attention", f"Attention {HOSTILE}", 0.69, 5.1e9),
    ("stack", "StackGAN", None, 6.0e9),
    ("big", "Big DF-GAN", 0.73, 8.8e9),
    ("small", "Small compact", 0.58, 1.1e8),
    ("tiny", "Tiny compact", 0.44, 3.1e7),
]
METRICS = [
    {
        "key": "r_precision",
        "label": "Caption accuracy",
        "better": "higher",
        "unit": "share",
        "headline": True,
        "help": "How often the judge finds the caption of a generated image among 30 captions.",
        "on_real": 0.962,
    },
    {
        "key": "kernel_distance",
        "label": "Kernel distance",
        "better": "lower",
        "unit": "number",
        "help": "How far generated images are from held-out ones, in features of MobileNetV2.",
    },
    {"key": "coverage", "label": "Coverage", "better": "higher", "unit": "share", "help": "Real images that are near."},
    {"key": "memorization", "label": "Memorization", "better": None, "unit": "number", "help": "Below 1: copies."},
]
RESOURCES = [
    {
        "key": "multiply_adds",
        "label": "Multiply-adds per image",
        "better": "lower",
        "unit": "count",
        "headline": True,
        "help": "Of the generator alone.",
    },
    {"key": "milliseconds", "label": "Time per image", "better": "lower", "unit": "ms", "help": "One image a batch."},
    {"key": "megabytes", "label": "Size", "better": "lower", "unit": "MB", "help": "Of the LiteRT file, float16."},
    {"key": "num_weights", "label": "Weights", "better": "lower", "unit": "count", "help": "Of the generator."},
]


def pictures(rng: np.random.Generator, *shape: int, size: int = 64) -> np.ndarray:
    """Blurred blobs on a gradient with some noise, uint8 `(*shape, size, size, 3)`; compress as photographs do."""
    count = int(np.prod(shape))
    coarse = rng.integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    images = [np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)) for image in coarse]
    noisy = np.stack(images) + rng.normal(0, 5, (count, size, size, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8).reshape(*shape, size, size, 3)


def _run(rng: np.random.Generator, seed: int, quality: float | None, cost: float, status: str) -> dict[str, Any]:
    end = quality if quality is not None else 0.2
    shares = np.clip(end * (1 - np.exp(-np.arange(1, 9) / 2.5)) + rng.normal(0, 0.015, 8), 0.01, 1)
    last = 8 if status == "finished" else 3
    curve = [
        {
            "minutes": 0.25 * (number + 1) * float(rng.uniform(0.97, 1.03)),
            "images_seen": 6_000 * (number + 1),
            "metrics": {"r_precision": float(share), "kernel_distance": float(1 / (number + 4))},
        }
        for number, share in enumerate(shares[:last])
    ]
    values = {"r_precision": float(shares[-1]), "kernel_distance": 0.05 / end, "coverage": end * 0.8}
    return {
        "seed": seed,
        "status": status,
        "message": "" if status == "finished" else f"a loss was not finite at step 1,204 {HOSTILE}",
        "steps": 3000,
        "images_seen": 48_000,
        "minutes": 2.0,
        "metrics": {**values, "memorization": float("nan")} if status == "finished" else {},
        "curve": curve,
        "resources": {
            "multiply_adds": cost,
            "milliseconds": cost / 4e8 * float(rng.uniform(0.9, 1.1)) + 0.4,
            "megabytes": cost**0.5 / 4e3,
            "num_weights": cost / 200,
        },
    }


def _summary(runs: list[dict[str, Any]], key: str) -> dict[str, float] | None:
    values = [run["metrics"][key] for run in runs if run["metrics"].get(key) is not None]
    return (
        {"mean": sum(values) / len(values), "low": min(values), "high": max(values), "num": len(values)}
        if values
        else None
    )


def make_comparison(num_methods: int = 9) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    methods = []
    for name, label, quality, cost in METHODS[:num_methods]:
        runs = []
        for seed in (0, 1, 2):
            broken = quality is None or (name == "dm_gan" and seed == 2)
            runs.append(_run(rng, seed, quality, cost, "diverged" if broken else "finished"))
        methods.append(
            {
                "name": name,
                "label": label,
                "description": f"A generator of its kind, conditioned on the sentence embedding. {HOSTILE}",
                "reference": "An author and another, A Paper on Text-to-Image Synthesis, 2018, arXiv:0000.00000",
                "command": f"keras-t2i train flowers102 --family {name} --minutes 2 --image-size 64 --seed 0",
                "runs": runs,
                "summary": {metric["key"]: _summary(runs, str(metric["key"])) for metric in METRICS},
            }
        )
    return {
        "title": "Text-to-image GANs on 102 flowers",
        "created": "2026-11-21",
        "data": {"name": "flowers102", "num_train": 7034, "num_held_out": 1155, "image_size": 64},
        "budget": {"minutes": 2.0},
        "seeds": [0, 1, 2],
        "machine": {
            "processor": "a processor with a rather long name @ 2.60GHz",
            "cores": 4,
            "memory_gib": 15.6,
            "python": "3.12.3",
            "tensorflow": "2.21.0",
            "keras": "3.15.1",
        },
        "metrics": METRICS,
        "resources": RESOURCES,
        "captions": CAPTIONS,
        "methods": methods,
        "verdict": [
            {
                "question": "Which follows captions best?",
                "answer": "df_gan",
                "sentence": "71.2% of its images are matched to their caption; on real images the judge reaches 96.2%.",
            },
            {
                "question": "Which is best below a millisecond?",
                "answer": "compact",
                "sentence": "66.4% at 0.9 ms per image, a tenth of the multiply-adds of DF-GAN.",
            },
            {"question": "Is any worth training longer?", "answer": None, "sentence": f"The seeds disagree. {HOSTILE}"},
        ],
        "notes": ["Numbers of two minutes say little about numbers of two days.", HOSTILE],
        "commands": ["keras-t2i compare flowers102 --minutes 2 --seeds 3", "keras-t2i report comparison.json"],
    }


def make_samples(comparison: dict[str, Any], num_images: int = 4, size: int = 64) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    names = [method["name"] for method in comparison["methods"]]
    return {name: pictures(rng, len(comparison["captions"]), num_images, size=size) for name in names}


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def make_run() -> RunPage:
    rng = np.random.default_rng(5)
    log: list[dict[str, Any]] = []
    for epoch in range(1, 25):
        log.append(
            {
                "epoch": str(epoch),
                "step": str(219 * epoch),
                "minutes": f"{0.4 * epoch:.3f}",
                "discriminator_loss": 0.9 + 0.5 / epoch + float(rng.normal(0, 0.03)),
                "generator_loss": 1.2 + 0.02 * epoch + float(rng.normal(0, 0.05)),
                "penalty": "nan" if epoch == 3 else 0.3 / epoch,
                "caption_accuracy": 0.8 * (1 - np.exp(-epoch / 7)),
                "val_caption_accuracy": 0.7 * (1 - np.exp(-epoch / 8)) if epoch % 3 == 0 else "",
                "gradient_norm": 3.0,
            }
        )
    return RunPage(
        title="DF-GAN on 102 flowers",
        created="2026-11-21",
        config={
            "family": "df_gan",
            "image_size": 64,
            "learning_rate": 2e-4,
            "augment": ["color", "cutout"],
            "x": HOSTILE,
        },
        log=log,
        metrics=[
            {**metric, "value": value} for metric, value in zip(METRICS, (0.712, 0.0432, 0.41, None), strict=True)
        ],
        resources=[{**item, "value": value} for item, value in zip(RESOURCES, (2.3e9, 6.1, 9.8, 1.2e7), strict=True)],
        grids=[(f"epoch {epoch}", png(pictures(rng, size=256))) for epoch in (1, 6, 12, 24)],
        best_worst=[
            {
                "caption": caption,
                "best": pictures(rng, 4),
                "worst": pictures(rng, 4),
                "best_scores": [0.93, 0.91, 0.9, 0.88],
                "worst_scores": [0.21, 0.2, 0.12, float("nan")],
            }
            for caption in CAPTIONS
        ],
        nearest=[
            {"caption": caption, "generated": pictures(rng), "training": pictures(rng), "distance": 0.21}
            for caption in CAPTIONS
        ],
        warnings=[
            {"level": "info", "text": "Training stopped after the batch at hand, as asked; going on is possible."},
            {"level": "warning", "text": f"The discriminator tells training from held-out images apart. {HOSTILE}"},
        ],
        num_skipped=3,
    )


@pytest.fixture(scope="session")
def comparison() -> dict[str, Any]:
    return make_comparison()


@pytest.fixture(scope="session")
def samples(comparison: dict[str, Any]) -> dict[str, np.ndarray]:
    return make_samples(comparison)


@pytest.fixture(scope="session")
def real(comparison: dict[str, Any]) -> np.ndarray:
    return pictures(np.random.default_rng(6), len(comparison["captions"]), 1)


@pytest.fixture(scope="session")
def comparison_html(comparison: dict[str, Any], samples: dict[str, np.ndarray], real: np.ndarray) -> str:
    return render_comparison(comparison, samples, real)


@pytest.fixture(scope="session")
def run_page() -> RunPage:
    return make_run()
