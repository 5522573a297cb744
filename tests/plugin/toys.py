"""What somebody else's package might add: one of each kind, each a few lines and a name in a table."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from keras_t2i.export import FORMATS
from keras_t2i.metrics import MEASURES
from keras_t2i.networks import FAMILIES
from keras_t2i.objectives import LOSSES, PENALTIES
from keras_t2i.tasks import TASKS, Setting, Task
from keras_t2i.transfer import STRATEGIES, Strategy


def mirror(model: Any, captions: Any, output: Path, seed: int = 0) -> dict[str, Any]:
    """A task: draws captions mirrored."""
    import numpy as np

    from keras_t2i import TextToImageGAN

    images = TextToImageGAN.from_preset(model).generate(list(captions), seed=seed)[:, :, ::-1]
    output.mkdir(parents=True, exist_ok=True)
    np.save(output / "mirrored.npy", images)
    return {"images": len(images), "mean": float(images.mean())}


def write_weights(gan: Any, path: Any) -> None:
    """An export format: the mean of every weight, as JSON."""
    directory = Path(path)
    directory.mkdir(parents=True)
    means = [float(weight.numpy().mean()) for weight in gan.drawer.weights]
    (directory / "means.json").write_text(json.dumps(means), encoding="utf-8")


def thaw(gan: Any) -> Any:
    """A strategy: as `full`, under another name."""
    from keras_t2i import transfer

    return transfer.Plan.of(gan, "toy_strategy")


def family() -> Any:
    """A family: the fully connected one with narrower networks."""
    from functools import partial

    from keras_t2i.networks.mlp import MLP, MLPDiscriminator, MLPGenerator

    return dataclasses.replace(
        MLP,
        generator=partial(MLPGenerator, text_width=6, widths=(12, 16)),
        discriminator=partial(MLPDiscriminator, text_width=6, widths=(12, 16, 8)),
        label="Toy GAN",
        description="A toy.",
        loss="toy_loss",
        penalty="toy_penalty",
    )


def metric() -> Any:
    """A metric: how bright the images are, with the same of real ones, and an alarm that always goes off."""
    from keras_t2i.metrics import Examined, Measure

    def brightness(examined: Examined) -> dict[str, float]:
        return {"toy_metric": float(examined.generated.mean()), "toy_metric_on_real": float(examined.real.mean())}

    def alarm(numbers: Any) -> str:
        return f"Toys are {numbers['toy_metric']:.0f} bright."

    return Measure(brightness, "Brightness", None, "number", "Mean.", on_real="toy_metric_on_real", alarm=alarm)


class Heavy:
    """What needs Keras, made when it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        from keras_t2i.objectives.losses import LeastSquares
        from keras_t2i.objectives.penalties import R1

        if name == "FAMILY":
            return family()
        if name == "METRIC":
            return metric()
        if name == "Loss":
            return type("Loss", (LeastSquares,), {})
        if name == "Penalty":
            return type("Penalty", (R1,), {})
        raise AttributeError(name)


def __getattr__(name: str) -> Any:
    return getattr(Heavy(), name)


FAMILIES["toy_family"] = "toys:FAMILY"
LOSSES["toy_loss"] = "toys:Loss"
PENALTIES["toy_penalty"] = "toys:Penalty"
STRATEGIES["toy_strategy"] = Strategy("toys:thaw", "Toy strategy", "Trains whatever a toy likes.", "nobody")
TASKS["toy_task"] = Task("toys:mirror", "Draw captions, mirrored.", {"seed": Setting(0, "Seed of the noise.", 0)})
MEASURES["toy_metric"] = "toys:METRIC"
FORMATS["toy_format"] = "toys:write_weights"
