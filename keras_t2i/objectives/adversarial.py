"""The adversarial objective: what a discriminator and a generator minimise on a batch, in `keras.ops` alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras import ops

from keras_t2i.core import replicas
from keras_t2i.objectives import losses, penalties

__all__ = ["AdversarialObjective", "Verdict"]


class Verdict(NamedTuple):
    """What the objective makes of a batch, scalars.

    Args:
        discriminator_loss: Without penalties.
        generator_loss: Without further terms.
        caption_accuracy: How often the discriminator prefers an image's caption to another image's.
    """

    discriminator_loss: Any
    generator_loss: Any
    caption_accuracy: Any


class AdversarialObjective:
    """An adversarial loss on real, generated and mismatched pairs, a contrastive term, and gradient penalties.

    Args:
        loss: An `AdversarialLoss` or its name.
        penalty: A gradient penalty, its name, a list of either, or `None`.
        matching_weight: Share of mismatched pairs among what the discriminator is to reject, from 0 to 1.
        contrastive_weight: Weight of the contrastive term for both networks.
        augmentation: A differentiable function applied to everything that the discriminator sees, or `None`.

    Raises:
        ValueError: for an unknown loss or penalty, or a `matching_weight` outside [0, 1].
    """

    def __init__(
        self,
        loss: str | losses.AdversarialLoss,
        penalty: Any = None,
        matching_weight: float = 0.5,
        contrastive_weight: float = 0.0,
        augmentation: Callable[[Any], Any] | None = None,
    ) -> None:
        if not 0 <= matching_weight <= 1:
            raise ValueError(f"`matching_weight` must be between 0 and 1; got {matching_weight}.")
        self.loss = losses.get(loss)
        self.penalties: Sequence[penalties.GradientPenalty] = penalties.get(penalty)
        self.matching_weight = matching_weight
        self.contrastive_weight = contrastive_weight
        self.augmentation = augmentation

    def __call__(self, discriminator: Any, images: Any, generated: Any, text: Any, training: bool) -> Verdict:
        """Judges real and generated images with their captions, and real ones with the caption of the next image.

        Args:
            discriminator: A `keras_t2i.networks.Discriminator`.
            images: Real images in [-1, 1], shape `(B, H, W, 3)`.
            generated: Generated ones of the same captions and shape.
            text: What the discriminator reads of the captions: a tensor, or a dictionary of tensors, `B` rows each.
            training: As in Keras; augmentation is applied where it is true.
        """
        judge = discriminator.judge
        real_features = discriminator.extract(self.augmented(images, training), training=training)
        fake_features = discriminator.extract(self.augmented(generated, training), training=training)
        real_logits = judge(real_features, text, training=training)
        fake_logits = judge(fake_features, text, training=training)
        # Captions are compared with all others of the batch, also with those that other devices work on.
        every = _each(replicas.whole, text)
        mismatched_logits = judge(real_features, _each(replicas.own, _each(_next, every)), training=training)
        identity = _identity(every)
        differing = ops.cast(ops.any(identity != _next(identity), axis=-1), "float32")
        differs = replicas.own(differing)
        share = self.matching_weight
        discriminator_loss = ops.mean(
            self.loss.discriminator(real_logits, fake_logits, 1.0 - share * differs)
            + share * differs * self.loss.fake(mismatched_logits)
        )
        generator_loss = ops.mean(self.loss.generator(fake_logits, real_logits))
        if self.contrastive_weight:
            match, weight = discriminator.match, self.contrastive_weight
            real, fake = match(real_features, every), match(fake_features, every)
            same_and_own = _same(every)
            discriminator_loss += weight * ops.mean(losses.contrastive(real, *same_and_own))
            generator_loss += weight * ops.mean(losses.contrastive(fake, *same_and_own))
        preferred = ops.cast(real_logits > mismatched_logits, "float32")
        accuracy = ops.divide_no_nan(replicas.count() * ops.sum(differs * preferred), ops.sum(differing))
        return Verdict(discriminator_loss, generator_loss, accuracy)

    def penalty(self, discriminator: Any, step: Any, images: Any, generated: Any, text: Any) -> Any:
        """The weighted sum of the penalties that are due at a step, a scalar; arguments as above."""

        def judged(images: Any, text: Any) -> Any:
            return discriminator(self.augmented(images, True), text, training=True)

        return penalties.due(self.penalties, step, judged, images, ops.stop_gradient(generated), text)

    def augmented(self, images: Any, training: bool) -> Any:
        """Images as the discriminator sees them."""
        return self.augmentation(images) if training and self.augmentation is not None else images


def _identity(text: Any) -> Any:
    """What captions are told apart by."""
    return text["sentence_embeddings"] if isinstance(text, dict) else text


def _same(every: Any) -> tuple[Any, Any]:
    """Which captions of the batch are the same as each of this replica's, and which of them is its own."""
    identity = _identity(every)
    rows = replicas.own(identity)
    same = ops.all(rows[:, None] == identity[None, :], axis=-1)
    return same, replicas.own(ops.eye(ops.shape(identity)[0], dtype="bool"))


def _next(rows: Any) -> Any:
    return ops.roll(rows, 1, axis=0)


def _each(function: Callable[[Any], Any], text: Any) -> Any:
    return {name: function(rows) for name, rows in text.items()} if isinstance(text, dict) else function(text)
