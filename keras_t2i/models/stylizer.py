"""Stylizer: a network that draws any picture in one style, trained by `fit`, kept as a preset."""

from __future__ import annotations

import hashlib
import os
import sys
from typing import Any, Self

import keras
import numpy as np
from keras import ops

import keras_t2i
from keras_t2i.core.backend import is_jax
from keras_t2i.core.errors import reason
from keras_t2i.core.gate import check_lengths
from keras_t2i.core.limits import built_within
from keras_t2i.core.pixels import checked_picture, from_bytes, to_uint8
from keras_t2i.models.batch import FirstBatch
from keras_t2i.models.engine import Engine
from keras_t2i.models.manners import Rates
from keras_t2i.models.part import Part
from keras_t2i.models.state import held_by
from keras_t2i.models.step import take_step, track
from keras_t2i.networks.stylizing import STRIDE, StylizingNetwork
from keras_t2i.objectives.style import StyleLoss
from keras_t2i.presets import names, store

__all__ = ["MAX_PIXELS", "Stylizer"]

MAX_PIXELS = 12_000_000
"""Pictures with more pixels are not stylized: at each, the maps take some hundred bytes at once."""
_PART, _AVERAGE = "stylizer", "ema_stylizer"
_NUMBERS = ("loss", "content", "style")


class Stylizer(Engine, keras.Model):
    """Draws pictures in the style of one, in one pass.

    Batches are dictionaries with `"images"`, float32 in [-1, 1], shape `(B, H, W, 3)`: pictures of any kind, of which
    the network is to show the content. What else a batch holds is not looked at.

    ```python
    stylizer = Stylizer()
    stylizer.compile(StyleLoss(texture_maps(), style, some_images))
    stylizer.fit(dataset.train)
    stylized = stylizer.stylize(picture)
    ```

    Args:
        network: The network; a new one by default.
        card: What a reader should know of it: anything that JSON can hold.
    """

    text_encoder = None

    def __init__(
        self, network: StylizingNetwork | None = None, card: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.supports_jit = is_jax()
        self.network = network or StylizingNetwork()
        self.network.build()
        self.ema_network = self.network.copy()
        self.card = card or {}
        self.guard = self.guard_class()
        self.reads: tuple[str, ...] = ()
        self.built = True

    def parts(self) -> dict[str, Part]:
        """The network that is trained, and its average, which draws, by name, as for `keras_t2i.TextToImage`."""
        optimizer = getattr(self, "network_optimizer", None)
        return {_PART: Part(self.network, optimizer=optimizer), _AVERAGE: Part(self.ema_network, average_of=_PART)}

    def state(self) -> dict[str, Any]:
        """What else the next step depends on."""
        trackers = [variable for tracker in self.trackers.values() for variable in tracker.variables]
        return {"random": [self.style_loss], "metrics": trackers}

    def compile(  # type: ignore[override]
        self,
        loss: StyleLoss,
        optimizer: keras.optimizers.Optimizer | None = None,
        ema_decay: float = 0.98,
        **kwargs: Any,
    ) -> None:
        """Configures training.

        Args:
            loss: What is minimised; it has the style in it.
            optimizer: Adam(2e-3) by default.
            ema_decay: Decay of the averaged network, which is the one that draws.
            **kwargs: Passed to `keras.Model.compile`, for instance `steps_per_execution` and `run_eagerly`.
        """
        compiles = self.jit_compiles(kwargs.get("jit_compile", "auto"))
        kwargs["jit_compile"] = compiles and not kwargs.get("run_eagerly")
        super().compile(optimizer=None, loss=None, **kwargs)
        self.style_loss, self.ema_decay = loss, ema_decay
        self.network_optimizer = optimizer or keras.optimizers.Adam(2e-3)
        self.network_optimizer.build(self.network.trainable_variables)
        self._rates = Rates(lambda: [self.network_optimizer], lambda: [self.guard.stopped, *held_by(loss)])
        self.trackers = {name: keras.metrics.Mean(name=name) for name in _NUMBERS}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(getattr(self, "trackers", {}).values())

    @property
    def optimizer(self) -> Rates | None:
        """The optimizer, and what else a step moves; `None` before `compile`."""
        return getattr(self, "_rates", None)

    @optimizer.setter
    def optimizer(self, value: Any) -> None:
        """Ignores `None`, which Keras sets."""

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Keras' own `fit`. A `tf.data.Dataset` brings its order with it: there, `shuffle` is off by default.

        Raises:
            ValueError: if the images of the first batch are not floating point, in [-1, 1].
        """
        tensorflow = sys.modules.get("tensorflow")
        if tensorflow is not None and isinstance(x, tensorflow.data.Dataset):
            kwargs.setdefault("shuffle", False)  # Keras' default is a warning.
        first = FirstBatch()
        given = {"x": first.of(x), **kwargs}
        try:
            return super().fit(*args, **{**given, **self.engine_options(given)})
        except Exception as error:
            if first.error is not None:
                raise first.error from None
            raise error

    def _train(self, data: Any) -> dict[str, Any]:
        data, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return track(self.trackers, take_step(self, lambda: self._minimised(data["images"], training=True)))

    def _test(self, data: Any) -> dict[str, Any]:
        data, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return track(self.trackers, self._minimised(data["images"], training=False)[1])

    def _minimised(self, images: Any, training: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        network = self.network if training else self.ema_network
        loss, parts = self.style_loss(network(images, training=training), images, training)
        return {_PART: loss}, {"loss": loss, **parts}

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Images in the style, in [-1, 1], of images in [-1, 1], both float32, shape `(B, H, W, 3)`."""
        return self.ema_network(images, training=False)

    def stylize(self, picture: np.ndarray) -> np.ndarray:
        """Draws a picture in the style; the same picture always alike.

        Args:
            picture: uint8, shape `(H, W, 3)`, of any size up to `MAX_PIXELS`.

        Returns:
            uint8, of the same shape.

        Raises:
            ValueError: if it is no such picture, or larger.
        """
        picture = checked_picture(picture)
        height, width = picture.shape[:2]
        if height * width > MAX_PIXELS:
            raise ValueError(
                f"{height * width / 1e6:.0f} megapixels, more than {MAX_PIXELS // 1_000_000}: make the picture smaller."
            )
        # Two positions at the least, at a quarter of the size, for normalization to have a spread to look at.
        sides = [(0, max(-side % STRIDE, 2 * STRIDE - side)) for side in (height, width)]
        whole = np.pad(picture, [*sides, (0, 0)], mode="edge")
        drawn = self.ema_network(ops.convert_to_tensor(from_bytes(whole[None].astype(np.float32))), training=False)
        return to_uint8(ops.convert_to_numpy(drawn)[0, :height, :width])

    def fingerprint(self) -> str:
        """SHA-256 of all that decides what is drawn."""
        digest = hashlib.sha256(repr((self.network.width, self.network.depth)).encode())
        for weight in self.ema_network.get_weights():
            digest.update(np.ascontiguousarray(weight, np.float32).tobytes())
        return digest.hexdigest()

    def save_to_preset(self, directory: str | os.PathLike[str], dtype: str | None = "float16") -> None:
        """Writes the averaged network, in half the bytes by default, with its card and a checksum of each file.

        Args:
            directory: Where to; an older preset there is replaced at once, in the end.
            dtype: `None` for weights as they are, to the bit.

        Raises:
            ValueError: if other files are in the way.
        """
        config = {
            "format": names.FORMAT,
            "versions": {"keras_t2i": keras_t2i.__version__, "keras": keras.__version__},
            _PART: keras.saving.serialize_keras_object(self.network),
            "card": self.card,
        }
        store.write(directory, config, {_PART: self.ema_network}, dtype, page=_page(self.card))

    @classmethod
    def from_preset(cls, name: str | os.PathLike[str]) -> Self:
        """Reads one that `save_to_preset` has written, or that of a run; nothing in it is code.

        Raises:
            ValueError: if there is none, it is damaged, or it is a model of another kind; in one line.
        """
        directory = names.verified(name)
        config = names.read_config(directory)
        if _PART not in config:
            raise ValueError(f"{os.fspath(name)!r} holds no stylizer: `keras-t2i stylize train` makes one.")
        try:
            stored = store.stored(directory)
            found = store.network_class(config[_PART], StylizingNetwork)
            check_lengths({_PART: config[_PART]}, stored)
            with built_within(stored):
                network = found.from_config(config[_PART]["config"])
                network.build()
            network.load_weights(store.weights_file(directory, _PART))
        except (KeyError, TypeError, AttributeError, ValueError, OSError) as error:
            raise ValueError(f"{directory} cannot be loaded: {reason(error)[:300]}") from error
        return cls(network, config["card"])


def _page(card: dict[str, Any]) -> str:
    lines = [f"- {key}: {value}" for key, value in card.items()]
    use = "`keras-t2i stylize apply DIRECTORY PICTURE --output FOLDER` draws a picture in this style."
    return "\n".join(["---", "library_name: keras", "---", "", "# A style", "", use, "", *lines, ""])
