"""The page of a comparison: its numbers, and pictures from the first finished run of each method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_t2i.runs.compare.methods import file_name

if TYPE_CHECKING:
    from keras_t2i.runs.compare.config import ComparisonConfig

__all__ = ["render"]


def render(config: ComparisonConfig, comparison: dict[str, Any], output: Path) -> str:
    """Returns the HTML page.

    Args:
        config: What was compared.
        comparison: What `summarize` returns; gets `captions`, those that are drawn.
        output: The comparison's directory.
    """
    from keras_t2i.report import render_comparison

    samples: dict[str, np.ndarray] = {}
    real, captions = None, []
    for seed in reversed(range(config.num_seeds)):
        for name in config.methods:
            path = output / "results" / f"{file_name(name)}-{seed}.npz"
            if path.exists():
                with np.load(path, allow_pickle=False) as arrays:
                    samples[name], real = arrays["images"], arrays["real"]
                    captions = [str(caption) for caption in arrays["captions"]]
    return render_comparison({**comparison, "captions": captions}, samples, real)
