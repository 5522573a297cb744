"""What the numbers are called and what they mean: one list for every table, page and chart, the most telling first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["COSTS", "MEASURES", "described", "on_real"]


class _Term(NamedTuple):
    key: str
    label: str
    better: str | None
    unit: str
    help: str


_MEASURES = (
    _Term(
        "all_attributes",
        "All attributes right",
        "higher",
        "share",
        "Share of images of held-out captions in which a classifier of real images finds every attribute right.",
    ),
    _Term(
        "kernel_distance",
        "Kernel distance (KID)",
        "lower",
        "number",
        "Unbiased squared maximum mean discrepancy, cubic kernel, between features of generated and of real held-out "
        "images.",
    ),
    _Term(
        "frechet_distance",
        "Fréchet distance",
        "lower",
        "number",
        "Between Gaussians fitted to the same features. It depends on how many there are: compare at equal numbers.",
    ),
    _Term(
        "precision",
        "Precision",
        "higher",
        "share",
        "Share of generated images that lie in the neighborhood of a real one.",
    ),
    _Term(
        "coverage",
        "Coverage",
        "higher",
        "share",
        "Share of real images that have a generated one in their neighborhood.",
    ),
    _Term(
        "r_precision",
        "R-precision",
        "higher",
        "share",
        "How often an image's own caption comes first among 100, as judged by a network that was not trained with.",
    ),
    _Term(
        "color_accuracy",
        "Color obeyed",
        "higher",
        "share",
        "Of images whose caption names one color: the share that shows it.",
    ),
    _Term(
        "diversity",
        "Diversity",
        None,
        "number",
        "Distance between pairs of generated images, divided by that between real ones: 1 is right.",
    ),
    _Term(
        "diversity_within_caption",
        "Diversity in a caption",
        None,
        "number",
        "Mean perceptual distance between images of the same caption.",
    ),
    _Term(
        "memorization",
        "Copies",
        "lower",
        "share",
        "Share of images that lie closer to a training image than 95 % of real held-out images do: 5 % is right.",
    ),
    _Term(
        "discriminator_gap",
        "Discriminator's gap",
        "lower",
        "number",
        "How surely the discriminator tells training images from held-out ones: 0 not at all, 1 always.",
    ),
)
_COSTS = (
    _Term("generator_parameters", "Generator parameters", "lower", "count", "Weights of the generator."),
    _Term("discriminator_parameters", "Discriminator parameters", None, "count", "Needed for training only."),
    _Term("generator_multiply_adds", "Multiply-adds", "lower", "count", "For one image, counted in the graph."),
    _Term("images_per_second", "Training images/s", "higher", "number", "Of whole training steps on this machine."),
    _Term("train_step_seconds", "Step, s", "lower", "number", "Seconds of a whole training step."),
    _Term("text_encoding_seconds", "Text in it, s", None, "number", "Captions to embeddings; 0 where computed before."),
    _Term("generator_forward_seconds", "Generator in it, s", None, "number", "Drawing the batch."),
    _Term(
        "discriminator_forward_seconds", "Discriminator in it, s", None, "number", "Judging real and generated images."
    ),
    _Term("penalty_seconds", "Penalty in it, s", None, "number", "Gradient penalties, on average over the steps."),
    _Term("backward_and_update_seconds", "Rest of it, s", None, "number", "Losses, gradients, optimizers, averaging."),
    _Term("keras_ms", "Keras", "lower", "ms", "Latency of one image in a compiled function, from an embedding."),
    _Term("saved_model_ms", "SavedModel", "lower", "ms", "Latency of one image, from an embedding."),
    _Term("saved_model_from_caption_ms", "SavedModel, text in", "lower", "ms", "Latency of one image, from a caption."),
    _Term("litert_ms", "LiteRT", "lower", "ms", "Latency of one image, from an embedding, one thread."),
    _Term("preset_megabytes", "Preset size", "lower", "MB", "On disk, text encoder and discriminator included."),
    _Term("saved_model_megabytes", "SavedModel size", "lower", "MB", "On disk, text encoder included."),
    _Term("litert_megabytes", "LiteRT size", "lower", "MB", "On disk, text encoder included."),
    _Term("peak_memory_mb", "Peak memory", "lower", "MB", "Of the process that trained and measured."),
)
MEASURES: tuple[dict[str, Any], ...] = tuple(term._asdict() for term in _MEASURES)
"""What `evaluate_model` measures: `key`, `label`, whether `"higher"` or `"lower"` is `better`, `unit` and `help`."""
COSTS: tuple[dict[str, Any], ...] = tuple(term._asdict() for term in _COSTS)
"""What a model costs, likewise: see `keras_t2i.metrics.measure_resources` and `step_profile`."""


_ON_REAL = {
    "all_attributes": "judge_on_real",
    "r_precision": "r_precision_on_real",
    "color_accuracy": "color_accuracy_on_real",
}


def described(numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Numbers with what they are called and mean, in the order of the lists; those in neither list are left out."""
    return [
        {**term, "value": numbers[term["key"]], "on_real": on_real(term["key"], numbers)}
        for term in (*MEASURES, *COSTS)
        if numbers.get(term["key"]) is not None
    ]


def on_real(key: str, numbers: Mapping[str, Any]) -> float | None:
    """What a measure says about real images, where it has been asked: beside it, a judge's figures can be read."""
    return numbers.get(_ON_REAL.get(key, ""))
