"""What the commands do, without the command line: from a run's configuration to files and numbers.

Nothing heavy is imported before a function needs it, so that `keras-t2i --help` answers at once.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_t2i.data import CaptionedImages
    from keras_t2i.gan import TextToImageGAN

__all__ = ["RunConfig", "evaluate", "export", "generate", "train"]

_SHAPES = "shapes"
_TFDS = "tfds:"
_SHAPE_JUDGE = Path(__file__).parent / "presets" / "shape_judge.npz"


@dataclass(frozen=True)
class RunConfig:
    """What describes a run, in plain values; kept as `config.json` in its directory.

    Folders are kept as absolute paths, so that the run can be used from any working directory.

    Args:
        data: `"shapes"`, a folder of captioned images, or `"tfds:"` and the name of a TensorFlow dataset.
        family: A name in `keras_t2i.presets.FAMILIES`.
        image_size: Height and width in pixels.
        text_encoder: See `keras_t2i.text.TextEncoder.from_preset`.
        batch_size: Images in a batch.
        loss: Another adversarial loss than the family's.
        penalty: Another gradient penalty than the family's, or `"none"`.
        augment: Whether to augment differentiably.
        flip: Whether to mirror half of the training images.
        caption_column: Column of captions of a folder; found by itself as a rule.
        caption_template: Caption of images that have labels only.
        max_skipped_share: Share of rows that may be unusable before training is refused.
        mixed_precision: Whether to compute in bfloat16.
        seed: Seed of weights, order and noise.
    """

    data: str
    family: str = "compact"
    image_size: int = 64
    text_encoder: str = "caption_mini_en"
    batch_size: int = 32
    loss: str | None = None
    penalty: str | None = None
    augment: bool = False
    flip: bool = False
    caption_column: str | None = None
    caption_template: str = "a photo of a {label}"
    max_skipped_share: float = 0.05
    mixed_precision: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, packaged in (("data", _SHAPES), ("text_encoder", RunConfig.text_encoder)):
            value = getattr(self, name)
            if value != packaged and os.path.isdir(value):
                object.__setattr__(self, name, os.path.abspath(value))

    @classmethod
    def read(cls, run_dir: Path) -> RunConfig:
        """Reads the configuration of a run.

        Raises:
            ValueError: if the directory is not a run that `train` below has made.
        """
        file = run_dir / "config.json"
        if not file.is_file():
            raise ValueError(f"{run_dir} is not a run: it has no config.json. Pass a directory made by 'train'.")
        try:
            saved = json.loads(file.read_text(encoding="utf-8"))
            return cls(**{field.name: saved[field.name] for field in fields(cls)})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is not the configuration of a run made by 'train' ({error!r}).") from error

    def dataset(self) -> CaptionedImages:
        """The captioned images, not yet encoded."""
        from keras_t2i import data

        common: dict[str, Any] = {name: getattr(self, name) for name in ("image_size", "batch_size", "seed")}
        if self.data == _SHAPES:
            if self.flip:
                raise ValueError("Shapes cannot be mirrored, because their captions name sides: leave `flip` out.")
            return data.shapes(**common)
        common |= {"horizontal_flip": self.flip, "max_skipped_share": self.max_skipped_share}
        if self.data.startswith(_TFDS):
            return data.from_tfds(self.data.removeprefix(_TFDS), caption_template=self.caption_template, **common)
        return data.from_folder(self.data, caption_column=self.caption_column, **common)

    def build(self) -> TextToImageGAN:
        """A new model, compiled with its family's recipe."""
        from keras_t2i.augmentation import DiffAugment
        from keras_t2i.presets.families import build_gan
        from keras_t2i.text import TextEncoder

        return build_gan(
            self.family,
            TextEncoder.from_preset(self.text_encoder),
            self.image_size,
            loss=self.loss,
            penalty={None: "default", "none": None}.get(self.penalty, self.penalty),
            seed=self.seed,
            augmentation=DiffAugment() if self.augment else None,
        )


def train(
    config: RunConfig,
    run_dir: Path,
    *,
    minutes: float | None = None,
    epochs: int | None = None,
    tensorboard: bool = False,
    verbose: int | str = "auto",
) -> dict[str, Any]:
    """Trains a model, or goes on training it, with embeddings computed once: see `keras_t2i.training.train`.

    Returns:
        `steps` and `minutes` so far, the number of `skipped_rows`, and where `run`, `grids` and `preset` are.

    Raises:
        ValueError: for a configuration that cannot be trained.
        OSError: if the directory cannot be written.
    """
    import keras

    from keras_t2i import training
    from keras_t2i.text import CachedTextEncoder

    training.make_deterministic()
    if config.mixed_precision:
        keras.config.set_dtype_policy("mixed_bfloat16")
    gan = config.build()  # First: a mistyped name should not wait for a large folder to be decoded.
    dataset = config.dataset()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keras_t2i" / "embeddings"
    dataset = dataset.encode(CachedTextEncoder(gan.text_encoder, cache))
    assert dataset.train_split.embeddings is not None  # `encode` has just set them.
    gan.adapt(dataset.train_split.embeddings)
    state = training.train(
        gan,
        dataset,
        run_dir,
        epochs=epochs,
        minutes=minutes,
        config=asdict(config),
        tensorboard=tensorboard,
        verbose=verbose,
    )
    return {
        "run": str(run_dir),
        "steps": state.step,
        "minutes": round(state.seconds / 60, 2),
        "skipped_rows": len(dataset.skipped),
        "grids": str(run_dir / "grids"),
        "preset": str(run_dir / "preset"),
    }


def evaluate(run_dir: Path, num_images: int = 2, seed: int = 0) -> dict[str, Any]:
    """Measures a run on its held-out captions; shapes are judged by the packaged classifier.

    Returns:
        What `keras_t2i.metrics.evaluate_model` returns.

    Raises:
        ValueError: if the directory is not a run, or has no preset yet.
    """
    from keras_t2i import TextToImageGAN
    from keras_t2i.data import ATTRIBUTES
    from keras_t2i.metrics import AttributeJudge, evaluate_model

    config = RunConfig.read(run_dir)
    gan = TextToImageGAN.from_preset(run_dir)
    judge = AttributeJudge.load(ATTRIBUTES, _SHAPE_JUDGE) if config.data == _SHAPES else None
    return evaluate_model(gan, config.dataset(), judge, num_images=num_images, seed=seed)


def generate(
    model: Path,
    captions: Sequence[str],
    output: Path,
    num_images: int = 4,
    seed: int = 0,
    truncation: float = 1.0,
) -> dict[str, Any]:
    """Draws captions with a trained model, one PNG an image, and a grid of all; written all or none.

    Returns:
        Where the `images`, in order, and the `grid` are.

    Raises:
        ValueError: for a text that is no caption, a factor that is no truncation, or if `model` is no model.
        OSError: if the files cannot be written.
    """
    from PIL import Image

    from keras_t2i import TextToImageGAN
    from keras_t2i.data.rows import caption_problem
    from keras_t2i.training import draw_grid

    for number, caption in enumerate(captions, start=1):
        if problem := caption_problem(caption):
            raise ValueError(f"Caption {number} cannot be drawn: {problem}.")
    gan = TextToImageGAN.from_preset(model)
    images = gan.generate(captions, num_images=num_images, seed=seed, truncation=truncation)
    names = [f"{i // num_images:02d}-{i % num_images:02d}.png" for i in range(len(images))]
    grid = draw_grid(images.reshape(len(captions), num_images, *images.shape[1:]), captions)
    pictures = dict(zip([*names, "grid.png"], [*map(Image.fromarray, images), grid], strict=True))
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".generate-") as beside:
        for name, picture in pictures.items():
            picture.save(Path(beside) / name)
        for name in pictures:
            os.replace(Path(beside) / name, output / name)
    return {"images": [str(output / name) for name in names], "grid": str(output / "grid.png")}


def export(model: Path, output: Path, to: str = "serving") -> dict[str, Any]:
    """Exports a trained model: see `keras_t2i.export`.

    Returns:
        The `format`, the `path` and how many `bytes` are there.

    Raises:
        ValueError: if `model` is no model, or other files are in the way.
        OSError: if the files cannot be written.
    """
    from keras_t2i import TextToImageGAN

    format = {"serving": "tf_saved_model", "litert": "litert"}[to]
    TextToImageGAN.from_preset(model).export(output, format=format)
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    return {"format": format, "path": str(output), "bytes": size}
