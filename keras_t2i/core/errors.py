"""What to tell of an error, in one line."""

from __future__ import annotations

import re

__all__ = ["reason"]

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_KERAS_PREFIX = "Exception encountered when calling"


def reason(error: BaseException) -> str:
    """The line of a message that says why.

    It is the first one; or the next, where Keras has put before it in which layer it happened; or the name of the
    error, where it has no message.
    """
    lines = [_ANSI.sub("", line).strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line]
    if len(lines) > 1 and lines[0].startswith(_KERAS_PREFIX):
        lines = lines[1:]
    return lines[0] if lines else type(error).__name__
