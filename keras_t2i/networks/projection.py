"""The head of discriminators that compare image and caption in a common space."""

from __future__ import annotations

from typing import Any

from keras import layers, ops

from keras_t2i.networks.base import Discriminator

__all__ = ["ProjectionDiscriminator"]


class ProjectionDiscriminator(Discriminator):
    """Base class of discriminators whose logit is realness plus the inner product of image and caption.

    The same products, of every image with every caption, feed the contrastive term.

    Reference:
        cGANs with Projection Discriminator (Miyato and Koyama, 2018), arXiv:1802.05637.
    """

    def _project_to(self, match_dim: int) -> None:
        """Creates the two projections into a space of that many dimensions, behind the layers that there are."""
        self.match_dim = match_dim
        self.project_image = layers.Dense(match_dim, name="project_image")
        self.project_text = layers.Dense(match_dim, name="project_text")

    def seen(self, features: Any) -> tuple[Any, Any]:
        """What `extract` found, as realness, shape `(B,)`, and what is projected, shape `(B, F)`."""
        raise NotImplementedError

    def judge(self, features: Any, sentence_embeddings: Any, training: bool | None = None) -> Any:
        realness, image = self.seen(features)
        text = self.project_text(self.standardized(sentence_embeddings))
        products = ops.sum(self.project_image(image) * text, axis=-1)
        return ops.cast(realness + products / self.match_dim**0.5, "float32")

    def match(self, features: Any, sentence_embeddings: Any) -> Any:
        text = self.project_text(self.standardized(sentence_embeddings))
        products = ops.matmul(self.project_image(self.seen(features)[1]), ops.transpose(text))
        return ops.cast(products / self.match_dim**0.5, "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "match_dim": self.match_dim}
