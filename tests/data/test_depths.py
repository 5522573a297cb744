"""Images with more than 8 bits a channel: bright enough to be seen, alike within a set, and told of."""

from __future__ import annotations

import io
import json
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keras_t2i.data import check_folder, from_folder
from keras_t2i.data.images import Reading, decode_image, window

SIZE = 16
GRAY, COLOR, GRAY_ALPHA, COLOR_ALPHA = 0, 2, 4, 6


def png(values: np.ndarray, kind: int, transparent: Sequence[int] = ()) -> bytes:
    """A PNG file with 16 bits a channel."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    keyed = chunk(b"tRNS", b"".join(struct.pack(">H", each) for each in transparent)) if transparent else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + keyed
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def tiff(values: np.ndarray, order: str) -> bytes:
    """A TIFF file of colors with 16 bits a channel."""
    height, width, channels = values.shape
    pixels = values.astype(f"{order}u2").tobytes()
    fields = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, 8), (259, 3, 1, 1), (262, 3, 1, 2)]
    fields += [(273, 4, 1, 16), (277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(pixels))]
    table = struct.pack(f"{order}H", len(fields))
    for tag, kind, count, value in fields:
        short = kind == 3 and count == 1
        table += struct.pack(f"{order}HHI", tag, kind, count) + struct.pack(
            f"{order}HH" if short else f"{order}I", *((value, 0) if short else (value,))
        )
    magic = b"II*\0" if order == "<" else b"MM\0*"
    head = magic + struct.pack(f"{order}I", 16 + len(pixels)) + struct.pack(f"{order}HHHH", 16, 16, 16, 0)
    return head + pixels + table + b"\0\0\0\0"


def saved(values: np.ndarray, kind: str = "TIFF") -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


def read(content: bytes, **how: Any) -> np.ndarray:
    return decode_image(io.BytesIO(content), SIZE, Reading(**how)).pixels.astype(int)


def ramp(highest: float, dtype: Any = np.uint16, lowest: float = 0) -> np.ndarray:
    return np.linspace(lowest, highest, SIZE * SIZE).reshape(SIZE, SIZE).astype(dtype)


SEEN = np.broadcast_to(ramp(255)[..., None], (SIZE, SIZE, 3))
"""The ramp from black to white as it should be read."""


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize(
    "encode",
    [
        lambda values: png(values, GRAY),
        lambda values: saved(values),
        lambda values: png(values.repeat(3).reshape(SIZE, SIZE, 3), COLOR),
        lambda values: png(np.stack([values, np.full_like(values, 65535)], axis=-1), GRAY_ALPHA),
        lambda values: png(np.stack([values] * 3 + [np.full_like(values, 65535)], axis=-1), COLOR_ALPHA),
        lambda values: tiff(values.repeat(3).reshape(SIZE, SIZE, 3), "<"),
        lambda values: tiff(values.repeat(3).reshape(SIZE, SIZE, 3), ">"),
    ],
    ids=["gray PNG", "gray TIFF", "color PNG", "gray alpha PNG", "color alpha PNG", "TIFF", "big-endian TIFF"],
)
def test_a_ramp_of_fewer_than_16_bits_goes_from_black_to_white(encode: Any, bits: int) -> None:
    assert np.abs(read(encode(ramp(2**bits - 1))) - SEEN).max() <= 1


@pytest.mark.parametrize(
    "values",
    [
        ramp(1, np.float32),
        ramp(3.7, np.float32),
        ramp(1e-3, np.float32),
        ramp(3071, np.int32, -1024),
        ramp(20, np.uint16),
        ramp(2e9, np.int32),
    ],
    ids=["0 to 1", "heights", "tiny", "signed", "labels", "32 bits"],
)
def test_other_values_go_from_black_to_white(values: np.ndarray) -> None:
    assert (
        np.abs(
            read(saved(values))
            - 255.0 * (values - values.min()).astype(float)[..., None] / np.ptp(values.astype(float))
        ).max()
        <= 1
    )


def test_a_named_range_is_what_is_seen() -> None:
    pixels = read(saved(ramp(3071, np.int32, -1024)), intensity_range=(0, 255))
    values = ramp(3071, np.int32, -1024)
    np.testing.assert_array_equal(pixels[..., 0], values.clip(0, 255))


def test_a_bright_speck_does_not_darken_the_rest() -> None:
    values = ramp(4095).repeat(8, axis=0).repeat(8, axis=1)
    values[5, 7] = 65535
    assert np.abs(read(png(values, GRAY))[4:] - SEEN[4:]).max() <= 1


def test_transparency_by_value_is_laid_on_white() -> None:
    for kind, shape in ((GRAY, (SIZE, SIZE)), (COLOR, (SIZE, SIZE, 3))):
        values = np.full(shape, 30_000)
        values[:8] = 1000
        values[:8, :8] = 1001  # Alike in its high byte, and yet another value.
        pixels = read(png(values, kind, [1000] * (1 if kind == GRAY else 3)))
        assert pixels[:6, 10:].min() == 255
        assert pixels[:6, :6].max() < 10
        assert np.abs(pixels[10:] - 117).max() <= 1


def test_values_that_are_not_finite_do_no_harm() -> None:
    values = ramp(1, np.float32)
    values[3, 3], values[4, 4], values[5, 5] = np.nan, np.inf, -np.inf
    pixels = read(saved(values))
    assert pixels.min() <= 1
    assert np.abs(pixels[8:] - SEEN[8:]).max() <= 1
    with pytest.raises(ValueError, match="no finite value"):
        read(saved(np.full((4, 4), np.nan, np.float32)))


def test_a_window_is_one_for_all() -> None:
    assert window(np.asarray([[0, 300], [12, 4000]])) == (0, 4095)
    assert window(np.asarray([[0, 300], [-5, 4000]])) == (-5, 4000)
    assert window(np.asarray([[0.0, 0.9]])) == (0, 1)
    assert window(np.zeros((0, 2))) is None
    low, high = window(np.asarray([[-7, -7]]))
    assert low < high


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ramp of 12 bits, its half, which is darker, and a drawing of 8 bits."""
    path = tmp_path / "images"
    path.mkdir()
    for name, content in (
        ("bright", png(ramp(4095), GRAY)),
        ("dark", png(ramp(2047), GRAY)),
        ("plain", saved(ramp(255, np.uint8), "PNG")),
    ):
        (path / f"{name}.png").write_bytes(content)
        (path / f"{name}.txt").write_text(name)
    return path


def test_images_of_a_set_can_be_compared_and_the_range_is_said(folder: Path, tmp_path: Path) -> None:
    for _ in range(2):  # The second time of the cache.
        with pytest.warns(UserWarning, match="2 of 3 images .* values from 0 to 4095: in all of them 0 .* 4095 white"):
            images = from_folder(folder, SIZE, 2, validation_share=0, cache_dir=tmp_path / "cache")
    split = images.train_split
    pixels = {
        caption: split.pixels(np.asarray([number]))[0].astype(int) for number, caption in enumerate(split.captions)
    }
    assert np.abs(pixels["bright"] - SEEN).max() <= 1
    assert np.abs(pixels["dark"] - SEEN / 2).max() <= 1
    assert np.abs(pixels["plain"] - SEEN).max() <= 1

    report = check_folder(folder, SIZE, cache_dir=tmp_path / "cache")
    assert report.intensities == {"number": 2, "min": 0, "max": 4095, "black": 0, "white": 4095}
    assert "4095 white" in report.notices[0]
    json.dumps(report.as_dict())


def test_a_named_range_holds_for_the_set_and_nothing_more_is_said(folder: Path, tmp_path: Path) -> None:
    images = from_folder(folder, SIZE, 2, intensity_range=(0, 2047), validation_share=0, cache_dir=tmp_path / "cache")
    split = images.train_split
    dark = split.pixels(np.asarray([split.captions.index("dark")]))[0]
    assert np.abs(dark.astype(int) - SEEN).max() <= 1
    report = check_folder(folder, SIZE, intensity_range=(0, 2047), cache_dir=tmp_path / "cache")
    assert report.intensities == {"number": 2, "min": 0, "max": 4095, "black": 0, "white": 2047}
    assert not any("white" in notice for notice in report.notices)


@pytest.mark.parametrize("wrong", [(4095, 0), (0, 0), (0, float("inf")), (float("nan"), 1)])
def test_a_range_that_is_none_is_refused(folder: Path, wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="two numbers, the lower first"):
        from_folder(folder, SIZE, intensity_range=wrong)


# -- large images -----------------------------------------------------------------------------------------------------


def bare(width: int, height: int, bits: int, kind: int) -> bytes:
    """A PNG file of any size in which no pixels are."""
    content = bytearray(png(np.zeros((1, 1), np.uint16), kind))
    content[16:26] = struct.pack(">IIBB", width, height, bits, kind)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def icon(content: bytes) -> bytes:
    """An icon whose picture is a PNG, and said to be of 256 pixels."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(content), 22) + content


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "I;16", "RGB;16"])
def test_a_large_image_gets_the_pixels_that_it_has_whole(mode: str) -> None:
    height, width = 1601, 2003  # Of several strips, and no multiple of anything.
    values = np.random.default_rng(0).integers(0, 65_536, (height // 100 + 1, width // 100 + 1, 3)).astype(np.uint16)
    values = values.repeat(100, axis=0).repeat(100, axis=1)[:height, :width]
    eight = Image.fromarray((values / 257).round().astype(np.uint8))
    if mode == "RGB;16":
        whole, content = eight, png(values, COLOR)
    elif mode == "I;16":
        whole, content = Image.fromarray((values[..., 0] / 257).round().astype(np.uint8)), png(values[..., 0], GRAY)
    else:
        shown = eight.convert(mode)
        file = io.BytesIO()
        shown.save(file, "TIFF")
        whole, content = shown.convert("L" if mode in "1L" else "RGB"), file.getvalue()
    left = (width - height) // 2
    square = whole.crop((left, 0, left + height, height)).resize(
        (SIZE, SIZE), Image.Resampling.LANCZOS, reducing_gap=3.0
    )
    found = decode_image(io.BytesIO(content), SIZE, Reading(intensity_range=(0, 65_535)))
    np.testing.assert_array_equal(found.pixels, np.asarray(square.convert("RGB")))


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux tells it")
@pytest.mark.parametrize(("kind", "most"), [(COLOR, 12), (GRAY, 6)])
def test_a_deep_image_takes_little_more_memory_than_its_pixels(kind: int, most: float, tmp_path: Path) -> None:
    side = 3000
    shape = (side, side, 3) if kind == COLOR else (side, side)
    (tmp_path / "deep.png").write_bytes(png(np.full(shape, 40_000, np.uint16), kind))
    code = """
import re, sys
from pathlib import Path
from keras_t2i.data.images import decode_image
def memory(name): return 1024 * int(re.search(rf"{name}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = memory("VmRSS")
with open(sys.argv[1], "rb") as file:
    assert decode_image(file, 16).pixels.min() > 150
print((memory("VmHWM") - before) / 3000**2)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "deep.png")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(result.stdout) < most  # Bytes a pixel: twice four of color and a few strips; all at once it was 42.


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bare(9_000, 9_000, 8, COLOR), "takes 308 MiB to be decoded (81 megapixels), more than 192; make it smaller"),
        (bare(6_000, 6_000, 16, COLOR), "takes 274 MiB to be decoded (36 megapixels), more than 192; make it smaller"),
        (bare(12_000, 9_000, 8, GRAY), "108 megapixels, more than 100"),
        (icon(bare(12_000, 9_000, 8, COLOR)), "108 megapixels, more than 100"),
        (icon(bare(9_000, 9_000, 8, COLOR)), "takes 308 MiB to be decoded (81 megapixels), more than 192"),
    ],
    ids=["color", "deep color", "gray", "icon", "smaller icon"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_that_takes_too_much_memory_is_refused_before_it_is_decoded(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(reason)):
        decode_image(io.BytesIO(content), SIZE)


def test_what_takes_less_is_decoded_as_far_as_it_goes() -> None:
    with pytest.raises(ValueError, match=r"^(?!.*(MiB|megapixels))"):  # It has no pixels, and says so.
        decode_image(io.BytesIO(bare(9_000, 9_000, 8, GRAY)), SIZE)


def test_an_icon_that_is_a_png_has_its_pixels() -> None:
    file = io.BytesIO()
    Image.new("RGB", (300, 300), (10, 200, 90)).save(file, "PNG")
    found = decode_image(io.BytesIO(icon(file.getvalue())), SIZE)
    assert found.size == (300, 300)
    assert (found.pixels == (10, 200, 90)).all()
