"""The one gate for trained models from outside: writes a whole GAN into a directory, and reads it back with care."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

import keras_t2i
from keras_t2i.networks.base import Discriminator, Generator
from keras_t2i.presets import hub
from keras_t2i.presets.card import model_card, quality_of
from keras_t2i.presets.directory import CHECKSUMS, verify, write_checksums, written_atomically
from keras_t2i.presets.half import halve_weights
from keras_t2i.text import PACKAGED_ENCODERS, CaptionDenoiser, CaptionEncoder, TextEncoder

if TYPE_CHECKING:
    from keras_t2i.gan import TextToImageGAN

__all__ = ["describe", "initialize", "load", "packaged_presets", "resolve", "save"]

_CONFIG = "config.json"
_CARD = "README.md"
_FORMAT = "keras_t2i preset 3"
_FORMATS = (_FORMAT, "keras_t2i preset 2", "keras_t2i preset 1")  # Less in them, read by the same rules.
_TEXT_ENCODER = "text_encoder"
_BASES = {"generator": Generator, "discriminator": Discriminator}
_WEIGHTS = ("generator", "ema_generator", "discriminator")
_DENOISER = "caption_denoiser"


def packaged_presets() -> dict[str, Path]:
    """Names and directories of the trained models inside the package."""
    folders = Path(__file__).resolve().parent.iterdir()
    return {folder.name: folder for folder in sorted(folders) if (folder / CHECKSUMS).is_file()}


def resolve(name: str | os.PathLike[str]) -> Path:
    """Returns the preset directory that `name` means.

    Args:
        name: A packaged name; a preset directory, or the directory of a training run, which holds one as `preset`; or
            a name on a hub, as KerasNLP has them, which is fetched: `hf://USER/MODEL` or
            `kaggle://USER/MODEL/FRAMEWORK/VARIATION`.

    Raises:
        ValueError: if it means none, or cannot be fetched.
    """
    packaged = packaged_presets()
    if str(name) in packaged:
        return packaged[str(name)]
    if hub.is_remote(name):
        return hub.fetch(name)
    path = Path(name).expanduser()
    for directory in (path, path / "preset"):
        if (directory / CHECKSUMS).is_file():
            return directory
    known = f", or a packaged name ({', '.join(packaged)})" if packaged else ""
    state = "has no preset in it" if path.is_dir() else "is not a directory"
    raise ValueError(f"{str(name)!r} {state}; pass a preset directory or a training run that has saved one{known}.")


def describe(name: str | os.PathLike[str]) -> dict[str, Any]:
    """What a preset says of itself, without building it.

    Args:
        name: See `resolve`.

    Returns:
        `image_size` in pixels, `bytes` on the disk, and, where its card has them, `description`, `quality` (what was
        measured first, in a line) and `license`; else `None`.

    Raises:
        ValueError: if it is not a preset.
    """
    directory = resolve(name)
    config = _read_json(directory / _CONFIG)
    card = config["card"]
    return {
        "description": card.get("description"),
        "image_size": config["generator"]["config"]["image_size"],
        "bytes": sum(file.stat().st_size for file in directory.rglob("*") if file.is_file()),
        "quality": next((f"{label}: {value}" for label, value in quality_of(card).items()), None),
        "license": card.get("license"),
    }


def save(
    gan: TextToImageGAN,
    directory: str | os.PathLike[str],
    card: dict[str, Any] | None = None,
    dtype: str | None = None,
) -> None:
    """Writes a preset: configuration, weights (trained and averaged), a model card and a checksum of each file.

    A text encoder from outside the package is written too, and a caption denoiser where there is one; an encoder in the
    package is named, with its fingerprint.

    Args:
        gan: The model.
        directory: Where to; an older preset there is replaced at once, in the end.
        card: What a reader should know of the model, for instance `{"license": ..., "training": ...}`: anything that
            JSON can hold; what `keras_t2i.presets.card.model_card` knows becomes a section of `README.md`. By default
            the card that the model was made or loaded with.
        dtype: `"float16"` for half the size; the loaded model computes in float32 all the same. By default the
            weights are kept as they are, to the bit.

    Raises:
        ValueError: if other files are in the way, a network is not one that `load` would accept, or the weights do not
            fit the `dtype`.
    """
    if dtype not in (None, "float16"):
        raise ValueError(
            f"Presets hold weights as they are, or in float16; got dtype {dtype!r}. Pass 'float16' or None."
        )
    encoder = gan.text_encoder
    packaged_encoder = getattr(encoder, "packaged_name", None)
    config = {
        "format": _FORMAT,
        "versions": {"keras_t2i": keras_t2i.__version__, "keras": keras.__version__},
        **gan.get_config(),
        "sequence_length": encoder and encoder.sequence_length,
        "text_encoder": packaged_encoder,
        "text_encoder_fingerprint": encoder and encoder.fingerprint,
        _DENOISER: gan.caption_denoiser and gan.caption_denoiser.get_config(),
        "card": getattr(gan, "card", {}) if card is None else card,
    }
    text = json.dumps(config, indent=2)
    for name, base in _BASES.items():
        _network_class(json.loads(text)[name], base)
    with written_atomically(directory, marker=CHECKSUMS) as folder:
        (folder / _CONFIG).write_text(text + "\n", encoding="utf-8")
        for name in (*_WEIGHTS, *([_DENOISER] if gan.caption_denoiser is not None else [])):
            file = folder / f"{name}.weights.h5"
            getattr(gan, name).save_weights(file)
            if dtype is not None:
                halve_weights(file)
        (folder / _CARD).write_text(model_card(Path(os.path.abspath(directory)).name, config), encoding="utf-8")
        if encoder is not None and packaged_encoder is None:
            encoder.save_to_preset(folder / _TEXT_ENCODER)
        write_checksums(folder)


def load(cls: type[TextToImageGAN], name: str | os.PathLike[str]) -> TextToImageGAN:
    """Reads a preset.

    Nothing is read before every file has matched its checksum, and no class is built that is not this package's own (or
    KerasNLP's, in the text encoder): no pickles, no lambdas, no code.

    Args:
        cls: The class to build.
        name: See `resolve`.

    Raises:
        ValueError: if it is not a preset, is damaged, or asks for anything else; in one line.
    """
    directory = resolve(name)
    verify(directory)
    try:
        return _build(cls, directory)
    except (KeyError, TypeError, AttributeError, ValueError, OSError, RecursionError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        if isinstance(error, KeyError):
            reason = f"{_CONFIG} lacks {reason}"
        raise ValueError(f"{directory} cannot be loaded: {reason}") from error


def initialize(gan: TextToImageGAN, name: str | os.PathLike[str]) -> None:
    """Gives a model the trained weights of a preset, its text encoder and compiled state left as they are.

    Args:
        gan: A model whose networks have the preset's form.
        name: See `resolve`.

    Raises:
        ValueError: if it is not a preset, is damaged, or holds networks of another form.
    """
    directory = resolve(name)
    verify(directory)
    config = _read_json(directory / _CONFIG)
    for part in _BASES:
        theirs, ours = config[part], json.loads(json.dumps(keras.saving.serialize_keras_object(getattr(gan, part))))
        form = [(network["class_name"], {**network["config"], "name": None}) for network in (theirs, ours)]
        if form[0] != form[1] or config["embedding_dim"] != gan.embedding_dim:
            raise ValueError(
                f"{directory} cannot be started from: its {part} is another one ({theirs['class_name']}, embeddings of "
                f"length {config['embedding_dim']}; expected {ours['class_name']}, {gan.embedding_dim}, and the same "
                "settings). Choose the same family, image size and text encoder."
            )
    for part in _WEIGHTS:
        getattr(gan, part).load_weights(directory / f"{part}.weights.h5")


def _build(cls: type[TextToImageGAN], directory: Path) -> TextToImageGAN:
    config = _read_json(directory / _CONFIG)
    if not isinstance(config, dict) or config.get("format") not in _FORMATS:
        raise ValueError(f"{_CONFIG} does not say {_FORMAT!r}; it comes from another program or another release.")
    networks = {
        name: _network_class(config[name], base).from_config(config[name]["config"]) for name, base in _BASES.items()
    }
    encoder = None if config["sequence_length"] is None else _text_encoder(config, directory)
    gan = cls(encoder, networks["generator"], networks["discriminator"], embedding_dim=config["embedding_dim"])
    for name in _WEIGHTS:
        getattr(gan, name).load_weights(directory / f"{name}.weights.h5")
    if config.get(_DENOISER) is not None:
        _check_classes(config[_DENOISER], allowed=())
        gan.caption_denoiser = CaptionDenoiser.from_config(config[_DENOISER])
        gan.caption_denoiser.build((None, gan.embedding_dim))
        gan.caption_denoiser.load_weights(directory / f"{_DENOISER}.weights.h5")
    gan.card = config["card"]
    gan.conditioning_dropout = float(config.get("conditioning_dropout", 0.0))
    return gan


def _text_encoder(config: dict[str, Any], directory: Path) -> CaptionEncoder:
    """The text encoder in a preset, or the packaged one that it names."""
    packaged = config.get("text_encoder")
    if packaged is not None and packaged not in PACKAGED_ENCODERS:
        raise ValueError(f"it names a text encoder that is not in this release: {packaged!r}.")
    source = packaged or os.path.abspath(directory / _TEXT_ENCODER)
    if packaged is None:
        for path in sorted((directory / _TEXT_ENCODER).glob("**/*.json")):
            _check_text_encoder(_read_json(path))
    encoder = TextEncoder.from_preset(source, config["sequence_length"])
    if encoder.fingerprint != config["text_encoder_fingerprint"]:
        made_by = f" (keras_t2i {config['versions']['keras_t2i']} has it)" if packaged else ""
        raise ValueError(f"its text encoder is not the one that the generator was trained with{made_by}.")
    return encoder


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name} cannot be read as JSON.") from error


def _network_class(config: Any, base: type[keras.Model]) -> type[keras.Model]:
    """The class of a serialised network: one of this package, whose configuration holds plain values alone."""
    found = keras.saving.get_registered_object(str(config["registered_name"]))
    known = isinstance(found, type) and issubclass(found, base) and config["registered_name"].startswith("keras_t2i>")
    if not known:
        raise ValueError(f"{config['class_name']!r} is not a {base.__name__.lower()} of keras_t2i.")
    _check_classes(config["config"], allowed=())
    return found


def _check_text_encoder(config: Any) -> None:
    """Refuses a KerasNLP configuration that names anything but classes of KerasNLP."""
    _check_classes(config, allowed=("keras_hub>",))


def _check_classes(config: Any, allowed: tuple[str, ...]) -> None:
    """Refuses serialised objects other than dtype policies and classes registered under `allowed`.

    Keras would import what a configuration names, and tells functions, lambdas and tensors by `class_name` alone.
    """
    values = config if isinstance(config, list) else []
    if isinstance(config, dict):
        values = list(config.values())
        if "class_name" in config:
            name = str(config.get("registered_name"))
            found = keras.saving.get_registered_object(name) if name.startswith(allowed) else None
            registered = isinstance(found, type) and found.__name__ == config["class_name"]
            if not registered and (config.get("module"), config["class_name"]) != ("keras", "DTypePolicy"):
                raise ValueError(f"the class {config['class_name']!r} in it is not one that a preset may hold.")
    for value in values:
        _check_classes(value, allowed)
