"""Noise: TensorFlow's own numbers, by arithmetic that any language has."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from checks import one_line

from keras_t2i.core.latents import latents_for

SEEDS = (0, 3, -1, 2**40 + 5, 2**63 - 1, -(2**63))


@pytest.mark.parametrize("latent_dim", [1, 6, 64, 130])
@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_tensorflows_counter_based_generator(seed: int, latent_dim: int) -> None:
    expected = [tf.random.stateless_normal((latent_dim,), (seed, number), alg="philox") for number in range(3)]
    latents = latents_for(seed, 3, latent_dim)
    assert latents.dtype == np.float32
    np.testing.assert_allclose(latents, np.stack(expected), atol=2e-6)


def test_rows_follow_from_seed_and_number_alone() -> None:
    np.testing.assert_array_equal(latents_for(5, 9, 16)[:4], latents_for(5, 4, 16))
    many = latents_for(7, 4000, 16)
    assert abs(many.mean()) < 0.02
    assert abs(many.std() - 1) < 0.02
    assert len(np.unique(many[:, 0])) == 4000
    np.testing.assert_allclose(latents_for(7, 10, 16, truncation=0.5), many[:10] / 2, rtol=1e-6)


@pytest.mark.parametrize(("seed", "truncation"), [(2**63, 1.0), (-(2**63) - 1, 1.0), (0, -0.1), (0, float("nan"))])
def test_what_cannot_be_is_refused(seed: int, truncation: float) -> None:
    with pytest.raises(ValueError, match="must be") as error:
        latents_for(seed, 1, 4, truncation)
    assert "got" in one_line(error)
