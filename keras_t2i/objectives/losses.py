"""Adversarial losses: what the discriminator minimises and what the generator minimises, given logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_t2i.objectives import LOSSES

__all__ = [
    "AdversarialLoss",
    "ContentStyle",
    "GeneratorTerm",
    "Hinge",
    "LeastSquares",
    "Minimax",
    "NonSaturating",
    "Reconstruction",
    "Relativistic",
    "Wasserstein",
    "contrastive",
    "get",
    "gram_loss",
    "gram_matrix",
    "is_alone",
    "perceptual_loss",
]

_PACKAGE = "keras_t2i"

GeneratorTerm = Callable[[Any, dict[str, Any]], Any]
"""A function of the generated images and of the batch they were generated for, whose value, a scalar, is added to the
generator's loss. The batch holds `"images"`, `"latents"` and `"sentence_embeddings"`. A term with a method
`draw(generator, images, latents, sentence_embeddings, seed)` draws what a step of training judges, and returns it and
the real images that belong to it: see `keras_t2i.objectives.redrawing`. One with a true attribute `is_alone` takes the
place of the discriminator, which is then not asked: see `keras_t2i.objectives.restyling`."""


def is_alone(term: GeneratorTerm) -> bool:
    """Whether a term of the generator's loss takes the place of the discriminator."""
    return getattr(term, "is_alone", False)


class AdversarialLoss:
    """Base class of adversarial losses. All methods take logits and return one loss an example, shape `(B,)`.

    A loss names the cost of calling a pair real and of calling it fake; a fake image with its caption and a real image
    with a wrong caption are both "fake" pairs (the matching-aware term of GAN-INT-CLS).
    """

    def real(self, logits: Any) -> Any:
        """Discriminator's loss for pairs it should accept."""
        raise NotImplementedError

    def fake(self, logits: Any) -> Any:
        """Discriminator's loss for pairs it should reject."""
        raise NotImplementedError

    def discriminator(self, real_logits: Any, fake_logits: Any, fake_weight: float = 1.0) -> Any:
        """Discriminator's loss; `fake_weight` is less than one where mismatched pairs share the part of the fakes."""
        return self.real(real_logits) + fake_weight * self.fake(fake_logits)

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Any:
        """Generator's loss."""
        return self.real(fake_logits)

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AdversarialLoss:
        return cls(**config)


@keras.saving.register_keras_serializable(_PACKAGE)
class NonSaturating(AdversarialLoss):
    """Logistic loss; the generator maximises the probability of being taken for real.

    Reference:
        Generative Adversarial Nets (Goodfellow et al., 2014), arXiv:1406.2661.
    """

    def real(self, logits: Any) -> Any:
        return ops.softplus(-logits)

    def fake(self, logits: Any) -> Any:
        return ops.softplus(logits)


@keras.saving.register_keras_serializable(_PACKAGE)
class Minimax(NonSaturating):
    """Logistic loss; the generator minimises the very value that the discriminator maximises.

    Its gradient vanishes where the discriminator is sure; kept for comparison.

    Reference:
        Generative Adversarial Nets (Goodfellow et al., 2014), arXiv:1406.2661.
    """

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Any:
        return -ops.softplus(fake_logits)


@keras.saving.register_keras_serializable(_PACKAGE)
class LeastSquares(AdversarialLoss):
    """Squared distance of logits to 1 for real pairs and to 0 for fake ones.

    Reference:
        Least Squares Generative Adversarial Networks (Mao et al., 2017), arXiv:1611.04076.
    """

    def real(self, logits: Any) -> Any:
        return ops.square(logits - 1.0)

    def fake(self, logits: Any) -> Any:
        return ops.square(logits)


@keras.saving.register_keras_serializable(_PACKAGE)
class Hinge(AdversarialLoss):
    """Hinge loss with margin 1; the generator maximises the logit.

    Reference:
        Geometric GAN (Lim and Ye, 2017), arXiv:1705.02894.
    """

    def real(self, logits: Any) -> Any:
        return ops.relu(1.0 - logits)

    def fake(self, logits: Any) -> Any:
        return ops.relu(1.0 + logits)

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Any:
        return -fake_logits


@keras.saving.register_keras_serializable(_PACKAGE)
class Wasserstein(AdversarialLoss):
    """Difference of mean logits. Needs a gradient penalty (`keras_t2i.objectives.penalties.WGANGP`).

    Reference:
        Wasserstein GAN (Arjovsky et al., 2017), arXiv:1701.07875.
    """

    def real(self, logits: Any) -> Any:
        return -logits

    def fake(self, logits: Any) -> Any:
        return logits


@keras.saving.register_keras_serializable(_PACKAGE)
class Relativistic(AdversarialLoss):
    """Logistic loss of the difference between paired real and fake logits. Use with R1 and R2.

    Reference:
        The GAN is dead; long live the GAN! (Huang et al., 2024), arXiv:2501.05441.
    """

    def real(self, logits: Any) -> Any:
        return ops.softplus(-logits)

    def fake(self, logits: Any) -> Any:
        return ops.softplus(logits)

    def discriminator(self, real_logits: Any, fake_logits: Any, fake_weight: float = 1.0) -> Any:
        # A pair has one loss, of both images together: what is weighed is the part of its slope that the fake one has.
        weighed = fake_weight * fake_logits + (1.0 - fake_weight) * ops.stop_gradient(fake_logits)
        return ops.softplus(weighed - real_logits)

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Any:
        return ops.softplus(real_logits - fake_logits)


def contrastive(similarities: Any, same_caption: Any, own: Any = None) -> Any:
    """Cross-entropy of finding each image's own caption among all captions of the batch, shape `(N,)`.

    Minimised by the discriminator on real images and by the generator on its own, it teaches what a caption says from
    `B - 1` wrong captions an image instead of one.

    Reference:
        Cross-Modal Contrastive Learning for Text-to-Image Generation (Zhang et al., 2021), arXiv:2101.04702. Differs:
        the image and caption projections are those of the discriminator's logit, and no pretrained image network.

    Args:
        similarities: Row `i`, column `j`: how well image `i` fits caption `j`, shape `(N, B)`.
        same_caption: Whether captions `i` and `j` are the same, bool, shape `(N, B)`: such pairs are no mistakes.
        own: Where the images are some of a batch: which caption is their own, bool, shape `(N, B)`.
    """
    if own is None:
        own = ops.eye(ops.shape(similarities)[0], dtype="bool")
    others = ops.logical_and(same_caption, ops.logical_not(own))
    masked = ops.where(others, -1e9, ops.cast(similarities, "float32"))
    return ops.logsumexp(masked, axis=1) - ops.sum(ops.where(own, masked, 0.0), axis=1)


def perceptual_loss(generated_maps: Sequence[Any], real_maps: Sequence[Any]) -> Any:
    """Squared distance of feature maps at each position, averaged over positions, images and maps: a scalar in [0, 4].

    Features are scaled to unit length at each position first, so that the value does not depend on the scale that a
    network happens to have.

    Reference:
        Perceptual Losses for Real-Time Style Transfer and Super-Resolution (Johnson et al., 2016), arXiv:1603.08155.
        Differs: unit length, as in arXiv:1801.03924, without weights learned for it.

    Args:
        generated_maps: Feature maps of generated images, each of shape `(B, H, W, C)`.
        real_maps: Those of the images that they are compared with, one by one.
    """
    distances = [
        ops.mean(ops.sum(ops.square(_unit_channels(generated) - _unit_channels(real)), axis=-1))
        for generated, real in zip(generated_maps, real_maps, strict=True)
    ]
    return sum(distances) / len(distances)


def gram_matrix(features: Any) -> Any:
    """How strong features are together, on average over positions: float32, shape `(B, C, C)`.

    Args:
        features: A feature map, shape `(B, H, W, C)` with static height and width.
    """
    _, height, width, channels = features.shape
    positions = ops.reshape(ops.cast(features, "float32"), (-1, height * width, channels))
    return ops.matmul(ops.transpose(positions, (0, 2, 1)), positions) / (height * width)


def gram_loss(generated_maps: Sequence[Any], real_maps: Sequence[Any]) -> Any:
    """Squared distance of Gram matrices, averaged over images and maps: a scalar in [0, 2].

    A Gram matrix says which features occur together, and forgets where: texture and color, not content.

    Reference:
        Image Style Transfer Using Convolutional Neural Networks (Gatys et al., 2016). Differs: features have unit
        length at each position, and the matrices are divided by the number of positions, so that their traces are 1.

    Args:
        generated_maps: Feature maps of generated images, each of shape `(B, H, W, C)`.
        real_maps: Those of the images that they are compared with, one by one.
    """
    pairs = zip(generated_maps, real_maps, strict=True)
    grams = ((gram_matrix(_unit_channels(a)), gram_matrix(_unit_channels(b))) for a, b in pairs)
    distances = [ops.mean(ops.sum(ops.square(a - b), axis=(1, 2))) for a, b in grams]
    return sum(distances) / len(distances)


class Reconstruction:
    """A term for the generator's loss: how far its images are from the real ones of their captions, pixel by pixel.

    For sets in which a caption means one image, such as icons: it is then learned sooner. Where a caption has many,
    it draws towards their mean, which is blurred.

    Reference:
        Image-to-Image Translation with Conditional Adversarial Networks (Isola et al., 2017), arXiv:1611.07004.

    Args:
        weight: Factor on the mean absolute difference.

    Call arguments:
        generated: Images in [-1, 1], float32, shape `(B, H, W, 3)`.
        batch: Its `"images"` are the real images of the same captions, of the same shape.

    Returns:
        A scalar, from 0 to 2 (times `weight`).

    Raises:
        ValueError: if `weight` is negative.
    """

    compares_with_real = True

    def __init__(self, weight: float = 20.0) -> None:
        if weight < 0:
            raise ValueError(f"`weight` must be at least 0; got {weight}.")
        self.weight = weight

    def __call__(self, generated: Any, batch: dict[str, Any]) -> Any:
        return self.weight * ops.mean(ops.abs(generated - batch["images"]))


class ContentStyle:
    """A term for the generator's loss: how far its images are from the real ones of the same captions, to a network.

    Args:
        features: An object whose `maps(images)` returns the feature maps of images in [-1, 1], as those of
            `keras_t2i.image_features.ImageFeatures` does.
        content_weight: Weight of `perceptual_loss`.
        style_weight: Weight of `gram_loss`.

    Call arguments:
        generated: Images in [-1, 1], float32, shape `(B, H, W, 3)`.
        batch: Its `"images"` are the real images of the same captions, of the same shape.

    Returns:
        A scalar, 1 to 2.5 between unlike images by the default weights (0 between equal ones). Gradients reach the
        generated images alone.

    Raises:
        ValueError: if a weight is negative.
    """

    compares_with_real = True

    def __init__(self, features: Any, content_weight: float = 1.0, style_weight: float = 1.0) -> None:
        if content_weight < 0 or style_weight < 0:
            raise ValueError(
                "`content_weight` and `style_weight` must be at least 0; "
                f"got {content_weight} and {style_weight}: leave one out by 0."
            )
        self.features = features
        self.content_weight = content_weight
        self.style_weight = style_weight

    def __call__(self, generated: Any, batch: dict[str, Any]) -> Any:
        generated_maps = self.features.maps(generated)
        real_maps = [ops.stop_gradient(maps) for maps in self.features.maps(batch["images"])]
        content = perceptual_loss(generated_maps, real_maps)
        return self.content_weight * content + self.style_weight * gram_loss(generated_maps, real_maps)


def _unit_channels(features: Any) -> Any:
    features = ops.cast(features, "float32")
    return features * ops.rsqrt(ops.sum(ops.square(features), axis=-1, keepdims=True) + 1e-8)


def get(identifier: str | AdversarialLoss) -> AdversarialLoss:
    """Returns the loss of that name, or the loss itself.

    Raises:
        ValueError: if there is no loss of that name.
    """
    if isinstance(identifier, AdversarialLoss):
        return identifier
    return LOSSES[identifier]()
