"""Fixtures of the whole suite."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))  # so that tests in folders find checks.py
sys.path.append(str(Path(__file__).parents[1] / "examples" / "research"))  # and those of examples what they test

import keras
import pytest


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Weights start alike whatever tests ran before."""
    keras.utils.set_random_seed(7)


@pytest.fixture(scope="session")
def text_encoder() -> Any:
    """The encoder that is embedded in the package."""
    from keras_t2i.text import TextEncoder

    return TextEncoder.from_preset("caption_mini_en", sequence_length=16)
