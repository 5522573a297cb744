"""Images that say what they are: what drew them, from which caption and seed, and that a machine did."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import keras_t2i
from keras_t2i.core.printable import spaced

__all__ = ["MAX_PROMPT", "inspect", "itxt_chunk", "png", "provenance", "recorded", "source_chunk"]

KEYWORD = "keras_t2i"
XMP_KEYWORD = "XML:com.adobe.xmp"
MAX_PROMPT = 500
"""Characters of a caption that are recorded; more are cut."""

_SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_XMP = (
    '<?xpacket begin="\N{ZERO WIDTH NO-BREAK SPACE}" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    "<Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)


def provenance(
    model: str,
    prompt: str | None = None,
    seed: int = 0,
    index: int = 0,
    truncation: float = 1.0,
    grid: Sequence[str] | None = None,
    asked: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What is recorded of an image, in the order in which it is written.

    Args:
        model: The model's `fingerprint()`.
        prompt: The caption, of which `MAX_PROMPT` characters are recorded, control characters as spaces; `None` to
            leave it out.
        seed: The seed of the noise.
        index: The image's number in the call that drew it.
        truncation: The factor on the noise.
        asked: What else decided what was drawn, by name, where it was not left to the model.
        grid: Of a picture that shows several images: the files beside it that hold them one by one.
    """
    text = {} if prompt is None else {"prompt": spaced(prompt[:MAX_PROMPT])}
    by = {"model": model, "generator": f"keras_t2i {keras_t2i.__version__}"}
    several = {} if grid is None else {"grid": list(grid)}
    return {**text, "seed": seed, "index": index, "truncation": truncation, **(asked or {}), **by, **several}


def png(image: np.ndarray | Image.Image, facts: dict[str, Any], composite: bool = False) -> bytes:
    """A PNG file of an image, with what is to be recorded.

    It has two iTXt chunks: `keras_t2i` holds the facts as JSON, `XML:com.adobe.xmp` the digital source type of the
    IPTC for media made by a trained model, or with real images among them.

    Args:
        image: A Pillow image, or uint8 of shape `(H, W, 3)`.
        facts: Of `provenance`, or others that JSON can hold.
        composite: Whether parts of it are real images, as in a grid of both.
    """
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    info = PngInfo()
    info.add_itxt(KEYWORD, json.dumps(facts, ensure_ascii=False))
    info.add_itxt(XMP_KEYWORD, xmp(composite))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


def xmp(composite: bool = False) -> str:
    """The XMP packet with the IPTC digital source type."""
    kind = "compositeWithTrainedAlgorithmicMedia" if composite else "trainedAlgorithmicMedia"
    return _XMP.format(source=_SOURCES + kind)


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads what an image records of its origin.

    Returns:
        The facts that `provenance` lists, as far as they are there, and `digital_source_type`, the last part of the
        IPTC's address.

    Raises:
        ValueError: if the file is no image, or records nothing of this kind.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            text = dict(getattr(image, "text", {}))
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{str(Path(path))!r} is no PNG image that can be read.") from error
    kind = str(text.get(XMP_KEYWORD, "")).partition(_SOURCES)[2].partition("<")[0]
    try:
        facts = json.loads(text[KEYWORD])
        if not isinstance(facts, dict):
            raise ValueError
    except (KeyError, ValueError):
        facts = {}
    if not facts and not kind:
        raise ValueError(f"{str(Path(path))!r} does not say where it comes from: it was not drawn by keras_t2i.")
    return {**facts, "digital_source_type": kind or None}


def recorded(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The facts that a PNG file records before its pixels, which are not read; none of any other file."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            facts = json.loads(image.info.get(KEYWORD, "{}"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return {}
    return facts if isinstance(facts, dict) else {}


def itxt_chunk(keyword: str, text: bytes) -> bytes:
    """A whole PNG chunk of international text, uncompressed, without language."""
    data = b"iTXt" + itxt_start(keyword) + text
    return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


def itxt_start(keyword: str) -> bytes:
    """What stands before the text in such a chunk."""
    return keyword.encode("latin-1") + b"\0\0\0\0\0"


def source_chunk(composite: bool = False) -> bytes:
    """The chunk with the digital source type."""
    return itxt_chunk(XMP_KEYWORD, xmp(composite).encode())
