"""The gate: what a file declares is compared with what it holds before it is read, and before anything is built."""

from __future__ import annotations

import io
import json
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from checks import one_line

from keras_t2i.core.gate import Stored, check_lengths, check_weights, read_arrays, read_json
from keras_t2i.core.keras_internals import safe_mode
from keras_t2i.core.limits import built_within


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[" * 65 + b"]" * 65, "more than 64 levels"),
        (b"[" * 100_000 + b"]" * 100_000, "more than 64 levels"),
        (b"9" * 100_000, "cannot be read as JSON"),
        (b'{"a": 1, "a": 2}', "the same thing twice"),
        (b'{"a": NaN}', "NaN, which is not a number"),
        (b'{"a": 1e999}', "1e999, which is not a number"),
        (b'{"a": "\xff"}', "cannot be read as JSON"),
        (b"[" + b"1," * (1 << 20) + b"1]", "more than 1048576 values"),
        (b" " * (25 << 20), "more than 24 MiB"),
        (b"{", "cannot be read as JSON"),
    ],
)
def test_json_without_bounds_is_refused_in_one_line(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=why) as error:
        read_json(tmp_path / "config.json")
    assert one_line(error).startswith("config.json")


def test_json_within_bounds_is_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"[" * 62 + b'{"\xc3\xa9": [1, 2.5, null, "x"]}' + b"]" * 62)
    found = read_json(tmp_path / "config.json")
    for _ in range(62):
        (found,) = found
    assert found == {"\u00e9": [1, 2.5, None, "x"]}


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("config.json", "x.weights.h5", "x.safetensors"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=r"config\.json is not a regular file"):
        read_json(tmp_path / "config.json")
    for name in ("x.weights.h5", "x.safetensors"):
        with pytest.raises(ValueError, match=f"{name} is not a regular file"):
            check_weights(tmp_path / name)


def test_weights_that_keras_wrote_are_counted(tmp_path: Path) -> None:
    layer = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5), keras.layers.Dense(2, dtype="bfloat16")])
    layer.save_weights(tmp_path / "x.weights.h5")
    assert check_weights(tmp_path / "x.weights.h5") == Stored(4 * (3 * 5 + 5) + 2 * (5 * 2 + 2), 4)


def write(path: Path, change: Any) -> Path:
    with h5py.File(path, "w") as file:
        file["layer/vars/0"] = np.ones((4, 4), np.float32)
        change(file)
    return path


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda file: file.create_dataset("x", (1 << 16, 1 << 16), "f4"), "declares more than it stores"),
        (lambda file: file.create_dataset("x", data=np.zeros((64, 64)), compression="gzip"), "declares more"),
        (lambda file: file.create_dataset("x", (4,), "f4", external=[("/etc/passwd", 0, 16)]), "in other files"),
        (lambda file: file.__setitem__("x", h5py.ExternalLink("/etc/x.h5", "/x")), "links that lead out"),
        (lambda file: file.__setitem__("x", h5py.SoftLink("/layer")), "links that lead out"),
        (lambda file: file.create_dataset("x", (4,), h5py.string_dtype()), "something else than numbers"),
        (lambda file: file.__setitem__("x", np.array([1.0, np.nan], np.float16)), r"not finite \(/x\)"),
        (lambda file: file.__setitem__("x", np.full((3, 5), -np.inf)), r"not finite \(/x\)"),
        (lambda file: file.__setitem__("x", np.float64(1e300)), r"not finite \(/x\)"),
    ],
)
def test_weights_that_are_not_plain_whole_and_finite_are_refused(change: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=why) as error:
        check_weights(write(tmp_path / "x.weights.h5", change))
    assert one_line(error).startswith("x.weights.h5")


def test_groups_within_themselves_end(tmp_path: Path) -> None:
    path = write(tmp_path / "x.weights.h5", lambda file: file["layer"].__setitem__("again", file["/"]))
    assert check_weights(path) == Stored(64, 1)


def archive(name: str, header: dict[str, Any], content: bytes, packed: bool = False) -> bytes:
    buffer = io.BytesIO()
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(array, header)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
        file.writestr(name, array.getvalue() + content)
    return buffer.getvalue()


def test_archives_hold_what_their_headers_say() -> None:
    plain = {"descr": "<f4", "fortran_order": False, "shape": (1 << 16,)}
    zeros = bytes(4 << 16)
    np.testing.assert_array_equal(read_arrays(archive("x.npy", plain, zeros))["x"], np.zeros(1 << 16, np.float32))
    for header, packed, why in (
        ({**plain, "shape": (10**12,)}, False, "declares more than it stores"),
        (plain, True, "declares more than it stores"),
        ({**plain, "descr": "|O"}, False, "objects, which may be code"),
    ):
        with pytest.raises(ValueError, match=why) as error:
            read_arrays(archive("x.npy", header, zeros, packed))
        one_line(error)
    with pytest.raises(ValueError, match="no archive of arrays"):
        read_arrays(b"not a zip file")


def test_what_is_larger_than_what_was_stored_is_not_built() -> None:
    dense = keras.layers.Dense(1 << 20)
    with pytest.raises(ValueError, match="more than 2 times the 64 bytes"), built_within(Stored(64, 1)):
        dense.build((None, 1 << 20))  # 4 TiB
    with pytest.raises(ValueError, match="more than 510 layers"), built_within(Stored(64, 1)):
        [keras.layers.ReLU() for _ in range(1000)]
    image = np.zeros((1, 256, 256, 1), np.float32)
    with pytest.raises(ValueError, match=r"it makes \(1, 256, 256, 16384\)"), built_within(Stored(1 << 20, 1)):
        keras.layers.Conv2D(1 << 14, 1)(image)
    assert check_lengths({"seed": 2**31, "widths": [1 << 16], "trainable": True}, Stored(64, 1)) is None
    with pytest.raises(ValueError, match="it asks for 65569 of something, and only 64 bytes"):
        check_lengths({"widths": [1, (1 << 16) + 33]}, Stored(64, 1))


def test_twice_what_was_stored_is_built_and_afterwards_anything_is() -> None:
    rows = (3 << 20) // 4
    with built_within(Stored(4 * rows, 1)):
        keras.layers.Dense(2, use_bias=False).build((None, rows))
    keras.layers.Dense(8, use_bias=False).build((None, rows))


def test_other_threads_build_what_they_like_meanwhile() -> None:
    built: list[bool] = []

    def build() -> None:
        layer = keras.layers.Dense(1024)
        layer.build((None, 1024))
        built.append(layer.built)

    with built_within(Stored()):
        thread = threading.Thread(target=build)
        thread.start()
        thread.join()
    assert built == [True]


def test_safe_mode_is_on_inside_whatever_is_set() -> None:
    text = json.dumps(keras.saving.serialize_keras_object(keras.layers.Lambda(lambda x: x)))
    with safe_mode():  # What is set within it ends with it.
        keras.config.enable_unsafe_deserialization()
        assert keras.saving.deserialize_keras_object(json.loads(text)) is not None
        with built_within(Stored(1 << 20, 9)), pytest.raises(ValueError, match="safe_mode=False"):
            keras.saving.deserialize_keras_object(json.loads(text))
        assert keras.saving.deserialize_keras_object(json.loads(text)) is not None
