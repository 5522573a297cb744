"""The SavedModel: what its signatures take, and its answers."""

from __future__ import annotations

import base64
import gc
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_t2i.serve.protocol import DEFAULT_SIGNATURE, Column, RequestError, Signature, Tensor, is_binary
from keras_t2i.serve.versions import MARKER

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["Model", "first"]

_VARIABLES = "variables/variables"
_FINGERPRINT = "fingerprint.pb"
_PREDICT = "tensorflow/serving/predict"
_ASSERTION = "assertion failed: "
_WHITE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"
)
"""A picture of one white pixel, as a PNG file."""


class Model:
    """A SavedModel in memory.

    Args:
        path: Its directory.

    Raises:
        ValueError: if it cannot be read, holds weights that are not finite, or has signatures whose inputs this server
            cannot check.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        import tensorflow as tf
        import tensorflow_text  # noqa: F401  # Registers the operations of the tokenizer.

        self.definitions = _definitions(Path(path))
        self.signatures = {name: _signature(name, definition) for name, definition in self.definitions.items()}
        _check_variables(Path(path))
        _check_graph(Path(path))
        try:
            # The restored object owns the variables: the functions alone do not keep them alive.
            self._loaded: Any = tf.saved_model.load(str(path))
        except (OSError, tf.errors.OpError) as error:
            first = next(iter(str(error).splitlines()), "")
            raise ValueError(f"The SavedModel in {str(path)!r} cannot be loaded: {first}") from error
        self._functions = {name: self._loaded.signatures[name] for name in self.signatures}

    def metadata(self) -> dict[str, Any]:
        """The signatures as TF Serving describes them."""
        from google.protobuf import json_format

        return {
            name: json_format.MessageToDict(
                definition, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            for name, definition in self.definitions.items()
        }

    def run(self, signature: str, columns: dict[str, Column]) -> dict[str, np.ndarray]:
        """Calls a signature.

        Raises:
            RequestError: if the graph refuses the inputs.
        """
        import tensorflow as tf

        inputs = self.signatures[signature].inputs
        tensors = {name: tf.constant(columns[name], inputs[name].dtype) for name in inputs}
        try:
            outputs: dict[str, tf.Tensor] = self._functions[signature](**tensors)
        except tf.errors.InvalidArgumentError as error:
            raise RequestError(f"The model refuses this input: {_first_line(error)}") from error
        return {name: value.numpy() for name, value in outputs.items()}

    def warm_up(self, max_batch_size: int) -> Iterator[None]:
        """Calls every signature at the sizes that will come, so that no client waits for what is done once.

        Yields after each call, as one may not want to go on.
        """
        sizes = sorted({1, *(2**power for power in range(1, max_batch_size.bit_length())), max_batch_size})
        for name, signature in self.signatures.items():
            for size in sizes:
                self.run(name, {key: _example(key, size, tensor) for key, tensor in signature.inputs.items()})
                yield


def first(path: str | os.PathLike[str]) -> Model:
    """The model that a process begins to serve with.

    What is in memory before it, TensorFlow above all, is looked through for the last time. To look through it whenever
    a model is done with would hold up every thread, and makes up most of the time in which such a process ends.
    """
    import tensorflow_text  # noqa: F401  # Brings TensorFlow.

    gc.collect()
    gc.freeze()
    return Model(path)


def _example(name: str, size: int, tensor: Tensor) -> Column:
    if tensor.dtype == "string":
        return [_WHITE if is_binary(name) else b"a"] * size
    return np.zeros((size, *tensor.shape), tensor.dtype)


def _first_line(error: Exception) -> str:
    """What an error of TensorFlow says, without where in the graph it was said."""
    lines = [line for line in str(getattr(error, "message", error)).splitlines() if line.strip()]
    said = (line for line, after in pairwise(lines) if after.lstrip().startswith("[[{{node"))
    text = next(said, lines[0] if lines else type(error).__name__)
    text = text.rpartition("}} ")[2]  # What stands before are names of nodes.
    if text.startswith(_ASSERTION):
        text = text.removeprefix(_ASSERTION).replace("[", "").replace("]", "")
    return text[:200]


def _check_variables(path: Path) -> None:
    """Raises `ValueError` where a weight is not finite: what is drawn with it would be noise, and nobody would know."""
    import tensorflow as tf

    if not (path / f"{_VARIABLES}.index").is_file():
        return
    try:
        reader = tf.train.load_checkpoint(str(path / _VARIABLES))
        for name, dtype in reader.get_variable_to_dtype_map().items():
            if dtype.is_floating and not np.isfinite(reader.get_tensor(name).astype(np.float32, copy=False)).all():
                raise ValueError(f"The SavedModel in {str(path)!r} holds weights that are not finite ({name}).")
    except (tf.errors.OpError, RuntimeError, IndexError) as error:
        raise ValueError(f"The weights of the SavedModel in {str(path)!r} cannot be read: it is damaged.") from error


def _check_graph(path: Path) -> None:
    """Raises `ValueError` where the graph is not the one that was written, by the checksum that TensorFlow left."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef
    from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

    if not (path / _FINGERPRINT).is_file():
        return  # Before TensorFlow 2.12 there was none.
    try:
        told = FingerprintDef.FromString((path / _FINGERPRINT).read_bytes())
        found = FingerprintDef.FromString(fingerprinting.CreateFingerprintDef(str(path)))
    except (DecodeError, fingerprinting.FingerprintException, fingerprinting.FileNotFoundException) as error:
        raise ValueError(f"The checksums of the SavedModel in {str(path)!r} cannot be read: it is damaged.") from error
    same = (told.saved_model_checksum, told.checkpoint_hash) == (found.saved_model_checksum, found.checkpoint_hash)
    if told.version == found.version and not same:  # The version is that of the way to compute it.
        raise ValueError(f"The SavedModel in {str(path)!r} is damaged: its checksums are not those in {_FINGERPRINT}.")


def _definitions(path: Path) -> dict[str, Any]:
    """The signatures that can be called, as the file describes them, the default one first."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        saved = saved_model_pb2.SavedModel.FromString((path / MARKER).read_bytes())
    except OSError as error:
        raise ValueError(f"{str(path)!r} is no SavedModel: {MARKER} cannot be read ({error.strerror}).") from error
    except DecodeError as error:
        raise ValueError(f"{str(path / MARKER)!r} is damaged.") from error
    for graph in saved.meta_graphs:
        if "serve" in graph.meta_info_def.tags:
            found = {name: value for name, value in graph.signature_def.items() if value.method_name == _PREDICT}
            if found:
                return dict(sorted(found.items(), key=lambda item: (item[0] != DEFAULT_SIGNATURE, item[0])))
    raise ValueError(f"The SavedModel in {str(path)!r} has no signatures to serve.")


def _signature(name: str, definition: Any) -> Signature:
    import tensorflow as tf

    def tensors(infos: Any) -> dict[str, Tensor]:
        found = {}
        for key, info in sorted(infos.items()):
            dims = [dim.size for dim in info.tensor_shape.dim]
            dtype = tf.dtypes.as_dtype(info.dtype).name
            if not dims or dims[0] != -1 or -1 in dims[1:] or (dtype == "string" and len(dims) > 1):
                raise ValueError(
                    f"{key} of the signature {name} has the shape {dims}; only a batch dimension of any length before "
                    "a known shape can be served."
                )
            found[key] = Tensor(dtype, tuple(dims[1:]))
        return found

    return Signature(tensors(definition.inputs), tensors(definition.outputs))
