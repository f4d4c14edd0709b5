"""Progress in plain lines, for logs, pipes and CI: one now and then, rarer the longer a run takes."""

from __future__ import annotations

from rich.console import Console

from asyncflow.cli.tally import Tally
from asyncflow.cli.terminal import shown


class Lines:
    """Writes a line every two seconds, after half a minute every ten, after ten minutes every minute.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = 0
        self._noted = 0

    def pause(self, seconds: float) -> float:
        """Returns when the next line is due."""
        return 2.0 if seconds < 30.0 else 10.0 if seconds < 600.0 else 60.0

    def show(self, tally: Tally, seconds: float) -> None:
        """Writes a line, and the keys of ops that failed since the last one."""
        for key in tally.failures[self._told :]:
            self._write(f"{seconds:7.1f} s  failed: {shown(key)}")
        self._told = len(tally.failures)
        for notice in tally.notices[self._noted :]:
            self._write(f"{seconds:7.1f} s  note: {shown(notice)}")
        self._noted = len(tally.notices)
        self._write(f"{seconds:7.1f} s  {line(tally)}")

    def close(self, tally: Tally, seconds: float) -> None:  # noqa: ARG002 — as every view
        """Writes what should be looked at, where no line did; what came out is told by others."""
        for notice in tally.notices[self._noted :]:
            self._write(f"note: {shown(notice)}")

    def _write(self, text: str) -> None:
        self._console.print(text, markup=False)


def line(tally: Tally) -> str:
    """Returns where a run stands, in one line."""
    limits = ", ".join([shown(limit) for limit, _ in tally.short_of()[:4]])
    if tally.queued:
        why = ", ".join(map(shown, tally.queued_by))
        return f"{shown(tally.graph)} is queued" + (f" for {why}" if why else "")
    total = sum(tally.totals().values())
    known = f"{total:,}+" if tally.grows else f"{total:,}"
    parts = [f"{shown(tally.graph)}: {tally.ended:,} of {known} ops", f"{len(tally.running):,} running"]
    if tally.blocked:
        parts.append(f"{len(tally.blocked):,} blocked" + (f" ({limits})" if limits else ""))
    if tally.retrying:
        parts.append(f"{len(tally.retrying):,} retrying")
    if tally.failed:
        parts.append(f"{tally.failed:,} failed")
    if tally.canceling:
        parts.append(tally.canceling)
    return ", ".join(parts)
