"""One training step of every family from fixed weights, images and noise: losses, gradients and weights after it.

    python one_step.py OUTPUT.npz FAMILY...

Run with KERAS_BACKEND set; what it writes must not depend on that.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from checks import EMBEDDING_DIM, make_batch, tiny_flow, tiny_networks
from keras import ops

from keras_t2i import networks
from keras_t2i.core.backend import is_jax, value_and_gradients
from keras_t2i.core.keras_internals import own_layers
from keras_t2i.models import TextToImage, TextToImageGAN

STEPPED = ("compact", "mlp", "flow")
"""Families of which a whole step is taken, too."""
PENALTIES = {"df_gan": "ma_gp", "wgan_gp": "wgan_gp"}


def made(family: str) -> TextToImage:
    """A tiny model whose weights follow from their place and shape alone."""
    adversarial = networks.FAMILIES[family].discriminator is not None
    gan: Any = TextToImageGAN(None, *tiny_networks(family), embedding_dim=EMBEDDING_DIM) if adversarial else tiny_flow()
    for network in (part.network for part in gan.parts().values() if part.is_trained):
        random = np.random.default_rng(7)
        for weight in network.weights:
            values = random.normal(size=weight.shape)
            spread = 0.3 / max(1.0, np.sqrt(np.prod(weight.shape[:-1]) / 4))
            is_statistic = "variance" in weight.path
            weight.assign(np.abs(values) + 0.5 if is_statistic else spread * values + 0.1 * (weight.shape == ()))
        for layer in own_layers(network):
            if isinstance(layer, keras.layers.Dropout):  # It draws other numbers on each backend.
                layer.rate = 0.0
    gan.ema_generator.set_weights(gan.generator.get_weights())
    if adversarial:
        gan.compile(loss=networks.FAMILIES[family].loss, penalty=PENALTIES.get(family, "r1"))
    else:  # Adam's first step takes the sign of a gradient however small, and round-off its sign near zero.
        gan.compile(generator_optimizer=keras.optimizers.Adam(1e-3, epsilon=1e-4))
    return gan


def drawn(kind: str) -> Callable[..., Any]:
    """In the place of Keras' random numbers, which are others on each backend."""

    def draw(shape: Any, *arguments: Any, **options: Any) -> Any:
        values = getattr(np.random.default_rng(1), kind)(size=[int(size) for size in shape])
        return ops.convert_to_tensor(values.astype(np.float32))

    return draw


def judge_of(gan: Any) -> Callable[[int], dict[str, np.ndarray]]:
    """A function from steps done to losses and gradients: the penalty is due at some of them."""
    given = {name: ops.convert_to_tensor(value) for name, value in make_batch().items()}
    data = {"images": given.pop("images"), "condition": given}
    trained = {name: part for name, part in gan.parts().items() if part.is_trained}
    variables = {name: part.network.trainable_variables for name, part in trained.items()}
    moved = [*gan.variables, *gan.optimizer.variables]
    start = [np.array(ops.convert_to_numpy(variable.value)) for variable in moved]

    def found() -> Any:
        return value_and_gradients(lambda: gan.losses_of(data, gan.seed_generator, training=True), variables)

    compiled = in_jax(found, moved) if is_jax() else in_tensorflow(found)

    def judged(steps: int) -> dict[str, np.ndarray]:
        for variable, value in zip(moved, start, strict=True):
            variable.assign(value)
        for part in trained.values():
            part.optimizer.iterations.assign(steps)
        losses, numbers, gradients = compiled()
        result = {f"loss/{name}": value for name, value in losses.items()}
        result |= {f"number/{name}": value for name, value in numbers.items()}
        for name, each in gradients.items():
            for place, (variable, gradient) in enumerate(zip(variables[name], each, strict=True)):
                value = ops.zeros(variable.shape) if gradient is None else gradient
                result[f"gradient/{name}/{place:03d}"] = value
        return {name: np.asarray(ops.convert_to_numpy(value)) for name, value in result.items()}

    return judged


def in_jax(function: Callable[[], Any], variables: list[Any]) -> Callable[[], Any]:
    import jax

    @jax.jit
    def pure(values: list[Any]) -> Any:
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            return function()

    return lambda: pure([variable.value for variable in variables])


def in_tensorflow(function: Callable[[], Any]) -> Callable[[], Any]:
    import tensorflow as tf

    return tf.function(function, autograph=False)


def main(output: str, families: list[str]) -> None:
    everything: dict[str, np.ndarray] = {}
    keras.random.normal, keras.random.uniform = drawn("normal"), drawn("uniform")
    for family in families:
        gan = made(family)
        judged = judge_of(gan)
        for due, steps in (("due", 0), ("not_due", 3)):
            for name, value in judged(steps).items():
                everything[f"{family}/{due}/{name}"] = value
        if family in STEPPED:
            gan = made(family)
            logs = gan.train_on_batch(make_batch(), return_dict=True)
            everything |= {f"{family}/log/{name}": np.asarray(value) for name, value in logs.items()}
            for name, part in gan.parts().items():
                for place, weight in enumerate(part.network.get_weights()):
                    everything[f"{family}/after/{name}/{place:03d}"] = weight
    np.savez(output, **everything)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
