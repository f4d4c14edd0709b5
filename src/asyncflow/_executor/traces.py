"""Tracebacks as users want them: their own frames, and a note that says which op it was.

An exception is the user's object. It may be frozen, refuse notes, or answer `==` with an error, and whatever it does
here would hit the scheduler, not the op. So nothing of its own is called: the traceback is set, and the note kept,
with what `BaseException` itself has. A note that has no place is dropped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, cast

_HOME: Final = str(Path(__file__).resolve().parent)
_traceback: Final[Any] = BaseException.__dict__["__traceback__"]
_attributes: Final[Any] = BaseException.__dict__["__dict__"]
_NOTES: Final = "__notes__"


def trimmed(error: Exception) -> Exception:
    """Removes the executor's frames from the start of an exception's traceback."""
    trace = _traceback.__get__(error)
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_HOME):
        trace = trace.tb_next
    if trace is not None:
        _traceback.__set__(error, trace)
    return error


def noted(error: Exception, note: str) -> None:
    """Notes something on an exception, once; one whose notes are no list keeps none."""
    own: dict[str, object] = _attributes.__get__(error)
    notes = own.get(_NOTES)
    if notes is None:
        if not any(_NOTES in kind.__dict__ for kind in type(error).__mro__):
            own[_NOTES] = [note]
    elif type(notes) is list:
        kept = cast("list[object]", notes)
        if not any(type(one) is str and one == note for one in kept):
            kept.append(note)
