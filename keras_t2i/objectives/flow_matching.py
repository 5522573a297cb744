"""Rectified flow: what a network that turns noise into images minimises, in `keras.ops` alone."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_t2i.core import replicas

__all__ = ["FlowMatching"]


@keras.saving.register_keras_serializable("keras_t2i")
class FlowMatching:
    """Mean squared error of the velocity on the straight line from an image to noise, at random places of it.

    Reference:
        Flow Matching for Generative Modeling (Lipman et al., 2022), arXiv:2210.02747, and Scaling Rectified Flow
        Transformers (Esser et al., 2024), arXiv:2403.03206, of which the times are: a normal number, put through the
        logistic function, and shifted as the network shifts the times of its steps.

    Args:
        mean: Of the normal number.
        deviation: Its standard deviation.
    """

    def __init__(self, mean: float = 0.0, deviation: float = 1.0) -> None:
        self.mean, self.deviation = mean, deviation

    def __call__(self, network: Any, images: Any, text: Any, seed: Any, training: bool) -> Any:
        """The error on a batch, a scalar.

        Args:
            network: What has the methods `velocity` and `shifted`, as `keras_t2i.networks.FlowGenerator`.
            images: In [-1, 1], or latents of such, shape `(B, H, W, C)`.
            text: What the network reads of their captions.
            seed: A `keras.random.SeedGenerator`, or an integer for the same noise each time.
            training: As in Keras.
        """
        images = ops.cast(images, "float32")
        noise = replicas.normal(ops.shape(images), seed=seed)
        normal = replicas.normal((ops.shape(images)[0],), seed=seed)
        times = network.shifted(ops.sigmoid(self.mean + self.deviation * normal))
        velocity = network.velocity(between(images, noise, times), times, text, training=training)
        return ops.mean(ops.square(velocity - (noise - images)))

    def get_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "deviation": self.deviation}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FlowMatching:
        return cls(**config)


def between(images: Any, noise: Any, times: Any) -> Any:
    """What lies between images and noise, both of shape `(B, H, W, C)`, at times from 0 to 1, of shape `(B,)`."""
    times = times[:, None, None, None]
    return (1.0 - times) * images + times * noise
