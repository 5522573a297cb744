"""Image files that were damaged on purpose, and what `data check` says of each: valid, or named with a reason.

    python examples/benchmarks/broken_images.py --number 200

Every format that Pillow writes takes its turn, and every damage. Each damaged file lies in a folder with a good one,
and is checked twice, with cold caches, in a process of its own whose seconds and peak memory are measured; last, all of
them lie in one folder. It should be used, or skipped with a reason in one line, and the same both times, within 30
seconds and 1 GiB. It takes some minutes, on Linux. `--keep DIR` keeps the files. What to expect:
`examples/results/damage.md`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import select
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SECONDS, MEBIBYTES, GIVEN_UP = 30, 1024, 120
SIZE = (57, 43)
Content = Callable[[random.Random], bytes]
Damage = Callable[[bytes, random.Random], bytes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="directory for the files, which is made")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
    elif options.keep:
        print(table(measure(options.number, options.keep.resolve(), options.seed)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            print(table(measure(options.number, Path(folder), options.seed)))


# -- whole files --------------------------------------------------------------------------------------------------


def pixels(mode: str, size: tuple[int, int] = SIZE) -> Image.Image:
    """A picture with edges, gradients and noise, in any mode."""
    width, height = size
    noise = np.random.default_rng(0).integers(0, 60, (height, width, 4))
    values = noise + np.linspace(0, 190, width)[None, :, None] * np.array([1, 0.5, 0.2, 1])
    image = Image.fromarray(values.astype(np.uint8), "RGBA")
    if mode in ("I;16", "F"):
        return Image.fromarray((values[..., 0] * 200).astype(np.uint16 if mode == "I;16" else np.float32))
    return image.convert("RGB").convert(mode) if mode in ("1", "CMYK", "P") else image.convert(mode)


def of(kind: str, mode: str = "RGB", frames: int = 1, **options: Any) -> Content:
    def content(draw: random.Random) -> bytes:
        others = [pixels(mode).rotate(90 * number) for number in range(1, frames)]
        several = {"save_all": True, "append_images": others} if others else {}
        return saved(pixels(mode), kind, **several, **options)

    return content


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def deep_png(draw: random.Random, size: tuple[int, int] = SIZE, channels: int = 3) -> bytes:
    """A PNG of 16 bits a channel, which Pillow does not write: RGB, or RGBA."""
    width, height = size
    packer = zlib.compressobj(1)
    lines = b"".join(packer.compress(bytes(1 + 2 * channels * width)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in ((b"IHDR", header), (b"IDAT", lines), (b"IEND", b""))
    )


def deep_ppm(draw: random.Random) -> bytes:
    return b"P6 %d %d 65535\n" % SIZE + draw.randbytes(6 * SIZE[0] * SIZE[1])


def looping_exif(kind: str) -> Content:
    """EXIF whose directory names itself as the next one, and as the one of the camera."""
    entries = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHII", 0x8769, 4, 1, 8)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + struct.pack("<I", 8)
    return lambda draw: saved(pixels("RGB"), kind, exif=exif)


def icon_of(inner: Content) -> Content:
    """An icon whose only picture is a PNG of any size."""

    def content(draw: random.Random) -> bytes:
        data = inner(draw)
        return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(data), 22) + data

    return content


def plain(kind: str, mode: str, width: int, height: int, **options: Any) -> Content:
    """A large picture of one color, which is a small file."""
    return lambda draw: saved(Image.new(mode, (width, height)), kind, **options)


FORMATS: dict[str, tuple[Content, ...]] = {
    "png": (
        *(of("PNG", mode) for mode in ("RGB", "RGBA", "P", "L", "LA", "1", "I;16")),
        *(of("PNG", "P", transparency=3), of("PNG", frames=3), deep_png, looping_exif("PNG")),
    ),
    "jpg": (of("JPEG"), of("JPEG", "L"), of("JPEG", "CMYK"), of("JPEG", progressive=True), looping_exif("JPEG")),
    "mpo.jpg": (of("MPO", frames=3),),
    "gif": (of("GIF", "P"), of("GIF", "P", transparency=1), of("GIF", "P", frames=4)),
    "webp": (of("WEBP"), of("WEBP", "RGBA", lossless=True), of("WEBP", frames=3), looping_exif("WEBP")),
    "avif": (of("AVIF"), of("AVIF", "RGBA"), of("AVIF", frames=3)),
    "jp2": (of("JPEG2000"), of("JPEG2000", "L"), of("JPEG2000", "I;16")),
    "tif": (
        *(of("TIFF", mode) for mode in ("RGB", "RGBA", "CMYK", "P", "1", "I;16", "F")),
        *(of("TIFF", compression=name) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")),
        *(of("TIFF", frames=3), looping_exif("TIFF")),
    ),
    "bmp": (of("BMP"), of("BMP", "P"), of("BMP", "1"), of("DIB")),
    "ico": (of("ICO", "RGBA", sizes=[(32, 32), (16, 16)]), of("ICO", bitmap_format="bmp"), icon_of(of("PNG"))),
    "pcx": (of("PCX"), of("PCX", "P"), of("PCX", "1")),
    "ppm": (of("PPM"), deep_ppm),
    "pgm": (of("PPM", "L"), of("PPM", "1")),
    "qoi": (of("QOI"), of("QOI", "RGBA")),
    "tga": (of("TGA"), of("TGA", "RGBA", compression="tga_rle"), of("TGA", "P", compression="tga_rle")),
    "not read": (
        *(of(kind) for kind in ("EPS", "PDF", "DDS", "IM", "SGI", "SPIDER")),
        *(of("ICNS", "RGBA"), of("MSP", "1"), of("XBM", "1"), of("BLP", "P"), of("PALM", "1")),
    ),
}
"""How files of each format are made, by the end of their name."""

LARGE: dict[str, tuple[Content, ...]] = {
    "png": (
        *(plain("PNG", mode, 7000, 7000) for mode in ("RGB", "LA", "RGBA")),
        *(plain("PNG", mode, 9990, 9990) for mode in ("RGB", "1")),
        *(plain("PNG", "P", 9990, 9990, transparency=0), plain("PNG", "I;16", 9990, 9990)),
        *(plain("PNG", "L", 30_000, 30_000), lambda draw: deep_png(draw, (5000, 5000))),
        *(lambda draw: deep_png(draw, (9990, 9990), 4), lambda draw: deep_png(draw, (3000, 8000))),
    ),
    "jpg": (plain("JPEG", "RGB", 9990, 9990, progressive=True), plain("JPEG", "RGB", 65_000, 1500)),
    "gif": (plain("GIF", "P", 9990, 9990), plain("GIF", "P", 30_000, 30_000)),
    "webp": (plain("WEBP", "RGB", 3500, 3500, lossless=True), plain("WEBP", "RGB", 9990, 9990, method=0)),
    "avif": (plain("AVIF", "RGB", 4400, 4400, speed=10), plain("AVIF", "RGB", 9000, 6000, speed=10)),
    "jp2": (plain("JPEG2000", "L", 5000, 5000), plain("JPEG2000", "RGB", 5000, 5000)),
    "tif": (
        *(plain("TIFF", mode, 9990, 9990, compression="tiff_adobe_deflate") for mode in ("RGB", "CMYK", "1", "F")),
    ),
    "bmp": (plain("BMP", "1", 9990, 9990),),
    "ico": (icon_of(plain("PNG", "RGB", 13_000, 13_000)), icon_of(plain("PNG", "RGB", 40_000, 40_000))),
    "tga": (plain("TGA", "RGB", 9990, 9990, compression="tga_rle"),),
    "pcx": (plain("PCX", "P", 9990, 9990),),
    "qoi": (plain("QOI", "RGB", 5300, 5300), plain("QOI", "RGB", 9990, 9990)),
}
"""Whole pictures that unpack to what is just allowed, and to more."""


# -- damages ------------------------------------------------------------------------------------------------------


def cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def bits(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.randint(1, 12)):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def header(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        changed[draw.randrange(min(64, len(changed)))] = draw.randrange(256)
    return bytes(changed)


def sizes(content: bytes, draw: random.Random) -> bytes:
    """Another width or height wherever the header has it, and right checksums where a PNG has such."""
    changed = content[:1024]
    for side in draw.sample(SIZE, draw.randint(1, 2)):
        new = draw.choice((0, 1, 5, 58, 300, 5000, 20_000, 65_535, 10_000_000))
        for code in (">H", "<H") if new < 65_536 and not content.startswith(b"\x89PNG") else (">I", "<I"):
            changed = changed.replace(struct.pack(code, side), struct.pack(code, new))
        changed = changed.replace(b"%d" % side, b"%d" % new)
    if content.startswith(b"\x89PNG"):
        changed = changed[:29] + struct.pack(">I", zlib.crc32(changed[12:29])) + changed[33:]
    return changed + content[1024:]


def repeated(content: bytes, draw: random.Random) -> bytes:
    start, length = draw.randrange(len(content)), draw.randint(1, 200)
    return content[: start + length] + content[start : start + length] * draw.randint(1, 30) + content[start + length :]


def garbage(content: bytes, draw: random.Random) -> bytes:
    return content + draw.randbytes(draw.randint(1, 5000))


def zeros(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content))
    lost = len(content[start : start + draw.randint(1, 512)])
    return content[:start] + bytes(lost) + content[start + lost :]


def extremes(content: bytes, draw: random.Random) -> bytes:
    """A field of two or four bytes, at the front, at its least or at its most."""
    changed, length = bytearray(content), draw.choice((2, 4))
    start = draw.randrange(min(400, len(changed)))
    changed[start : start + length] = draw.choice((b"\0", b"\xff", b"\x7f"))[:1] * length
    return bytes(changed)


def missing(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content))
    return content[:start] + content[start + draw.randint(1, 300) :]


def nothing(content: bytes, draw: random.Random) -> bytes:
    return draw.choice((b"", content[:1], b"\0" * len(content), draw.randbytes(len(content))))


def as_it_is(content: bytes, draw: random.Random) -> bytes:
    return content


DAMAGES: dict[str, Damage] = {
    "cut off": cut,
    "bits": bits,
    "header": header,
    "sizes": sizes,
    "repeated": repeated,
    "garbage behind": garbage,
    "zeros": zeros,
    "extreme fields": extremes,
    "part missing": missing,
    "nothing of it left": nothing,
    "another name": as_it_is,
    "large": as_it_is,
}


def broken(number: int, seed: int, large: bool = True) -> tuple[str, str, str, bytes]:
    """Format, damage, file name and content of a damaged file."""
    kind = list(FORMATS)[number % len(FORMATS)]
    names = [name for name in DAMAGES if name != "large" or (large and kind in LARGE)]
    damage = names[(number + number // len(FORMATS)) % len(names)]
    draw = random.Random(f"{seed} {number}")
    contents = LARGE[kind] if damage == "large" else FORMATS[kind]
    end = draw.choice(list(FORMATS)[:-1]) if damage == "another name" or kind == "not read" else kind
    return kind, damage, f"{number:04d}.{end}", DAMAGES[damage](draw.choice(contents)(draw), draw)


# -- what becomes of them -----------------------------------------------------------------------------------------


def measure(number: int, directory: Path, seed: int = 0, large: bool = True) -> list[dict[str, Any]]:
    """For each damaged file what came of it; last, for all of them in one folder."""
    good = saved(pixels("RGB"), "PNG")
    everything, checker = [("good.png", good)], Checker()
    results: list[dict[str, Any]] = []
    for place in range(number):
        with warnings.catch_warnings(action="ignore"):
            kind, damage, name, content = broken(place, seed, large)
        everything.append((name, content))
        folder = write(directory / f"{place:04d}", [("good.png", good), (name, content)])
        results.append({"format": kind, "damage": damage, **judged(checker(folder), folder)})
        print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    checker.close()
    folder, checker = write(directory / "all", everything), Checker()
    together = judged(checker(folder), folder)
    checker.close()
    if together["told"]:
        own = [result["told"] for result in results]
        told = [together["told"].get(str(line)) for line in range(2, number + 2)]
        together["same"] &= all((one is None) == (other.get("2") is None) for one, other in zip(told, own, strict=True))
    return [*results, {"format": "all in one folder", "damage": "", **together}]


def write(folder: Path, files: list[tuple[str, bytes]]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files:
        (folder / name).write_bytes(content)
    rows = [json.dumps({"file_name": name, "text": f"picture {number}"}) for number, (name, _) in enumerate(files)]
    (folder / "metadata.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def judged(result: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A result with what is wrong with it, if anything is."""
    lines = len((folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines())
    told = result.get("told", {})
    reasons = {
        result["ended"]: result["ended"] != "report",
        "not the same twice": not result.get("same", True),
        "not all rows": result.get("used", 0) + len(told) != lines or result.get("seen") != lines,
        "the good one": "1" in told,
        "reason": any(not reason or not reason.isprintable() for reason in told.values()),
        f"{result['seconds']:.0f} s": result["seconds"] > SECONDS * (lines if lines > 2 else 1),
        f"{result['peak']:.0f} MiB": result["peak"] > MEBIBYTES,
    }
    wrong = [reason for reason, is_so in reasons.items() if is_so]
    return {"same": True, "used": 0, "told": {}, **result, "wrong": wrong}


class Checker:
    """A process that checks folders, one after the other; a new one where it has died or hangs."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, folder: Path) -> dict[str, Any]:
        process = self._process = self._process or subprocess.Popen(
            [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(os.fsencode(folder) + b"\n")
        process.stdin.flush()
        answers = select.select([process.stdout], [], [], GIVEN_UP * (10 if folder.name == "all" else 1))[0]
        line = process.stdout.readline() if answers else b""
        if line:
            return dict(json.loads(line))
        ended = "died" if answers else f"not within {GIVEN_UP} s"
        self.close()
        return {"ended": ended, "seconds": 0 if answers else GIVEN_UP, "peak": 0}

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None


def serve() -> None:
    """What the process of `Checker` does."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        folder = Path(os.fsdecode(line[:-1]))
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Forgets the peak of what was before.
        started = time.perf_counter()
        first, second = checked(folder), checked(folder)
        seconds = (time.perf_counter() - started) / 2
        status = Path("/proc/self/status").read_text(encoding="ascii")
        peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
        result = {**first, "same": first == second, "seconds": round(seconds, 2), "peak": round(peak)}
        print(json.dumps(result), file=answers, flush=True)


def checked(folder: Path) -> dict[str, Any]:
    """A check with a cold cache: rows seen, images used, the reason of each skipped line, and the report itself."""
    from keras_t2i.data import check_folder

    with tempfile.TemporaryDirectory() as cache:
        try:
            report = check_folder(folder, 32, cache_dir=cache)
        except Exception as error:
            return {"ended": f"{type(error).__name__}: {error}"[:300]}
        pixels = report.contents.records["pixels"]
        is_valid = pixels.dtype == np.uint8 and pixels.shape[1:] == (32, 32, 3)
        return {
            "ended": "report" if is_valid else "other pixels",
            "seen": report.num_rows,
            "used": report.num_images,
            "told": {str(row.line): row.reason for row in report.skipped},
            "crc": zlib.crc32(json.dumps(report.as_dict()).encode() + pixels.tobytes()),
        }


def table(results: list[dict[str, Any]]) -> str:
    """A row a format."""
    rows = [
        "| format | tried | used | named | otherwise | slowest | peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in dict.fromkeys(result["format"] for result in results):
        own = [result for result in results if result["format"] == kind]
        others = [f"{each['damage']}: {', '.join(each['wrong'])}" for each in own if each["wrong"]]
        named = sum(len(each["told"]) for each in own)
        used = sum(each["used"] - 1 for each in own if each["used"])
        rows.append(
            f"| {kind} | {len(own) if kind in FORMATS else len(results) - 1} | {used} | {named} "
            f"| {'; '.join(others) or 'none'} "
            f"| {max(each['seconds'] for each in own):.2f} s | {max(each['peak'] for each in own)} MiB |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
