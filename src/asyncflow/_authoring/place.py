"""Places: file and line of the user's call, found by walking out of asyncflow's own frames."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, TypeAlias

Place: TypeAlias = tuple[str, int]
"""A file and a line in it."""

NOWHERE: Final[Place] = ("", 0)

frame_above: Final = sys._getframe  # pyright: ignore[reportPrivateUsage]  # the only way to a frame, and documented


_HOME: Final = str(Path(__file__).parent.parent) + os.sep
_LIBRARIES: Final = tuple(
    [sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")]
)


def user_frame() -> FrameType | None:
    """Returns the innermost frame that is not asyncflow's own."""
    frame: FrameType | None = frame_above(1)
    while frame is not None and frame.f_code.co_filename.startswith(_HOME):
        frame = frame.f_back
    return frame


def user_place() -> Place:
    """Returns where the user's code stands now."""
    frame = user_frame()
    return NOWHERE if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def blamed_place() -> Place:
    """Returns where the user's code stands, past libraries that were handed a promise, such as `json`."""
    innermost = frame = user_frame()
    while frame is not None and frame.f_code.co_filename.startswith((_HOME, "<frozen ", *_LIBRARIES)):
        frame = frame.f_back
    found = frame or innermost
    return NOWHERE if found is None else (found.f_code.co_filename, found.f_lineno)


def last_place(trace: TracebackType | None, file: str) -> Place:
    """Returns the deepest place in `file` that an exception came through."""
    found = NOWHERE
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            found = (file, trace.tb_lineno)
        trace = trace.tb_next
    return found


def told(place: Place) -> str:
    """Returns a place as messages show it."""
    return f"{place[0]}:{place[1]}" if place[1] else "an unknown place"
