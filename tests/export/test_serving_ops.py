"""Which TensorFlow Serving can run a model: decided by its operations before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_text
from checks import one_line, tiny_gan

from keras_t2i.export import serving
from keras_t2i.export.serving_ops import oldest_server, operations


def test_operations_decide_the_oldest_server(tmp_path: Path) -> None:
    class Trimmer(tf.Module):
        @tf.function(input_signature=[tf.RaggedTensorSpec((None, None), tf.int64)] * 2)
        def trim(self, first: tf.RaggedTensor, second: tf.RaggedTensor) -> list[tf.RaggedTensor]:
            return tensorflow_text.RoundRobinTrimmer(8).trim([first, second])

    tf.saved_model.save(Trimmer(), str(tmp_path / "trimmer"))
    needed = operations(tmp_path / "trimmer")
    assert "TFText>RoundRobinTrim" in needed
    assert oldest_server(needed) == "2.20"
    assert oldest_server(needed - {"TFText>RoundRobinTrim"}) == "2.12"
    with pytest.raises(ValueError, match="InventedA, InventedB") as error:
        oldest_server({"Const", "InventedB", "InventedA"})
    one_line(error)


def test_model_that_no_server_can_run_is_not_written(tmp_path: Path) -> None:
    gan = tiny_gan("mlp")
    generator, call = gan.ema_generator, gan.ema_generator.call

    def call_python(*args: Any, **kwargs: Any) -> Any:
        images = call(*args, **kwargs)
        return tf.ensure_shape(tf.numpy_function(lambda x: x, [images], tf.float32, stateful=False), images.shape)

    generator.call = call_python
    with pytest.raises(ValueError, match="no operation PyFuncStateless") as error:
        serving.write(gan, tmp_path / "export")
    one_line(error)
    assert not list(tmp_path.iterdir())
