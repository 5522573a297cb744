"""Ways to start from a trained model: each says what it trains, and nothing else moves."""

from keras_t2i.transfer.correspondence import correspondence
from keras_t2i.transfer.distill import distill
from keras_t2i.transfer.ewc import ewc, fisher_information
from keras_t2i.transfer.freeze import freeze, freeze_d, full, modulation
from keras_t2i.transfer.lora import load_adapters, lora, save_adapters
from keras_t2i.transfer.mixing import MixedImages, mix_source
from keras_t2i.transfer.plan import Plan, Weight
from keras_t2i.transfer.prompt_tuning import SoftPrompt, add_tokens, learn_token

__all__ = [
    "MixedImages",
    "Plan",
    "SoftPrompt",
    "Weight",
    "add_tokens",
    "correspondence",
    "distill",
    "ewc",
    "fisher_information",
    "freeze",
    "freeze_d",
    "full",
    "learn_token",
    "load_adapters",
    "lora",
    "mix_source",
    "modulation",
    "save_adapters",
]
