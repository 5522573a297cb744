"""Numbers as text and images as `data:` addresses."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
from PIL import Image

__all__ = [
    "MISSING",
    "finite",
    "format_range",
    "format_value",
    "image_uri",
    "montage",
    "number",
    "png_image",
    "unit_suffix",
]

MISSING = "\u2013"
LOSSLESS_UP_TO = 96  # pixels; larger images are kept at a quality where no difference can be seen


def number(value: Any) -> float | None:
    """A number from JSON or CSV; `None` where there is none. NaN and infinities stay what they are."""
    if value is None or isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def finite(value: Any) -> float | None:
    """A number that can be drawn, or `None`."""
    converted = number(value)
    return converted if converted is not None and math.isfinite(converted) else None


def format_value(value: Any, unit: str = "number") -> str:
    """A number for people, three significant digits, without its unit except for percentages.

    Args:
        value: Anything; what is no number gives `MISSING`, what is not finite "not finite".
        unit: "share" (of 1, shown in percent), "count", or anything else for plain numbers.
    """
    converted = number(value)
    if converted is None:
        return MISSING
    if not math.isfinite(converted):
        return "not finite"
    if unit == "share":
        return f"{100 * converted:.1f}%"
    if unit == "count":
        for size, letter in ((1e9, " G"), (1e6, " M")):
            scaled = converted / size
            if round(abs(scaled), 3) >= 1:
                return f"{scaled:.3g}{letter}" if abs(scaled) < 999 else f"{scaled:,.0f}{letter}"
        return f"{converted:,.0f}"
    if converted == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(converted)))
    if magnitude < -4 or magnitude > 11:
        return f"{converted:.2e}"
    return f"{converted:,.{max(0, 2 - magnitude)}f}"


def format_range(low: Any, high: Any, unit: str = "number") -> str:
    """ "58.1-66.0%", with a dash; empty where an end is missing or both read alike."""
    if finite(low) is None or finite(high) is None:
        return ""
    first, last = format_value(low, unit), format_value(high, unit)
    return "" if first == last else f"{first.removesuffix('%')}\u2013{last}"


def unit_suffix(unit: str) -> str:
    """What a column head says after its label: milliseconds and megabytes; other units need no word."""
    return {"ms": " (ms)", "MB": " (MB)"}.get(unit, "")


def image_uri(pixels: np.ndarray) -> str:
    """An image as a `data:` address, WebP.

    Args:
        pixels: uint8 `(H, W, 3)` or `(H, W, 4)`.
    """
    return _webp_uri(pixels, lossless=max(pixels.shape[:2]) <= LOSSLESS_UP_TO)


def montage(images: np.ndarray) -> dict[str, Any]:
    """Several images as one, near a square, with transparent gaps.

    Args:
        images: uint8 `(N, H, W, 3)`.

    Returns:
        `uri`, `width`, `height` (pixels) and `columns`.
    """
    count, height, width, _ = images.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    gap = max(1, width // 32)
    sheet = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    for position, image in enumerate(images):
        top, left = position // columns * (height + gap), position % columns * (width + gap)
        sheet[top : top + height, left : left + width, :3] = image
        sheet[top : top + height, left : left + width, 3] = 255
    uri = _webp_uri(sheet, lossless=max(height, width) <= LOSSLESS_UP_TO)
    return {"uri": uri, "width": sheet.shape[1], "height": sheet.shape[0], "columns": columns}


def png_image(data: bytes) -> dict[str, Any]:
    """PNG bytes as `uri`, `width` and `height`.

    Raises:
        ValueError: If the bytes are no PNG.
    """
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 24:
        raise ValueError(f"A grid is the bytes of a PNG file; got {len(data)} bytes that start with {data[:8]!r}.")
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    return {"uri": "data:image/png;base64," + base64.b64encode(data).decode(), "width": width, "height": height}


def _webp_uri(pixels: np.ndarray, *, lossless: bool) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=lossless, quality=100 if lossless else 92, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
