"""Whether a fine-tuning fits into a graphics card, before anything is fetched or built."""

from __future__ import annotations

from typing import Any

from keras_t2i.models.stable_diffusion import STABLE_DIFFUSION_3, described
from keras_t2i.presets import names
from keras_t2i.runs.imported import imported, taken_apart
from keras_t2i.transfer.memory import DEVICES, Memory, memory_of, shapes_of

__all__ = ["dry_run"]

_BATCH = 8
_SMALLER: tuple[dict[str, Any], ...] = (
    {"batch_size": 1},
    {"batch_size": 1, "rematerialized": True},
    {"batch_size": 1, "rematerialized": True, "strategy": "lora", "dtype": "bfloat16"},
    {"batch_size": 1, "rematerialized": True, "strategy": "lora", "dtype": "bfloat16", "image_size": 512},
)
"""What is tried for the smallest card where the step that is asked for does not fit, one after the other."""


def dry_run(start_from: str, strategy: str = "full", batch_size: int | None = None) -> dict[str, Any]:
    """Bytes that a step of `finetune` would take, and which cards it fits into.

    Args:
        start_from: Stable Diffusion 3 as `imported` takes it, of which nothing is fetched; or a preset of it.
        strategy: See `keras_t2i.transfer.strategies.parse`.
        batch_size: Images in a step, 8 by default.

    Returns:
        `bytes` by kind and in `total`, the sizes in gigabytes of the cards that it `fits`, and, where it does not fit
        the smallest one, what `would_fit` it.

    Raises:
        ValueError: if there is no such model or strategy, or it is none of Stable Diffusion.
    """
    name, settings = taken_apart(start_from)
    if name in STABLE_DIFFUSION_3:
        config: dict[str, Any] = described(name)
    else:
        about = names.read_config(names.resolve(imported(start_from)))["generator"]
        if about["class_name"] != "StableDiffusion3Generator":
            raise ValueError(f"{start_from} is a {about['class_name']}: only Stable Diffusion is too large to try.")
        config, settings = about["config"], {}
    asked: dict[str, Any] = {"strategy": strategy, "batch_size": batch_size or _BATCH, **settings}
    found = _counted(config, asked)
    result = {"bytes": _told(found), "fits": list(found.fits)}
    if DEVICES[0] not in found.fits:
        result["would_fit"] = _smaller(config, asked)
    return result


def _counted(config: dict[str, Any], asked: dict[str, Any]) -> Memory:
    settings = dict(asked)
    batch_size = settings.pop("batch_size")
    return memory_of(shapes_of(config, **settings), batch_size)


def _told(memory: Memory) -> dict[str, int]:
    return {name: getattr(memory, name) for name in ("weights", "gradients", "slots", "activations", "total")}


def _smaller(config: dict[str, Any], asked: dict[str, Any]) -> str:
    """What to change so that a step fits the smallest card, in words."""
    for changes in _SMALLER:
        found = _counted(config, {**asked, **changes})
        if DEVICES[0] in found.fits:
            told = ", ".join(f"{name} {value}" for name, value in changes.items())
            return f"{DEVICES[0]} GB with {told}: {found.total / 1e9:.1f} GB"
    return f"nothing that is known here makes it fit {DEVICES[0]} GB"
