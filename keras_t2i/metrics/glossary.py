"""What is measured, and what the numbers are called and mean: for every table, page and chart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_t2i.core.tables import Table

if TYPE_CHECKING:
    from keras_t2i.metrics.measure import Measure

__all__ = ["COSTS", "MEASURES", "TRAINING_CAPTIONS", "described", "on_real", "terms", "warnings_for"]

MEASURES: Table[Measure] = Table(
    "metric",
    {
        "all_attributes": "keras_t2i.metrics.attributes:ALL_ATTRIBUTES",
        "kernel_distance": "keras_t2i.metrics.image_sets:KERNEL_DISTANCE",
        "frechet_distance": "keras_t2i.metrics.image_sets:FRECHET_DISTANCE",
        "precision": "keras_t2i.metrics.image_sets:PRECISION",
        "coverage": "keras_t2i.metrics.image_sets:COVERAGE",
        "r_precision": "keras_t2i.metrics.text_image:R_PRECISION",
        "color_accuracy": "keras_t2i.metrics.colors:COLOR_ACCURACY",
        "diversity": "keras_t2i.metrics.diversity:DIVERSITY",
        "variety_within_caption": "keras_t2i.metrics.variety:VARIETY_WITHIN_CAPTION",
        "variety_of_forms": "keras_t2i.metrics.variety:VARIETY_OF_FORMS",
        "spectrum_worst": "keras_t2i.metrics.spectrum:SPECTRUM_WORST",
        "hatching": "keras_t2i.metrics.spectrum:HATCHING",
        "memorization": "keras_t2i.metrics.copies:MEMORIZATION",
        "discriminator_gap": "keras_t2i.metrics.discriminator_gap:DISCRIMINATOR_GAP",
    },
)
"""What `evaluate_model` measures, by the name of the number, the most telling first: tables and pages keep this order,
and the first that there is ranks methods. One of your own is a `Measure`, or where to find it:
`MEASURES["mine"] = "my_package.sharpness:SHARPNESS"`."""
TRAINING_CAPTIONS = "training captions"
"""What `evaluate_model` says that it has measured on where nothing is held out."""


class _Term(NamedTuple):
    key: str
    label: str
    better: str | None
    unit: str
    help: str


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
COSTS: tuple[dict[str, Any], ...] = tuple(term._asdict() for term in _COSTS)
"""What a model costs: `key`, `label`, whether `"higher"` or `"lower"` is `better`, `unit` and `help`. See
`keras_t2i.metrics.measure_resources` and `step_profile`."""


def terms() -> list[dict[str, Any]]:
    """What measures are called, as `COSTS` has it for costs, in the order of the table."""
    return [_Term(key, of.label, of.better, of.unit, of.help)._asdict() for key, of in MEASURES.items()]


def described(numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Numbers with what they are called and mean: measures in the order of their table, then costs; no others."""
    return [
        {**term, "value": numbers[term["key"]], "on_real": on_real(term["key"], numbers)}
        for term in (*terms(), *COSTS)
        if numbers.get(term["key"]) is not None
    ]


def on_real(key: str, numbers: Mapping[str, Any]) -> float | None:
    """What a measure says about real images, where it has been asked: beside it, a judge's figures can be read."""
    return numbers.get(MEASURES[key].on_real or "") if key in MEASURES else None


def warnings_for(numbers: Mapping[str, Any]) -> list[str]:
    """What a user should look at before trusting a model, in sentences, from what `evaluate_model` has measured."""
    alarms = [measure.alarm for key, measure in MEASURES.items() if numbers.get(key) is not None]
    found = [alarm(numbers) for alarm in alarms if alarm is not None]
    if numbers.get("measured_on") == TRAINING_CAPTIONS:
        found.insert(0, "Nothing is held out: these numbers are of training captions, which a model may know by heart.")
    return [sentence for sentence in found if sentence is not None]
