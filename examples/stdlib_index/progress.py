"""Live progress from events: one line that updates on a terminal, a line now and then everywhere else.

The observer is called on the event loop for every event, so it counts and returns; it writes at most ten times a
second to a terminal, every two seconds to anything else.
"""

from __future__ import annotations

import math
import shutil
from typing import TextIO

from asyncflow import Event, OpBlocked, OpEnded, OpStarted, OpStatus, RunEnded, RunStarted

BAR = 12


class Progress:
    """Tells how far a run is.

    Args:
        stream: Where it writes.
        live: True to update one line in place; False for plain lines.
        stages: The ops that every file passes, in order, by the names their keys begin with.
    """

    def __init__(self, stream: TextIO, *, live: bool, stages: tuple[str, ...]) -> None:
        self._stream = stream
        self._live = live
        self._stages = stages
        self._every = 0.1 if live else 2.0
        self._seen: dict[str, set[str]] = {stage: set() for stage in stages}
        self._done = dict.fromkeys(stages, 0)
        self._failed = 0
        self._running: set[str] = set()
        self._began = 0.0
        self._told = -math.inf

    def __call__(self, event: Event) -> None:
        """Takes one event."""
        match event:
            case RunStarted(at=at):
                self._began = at
            case OpBlocked(key=key):
                self._see(key)
            case OpStarted(key=key):
                self._see(key)
                self._running.add(key)
            case OpEnded(key=key, status=status):
                stage = self._see(key)
                self._running.discard(key)
                self._failed += status is OpStatus.FAILED
                if stage in self._done:
                    self._done[stage] += 1
            case RunEnded(at=at):
                self._tell(at, last=True)
                return
            case _:
                return
        if event.at - self._told >= self._every:
            self._tell(event.at)

    def _see(self, key: str) -> str:
        stage = key.partition("[")[0]
        if stage in self._seen:
            self._seen[stage].add(key)
        return stage

    def _tell(self, at: float, *, last: bool = False) -> None:
        self._told = at
        if self._live:
            columns = shutil.get_terminal_size().columns
            self._stream.write(f"\r\x1b[2K{self.line(at - self._began, width=columns - 1)}" + ("\n" if last else ""))
        else:
            self._stream.write(self.line(at - self._began) + "\n")
        self._stream.flush()

    def line(self, seconds: float, *, width: int = 120) -> str:
        """Returns the state in one line; what does not fit into `width` is left out from the end."""
        files = max(len(keys) for keys in self._seen.values())
        if not files:
            return f"{seconds:5.1f} s  looking for source files"[:width]
        share = sum(self._done.values()) / (files * len(self._stages))
        size = BAR if width >= 100 else BAR // 2
        filled = round(share * size)
        parts = [f"{stage} {self._done[stage]:,}" for stage in self._stages]
        if self._failed:
            parts.append(f"{self._failed} failed")
        if self._running:
            parts.append(f"{len(self._running)} running")
        line = f"{seconds:5.1f} s  {'█' * filled}{'░' * (size - filled)} {share:4.0%} of {files:,}"
        for part in parts:
            if len(line) + 2 + len(part) > width:
                break
            line += f"  {part}"
        return line[:width]
