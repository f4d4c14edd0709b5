"""The frames that cross the pipe: a letter for the kind, eight bytes for the length, then the content."""

from __future__ import annotations

import struct
from typing import Final

HEADER: Final = struct.Struct(">cQ")

PREPARE: Final = b"P"
"""To a worker: how to become like its parent (paths, main module)."""
CALL: Final = b"C"
"""To a worker: call this."""
READY: Final = b"R"
"""From a worker: prepared."""
UNFIT: Final = b"U"
"""From a worker: it could not be prepared, and ends. The traceback."""
GAVE: Final = b"G"
"""From a worker: what the function returned."""
RAISED: Final = b"X"
"""From a worker: what the function raised, with its causes and the traceback."""
UNSENDABLE: Final = b"N"
"""From a worker: the function returned something that cannot be sent. The type and the reason."""
LOST: Final = b"L"
"""From a worker: the call could not be unpacked, or its function not be found. The traceback."""
TOLD: Final = b"T"
"""From a worker, while the function runs: it told something."""


def framed(kind: bytes, content: bytes) -> bytes:
    """Returns a frame."""
    return HEADER.pack(kind, len(content)) + content
