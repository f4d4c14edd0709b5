"""The terminal: whether there is one, and what may be written to it."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final, Literal, TypeAlias

from rich.console import Console

from asyncflow._plan import shaped

ProgressOption: TypeAlias = Literal["auto", "live", "plain", "off"]
"""How progress is shown; `auto` is live on a terminal and plain elsewhere."""

_LONGEST: Final = 1000
"""Characters of a message that is shown on one line."""


def shown(text: str) -> str:
    """Returns text of users on one line, without anything that could command a terminal."""
    line = " ".join(text.split())
    return shaped(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…")


def message_of(error: BaseException | None) -> str:
    """Returns what an exception says, on one line; one that cannot be asked says nothing."""
    try:
        return shown(str(error))
    except Exception:  # noqa: BLE001 — exceptions of users may do anything when they are asked
        return "(its message cannot be read)"


def is_live() -> bool:
    """Says whether progress is shown in place: on a terminal, and not in CI, nor with NO_COLOR or a dumb TERM."""
    if os.environ.get("NO_COLOR") or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stdout.isatty() and sys.stderr.isatty()


def error_console() -> Console:
    """Returns the console on stderr, where everything but results goes."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def write_result(text: str) -> None:
    """Writes a result to stdout; a reader that has gone away is no error."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        null = os.open(os.devnull, os.O_WRONLY)
        with contextlib.suppress(OSError, ValueError):
            os.dup2(null, sys.stdout.fileno())  # so that Python does not complain when it flushes at its end
        os.close(null)


def make_safe() -> None:
    """Lets characters that an old encoding lacks be written as their numbers instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
