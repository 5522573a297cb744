"""Stable Diffusion 3 as a SavedModel: text in, PNG out, the number of steps an input."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny_stable_diffusion import keras_hub_model

from keras_t2i.models.stable_diffusion import of_backbone
from keras_t2i.text import StableDiffusion3TextEncoder


@pytest.mark.slow
def test_the_graph_draws_what_the_model_draws(tmp_path: Path) -> None:
    """CLIP's tokenizers, both encoders, the loop over steps and the autoencoder, in one graph."""
    task = keras_hub_model(num_layers=1)
    model = of_backbone(task.backbone, StableDiffusion3TextEncoder.of(task.backbone, task.preprocessor))
    model.export(tmp_path / "exported")
    signature = tf.saved_model.load(str(tmp_path / "exported")).signatures["serving_default"]
    captions, steps = ["a red circle", "blue"], [2, 3]
    drawn = signature(
        prompts=tf.constant(captions),
        seeds=tf.constant([3, 3], tf.int64),
        truncation=tf.ones(2),
        num_steps=tf.constant(steps, tf.int32),
    )
    for content, caption, num_steps in zip(drawn["image_bytes"].numpy(), captions, steps, strict=True):
        expected = model.generate(caption, seed=3, num_steps=num_steps)[0].astype(int)
        assert np.abs(np.asarray(Image.open(io.BytesIO(content))) - expected).max() <= 1
