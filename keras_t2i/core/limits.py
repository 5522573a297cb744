"""Networks of strangers, built within what was stored for them, and with Keras' safe mode on."""

from __future__ import annotations

import contextlib
import math
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_t2i.core.gate import Stored
from keras_t2i.core.keras_internals import safe_mode

__all__ = ["built_within"]

_TIMES = 2
"""Weights may have been stored in half their size."""
_SPARE_BYTES = 1 << 20
_SPARE_LAYERS, _LAYERS_AN_ARRAY = 500, 10
_LARGEST_MAP = 1 << 30
_building = threading.RLock()


@contextlib.contextmanager
def built_within(stored: Stored) -> Iterator[None]:
    """While it is open, this thread can build no more than was stored; what is larger fails before it takes memory.

    Every weight that a layer asks for, every layer, and what each makes of one image or caption is counted as it comes,
    whatever the layer: a configuration cannot know of a way around. Keras' safe mode is on, whatever is set elsewhere.

    Args:
        stored: What the files hold that the weights will be read from.

    Raises:
        ValueError: if weights take more than twice the bytes stored, layers are out of proportion to the arrays
            stored, or a layer makes more than 1 GiB of one image or caption.
    """
    layer: Any = keras.layers.Layer
    count = _Count(stored)
    with _building, safe_mode():
        new, add_weight, call = layer.__new__, layer.add_weight, layer.__call__
        layer.__new__ = staticmethod(count.before(count.layer, new))
        layer.add_weight = count.before(count.weight, add_weight)
        layer.__call__ = count.before(count.output, call)
        try:
            yield
        finally:
            layer.__new__ = staticmethod(new)
            layer.add_weight, layer.__call__ = add_weight, call


class _Count:
    """What has been built so far, by the thread that began to count."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self.bytes = self.layers = 0
        self.thread = threading.get_ident()

    def before(self, counted: Callable[..., None], method: Callable[..., Any]) -> Callable[..., Any]:
        def method_counted(self_: Any, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() == self.thread:
                counted(self_, *args, **kwargs)
            return method(self_, *args, **kwargs)

        return method_counted

    def layer(self, cls: Any, *args: Any, **kwargs: Any) -> None:
        most = _SPARE_LAYERS + _LAYERS_AN_ARRAY * self.stored.arrays
        self.layers += 1
        if self.layers > most:
            raise ValueError(
                f"it asks for more than {most} layers, and {self.stored.arrays} arrays are stored for them."
            )

    def weight(self, layer: Any, *args: Any, **kwargs: Any) -> None:
        shape, _, dtype = (*args, None, None, None)[:3]
        given = kwargs.get("shape") if shape is None else shape
        self.bytes += _bytes_of(given, dtype or kwargs.get("dtype") or layer.variable_dtype)
        if self.bytes > _TIMES * self.stored.bytes + _SPARE_BYTES:
            raise ValueError(
                f"it asks for weights of more than {_TIMES} times the {self.stored.bytes} bytes that are stored for it."
            )

    def output(self, layer: Any, *args: Any, **kwargs: Any) -> None:
        """Looks at what a layer would make, where it can tell: a network is built by drawing one image."""
        knows = type(layer).compute_output_shape is not keras.layers.Layer.compute_output_shape
        if not knows or isinstance(layer, keras.Model) or not args or not hasattr(args[0], "shape"):
            return
        try:
            shape = layer.compute_output_shape(tuple(args[0].shape))
        except (TypeError, NotImplementedError):  # Some want more shapes than that.
            return
        if isinstance(shape, tuple) and _bytes_of(shape, "float32") > _LARGEST_MAP:
            raise ValueError(f"it makes {shape} of one input, which is more than 1 GiB.")


def _bytes_of(shape: Any, dtype: Any) -> int:
    """Bytes of an array; lengths that are not known yet, `None` or a symbol of JAX, count one."""
    lengths = [shape] if isinstance(shape, int) else list(shape or ())
    bits = re.search(r"\d+$", keras.backend.standardize_dtype(dtype))
    known = (int(each) for each in lengths if isinstance(each, int | float | np.integer))
    return math.prod(known) * (int(bits[0]) if bits else 8) // 8
