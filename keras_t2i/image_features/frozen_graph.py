"""Features from a TensorFlow frozen graph: the Inception network in which the Fréchet inception distance is defined."""

from __future__ import annotations

import hashlib
from pathlib import Path

import tensorflow as tf

__all__ = ["FrozenGraph"]

_IMAGES, _POOL, _RESIZE = "ExpandDims:0", "pool_3:0", "ResizeBilinear"


class FrozenGraph:
    """The Inception graph of 2015-12-05, up to its layer `pool_3`.

    It takes images in [0, 255] at their own size, and resizes and normalizes them itself, without antialiasing: the
    distance is defined with that, so nothing is done before it.

    Args:
        path: The frozen graph, `classify_image_graph_def.pb`.

    Attributes:
        call: From images, float32, shape `(B, H, W, 3)`, to feature vectors, shape `(B, dim)`.
        image_size: What it resizes to, in pixels.
        dim: Length of a feature vector.
        fingerprint: SHA-256 of the file.

    Raises:
        ValueError: if the file is not such a graph.
    """

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        graph_def = tf.compat.v1.GraphDef()

        def imported(images: tf.Tensor) -> tf.Tensor:
            (pool,) = tf.graph_util.import_graph_def(graph_def, {_IMAGES: images}, [_POOL], name="")
            return tf.reshape(pool, (-1, pool.shape[-1]))

        try:
            graph_def.ParseFromString(content)
            for node in graph_def.node:
                # Shapes noted in the file are those of single images; they are inferred anew.
                node.attr.pop("_output_shapes", None)
            images = tf.TensorSpec((None, None, None, 3), tf.float32)
            self.call = tf.compat.v1.wrap_function(imported, [images])
            (resize,) = (node for node in self.call.graph.get_operations() if node.name == _RESIZE)
            self.image_size = int(tf.get_static_value(resize.inputs[1])[0])
            self.dim = int(self.call.structured_outputs.shape[1])
        except Exception as error:  # whatever the parser or the importer says
            problem = " ".join(str(error).split())[:200] or type(error).__name__
            raise ValueError(
                f"{path} is not the Inception graph of 2015-12-05, with nodes {_IMAGES} and {_POOL}: {problem}."
            ) from error
        self.fingerprint = hashlib.sha256(content).hexdigest()
