"""What a model costs: weights, multiply-adds, milliseconds an image, megabytes on disk and in memory."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_t2i.core.files import bytes_below
from keras_t2i.core.keras_internals import function_graph

__all__ = [
    "count_multiply_adds",
    "latency",
    "measure_resources",
    "parameters",
    "peak_memory_mb",
]

_MEGABYTE = 10**6
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_BRANCHES = ("If", "StatelessIf", "Case", "StatelessCase", "While", "StatelessWhile")
_EXPORTS = ("preset", "saved_model", "litert")


def parameters(gan: Any) -> dict[str, int]:
    """Numbers of weights, trained or not, of the parts of a model.

    Args:
        gan: A `TextToImageGAN`.

    Returns:
        For each part that is trained, as `generator_parameters` and `discriminator_parameters`; and
        `text_encoder_parameters`, a caption denoiser included.
    """
    networks = {f"{name}_parameters": part.network for name, part in gan.parts().items() if part.is_trained}
    readers = [reader for reader in (gan.text_encoder, gan.caption_denoiser) if reader is not None]
    counts = {name: _count(network) for name, network in networks.items()}
    return {**counts, "text_encoder_parameters": sum(map(_count, readers))}


def _count(layer: Any) -> int:
    return sum(math.prod(weight.shape) for weight in layer.weights)


def count_multiply_adds(network: keras.Layer, *input_shapes: tuple[int, ...]) -> int:
    """Multiply-adds of convolutions and matrix products for one example, counted in the graph that runs.

    What is pointwise, pooled, resized or normalised is not counted, as is the custom. At padded borders a convolution
    counts in full.

    Args:
        network: A layer or model, called with `training=False`.
        *input_shapes: The shape of each positional input, without the batch axis; inputs are float32.

    Returns:
        The number for a batch of one; it is half of the floating point operations.

    Raises:
        ValueError: if a loop or a branch decides how much is computed, or a size is unknown before it runs.
    """
    specifications = [tf.TensorSpec((1, *shape), tf.float32) for shape in input_shapes]
    traced = tf.function(lambda *inputs: network(*inputs, training=False), autograph=False)
    graph = traced.get_concrete_function(*specifications).graph
    return sum(map(_multiply_adds, _operations(graph)))


def latency(call: Callable[[], Any], num_runs: int = 20, num_warmup: int = 3) -> float:
    """Median time of a call, in milliseconds on this machine as busy as it is: compare only what is timed together.

    Args:
        call: What to time, without arguments. Work that it leaves to an accelerator is waited for.
        num_runs: Timed calls.
        num_warmup: Calls before them, in which functions are traced and caches fill.

    Raises:
        ValueError: if `num_runs` is below 1 or `num_warmup` below 0.
    """
    if num_runs < 1 or num_warmup < 0:
        raise ValueError(f"`num_runs` must be at least 1 and `num_warmup` at least 0; got {num_runs} and {num_warmup}.")
    seconds = []
    for _ in range(num_warmup + num_runs):
        tf.test.experimental.sync_devices()
        start = time.perf_counter()
        call()
        tf.test.experimental.sync_devices()
        seconds.append(time.perf_counter() - start)
    return 1000.0 * float(np.median(seconds[num_warmup:]))


def peak_memory_mb() -> float | None:
    """The most memory that this process has held at once since it began, in megabytes (10^6 bytes).

    It is the peak resident set as the system counts it: libraries and data included, an accelerator's memory not. It
    never falls, so measure what is to be compared in processes of their own. `None` on Windows, which does not tell.
    """
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / _MEGABYTE


def measure_resources(gan: Any, exports: Mapping[str, str | os.PathLike[str] | None] | None = None) -> dict[str, Any]:
    """What a model costs to keep and to draw with.

    Args:
        gan: A `TextToImage`.
        exports: Directories of its `"preset"` (`gan.save_to_preset`), its `"saved_model"` and its `"litert"` bundle
            (`gan.export`); those that are missing or `None` are left out of the result.

    Returns:
        The keys of `parameters`; `generator_multiply_adds` and, where there is one, `discriminator_multiply_adds` (one
        image with one caption); `preset_megabytes`, `saved_model_megabytes` and `litert_megabytes` (10^6 bytes; all
        files of the directory, those of the text encoder included); and the milliseconds of one image on this machine:
        from noise and a sentence embedding `keras_ms` (the averaged generator in a compiled function),
        `saved_model_ms` and `litert_ms` (its interpreter, one thread); from a caption `saved_model_from_caption_ms`,
        where the SavedModel holds the text encoder.

    Raises:
        ValueError: for an unknown name among `exports`, or a path that is no directory.
    """
    paths = {name: Path(path) for name, path in (exports or {}).items() if path is not None}
    for name, path in paths.items():
        if name not in _EXPORTS:
            raise ValueError(f"Unknown export {name!r}. Expected one of: {', '.join(_EXPORTS)}.")
        if not path.is_dir():
            raise ValueError(f"The {name} at {str(path)!r} is not a directory; write it first, or pass None.")
    generator, text = gan.drawer, (gan.embedding_dim,)
    inputs = {
        "latents": np.zeros((1, generator.latent_dim), np.float32),
        "sentence_embeddings": np.ones((1, gan.embedding_dim), np.float32),
    }
    networks = gan.parts()
    judging = {}
    if "discriminator" in networks:
        shape = (gan.image_size, gan.image_size, 3)
        judging["discriminator_multiply_adds"] = count_multiply_adds(networks["discriminator"].network, shape, text)
    result: dict[str, Any] = {
        **parameters(gan),
        "generator_multiply_adds": count_multiply_adds(gan.generator, (generator.latent_dim,), text),
        **judging,
        **{f"{name}_megabytes": bytes_below(path) / _MEGABYTE for name, path in paths.items()},
    }
    draw = tf.function(lambda latents, embeddings: generator(latents, embeddings, training=False), autograph=False)
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    result["keras_ms"] = latency(lambda: draw(*tensors.values()))
    if "saved_model" in paths:
        signatures = tf.saved_model.load(str(paths["saved_model"])).signatures
        result["saved_model_ms"] = latency(lambda: signatures["generate_from_embeddings"](**tensors))
        if "embed_text" in signatures:
            request = (
                ("prompts", ["a flower"], tf.string),
                ("seeds", [0], tf.int64),
                ("truncation", [1.0], tf.float32),
            )
            prompt = {name: tf.constant(value, dtype) for name, value, dtype in request}
            result["saved_model_from_caption_ms"] = latency(lambda: signatures["generate"](**prompt))
    if "litert" in paths:
        from ai_edge_litert.interpreter import Interpreter

        run = Interpreter(str(paths["litert"] / "generator.tflite"), num_threads=1).get_signature_runner()
        result["litert_ms"] = latency(lambda: run(**inputs))
    return result


def _operations(graph: Any) -> Iterator[tf.Operation]:
    """The operations of a graph, those of a function once for each time that it is called."""
    for operation in graph.get_operations():
        if operation.type in _CALLS:
            # Grouped convolutions, for one, run in a function of their own.
            yield from _operations(function_graph(graph, operation.get_attr("f").name))
        else:
            yield operation


def _multiply_adds(operation: tf.Operation) -> int:
    """The multiply-adds of one operation of a graph with static sizes; 0 where it has none."""
    kind = operation.type
    if kind in _BRANCHES:
        raise ValueError(
            f"Multiply-adds cannot be counted: a loop or branch ({operation.name!r}) decides their number."
        )
    if kind in ("Conv2D", "DepthwiseConv2dNative"):
        # Kernels: height, width, channels in (of a group), channels out; or height, width, channels, multiplier.
        kernel = _shape(operation, operation.inputs[1])
        return _results(operation) * math.prod(kernel[: 3 if kind == "Conv2D" else 2])
    if kind == "Conv2DBackpropInput":  # A transposed convolution: each input meets the whole kernel.
        _, kernel, features = (_shape(operation, tensor) for tensor in operation.inputs)
        return math.prod(features) * math.prod(kernel[:3])
    if kind == "MatMul":
        return (
            _results(operation) * _shape(operation, operation.inputs[0])[0 if operation.get_attr("transpose_a") else 1]
        )
    if kind in ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"):
        return _results(operation) * _shape(operation, operation.inputs[0])[-2 if operation.get_attr("adj_x") else -1]
    if kind == "Einsum" and len(operation.inputs) == 2:
        return _results(operation) * _summed_over(operation)
    return 0


def _results(operation: tf.Operation) -> int:
    return math.prod(_shape(operation, operation.outputs[0]))


def _summed_over(operation: tf.Operation) -> int:
    """The number of products in each result of an einsum: the sizes of the labels that its output lacks."""
    terms, output = operation.get_attr("equation").decode().replace(" ", "").split("->")
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms.split(","), operation.inputs, strict=True):
        first, _, last = term.partition("...")
        shape = _shape(operation, tensor)
        sizes |= dict(zip(first, shape, strict=False))
        sizes |= dict(zip(reversed(last), reversed(shape), strict=False))
    return math.prod(size for label, size in sizes.items() if label not in output)


def _shape(operation: tf.Operation, tensor: tf.Tensor) -> tuple[int, ...]:
    if not tensor.shape.is_fully_defined():
        raise ValueError(
            f"Multiply-adds cannot be counted: {operation.name!r} has the unknown size {tensor.shape}; make it static."
        )
    return tuple(tensor.shape)
