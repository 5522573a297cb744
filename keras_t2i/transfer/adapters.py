"""LoRA: small factors beside frozen kernels, trained, saved and loaded alone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import layers

from keras_t2i.transfer.layers import freeze_layer, layers_matching, named_layers, own_weights
from keras_t2i.transfer.plan import Plan, start_from_average
from keras_t2i.transfer.tensor_file import read_tensors, write_tensors

if TYPE_CHECKING:
    from keras_t2i.models import TextToImageGAN

__all__ = ["keep_adapters", "load_adapters", "lora", "save_adapters"]

_FORMAT = "keras_t2i adapters 1"
_FACTORS = ("lora_kernel_a", "lora_kernel_b")
_CENTERING = ("text_mean", "text_scale")
_ADAPTABLE = (layers.Dense, layers.Conv1D, layers.Conv2D)
"""Exactly these: a spectrally normalised kernel is another one at each step."""


def lora(
    gan: TextToImageGAN,
    rank: int = 4,
    alpha: float | None = None,
    adapt: Sequence[str] | None = None,
    seed: int = 0,
) -> Plan:
    """Trains of the generator two small factors a kernel, whose product is added to it; all else of it is frozen.

    The averaged generator gets factors of its own, which follow. A preset of the model holds kernels with the product
    added, which any release loads as a plain model; `save_adapters` writes the factors alone. The discriminator is
    trained whole: call `freeze_d` too where it should not be.

    Reference:
        LoRA: Low-Rank Adaptation of Large Language Models (Hu et al., 2021), arXiv:2106.09685. A convolution's first
        factor is a convolution of its size to `rank` channels, the second a 1x1 one.

    Args:
        gan: A model with trained weights, before `compile`.
        rank: Length of the factors' common side.
        alpha: The product is multiplied by `alpha / rank`; by default by one.
        adapt: Layers of the generator that get factors, those of them that are dense or convolutions: names as for
            `keras_t2i.transfer.freeze`. By default all; of Stable Diffusion those of attention.
        seed: Seed of the first factor; the second starts at zero.

    Raises:
        ValueError: if `rank` is below 1, a name is no layer's, none can be adapted, or the model has adapters already.
    """
    if rank < 1:
        raise ValueError(f"`rank` must be at least 1; got {rank}.")
    found = named_layers(gan.generator)
    adapt = gan.generator.adapts if adapt is None else adapt
    names = [name for name in layers_matching(gan.generator, adapt, "generator") if type(found[name]) in _ADAPTABLE]
    if not names:
        raise ValueError(
            f"None of these layers of {type(gan.generator).__name__} is a plain dense layer or convolution, as LoRA "
            "needs (spectrally normalised ones are not). Choose another way."
        )
    start_from_average(gan)
    _enable(gan, names, rank, float(rank if alpha is None else alpha), seed)
    return Plan.of(gan, "lora")


def save_adapters(gan: TextToImageGAN, path: str | os.PathLike[str]) -> None:
    """Writes the averaged generator's factors, and what the text is centered on, as one safetensors file.

    Its metadata hold rank, alpha, names of layers, and SHA-256 of the weights that they were trained on.

    Args:
        gan: A model that `lora` or `load_adapters` was called on.
        path: The file; one that is there is replaced.

    Raises:
        ValueError: if the model has no adapters.
        OSError: if the file cannot be written.
    """
    adapted = _adapted(gan.drawer)
    if not adapted:
        raise ValueError("This model has no adapters to save: call `keras_t2i.transfer.lora` on it first.")
    tensors = {f"{name}/{f}": np.asarray(getattr(layer, f)) for name, layer in adapted.items() for f in _FACTORS}
    if gan.drawer.text_tower is None:
        tensors |= {name: np.asarray(getattr(gan.drawer, name)) for name in _CENTERING}
    first = next(iter(adapted.values()))
    metadata = {
        "rank": str(first.lora_rank),
        "alpha": repr(float(first.lora_alpha)),
        "layers": json.dumps(list(adapted)),
        "base_sha256": _fingerprint(gan.drawer),
        "text_encoder": _encoder_of(gan),
        "caption_denoiser": _denoiser_of(gan),
    }
    write_tensors(Path(path), _FORMAT, tensors, metadata)


def keep_adapters(gan: TextToImageGAN, run_dir: Path) -> dict[str, str]:
    """Saves the adapters of a run beside its preset; returns where, as `adapters`."""
    path = run_dir / "adapters.safetensors"
    save_adapters(gan, path)
    return {"adapters": str(path)}


def load_adapters(gan: TextToImageGAN, path: str | os.PathLike[str]) -> Plan:
    """Puts saved adapters on a model: it draws as the one that they were saved of, to the bit, and can be trained on.

    Of a caption denoiser the file knows only whether there was one, and which: the model's is kept or taken away.

    Args:
        gan: The model that `lora` was called on, loaded afresh; or one that has the same adapters already.
        path: A file by `save_adapters`.

    Raises:
        ValueError: if the file is damaged or no such file, or was made for another model; the model is then unchanged.
        OSError: if the file cannot be read.
    """
    tensors, metadata = read_tensors(Path(path), _FORMAT)
    network = gan.drawer
    try:
        _check_base(gan, path, metadata)
        names, rank, alpha = json.loads(metadata["layers"]), int(metadata["rank"]), float(metadata["alpha"])
        _check_factors(path, network, tensors, names, rank, alpha)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no file of adapters: it does not say all that one says.") from error
    existing = {name: (layer.lora_rank, layer.lora_alpha) for name, layer in _adapted(network).items()}
    if existing and existing != dict.fromkeys(names, (rank, alpha)):
        raise ValueError(f"This model has other adapters than those in {path}: load it afresh first.")
    start_from_average(gan)
    if not existing:
        _enable(gan, names, rank, alpha, seed=0)
    _assign(gan, tensors)
    if not metadata.get("caption_denoiser", ""):
        gan.caption_denoiser = None
    return Plan.of(gan, "lora")


def _check_factors(
    path: str | os.PathLike[str],
    network: keras.Model,
    tensors: dict[str, Any],
    names: Any,
    rank: int,
    alpha: float,
) -> None:
    """Makes sure that the tensors are those of the rank and the layers that a file speaks of, before any is made."""
    layers_of, unfit = named_layers(network), f"{path} is no file of adapters of this model:"
    if not np.isfinite(alpha):
        raise ValueError(f"{unfit} its alpha is {alpha}.")
    expected: dict[str, tuple[int, ...]] = {}
    for name in names:
        if type(layers_of.get(name)) not in _ADAPTABLE:
            raise ValueError(f"{unfit} {str(name)[:80]!r} is no layer that can be adapted.")
        kernel = tuple(layers_of[name].kernel.shape)
        expected |= {f"{name}/{_FACTORS[0]}": (*kernel[:-1], rank), f"{name}/{_FACTORS[1]}": (rank, kernel[-1])}
    if network.text_tower is None:
        expected |= {name: tuple(getattr(network, name).shape) for name in _CENTERING}
    for name in sorted(expected.keys() | tensors.keys()):
        there = tuple(tensors[name].shape) if name in tensors and tensors[name].dtype.kind == "f" else None
        if there != expected.get(name):
            raise ValueError(f"{unfit} {name} has the shape {there}, expected {expected.get(name)}.")


def _assign(gan: TextToImageGAN, tensors: dict[str, Any]) -> None:
    for side in _generators(gan):
        for name, layer in _adapted(side).items():
            for factor in _FACTORS:
                getattr(layer, factor).assign(tensors[f"{name}/{factor}"])
    if gan.drawer.text_tower is None:
        for side in (part.network for part in gan.parts().values()):
            for name in _CENTERING:
                getattr(side, name).assign(tensors[name])


def _check_base(gan: TextToImageGAN, path: str | os.PathLike[str], metadata: dict[str, str]) -> None:
    """Raises `ValueError` where the adapters were trained on another model than this one."""
    network = gan.drawer
    if metadata["base_sha256"] != _fingerprint(network):
        raise ValueError(
            f"{path} was trained on other weights than this model's (SHA-256 {metadata['base_sha256'][:12]}..., not "
            f"{_fingerprint(network)[:12]}...): load the very preset that it was trained from."
        )
    if "" not in (metadata["text_encoder"], _encoder_of(gan)) and metadata["text_encoder"] != _encoder_of(gan):
        raise ValueError(f"{path} was trained with another text encoder than this model's.")
    denoiser = metadata.get("caption_denoiser", "")
    if denoiser not in ("", _denoiser_of(gan)):
        raise ValueError(
            f"{path} was trained on a model with another caption denoiser than this model's: "
            "set `gan.caption_denoiser` to that one first."
        )


def _enable(gan: TextToImageGAN, names: Sequence[str], rank: int, alpha: float, seed: int) -> None:
    if _adapted(gan.generator):
        raise ValueError("This model has adapters already; load it afresh to give it others.")
    ours, averaged = named_layers(gan.generator), named_layers(gan.drawer)
    for number, (name, layer) in enumerate(ours.items()):
        if name not in names:
            freeze_layer(layer)
            continue
        for weight in own_weights(layer):
            weight.trainable = False
        # Another seed for each, or layers of one shape would start alike.
        start = keras.initializers.HeUniform(seed=int(np.random.default_rng([seed, number]).integers(2**31)))
        _widen(layer)
        layer.enable_lora(rank, lora_alpha=alpha, a_initializer=start)
        if averaged[name] is not layer:
            averaged[name].enable_lora(rank, lora_alpha=alpha, a_initializer=start)
            averaged[name].lora_kernel_a.assign(layer.lora_kernel_a)
    gan.forget_traces()  # What was traced before knows nothing of the factors.


def _widen(layer: Any) -> None:
    """Lets the factors beside a kernel of two bytes a number have four: what one step changes would be lost in two."""
    if layer.variable_dtype in ("bfloat16", "float16"):
        layer.dtype_policy = keras.DTypePolicy(f"mixed_{layer.variable_dtype}")


def _generators(gan: TextToImageGAN) -> list[Any]:
    """The generator and its average, where it has one."""
    return list({id(each): each for each in (gan.generator, gan.drawer)}.values())


def _adapted(network: keras.Model) -> dict[str, Any]:
    return {name: layer for name, layer in named_layers(network).items() if getattr(layer, "lora_enabled", False)}


def _fingerprint(network: keras.Model) -> str:
    """SHA-256 of a generator's weights without adapters, and without what its text is centered on."""
    digest = hashlib.sha256()
    for name, layer in named_layers(network).items():
        for weight in own_weights(layer):
            if weight.name not in _FACTORS:
                digest.update(f"{name}/{weight.name}{tuple(weight.shape)}".encode())
                digest.update(np.asarray(weight, np.float32).tobytes())
    return digest.hexdigest()


def _encoder_of(gan: TextToImageGAN) -> str:
    return "" if gan.text_encoder is None else gan.text_encoder.fingerprint


def _denoiser_of(gan: TextToImageGAN) -> str:
    return "" if gan.caption_denoiser is None else gan.caption_denoiser.fingerprint
