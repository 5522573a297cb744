"""Whole models to presets and back: the model says what it is made of, the preset keeps it part by part."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import keras
import numpy as np

import keras_t2i
from keras_t2i.core.errors import reason
from keras_t2i.core.gate import Stored, check_classes, check_lengths
from keras_t2i.core.limits import built_within
from keras_t2i.networks.base import Network
from keras_t2i.presets import names, store

if TYPE_CHECKING:
    from keras_t2i.text import CaptionEncoder

__all__ = [
    "TEXT_ENCODER",
    "encoder_name",
    "encoder_of",
    "from_config",
    "initialize",
    "load",
    "read_encoder",
    "save",
    "write_encoder",
]

TEXT_ENCODER = "text_encoder"
_DENOISER = "caption_denoiser"
_SHARED = "shared_weights"
_MOST_SHARED = 8
_ABOUT_TEXT = ("sequence_length", "text_encoder", "text_encoder_fingerprint")


class Whole(Protocol):
    """What a preset needs of a model: `keras_t2i.models.TextToImage` is one."""

    part_classes: ClassVar[dict[str, type[Network]]]
    text_encoder: Any
    caption_denoiser: Any
    embedding_dim: int
    conditioning_dropout: float
    card: dict[str, Any]
    text_of: dict[str, Any]
    """What its configuration says of a text encoder that is still to be read."""

    def parts(self) -> Mapping[str, Any]:
        """The networks by name."""

    def get_config(self) -> dict[str, Any]:
        """What the networks are built from."""


Model = TypeVar("Model", bound=Whole)


def save(
    gan: Whole,
    directory: str | os.PathLike[str],
    card: dict[str, Any] | None = None,
    dtype: str | None = None,
) -> None:
    """Writes a preset: configuration, weights (trained and averaged), a model card and a checksum of each file.

    Where an average equals what it is the average of, as before training, its weights are written once.

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
    parts = gan.parts()
    shared = {name: part.average_of for name, part in parts.items() if part.average_of and _is_its_average(parts, name)}
    config = {"format": names.FORMAT, **gan.get_config(), "card": gan.card if card is None else card}
    if shared:
        config |= {"format": names.SHARING, _SHARED: shared}
    weights = {name: part.network for name, part in parts.items() if name not in shared}
    check(gan, config)
    if gan.caption_denoiser is not None:
        weights[_DENOISER] = gan.caption_denoiser
    store.write(directory, config, weights, dtype, lambda folder: write_encoder(gan, folder))


def check(gan: Whole, config: Mapping[str, Any] | None = None) -> None:
    """Refuses a model that could be written, but not read.

    Args:
        gan: The model.
        config: What describes it, if that is not its configuration.

    Raises:
        ValueError: if a network is not registered, or the card is not plain JSON.
    """
    try:
        plain = json.loads(json.dumps(gan.get_config() if config is None else config))
    except TypeError as error:
        raise ValueError(f"The card of the model must be plain JSON; got one that is not ({error}).") from error
    for name in _trained(gan):
        store.network_class(plain[name], Network)


def load(cls: type[Model], name: str | os.PathLike[str]) -> Model:
    """Reads a preset.

    Nothing is read before every file has matched its checksum, and nothing is built before every file was looked
    through: classes registered as this package's networks (or KerasNLP's, in the text encoder) and finite numbers, no
    pickles, no lambdas, no code. What is built takes at most twice the bytes that are stored for it.

    Args:
        cls: The class to build, or a base class: it is then the one that was saved.
        name: See `keras_t2i.presets.resolve`.

    Raises:
        ValueError: if it is not a preset, is damaged, or asks for anything else; in one line.
    """
    directory = names.verified(name)
    with _told(f"{directory} cannot be loaded"):
        return _build(cls, directory)


def initialize(gan: Whole, name: str | os.PathLike[str]) -> None:
    """Gives a model the trained weights of a preset, its text encoder and compiled state left as they are.

    Args:
        gan: A model whose networks have the preset's form.
        name: See `keras_t2i.presets.resolve`.

    Raises:
        ValueError: if it is not a preset, is damaged, or holds networks of another form.
    """
    directory = names.verified(name)
    with _told(f"{directory} cannot be started from"):
        config, stored = _read(directory)
        for part, network in _trained(gan).items():
            theirs, ours = config[part], type(network).__name__
            same = theirs["class_name"] == ours and config["embedding_dim"] == gan.embedding_dim
            if same:
                store.network_class(theirs, Network)
                with built_within(stored):
                    # What is not told, because there was no choice yet, is what `from_config` takes it for.
                    same = _settings(type(network).from_config(dict(theirs["config"]))) == _settings(network)
            if not same:
                raise ValueError(
                    f"its {part} is another one ({theirs['class_name']}, embeddings of length "
                    f"{config['embedding_dim']}; expected {ours}, {gan.embedding_dim}, and the same settings). "
                    "Choose the same family, image size and text encoder."
                )
        for name_, part_ in gan.parts().items():
            part_.network.load_weights(_weights_of(directory, config, name_))


def encoder_name(name: str | os.PathLike[str]) -> str:
    """What `TextEncoder.from_preset` takes for the text encoder of a preset: its name, or the preset itself."""
    from keras_t2i.text.unconditional import MARKER, NO_CAPTIONS

    directory = names.resolve(name)
    if packaged := names.read_config(directory).get("text_encoder"):
        return str(packaged)
    return NO_CAPTIONS if (directory / TEXT_ENCODER / MARKER).is_file() else str(name)


def encoder_of(name: str | os.PathLike[str]) -> CaptionEncoder | None:
    """The text encoder of a preset, without its networks; `None` where it has none.

    Raises:
        ValueError: if it is not a preset, is damaged, or its text encoder cannot be loaded.
    """
    directory = names.verified(name)
    config = names.read_config(directory)
    return None if config["sequence_length"] is None else _text_encoder(config, directory)


def _settings(network: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(network.get_config())), "name": None}


def _trained(gan: Whole) -> dict[str, Any]:
    """The networks that are described; their averages have the same form."""
    return {name: part.network for name, part in gan.parts().items() if part.is_trained}


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Says of whatever a preset makes fail which preset it was, in one line."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, OSError, RecursionError, OverflowError) as error:
        why = reason(error)[:300]
        if isinstance(error, KeyError) and not isinstance(error, ValueError):
            why = f"{names.CONFIG} lacks {why}"
        raise ValueError(f"{what}: {why}") from error


def _build(cls: type[Model], directory: Path) -> Model:
    config, stored = _read(directory)
    cls = _class_of(cls, config)
    encoder = directory / TEXT_ENCODER
    if encoder.is_dir() and _reads_text():
        from keras_t2i.text.preset_gate import check_directory

        check_directory(encoder)
    check_lengths({name: config.get(name) for name in (*cls.part_classes, "embedding_dim", _DENOISER)}, stored)
    with built_within(stored):
        gan = from_config(cls, config)
    read_encoder(gan, directory)
    for name, part in gan.parts().items():
        part.network.load_weights(_weights_of(directory, config, name))
    if gan.caption_denoiser is not None:
        gan.caption_denoiser.load_weights(store.weights_file(directory, _DENOISER))
    return gan


def _class_of(cls: type[Model], config: Mapping[str, Any]) -> type[Model]:
    """The class that a configuration is of, which has as many parts as are in it: `cls`, or one derived from it."""
    bases: list[Any] = list(cls.__mro__)
    base = [each for each in bases if hasattr(each, "part_classes")][-1]
    kinds: list[Any] = [kind for kind in _derived(base) if kind.part_classes and set(kind.part_classes) <= set(config)]
    most = max((len(kind.part_classes) for kind in kinds), default=0)
    found = [kind for kind in kinds if len(kind.part_classes) == most] or [cls]
    if cls not in found and not issubclass(found[0], cls):
        raise ValueError(f"it is a {found[0].__name__}, not a {cls.__name__}.")
    return cls if cls in found else found[0]


def _derived(cls: Any) -> Iterator[Any]:
    yield cls
    for derived in cls.__subclasses__():
        yield from _derived(derived)


def _is_its_average(parts: Mapping[str, Any], name: str) -> bool:
    """Whether a part has the very weights of what it is the average of."""
    average, source = (parts[each].network.get_weights() for each in (name, parts[name].average_of))
    return all(map(np.array_equal, average, source))


def _read(directory: Path) -> tuple[dict[str, Any], Stored]:
    """The configuration of a preset, and what its weights are."""
    config = names.read_config(directory)
    shared = config.get(_SHARED, {})
    is_plain = isinstance(shared, dict) and all(
        isinstance(part, str) and part.isidentifier() for part in shared.values()
    )
    if not is_plain or len(shared) > _MOST_SHARED:
        raise ValueError(f"{names.CONFIG} says of {_SHARED} what cannot be ({str(shared)[:80]}).")
    return config, store.stored(directory, shared.values())


def _weights_of(directory: Path, config: Mapping[str, Any], part: str) -> Path:
    return store.weights_file(directory, config.get(_SHARED, {}).get(part, part))


def about_text(gan: Whole) -> dict[str, Any]:
    """What a configuration says of what reads captions: the encoder, by name where it is in the package."""
    encoder, denoiser = gan.text_encoder, gan.caption_denoiser and gan.caption_denoiser.get_config()
    versions = {"keras_t2i": keras_t2i.__version__, "keras": keras.__version__}
    if encoder is None:  # It may be known, and yet not be here.
        known = {name: gan.text_of.get(name) for name in _ABOUT_TEXT}
        return {"versions": versions, **known, _DENOISER: denoiser}
    return {
        "versions": versions,
        "sequence_length": encoder.sequence_length,
        "text_encoder": getattr(encoder, "packaged_name", None),
        "text_encoder_fingerprint": encoder.fingerprint,
        _DENOISER: denoiser,
    }


def from_config(cls: type[Model], config: dict[str, Any]) -> Model:
    """A new model of a configuration; its text encoder is read by `read_encoder`."""
    from keras_t2i.text import CaptionDenoiser

    classes = {name: store.network_class(config[name], base) for name, base in cls.part_classes.items()}
    if config.get(_DENOISER) is not None:
        check_classes(config[_DENOISER], allowed=())
    networks = {name: found.from_config(config[name]["config"]) for name, found in classes.items()}
    gan = cls(None, **networks, embedding_dim=config["embedding_dim"])  # type: ignore[call-arg]
    if config.get(_DENOISER) is not None:
        gan.caption_denoiser = CaptionDenoiser.from_config(config[_DENOISER])
        gan.caption_denoiser.build((None, gan.embedding_dim))
    gan.card = config.get("card", {})
    gan.conditioning_dropout = float(config.get("conditioning_dropout", 0.0))
    gan.text_of = {name: config.get(name) for name in (*_ABOUT_TEXT, "versions")}
    return gan


def write_encoder(gan: Whole, directory: Path) -> None:
    """Writes a text encoder from outside the package into a directory; one in the package is found by its name."""
    if gan.text_encoder is None:
        if files := gan.text_of.get("files"):
            shutil.copytree(files, directory / TEXT_ENCODER)
    elif getattr(gan.text_encoder, "packaged_name", None) is None:
        gan.text_encoder.save_to_preset(directory / TEXT_ENCODER)


def read_encoder(gan: Whole, directory: Path) -> None:
    """Gives a model the text encoder that its configuration names, or that `write_encoder` has written.

    Where TensorFlow and KerasNLP are not installed, it stays without one.

    Raises:
        ValueError: if it is not the one that the model was trained with, or holds anything but classes of KerasNLP.
    """
    if gan.text_encoder is not None or gan.text_of["sequence_length"] is None:
        return
    if _reads_text():
        gan.text_encoder = _text_encoder(gan.text_of, directory)
    elif (directory / TEXT_ENCODER).is_dir():
        gan.text_of["files"] = str((directory / TEXT_ENCODER).resolve())


def _reads_text() -> bool:
    return all(importlib.util.find_spec(name) for name in ("tensorflow", "keras_nlp"))


def _text_encoder(config: dict[str, Any], directory: Path) -> CaptionEncoder:
    """The text encoder in a preset, or the packaged one that it names."""
    from keras_t2i.text import PACKAGED_ENCODERS, TextEncoder

    packaged = config.get("text_encoder")
    if packaged is not None and packaged not in PACKAGED_ENCODERS:
        raise ValueError(f"it names a text encoder that is not in this release: {packaged!r}.")
    source = packaged or os.path.abspath(directory / TEXT_ENCODER)
    encoder = TextEncoder.from_preset(source, config["sequence_length"])
    if encoder.fingerprint != config["text_encoder_fingerprint"]:
        made_by = f" (keras_t2i {config['versions']['keras_t2i']} has it)" if packaged else ""
        raise ValueError(f"its text encoder is not the one that the generator was trained with{made_by}.")
    return encoder
