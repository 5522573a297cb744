"""What a training step minimises, in `keras.ops`: adversarial losses, gradient penalties, terms, augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_t2i.core.tables import Table

if TYPE_CHECKING:
    from keras_t2i.objectives.losses import AdversarialLoss
    from keras_t2i.objectives.penalties import GradientPenalty

__all__ = ["LOSSES", "PENALTIES"]

LOSSES: Table[type[AdversarialLoss]] = Table(
    "loss",
    {
        "minimax": "keras_t2i.objectives.losses:Minimax",
        "non_saturating": "keras_t2i.objectives.losses:NonSaturating",
        "least_squares": "keras_t2i.objectives.losses:LeastSquares",
        "hinge": "keras_t2i.objectives.losses:Hinge",
        "wasserstein": "keras_t2i.objectives.losses:Wasserstein",
        "relativistic": "keras_t2i.objectives.losses:Relativistic",
    },
)
"""Adversarial losses by name, each a class that is called without arguments."""

PENALTIES: Table[type[GradientPenalty]] = Table(
    "penalty",
    {
        "r1": "keras_t2i.objectives.penalties:R1",
        "r2": "keras_t2i.objectives.penalties:R2",
        "wgan_gp": "keras_t2i.objectives.penalties:WGANGP",
        "ma_gp": "keras_t2i.objectives.penalties:MAGP",
    },
)
"""Gradient penalties by name, each a class that is called without arguments."""
