"""Fixtures of the whole suite."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE"  # So that every machine trains in float32 where nothing is said.
sys.path.insert(0, str(Path(__file__).parent))  # so that tests in folders find checks.py
sys.path.append(str(Path(__file__).parents[1] / "examples" / "research"))  # and those of examples what they test

import keras
import pytest


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Weights start alike whatever tests ran before."""
    keras.utils.set_random_seed(7)


@pytest.fixture(scope="module", autouse=True)
def _kept_graphs() -> Iterator[None]:
    """TensorFlow keeps graphs of models that are gone: without this, Python would look through all of them for ever."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def eager_training() -> Iterator[None]:
    """Steps are computed without tracing them first, for a few take a tenth of the time that their graph takes.

    Models are trained in graphs, those of every family among them, in `tests/models` and `tests/training`.
    """
    from keras_t2i import TextToImageGAN
    from keras_t2i.models import Stylizer

    def eager(compile: Any) -> Any:
        @functools.wraps(compile)
        def compile_eagerly(model: Any, *arguments: Any, **options: Any) -> None:
            compile(model, *arguments, **{"run_eagerly": True, **options})

        return compile_eagerly

    with pytest.MonkeyPatch.context() as patch:
        for kind in (TextToImageGAN, Stylizer):
            patch.setattr(kind, "compile", eager(kind.compile))
        yield


@pytest.fixture(scope="session")
def text_encoder() -> Any:
    """The encoder that is embedded in the package."""
    from keras_t2i.text import TextEncoder

    return TextEncoder.from_preset("caption_mini_en", sequence_length=16)
