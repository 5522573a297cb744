"""Which devices train: those asked for of this machine, or, under `TF_CONFIG`, of all machines that it names."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from keras_t2i.core.backend import need_tensorflow
from keras_t2i.core.devices import Devices
from keras_t2i.core.devices_tensorflow import devices_of
from keras_t2i.training.cluster import Cluster, meet

__all__ = ["on_devices"]

_ALL = "all"
_MINUTES = 10.0


@contextlib.contextmanager
def on_devices(
    devices: str | int | None = None, told: Mapping[str, Any] | None = None, wait_minutes: float | None = None
) -> Iterator[Devices]:
    """A context in which what is built and compiled will be trained on several devices, each with a share of a batch.

    Call `keras_t2i.training.train`, or `fit`, after it: outside of the context. Where `TF_CONFIG` names other workers,
    it waits for them, and each worker has to do the same; call it then before TensorFlow computes anything.

    Args:
        devices: `"all"`, or how many: GPUs, and where there is none, logical devices of the processor. `None` for one;
            under `TF_CONFIG` for all of each worker.
        told: What has to be the same in all workers, by name.
        wait_minutes: How long workers wait for each other; by default 10.

    Yields:
        The devices.

    Raises:
        ValueError: for more devices than there are; with another backend than TensorFlow; if a worker does not come, or
            differs from the others.
    """
    cluster = Cluster.of_environment()
    if devices is None and cluster is None:
        yield Devices()
        return
    need_tensorflow("Several devices train together")
    wanted = _number(devices)
    if cluster is None:
        chosen = _local(wanted)
        found = devices_of(_mirrored(tuple(chosen))) if len(chosen) > 1 else Devices()
    else:
        found = _of_cluster(cluster, wanted, dict(told or {}), _MINUTES if wait_minutes is None else wait_minutes)
    with found.watched(), found.scope():
        yield found


def _number(devices: str | int | None) -> int | None:
    """How many devices are asked for; `None` for all."""
    if devices is None or devices == _ALL:
        return None
    if not str(devices).isdecimal() or int(devices) < 1:
        raise ValueError(f"`devices` must be 'all' or a number of at least 1; got {devices!r}.")
    return int(devices)


def _local(wanted: int | None) -> list[str]:
    """Names of devices of this machine."""
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    found = [f"{kind}:{number}" for number in range(len(tf.config.list_logical_devices(kind)))]
    _check(wanted, len(found), kind)
    return found[:wanted]


@functools.cache
def _mirrored(names: tuple[str, ...]) -> tf.distribute.Strategy:
    """The strategy of these devices: one a process, for those of a second would be taken for the first's messages."""
    return tf.distribute.MirroredStrategy(names)


def _check(wanted: int | None, found: int, kind: str) -> None:
    if wanted is not None and wanted > found:
        what = "graphics cards" if kind == "GPU" else "logical processors: TensorFlow sees no graphics card"
        raise ValueError(f"{wanted} devices were asked for, and TensorFlow has {found} {what}. Pass 'all' for these.")


def _of_cluster(cluster: Cluster, wanted: int | None, told: dict[str, Any], minutes: float) -> Devices:
    gpus = tf.config.list_physical_devices("GPU")
    _check(wanted, max(len(gpus), 1), "GPU" if gpus else "CPU")
    if gpus and wanted is not None:
        tf.config.set_visible_devices(gpus[:wanted], "GPU")
    kind = f"{wanted or len(gpus)} graphics cards" if gpus else "a processor"
    meet(cluster, {**told, "TensorFlow": tf.__version__, "devices": kind, "workers": cluster.addresses}, minutes)
    try:
        return devices_of(tf.distribute.MultiWorkerMirroredStrategy())
    except RuntimeError as error:
        raise ValueError(f"Workers meet before TensorFlow computes anything: {error}") from error
