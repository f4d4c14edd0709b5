"""Ctrl-C and SIGTERM while a run goes on: the first ends the run and waits, the second leaves what still runs behind.

The second is obeyed in the signal handler itself, since an op that blocks the loop is one reason to press twice. It
ends the process without any clean-up: a thread that does not end would keep an ordinary exit waiting for ever.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_NAMES: Final = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Interrupts:
    """Catches signals as long as it is entered; on threads other than the main one it catches none.

    Args:
        first: Called on the loop for the first signal.
        last_words: Gives what to say to stderr when the process is left; must not fail, nor wait.
    """

    def __init__(self, first: Callable[[], object], last_words: Callable[[], str]) -> None:
        self._first = first
        self._last_words = last_words
        self._loop = asyncio.get_running_loop()
        self._before: dict[signal.Signals, Any] = {}
        self.caught: int | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for one in _SIGNALS:
                if signal.getsignal(one) is not signal.SIG_IGN:  # as `nohup` and `&` in scripts want it
                    self._before[one] = signal.signal(one, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)

    @property
    def reason(self) -> str:
        """What people call the signal that was caught."""
        return "" if self.caught is None else _NAMES[signal.Signals(self.caught)]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.caught is None:
            self.caught = number
            self._loop.call_soon_threadsafe(self._first)
            return
        try:
            os.write(2, self._last_words().encode("utf-8", "backslashreplace"))
        finally:
            os._exit(128 + number)
