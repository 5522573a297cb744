"""Features from a TensorFlow frozen graph: the Inception network in which the Fréchet inception distance is defined."""

from __future__ import annotations

import hashlib
from pathlib import Path

import tensorflow as tf

from keras_t2i.image_features.features import ImageFeatures

__all__ = ["FrozenGraphFeatures"]

_IMAGES, _POOL, _RESIZE = "ExpandDims:0", "pool_3:0", "ResizeBilinear"


class FrozenGraphFeatures(ImageFeatures):
    """Feature vectors from the layer `pool_3` of the Inception graph of 2015-12-05; it has no feature maps.

    The graph takes images in [0, 255] at their own size, and resizes and normalizes them itself, without antialiasing:
    the distance is defined with that, so nothing is done before it.

    Args:
        path: The frozen graph, `classify_image_graph_def.pb`.

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
            self._graph = tf.compat.v1.wrap_function(imported, [images])
            (resize,) = (node for node in self._graph.graph.get_operations() if node.name == _RESIZE)
            self.image_size = int(tf.get_static_value(resize.inputs[1])[0])
            self.dim = int(self._graph.structured_outputs.shape[1])
        except Exception as error:  # whatever the parser or the importer says
            problem = " ".join(str(error).split())[:200] or type(error).__name__
            raise ValueError(
                f"{path} is not the Inception graph of 2015-12-05, with nodes {_IMAGES} and {_POOL}: {problem}."
            ) from error
        self.fingerprint = hashlib.sha256(content).hexdigest()
        self.name = path.stem
        self._map_names: list[str] = []
        self._traced_embed = self._graph

    def embed(self, images: tf.Tensor) -> tf.Tensor:
        """As `ImageFeatures.embed`: feature vectors of images in [-1, 1]."""
        return self._graph((images + 1.0) * 127.5)
