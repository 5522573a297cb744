"""Features on which other implementations were run once; tests pin what they gave."""

from __future__ import annotations

import numpy as np


def reference_features(num_real: int, num_generated: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sets that overlap in part. `RandomState` draws the same numbers in every version of NumPy."""
    random = np.random.RandomState(2024)
    return random.standard_normal((num_real, dim)), 0.9 * random.standard_normal((num_generated, dim)) + 0.1
