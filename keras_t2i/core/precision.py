"""What layers compute in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

__all__ = ["computing_in"]


@contextmanager
def computing_in(policy: str) -> Iterator[None]:
    """What layers compute in that are made or loaded meanwhile, unless they say themselves.

    Args:
        policy: The name of a policy of Keras, such as `"mixed_bfloat16"`.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
