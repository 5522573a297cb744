"""Weight files at half their size: float16 on the disk, float32 again when Keras reads them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from keras_t2i.core.files import written

__all__ = ["halve_weights"]


def halve_weights(path: Path) -> None:
    """Rewrites a Keras weight file with its float32 numbers as float16; integers and seeds stay as they are.

    Keras casts to the type of the variable as it reads. Halved again after that, the numbers stay what they are.

    Raises:
        ValueError: if a number is too large for float16.
    """
    with written(path) as beside, h5py.File(path, "r") as source, h5py.File(beside, "w") as target:
        source.visititems(lambda name, item: _copy(path, name, item, target))
        target.attrs.update(source.attrs)


def _copy(path: Path, name: str, item: h5py.Group | h5py.Dataset, target: h5py.File) -> None:
    if isinstance(item, h5py.Group):
        copy = target.require_group(name)
    else:
        values = item[()]
        if item.dtype == np.float32:
            with np.errstate(over="ignore"):
                values = values.astype(np.float16)
            if not np.isfinite(values).all():
                raise ValueError(
                    f"{path.name} has numbers that float16 cannot hold ({name}); save without `dtype`, as float32."
                )
        copy = target.create_dataset(name, data=values)
    copy.attrs.update(item.attrs)
