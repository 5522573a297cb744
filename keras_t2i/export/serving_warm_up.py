"""Requests that TensorFlow Serving runs before it takes any, so that no user waits for a first time."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow.core.framework import tensor_pb2  # noqa: F401  (registers the file that the messages below import)

__all__ = ["WARM_UP", "prediction_log", "write_warm_up"]

WARM_UP = Path("assets.extra", "tf_serving_warmup_requests")
"""Where the server looks for them, below a model's version."""

# The messages of tensorflow_serving/apis that are needed here. On the wire, numbers and types are all there is to a
# message, so these are read as the real ones; the package that has those pins a version of TensorFlow.
_MESSAGES = """
name: "keras_t2i/export/serving.proto" package: "keras_t2i.serving" syntax: "proto3"
dependency: "tensorflow/core/framework/tensor.proto"
message_type {
  name: "ModelSpec"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "signature_name" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
}
message_type {
  name: "PredictRequest"
  field { name: "model_spec" number: 1 type: TYPE_MESSAGE type_name: "ModelSpec" label: LABEL_OPTIONAL }
  field { name: "inputs" number: 2 type: TYPE_MESSAGE type_name: "InputsEntry" label: LABEL_REPEATED }
  nested_type {
    name: "InputsEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".tensorflow.TensorProto" label: LABEL_OPTIONAL }
  }
}
message_type {
  name: "PredictLog"
  field { name: "request" number: 1 type: TYPE_MESSAGE type_name: "PredictRequest" label: LABEL_OPTIONAL }
}
message_type {
  name: "PredictionLog"
  field { name: "predict_log" number: 6 type: TYPE_MESSAGE type_name: "PredictLog" label: LABEL_OPTIONAL }
}
"""


def prediction_log() -> Any:
    """An empty `PredictionLog`, the message of which warm-up files are made."""
    return _prediction_log_class()()


@functools.cache
def _prediction_log_class() -> Any:
    pool = descriptor_pool.Default()  # For the tensors in it to be TensorFlow's own.
    pool.Add(text_format.Parse(_MESSAGES, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("keras_t2i.serving.PredictionLog"))


def write_warm_up(
    model: Path, name: str, rows: Mapping[str, Mapping[str, np.ndarray]], batch_sizes: Sequence[int]
) -> None:
    """Writes one request for each signature and batch size.

    Args:
        model: The directory of a SavedModel.
        name: The model's name in requests.
        rows: For each signature, its inputs by name, of as many rows as the largest batch.
        batch_sizes: The batch sizes.
    """
    path = model / WARM_UP
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in rows.items():
            for size in batch_sizes:
                log = prediction_log()
                request = log.predict_log.request
                request.model_spec.name, request.model_spec.signature_name = name, signature
                for key, value in inputs.items():
                    request.inputs[key].CopyFrom(tf.make_tensor_proto(value[:size]))
                writer.write(log.SerializeToString(deterministic=True))
