"""Ways to start from a trained model: each says what it trains, and nothing else moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_t2i.core.lazy import lazy
from keras_t2i.transfer.strategies import STRATEGIES, Strategy

if TYPE_CHECKING:
    from keras_t2i.transfer.adapters import load_adapters, lora, save_adapters
    from keras_t2i.transfer.consolidation import ewc, fisher_information
    from keras_t2i.transfer.cross_domain import correspondence
    from keras_t2i.transfer.distillation import draw_pairs
    from keras_t2i.transfer.freezing import biases, freeze, freeze_d, full, modulation
    from keras_t2i.transfer.guiding import guide
    from keras_t2i.transfer.mixing import MixedImages, mix_source
    from keras_t2i.transfer.plan import Plan, Weight
    from keras_t2i.transfer.prompt_tuning import SoftPrompt, add_tokens, learn_token
    from keras_t2i.transfer.styling import style
    from keras_t2i.transfer.translating import translate
    from keras_t2i.transfer.upscaling import upscale

__all__ = [
    "STRATEGIES",
    "MixedImages",
    "Plan",
    "SoftPrompt",
    "Strategy",
    "Weight",
    "add_tokens",
    "biases",
    "correspondence",
    "draw_pairs",
    "ewc",
    "fisher_information",
    "freeze",
    "freeze_d",
    "full",
    "guide",
    "learn_token",
    "load_adapters",
    "lora",
    "mix_source",
    "modulation",
    "save_adapters",
    "style",
    "translate",
    "upscale",
]

__getattr__ = lazy(
    __name__,
    {
        "cross_domain": ["correspondence"],
        "consolidation": ["ewc", "fisher_information"],
        "distillation": ["draw_pairs"],
        "freezing": ["biases", "freeze", "freeze_d", "full", "modulation"],
        "adapters": ["load_adapters", "lora", "save_adapters"],
        "guiding": ["guide"],
        "mixing": ["MixedImages", "mix_source"],
        "plan": ["Plan", "Weight"],
        "prompt_tuning": ["SoftPrompt", "add_tokens", "learn_token"],
        "styling": ["style"],
        "translating": ["translate"],
        "upscaling": ["upscale"],
    },
)
