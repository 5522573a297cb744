"""Numbers about images and captions, and about the models that make one of the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_t2i.core.lazy import lazy
from keras_t2i.metrics.glossary import COSTS, MEASURES, described, warnings_for

if TYPE_CHECKING:
    from keras_t2i.metrics.attributes import AttributeJudge, attribute_accuracy
    from keras_t2i.metrics.clip import CLIPJudge
    from keras_t2i.metrics.colors import color_accuracy
    from keras_t2i.metrics.diversity import pairwise_distance, relative_diversity
    from keras_t2i.metrics.evaluate import Evaluation, evaluate_model, measured
    from keras_t2i.metrics.frechet import frechet_distance
    from keras_t2i.metrics.generation import (
        AttributeAccuracy,
        FrechetDistance,
        GenerationMetric,
        KernelDistance,
        RPrecision,
        TextImageScore,
        Texture,
        Variety,
    )
    from keras_t2i.metrics.image_sets import compare_images
    from keras_t2i.metrics.kernel import kernel_distance
    from keras_t2i.metrics.manifold import manifold_metrics
    from keras_t2i.metrics.measure import Examined, Measure
    from keras_t2i.metrics.neighbors import memorization, nearest_neighbors
    from keras_t2i.metrics.perceptual import diversity_within_caption, perceptual_distances
    from keras_t2i.metrics.profile import step_profile
    from keras_t2i.metrics.resources import count_multiply_adds, latency, measure_resources, parameters, peak_memory_mb
    from keras_t2i.metrics.retriever import Retriever
    from keras_t2i.metrics.spectrum import hatching, power_spectrum, spectral_difference
    from keras_t2i.metrics.text_image import evaluate_text_image, r_precision, text_image_score
    from keras_t2i.metrics.variety import forms_within_caption

__all__ = [
    "COSTS",
    "MEASURES",
    "AttributeAccuracy",
    "AttributeJudge",
    "CLIPJudge",
    "Evaluation",
    "Examined",
    "FrechetDistance",
    "GenerationMetric",
    "KernelDistance",
    "Measure",
    "RPrecision",
    "Retriever",
    "TextImageScore",
    "Texture",
    "Variety",
    "attribute_accuracy",
    "color_accuracy",
    "compare_images",
    "count_multiply_adds",
    "described",
    "diversity_within_caption",
    "evaluate_model",
    "evaluate_text_image",
    "forms_within_caption",
    "frechet_distance",
    "hatching",
    "kernel_distance",
    "latency",
    "manifold_metrics",
    "measure_resources",
    "measured",
    "memorization",
    "nearest_neighbors",
    "pairwise_distance",
    "parameters",
    "peak_memory_mb",
    "perceptual_distances",
    "power_spectrum",
    "r_precision",
    "relative_diversity",
    "spectral_difference",
    "step_profile",
    "text_image_score",
    "warnings_for",
]

__getattr__ = lazy(
    __name__,
    {
        "attributes": ["AttributeJudge", "attribute_accuracy"],
        "clip": ["CLIPJudge"],
        "colors": ["color_accuracy"],
        "diversity": ["pairwise_distance", "relative_diversity"],
        "evaluate": ["Evaluation", "evaluate_model", "measured"],
        "frechet": ["frechet_distance"],
        "generation": [
            "AttributeAccuracy",
            "FrechetDistance",
            "GenerationMetric",
            "KernelDistance",
            "RPrecision",
            "TextImageScore",
            "Texture",
            "Variety",
        ],
        "image_sets": ["compare_images"],
        "kernel": ["kernel_distance"],
        "manifold": ["manifold_metrics"],
        "measure": ["Examined", "Measure"],
        "neighbors": ["memorization", "nearest_neighbors"],
        "perceptual": ["diversity_within_caption", "perceptual_distances"],
        "resources": ["count_multiply_adds", "latency", "measure_resources", "parameters", "peak_memory_mb"],
        "retriever": ["Retriever"],
        "profile": ["step_profile"],
        "spectrum": ["hatching", "power_spectrum", "spectral_difference"],
        "text_image": ["evaluate_text_image", "r_precision", "text_image_score"],
        "variety": ["forms_within_caption"],
    },
)
