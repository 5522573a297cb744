"""Adversarial losses: what the discriminator minimises and what the generator minimises, given logits."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = [
    "AdversarialLoss",
    "Hinge",
    "LeastSquares",
    "Minimax",
    "NonSaturating",
    "Relativistic",
    "Wasserstein",
    "contrastive",
    "get",
]

_PACKAGE = "keras_t2i"


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
    """Difference of mean logits. Needs a gradient penalty (`keras_t2i.penalties.WGANGP`).

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
        return ops.softplus(fake_logits - real_logits)

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Any:
        return ops.softplus(real_logits - fake_logits)


def contrastive(similarities: Any, same_caption: Any) -> Any:
    """Cross-entropy of finding each image's own caption among all captions of the batch, shape `(B,)`.

    Minimised by the discriminator on real images and by the generator on its own, it teaches what a caption says from
    `B - 1` wrong captions an image instead of one.

    Reference:
        Cross-Modal Contrastive Learning for Text-to-Image Generation (Zhang et al., 2021), arXiv:2101.04702. Differs:
        the image and caption projections are those of the discriminator's logit, and no pretrained image network.

    Args:
        similarities: Row `i`, column `j`: how well image `i` fits caption `j`, shape `(B, B)`.
        same_caption: Whether captions `i` and `j` are the same, bool, shape `(B, B)`: such pairs are no mistakes.
    """
    size = ops.shape(similarities)[0]
    own = ops.eye(size, dtype="bool")
    others = ops.logical_and(same_caption, ops.logical_not(own))
    masked = ops.where(others, -1e9, ops.cast(similarities, "float32"))
    return ops.logsumexp(masked, axis=1) - ops.diagonal(masked)


_LOSSES: dict[str, type[AdversarialLoss]] = {
    "minimax": Minimax,
    "non_saturating": NonSaturating,
    "least_squares": LeastSquares,
    "hinge": Hinge,
    "wasserstein": Wasserstein,
    "relativistic": Relativistic,
}


def get(identifier: str | AdversarialLoss) -> AdversarialLoss:
    """Returns the loss of that name, or the loss itself.

    Raises:
        ValueError: if there is no loss of that name.
    """
    if isinstance(identifier, AdversarialLoss):
        return identifier
    if identifier not in _LOSSES:
        raise ValueError(f"Unknown loss {identifier!r}. Expected one of: {', '.join(_LOSSES)}; or an AdversarialLoss.")
    return _LOSSES[identifier]()
