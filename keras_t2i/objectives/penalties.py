"""Gradient penalties that keep a discriminator smooth, applied every few steps with the coefficient corrected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_t2i.core import replicas
from keras_t2i.core.backend import cond_or_zero, input_gradients
from keras_t2i.objectives import PENALTIES

__all__ = ["MAGP", "R1", "R2", "WGANGP", "GradientPenalty", "due", "get"]

_PACKAGE = "keras_t2i"
Judge = Callable[[Any, Any], Any]


class GradientPenalty:
    """Base class of gradient penalties.

    Called with the discriminator as a function `(images, sentence_embeddings) -> logits`, it returns one scalar, not
    yet multiplied by `weight`.

    Args:
        weight: Coefficient of the penalty in the discriminator's loss.
        interval: It is computed every `interval` steps, and then weighs `interval` times as much, so that on average
            nothing changes but the cost ("lazy regularisation", arXiv:1912.04958).
    """

    def __init__(self, weight: float, interval: int = 1) -> None:
        if weight < 0 or interval < 1:
            raise ValueError(
                f"A penalty needs weight >= 0 and interval >= 1; got weight={weight} and interval={interval}."
            )
        self.weight = weight
        self.interval = interval

    def __call__(self, discriminator: Judge, real_images: Any, fake_images: Any, sentence_embeddings: Any) -> Any:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {"weight": self.weight, "interval": self.interval}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> GradientPenalty:
        return cls(**config)


class _ZeroCentered(GradientPenalty):
    """Half the squared gradient norm of the logits at the images that `_points` picks."""

    def __init__(self, weight: float = 1.0, interval: int = 8) -> None:
        super().__init__(weight, interval)

    def __call__(self, discriminator: Judge, real_images: Any, fake_images: Any, sentence_embeddings: Any) -> Any:
        images = self._points(real_images, fake_images)
        return 0.5 * ops.mean(_squared_norm(_gradients(discriminator, [images], sentence_embeddings)))

    def _points(self, real_images: Any, fake_images: Any) -> Any:
        raise NotImplementedError


@keras.saving.register_keras_serializable(_PACKAGE)
class R1(_ZeroCentered):
    """Half the squared gradient norm of the logits at real images.

    Reference:
        Which Training Methods for GANs do actually Converge? (Mescheder et al., 2018), arXiv:1801.04406.
    """

    def _points(self, real_images: Any, fake_images: Any) -> Any:
        return real_images


@keras.saving.register_keras_serializable(_PACKAGE)
class R2(_ZeroCentered):
    """Half the squared gradient norm of the logits at generated images.

    Reference:
        Which Training Methods for GANs do actually Converge? (Mescheder et al., 2018), arXiv:1801.04406.
    """

    def _points(self, real_images: Any, fake_images: Any) -> Any:
        return fake_images


@keras.saving.register_keras_serializable(_PACKAGE)
class WGANGP(GradientPenalty):
    """Squared distance of the gradient norm to 1, at random points between real and generated images.

    Reference:
        Improved Training of Wasserstein GANs (Gulrajani et al., 2017), arXiv:1704.00028.
    """

    def __init__(self, weight: float = 10.0, interval: int = 1) -> None:
        super().__init__(weight, interval)
        self.seed_generator = keras.random.SeedGenerator(0)

    def __call__(self, discriminator: Judge, real_images: Any, fake_images: Any, sentence_embeddings: Any) -> Any:
        share = replicas.uniform((ops.shape(real_images)[0], 1, 1, 1), seed=self.seed_generator)
        between = share * real_images + (1.0 - share) * fake_images
        norm = ops.sqrt(_squared_norm(_gradients(discriminator, [between], sentence_embeddings)) + 1e-12)
        return ops.mean(ops.square(norm - 1.0))


@keras.saving.register_keras_serializable(_PACKAGE)
class MAGP(GradientPenalty):
    """Matching-aware gradient penalty: a power of the gradient norm at real images with their captions.

    The gradient is taken with respect to images and sentence embeddings together.

    Reference:
        DF-GAN: A Simple and Effective Baseline for Text-to-Image Synthesis (Tao et al., 2022), arXiv:2008.05865.

    Args:
        power: Exponent of the gradient norm.
    """

    def __init__(self, weight: float = 2.0, interval: int = 1, power: float = 6.0) -> None:
        super().__init__(weight, interval)
        self.power = power

    def __call__(self, discriminator: Judge, real_images: Any, fake_images: Any, sentence_embeddings: Any) -> Any:
        gradients = _gradients(discriminator, [real_images, sentence_embeddings])
        return ops.mean(ops.power(_squared_norm(gradients) + 1e-12, self.power / 2))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power": self.power}


def _gradients(discriminator: Judge, sources: list[Any], *constants: Any) -> list[Any]:
    return input_gradients(lambda *varied: discriminator(*varied, *constants), sources)


def _squared_norm(gradients: list[Any]) -> Any:
    flat = [ops.reshape(ops.cast(gradient, "float32"), (ops.shape(gradient)[0], -1)) for gradient in gradients]
    return ops.sum(ops.square(ops.concatenate(flat, axis=1)), axis=1)


def get(identifier: str | GradientPenalty | list[str | GradientPenalty] | None) -> list[GradientPenalty]:
    """Returns the penalties that a name, a penalty, a list of either, or `None` stand for.

    Raises:
        ValueError: if there is no penalty of that name.
    """
    if identifier is None:
        return []
    if isinstance(identifier, list | tuple):
        return [penalty for item in identifier for penalty in get(item)]
    if isinstance(identifier, GradientPenalty):
        return [identifier]
    return [PENALTIES[identifier]()]  # type: ignore[call-arg]


def due(penalties: Sequence[GradientPenalty], step: Any, discriminator: Any, *inputs: Any) -> Any:
    """The weighted sum of the penalties whose turn it is at a step: a scalar.

    Args:
        penalties: Each is computed every `interval` steps, with as many times its weight.
        step: Steps done, an integer.
        discriminator: A function of images and sentence embeddings that returns logits, shape `(B,)`.
        *inputs: Real images, generated images and sentence embeddings.
    """
    step, total = ops.cast(step, "int32"), ops.zeros(())
    for penalty in penalties:

        def weighted(penalty: GradientPenalty = penalty) -> Any:
            return penalty.weight * penalty.interval * penalty(discriminator, *inputs)

        total += cond_or_zero(ops.equal(step % penalty.interval, 0), weighted)
    return total
