"""Directories that appear complete or not at all, though TensorFlow writes in them, whose errors are its own."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from keras_t2i.core.files import written_atomically

__all__ = ["written_by_tensorflow"]

_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


@contextlib.contextmanager
def written_by_tensorflow(target: str | os.PathLike[str], marker: str) -> Iterator[Path]:
    """`written_atomically`, where TensorFlow's errors about a disk become `OSError` as Python's are.

    Args:
        target: The directory to write.
        marker: A file that only a directory of the same kind has.

    Raises:
        ValueError: if something else is at `target`.
        OSError: if it cannot be written.
    """
    with written_atomically(target, marker) as directory:
        try:
            yield directory
        except tf.errors.OpError as error:
            number = next((each for each in _OF_DISKS if os.strerror(each) in error.message), None)
            if number is None:
                raise
            raise OSError(number, os.strerror(number), os.fspath(target)) from error
