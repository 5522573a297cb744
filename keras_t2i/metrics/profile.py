"""Where the time of a training step goes."""

from __future__ import annotations

import collections
import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from keras_t2i.metrics.resources import latency
from keras_t2i.models.batch import images_and_text

__all__ = ["step_profile"]


def step_profile(gan: Any, batch: dict[str, tf.Tensor], num_steps: int = 10) -> dict[str, float]:
    """Times training steps of a compiled model and their parts, and leaves the model as it was, bit for bit.

    The encoding and the two forward passes are compiled and timed apart (medians, on this machine as busy as it is),
    whereas TensorFlow runs all of a step together; the other parts are differences. The split is an estimate.

    Args:
        gan: A compiled `TextToImageGAN`.
        batch: A batch as `fit` gets it; with `"captions"`, their encoding is part of the step.
        num_steps: Timed runs of each part.

    Returns:
        Seconds a step, all for the whole batch:

        - `text_encoding_seconds`: captions to embeddings; 0 where the batch holds embeddings.
        - `generator_forward_seconds`: drawing one image a caption, as in training; without a discriminator what the
          objective asks of the network instead.
        - `discriminator_forward_seconds`: features of real and of generated images; each kind judged with its captions,
          and the real ones with another image's; 0 where there is no discriminator.
        - `penalty_seconds`: the gradient penalties and their share of the gradients: what a step takes longer with
          them than without, on average over the steps at which they are due and those at which they are not.
        - `backward_and_update_seconds`: the rest: augmentation, losses, gradients of both networks, optimizers and
          the averaged generator. Where noise makes this difference, or the penalty's, negative, it is 0.
        - `train_step_seconds`: the whole step, on average over the penalties' intervals.
        - `images_per_second`: images of the batch divided by `train_step_seconds`.

    Raises:
        ValueError: if the model is not compiled, `num_steps` is below 1, or the batch is not one of this model.
    """
    if any(part.is_trained and part.optimizer is None for part in gan.parts().values()):
        raise ValueError("Only a compiled model can be profiled, and this one is not; call `compile` first.")
    if num_steps < 1:
        raise ValueError(f"`num_steps` must be at least 1; got {num_steps}.")
    images, text = map(tf.constant, images_and_text(batch, gan.text_encoder))
    batch = {name: tf.constant(value) for name, value in batch.items()}

    def seconds(function: Callable[..., Any], *arguments: Any) -> float:
        return latency(lambda: function(*arguments), num_runs=num_steps, num_warmup=2) / 1000.0

    step = _compiled(gan, gan.train_step)
    with _left_unchanged(step.get_concrete_function(batch).variables):
        encoding = 0.0
        if "sentence_embeddings" not in batch:
            encoding = seconds(tf.function(gan.text_encoder, autograph=False), batch["captions"])
        generator_forward, discriminator_forward = _forward(gan, images, text, seconds)
        with _without_penalties(gan) as intervals:
            plain_step = seconds(_compiled(gan, gan.train_step), batch)

        def seconds_at(iteration: int) -> float:
            def step_there() -> None:
                gan.discriminator_optimizer.iterations.assign(iteration)
                step(batch)

            return seconds(step_there)

        whole_step = plain_step
        if intervals:
            whole_step = sum(share * seconds_at(iteration) for iteration, share in _kinds_of_steps(intervals))
    penalty = max(0.0, whole_step - plain_step)
    forward = encoding + generator_forward + discriminator_forward
    return {
        "text_encoding_seconds": encoding,
        "generator_forward_seconds": generator_forward,
        "discriminator_forward_seconds": discriminator_forward,
        "penalty_seconds": penalty,
        "backward_and_update_seconds": max(0.0, whole_step - penalty - forward),
        "train_step_seconds": whole_step,
        "images_per_second": len(images) / whole_step,
    }


def _forward(gan: Any, images: Any, text: Any, seconds: Callable[..., float]) -> tuple[float, float]:
    """Seconds of the forward pass of the generator, and of the discriminator where there is one."""
    if "discriminator" not in gan.parts():
        return seconds(_compiled(gan, lambda: gan.objective(gan.generator, images, text, 0, True))), 0.0
    latents = tf.random.stateless_normal((len(images), gan.generator.latent_dim), seed=(0, 0))

    def draw() -> tf.Tensor:
        return gan.generator(latents, text, training=True)

    def judged(fakes: tf.Tensor) -> list[tf.Tensor]:
        extract, judge = gan.discriminator.extract, gan.discriminator.judge
        real, fake = extract(images, training=True), extract(fakes, training=True)
        pairs = ((real, text), (fake, text), (real, tf.roll(text, 1, axis=0)))
        return [judge(features, captions, training=True) for features, captions in pairs]

    return seconds(_compiled(gan, draw)), seconds(_compiled(gan, judged), draw())


def _compiled(gan: Any, function: Callable[..., Any]) -> Any:
    """A function compiled as `fit` compiles the training step."""
    return tf.function(function, jit_compile=gan.jit_compile, reduce_retracing=True, autograph=False)


def _kinds_of_steps(intervals: Sequence[int]) -> Iterator[tuple[int, float]]:
    """For each set of penalties that are due together, a step number at which they are, and the share of such steps."""
    period = math.lcm(*intervals)
    due = [tuple(number % interval == 0 for interval in intervals) for number in range(period)]
    for kind, count in collections.Counter(due).items():
        yield due.index(kind), count / period


@contextlib.contextmanager
def _without_penalties(gan: Any) -> Iterator[list[int]]:
    """Takes the penalties off a model for a while; yields their intervals."""
    penalties = getattr(gan.objective, "penalties", None)
    if penalties is None:
        yield []
        return
    gan.objective.penalties = []
    try:
        yield [penalty.interval for penalty in penalties]
    finally:
        gan.objective.penalties = penalties


@contextlib.contextmanager
def _left_unchanged(variables: Sequence[tf.Variable]) -> Iterator[None]:
    """Puts back the values of variables in the end."""
    before = [variable.numpy().copy() for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
