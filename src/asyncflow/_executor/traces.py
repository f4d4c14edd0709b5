"""Tracebacks as users want them: their own frames, and a note that says which op it was."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_HOME: Final = str(Path(__file__).resolve().parent)


def trimmed(error: Exception) -> Exception:
    """Removes the executor's frames from the start of an exception's traceback."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_HOME):
        trace = trace.tb_next
    return error if trace is None else error.with_traceback(trace)


def noted(error: Exception, key: str) -> None:
    """Notes on an exception which op raised it, once for each op."""
    note = f"asyncflow: op {key}, attempt 1"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
