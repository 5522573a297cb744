"""The process that `keras-t2i doctor` starts Keras in, so that it lives on where Keras does not.

`python -m keras_t2i.runs.probe [--speed]` prints what it finds as lines of JSON, each as soon as it is known:
`backend`, `devices`, and with `--speed` `step_seconds`.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

__all__ = ["probe", "step_seconds"]

_SECONDS, _FEWEST_STEPS, _MOST_STEPS = 5.0, 4, 21


def probe(speed: bool) -> Iterator[dict[str, Any]]:
    """Yields what the backend is, one thing after the other.

    Args:
        speed: Whether to train, too.
    """
    import keras

    yield {"backend": keras.config.backend()}
    yield {"devices": [str(device).lower() for device in keras.distribution.list_devices()]}
    if speed:
        yield {"step_seconds": step_seconds()}


def step_seconds() -> float:
    """Times training steps of the default family at 64 pixels in batches of 32, without a text encoder.

    Returns:
        The median of some of them, after the first, which is compiled. It is that of a plain step: every eighth has a
        penalty, and takes longer.
    """
    import numpy as np

    from keras_t2i.models import build_gan

    gan = build_gan("compact", None, 64, embedding_dim=128)
    random = np.random.default_rng(0)
    batch = {
        "images": random.uniform(-1, 1, (32, 64, 64, 3)).astype(np.float32),
        "sentence_embeddings": random.standard_normal((32, 128)).astype(np.float32),
    }
    moments = [time.perf_counter()]
    while len(moments) <= _FEWEST_STEPS or (moments[-1] - moments[0] < _SECONDS and len(moments) <= _MOST_STEPS):
        gan.train_on_batch(batch)  # Its losses are numbers, so a device has done its work by then.
        moments.append(time.perf_counter())
    return statistics.median(after - before for before, after in pairwise(moments[1:]))


if __name__ == "__main__":
    stdout = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        for found in probe("--speed" in sys.argv):
            print(json.dumps(found), file=stdout, flush=True)
