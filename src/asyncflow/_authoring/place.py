"""Places: file and line of the user's call, found by walking out of asyncflow's own frames."""

from __future__ import annotations

import sys
from types import FrameType, TracebackType
from typing import Final, TypeAlias

Place: TypeAlias = tuple[str, int]
"""A file and a line in it."""

NOWHERE: Final[Place] = ("", 0)

frame_above: Final = sys._getframe  # pyright: ignore[reportPrivateUsage]  # the only way to a frame, and documented


def user_frame() -> FrameType | None:
    """Returns the innermost frame that is not asyncflow's own."""
    frame: FrameType | None = frame_above(1)
    while frame is not None and _is_own(frame):
        frame = frame.f_back
    return frame


def user_place() -> Place:
    """Returns where the user's code stands now."""
    frame = user_frame()
    return NOWHERE if frame is None else (frame.f_code.co_filename, frame.f_lineno)


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


def _is_own(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__", "")
    return isinstance(name, str) and (name == "asyncflow" or name.startswith("asyncflow."))
