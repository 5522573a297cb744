"""What describes a run, in plain values. Each option is described here once: commands, comparisons and pages read it.

Nothing heavy is imported, so that `keras-t2i --help` answers at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from keras_t2i.core import specs
from keras_t2i.data.names import FITS, RENDERED, is_folder
from keras_t2i.networks.families import ACTIVATIONS, FAMILIES
from keras_t2i.objectives import LOSSES, PENALTIES
from keras_t2i.presets.names import is_name
from keras_t2i.runs.option import ALL, ANEW, READ, USED, Option, option
from keras_t2i.transfer.strategies import STRATEGIES, located

__all__ = ["NONE", "Option", "RunConfig", "known_to", "options_of"]

NONE = "none"
_ENCODERS = (NONE, "from_scratch", "caption_mini_en")
_FEATURES = ("mobilenet_v2",)


@dataclass(frozen=True)
class RunConfig:
    """What describes a run, in plain values; kept as `config.json` in its directory.

    Folders are kept as absolute paths, so that the run can be used from any working directory. `options_of` lists
    what the fields are and which command takes them; beside what is said there:

    Args:
        data: `"shapes"`, `"faces"` or `"phantoms"`, which are rendered, anew each time, or, as `"faces:300"`, that many
            images that never change; a folder of captioned images; or `"tfds:"` and the name of a TensorFlow dataset.
        strategy: How to transfer from `start_from`, see `keras_t2i.transfer.STRATEGIES`; networks and text encoder are
            then its own. `None` to train everything, from weights that any networks of that form may have.
        teacher: A preset or a run: what it draws is learned, from the noise it draws from, instead of real images.
        augment: `None` for what suits the data: augmented where a strategy has fewer than 1,000 training images.
        mixed_precision: `None` for what suits the machine that a run is begun on.
        batch_size: `None` for what suits the data: 8 where a strategy has fewer than 1,000 training images, else 32.
    """

    data: str
    family: str = option(
        "compact", "Networks: {names}.", panel="Model", commands=("train", "distill"), table=FAMILIES, varies=True
    )
    size: str = option(
        "small",
        "Size of the networks of compact, projected and flow: **small**; **base**, with four times the weights and "
        "multiply-adds; or **large**, with sixteen times, for a GPU.",
        panel="Model",
        commands=ANEW,
        varies=True,
    )
    activation: str | None = option(
        None,
        "Activation of the networks of compact and projected: {names}. Default: leaky.",
        panel="Model",
        commands=ANEW,
        table=ACTIVATIONS,
        varies=True,
    )
    discriminator_depth: int | None = option(
        None,
        "Convolutions a scale of the discriminator of compact and projected, beside the one that halves the "
        "resolution. Default: 1.",
        panel="Model",
        commands=ANEW,
        limits=(1, 8),
        varies=True,
    )
    image_size: int = option(
        64, "Height and width in pixels: 32, 64, 128 or 256.", panel="Model", commands=("train", "compare")
    )
    text_encoder: str = option(
        "caption_mini_en",
        "KerasNLP preset: a name or a directory. The default is in the package. Or **from_scratch**: the networks "
        "learn to read by themselves; or **none**: images without captions.",
        panel="Model",
        commands=("train", "compare", "check", "pack"),
        varies=True,
    )
    sequence_length: int = option(
        32,
        "Tokens of a caption that are read, its start and end included; what is beyond is cut. More than the encoder "
        "takes at once, 64 in the one in the package, are read in windows.",
        panel="Model",
        commands=("train", "compare", "check", "pack"),
        limits=(4, None),
        varies=True,
    )
    batch_size: int | None = option(
        None,
        "Images in a batch. Default: 32; 8 where **finetune** has fewer than 1,000 training images.",
        limits=(1, None),
        varies=True,
    )
    loss: str | None = option(
        None,
        "Adversarial loss: {names}. Default: the family's.",
        commands=ANEW,
        table=LOSSES,
        varies=True,
    )
    penalty: str | None = option(
        None,
        "Gradient penalty: {names}, some joined by +, or none. Default: the family's.",
        commands=ANEW,
        table=PENALTIES,
        varies=True,
    )
    augment: bool | None = option(
        None,
        "Differentiable augmentation, for a few thousand images. Default: where **finetune** has fewer than 1,000.",
        varies=True,
    )
    caption_noise: float | None = option(
        None,
        "Noise on caption embeddings, in units of their spread: other words for the same are understood.",
        commands=ANEW,
        limits=(0, None),
        varies=True,
    )
    caption_dropout: float | None = option(
        None,
        "Share of captions left out: what guidance needs.",
        commands=ANEW,
        limits=(0, 0.9),
        varies=True,
    )
    flip: bool = option(
        False,
        "Mirror half of the images; not where captions name sides.",
        panel="Data",
        commands=("train", "finetune", "compare"),
    )
    caption_column: str | None = option(
        None,
        "Column of captions in a folder's table. Default: text, caption or captions.",
        panel="Data",
        commands=READ,
    )
    fit: str = option(
        "crop",
        "What becomes of images that are not square: {names}. crop keeps the central square, pad adds white, stretch "
        "distorts.",
        panel="Data",
        commands=READ,
        table=FITS,
    )
    intensity_range: str | None = option(
        None,
        "Of images with more than 8 bits a channel, the values that become black and white, as in 0,4095. Default: "
        "what suits all of them, which is said.",
        panel="Data",
        commands=READ,
    )
    caption_template: str = option(
        "a photo of a {label}",
        "Caption of images with labels only: of TFDS, or in folders named after classes.",
        panel="Data",
        commands=READ,
    )
    label: str | None = option(
        None, "Class label of TFDS images that captions are made of. Default: the first, which is said.", panel="Data"
    )
    max_skipped_share: float = option(
        0.05, "Share of unusable rows above which they are refused.", panel="Data", commands=USED, limits=(0, 1)
    )
    max_unread_share: float = option(
        0.1,
        "Share of captions that the text encoder cannot read above which they are refused.",
        panel="Data",
        commands=USED,
        limits=(0, 1),
    )
    mixed_precision: bool | None = option(
        None,
        "Compute in bfloat16. Default: where the GPU or the TPU, or else the processor, is faster in it.",
        commands=ALL,
        varies=True,
    )
    start_from: str | None = option(
        None, "Preset or run with the same networks, to begin with its weights.", panel="Model", commands=("train",)
    )
    strategy: str | None = option(
        None,
        "A name above, with settings after colons: lora:rank=8, freeze:early_blocks=2. Default: full.",
        panel="Model",
        commands=("finetune",),
        table=STRATEGIES,
        varies=True,
    )
    source_data: str | None = option(
        None,
        "What MODEL was trained on, for strategies that need it. Default: what its card says.",
        panel="Data",
        commands=("finetune",),
    )
    teacher: str | None = None
    num_drawn: int = option(20_000, "Images that TEACHER draws, once.", commands=("distill",), limits=(1, None))
    learning_rate_scale: float | None = option(
        None,
        "Factor on the family's learning rates. Default: 1.",
        commands=("finetune",),
        limits=(1e-6, None),
        varies=True,
    )
    content_features: str | None = option(
        None,
        "Draw images towards the real ones of their captions, by content and style, in these image features: "
        "mobilenet_v2, or a file of weights.",
        commands=ANEW,
    )
    frozen_features: str | None = option(
        None,
        "File of MobileNetV2 weights for the family projected. Default: those of Keras.",
        panel="Model",
        commands=ANEW,
    )
    reconstruction: float | None = option(
        None,
        "Weight of the difference in pixels to the caption's own image, where it has just one.",
        limits=(0, None),
        varies=True,
    )
    variety: float | None = option(
        None,
        "Share of real images' variety that those of a caption are to have, or 0. Default: 1 for projected, where "
        "images share captions, else 0.",
        commands=("train", "compare"),
        limits=(0, 2),
        varies=True,
    )
    seed: int = option(
        0, "Seed of weights, order and noise.", commands=("train", "finetune", "distill"), limits=(0, 2**31 - 1)
    )

    def __post_init__(self) -> None:
        for name, is_known in _KNOWN.items():
            value = getattr(self, name)
            if value is not None and not is_known(value) and os.path.exists(value):
                object.__setattr__(self, name, os.path.abspath(value))

    @classmethod
    def read(cls, run_dir: Path) -> RunConfig:
        """Reads the configuration of a run.

        Raises:
            ValueError: if the directory is not a run that `keras_t2i.runs.train` has made.
        """
        file = run_dir / "config.json"
        if not file.is_file():
            raise ValueError(f"{run_dir} is not a run: it has no config.json. Pass a directory made by 'train'.")
        try:
            saved = json.loads(file.read_text(encoding="utf-8"))
            # A run made before an option was there has its default.
            return cls(**{f.name: saved[f.name] for f in fields(cls) if f.name in saved or f.name == "data"})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is not the configuration of a run made by 'train' ({error!r}).") from error

    @property
    def domain(self) -> str:
        """`data` without the number of images: what a judge made for these images is found by."""
        name, count = specs.split(self.data)
        return name if name in RENDERED and count else self.data

    @property
    def num_rendered(self) -> int | None:
        """How many images are rendered once, or `None` where they are rendered anew each time.

        Raises:
            ValueError: if what follows the colon is no number.
        """
        if self.data == self.domain:
            return None
        count = specs.split(self.data)[1]
        if not count.isdecimal():
            raise ValueError(
                f"A number of images is expected after the colon, as in '{self.domain}:300'; got {count!r}."
            )
        return int(count)

    @property
    def intensities(self) -> tuple[float, float] | None:
        """`intensity_range` as numbers.

        Raises:
            ValueError: if it is not two numbers.
        """
        if self.intensity_range is None:
            return None
        try:
            low, high = map(float, self.intensity_range.split(","))
        except ValueError as error:
            raise ValueError(
                f"An intensity range is two numbers with a comma, as in 0,4095; got {self.intensity_range!r}."
            ) from error
        return low, high

    def arguments(self, command: str) -> list[str]:
        """The options of a command that say what differs from the defaults, as the command line takes them.

        Folders and files are named without the path to them: what is told is shared.
        """
        told: list[str] = []
        for name, (default, _) in options_of(command).items():
            value = getattr(self, name)
            if value == default:
                continue
            flag = f"--{name.replace('_', '-')}"
            value = located(value, os.path.basename) if name == "strategy" else value
            if isinstance(value, bool):
                told.append(flag if value else f"--no-{flag[2:]}")
            else:
                shown = os.path.basename(value) if isinstance(value, str) and os.path.isabs(value) else str(value)
                told += [flag, shown]
        return told


def known_to(saved: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """A configuration in plain values, but for options that are not in a saved one and have their defaults.

    What was begun before there was an option goes on with its default.
    """
    defaults = {each.name: each.default for each in fields(config)}
    return {name: value for name, value in asdict(config).items() if name in saved or value != defaults[name]}


def options_of(command: str | None = None) -> Mapping[str, tuple[Any, Option]]:
    """The fields of `RunConfig` that a command takes, all of them for `None`: their defaults and descriptions."""
    found = {f.name: (f.default, f.metadata["option"]) for f in fields(RunConfig) if "option" in f.metadata}
    return {name: pair for name, pair in found.items() if command is None or command in pair[1].commands}


_KNOWN: Mapping[str, Any] = {
    "data": lambda value: not is_folder(value),
    "source_data": lambda value: not is_folder(value),
    "text_encoder": _ENCODERS.__contains__,
    "start_from": is_name,
    "teacher": is_name,
    "content_features": _FEATURES.__contains__,
    "frozen_features": _FEATURES.__contains__,
}
"""Fields that may be paths, and whether a value means something whatever the working directory holds."""
