"""What the commands do with one run, without the command line: from its configuration to files and numbers.

Nothing heavy is imported before a function needs it, so that `keras-t2i --help` answers at once.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keras_t2i.config import RunConfig

__all__ = ["RunConfig", "evaluate", "evaluate_folders", "finetune", "train"]

_ADAPTERS = "adapters.safetensors"


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

    With a strategy to transfer, a table of what is trained goes to stderr first.

    Returns:
        `steps` and `minutes` so far, the number of `skipped_rows`, and where `run`, `grids` and `preset` are; with LoRA
        the `adapters` too.

    Raises:
        ValueError: for a configuration that cannot be trained.
        OSError: if the directory cannot be written.
    """
    from keras_t2i import strategies, training, transfer

    training.make_deterministic()
    gan, dataset = config.prepare()
    if config.strategy is not None:
        print(transfer.Plan.of(gan, config.strategy).summary(), file=sys.stderr, flush=True)
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
    result = {
        "run": str(run_dir),
        "steps": state.step,
        "minutes": round(state.seconds / 60, 2),
        "skipped_rows": len(dataset.skipped),
        "grids": str(run_dir / "grids"),
        "preset": str(run_dir / "preset"),
    }
    if config.strategy is not None and "lora" in dict(strategies.parse(config.strategy)):
        transfer.save_adapters(gan, run_dir / _ADAPTERS)
        result["adapters"] = str(run_dir / _ADAPTERS)
    return result


def finetune(
    start_from: str,
    data: str,
    run_dir: Path,
    strategy: str = "full",
    *,
    minutes: float | None = None,
    epochs: int | None = None,
    tensorboard: bool = False,
    verbose: int | str = "auto",
    **options: Any,
) -> dict[str, Any]:
    """Fine-tunes a trained model on other images: `train` with the configuration that `RunConfig.finetuning` makes.

    Args:
        start_from: A preset or a run: see `keras_t2i.presets.resolve`.
        data: What to train on, see `RunConfig`.
        run_dir: The run directory; a run in it is resumed.
        strategy: What is trained, and how: see `keras_t2i.strategies.parse`.
        minutes: Minutes to train, over all starts.
        epochs: Epochs to train, likewise.
        tensorboard: As for `train`.
        verbose: As for `train`.
        **options: Further fields of `RunConfig`.

    Returns:
        As `train`.

    Raises:
        ValueError: for a configuration that cannot be trained.
        OSError: if the directory cannot be written.
    """
    config = RunConfig.finetuning(start_from, data, strategy, **options)
    return train(config, run_dir, minutes=minutes, epochs=epochs, tensorboard=tensorboard, verbose=verbose)


def evaluate(
    run_dir: Path,
    num_images: int = 2,
    max_images: int = 2000,
    features: str = "auto",
    judge: str = "retriever",
    seed: int = 0,
) -> dict[str, Any]:
    """Measures a run on its held-out captions; built-in images are judged by the packaged classifiers.

    Returns:
        The numbers of `keras_t2i.metrics.evaluate_model`, and `warnings`.

    Raises:
        ValueError: if the directory is not a run, has no preset yet, or the features cannot be had.
    """
    from keras_t2i import TextToImageGAN
    from keras_t2i.instruments import instruments_for
    from keras_t2i.metrics import evaluate_model, warnings_for

    config = RunConfig.read(run_dir)
    gan = TextToImageGAN.from_preset(run_dir)
    dataset = config.dataset()
    instruments = instruments_for(config, dataset, features, judge).as_arguments()
    numbers = evaluate_model(
        gan, dataset, **instruments, num_images=num_images, max_images=max_images, seed=seed
    ).numbers
    return {**numbers, "warnings": warnings_for(numbers)}


def evaluate_folders(
    generated: Path, real: Path, features: str = "auto", max_images: int = 10_000, seed: int = 0
) -> dict[str, Any]:
    """Measures how far the images of one folder, from any source, are from those of another.

    Returns:
        What `keras_t2i.metrics.compare_images` returns, and `diversity`.

    Raises:
        ValueError: if a folder has fewer than two usable images, or the features cannot be had.
    """
    import numpy as np

    from keras_t2i import data
    from keras_t2i.config import cache_directory
    from keras_t2i.image_features import CachedImageFeatures
    from keras_t2i.instruments import image_features_for
    from keras_t2i.metrics import compare_images, pairwise_distance

    found = image_features_for(features)
    if found is None:
        raise ValueError(
            "Folders are compared in image features, and there are none: pass features, or a file of them."
        )

    def pixels(folder: Path) -> np.ndarray:
        split = data.from_folder(
            folder, image_size=found.image_size, captions=False, validation_share=0, max_skipped_share=1
        ).train_split
        numbers = np.random.default_rng(seed).permutation(split.num_images)[:max_images]
        return split.pixels(np.sort(numbers))

    images = {"generated": pixels(generated), "real": pixels(real)}
    cached = CachedImageFeatures(found, cache_directory() / "features")
    result = compare_images(images["generated"], images["real"], cached)
    diversity = pairwise_distance(images["generated"]) / max(pairwise_distance(images["real"]), 1e-12)
    return {**result, "diversity": diversity}
